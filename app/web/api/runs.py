"""`/runs`: what happened under every ended lease."""

from __future__ import annotations

from flask import Response

from app.jobs import RunFilter
from app.web.api.answers import answer
from app.web.api.calls import DayQuery, RunsQuery
from app.web.api.routes import Routes
from app.web.api.views import DayView, RunPageView
from app.web.tokens import Scope

TAG = "runs"


def add_runs(routes: Routes) -> None:
    """Add the routes."""

    def get_run_page(query: RunsQuery) -> Response:
        """Run summaries, newest first."""
        wanted = RunFilter.of(**query.model_dump(exclude={"limit", "cursor"}))
        page = routes.ask(lambda manager: manager.get_run_page(wanted, query.limit, query.cursor))
        return answer(RunPageView(runs=page.runs, cursor=page.cursor))

    def get_daily_summary(query: DayQuery) -> Response:
        """Counts, durations, retries and lost leases of one UTC day."""
        day = routes.ask(lambda manager: manager.get_daily_summary(query.day))
        return answer(DayView.model_validate(day))

    routes.add("get", "/runs", get_run_page, Scope.READ, {200: RunPageView}, tag=TAG)
    routes.add("get", "/runs/summary", get_daily_summary, Scope.READ, {200: DayView}, tag=TAG)

"""`/schedules`: those of the code, and those that somebody creates."""

from __future__ import annotations

from flask import Response

from app.jobs import Schedule
from app.web.api.answers import answer, job_answer
from app.web.api.bodies import Backfill, NewSchedule, Trigger
from app.web.api.calls import SchedulePath
from app.web.api.routes import Routes
from app.web.api.views import JobView, Number, ScheduleList
from app.web.tokens import Scope

TAG = "schedules"


def add_schedules(routes: Routes) -> None:
    """Add the routes."""

    def create_schedule(body: NewSchedule) -> Response:
        """Create a schedule beside those of the code. Further members are arguments that each of its jobs has."""
        given = body.model_dump()
        name, job_type = given.pop("name"), given.pop("job_type")
        return answer(routes.ask(lambda manager: manager.create_schedule(name, job_type, **given)), 201)

    def list_schedules() -> Response:
        """Every schedule, oldest first."""
        return answer(ScheduleList(schedules=routes.ask(lambda manager: manager.list_schedules())))

    def get_schedule(path: SchedulePath) -> Response:
        """A schedule as it is now."""
        return answer(routes.ask(lambda manager: manager.get_schedule(path.name)))

    def pause_schedule(path: SchedulePath) -> Response:
        """Let a schedule create no job until it is resumed."""
        return answer(routes.ask(lambda manager: manager.pause_schedule(path.name)))

    def resume_schedule(path: SchedulePath) -> Response:
        """Let a paused schedule go on with its next slot."""
        return answer(routes.ask(lambda manager: manager.resume_schedule(path.name)))

    def trigger_schedule(path: SchedulePath, body: Trigger) -> Response:
        """Create one job of a schedule now, beside its slots."""
        return job_answer(routes.ask(lambda manager: manager.trigger_schedule(path.name, body.payload)), 201)

    def backfill_schedule(path: SchedulePath, body: Backfill) -> Response:
        """Create the jobs of past slots that have none."""
        created = routes.ask(lambda manager: manager.backfill_schedule(path.name, body.since, body.until))
        return answer(Number(jobs=created))

    def delete_schedule(path: SchedulePath) -> Response:
        """Remove a schedule that somebody created."""
        routes.ask(lambda manager: manager.delete_schedule(path.name))
        return Response(status=204)

    one = "/schedules/<path:name>"  # a name may hold slashes
    routes.add("post", "/schedules", create_schedule, Scope.ADMIN, {201: Schedule}, tag=TAG)
    routes.add("get", "/schedules", list_schedules, Scope.READ, {200: ScheduleList}, tag=TAG)
    routes.add("get", one, get_schedule, Scope.READ, {200: Schedule}, tag=TAG)
    routes.add("post", f"{one}/pause", pause_schedule, Scope.ADMIN, {200: Schedule}, tag=TAG)
    routes.add("post", f"{one}/resume", resume_schedule, Scope.ADMIN, {200: Schedule}, tag=TAG)
    triggered = {201: JobView}
    routes.add("post", f"{one}/trigger", trigger_schedule, Scope.ENQUEUE, triggered, tag=TAG, body_optional=True)
    routes.add("post", f"{one}/backfill", backfill_schedule, Scope.ADMIN, {200: Number}, tag=TAG)
    routes.add("delete", one, delete_schedule, Scope.ADMIN, {204: None}, tag=TAG)

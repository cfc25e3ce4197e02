"""A job's progress, log and results: as they are now, or as a stream for those who accept one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response, request

from app.jobs import AsyncJobManager, JobProgress, LogEntry, SavedResult, Subscription
from app.web.api.answers import answer
from app.web.api.calls import AfterQuery, JobPath, LastEventHeader, LogsQuery
from app.web.api.desk import Desk
from app.web.api.routes import Routes
from app.web.api.streams import KEEP_ALIVE_SECONDS, Event, EventStream, as_text
from app.web.api.views import LogPage, ProgressView, ResultsView, SavedView
from app.web.tokens import Scope

T = TypeVar("T")

TAG = "following"
EVENT_STREAM = "text/event-stream"


def add_following(routes: Routes) -> None:
    """Add the routes."""

    def get_progress(path: JobPath, header: LastEventHeader) -> Response:
        """How far a job is. As `text/event-stream`: an event `progress` whenever that changes, and at last `end`."""
        job = routes.ask(lambda manager: manager.get_job(path.job_id))
        if not wants_stream():
            return answer(ProgressView(status=job.status, progress=job.progress))
        numbers = iter(range(int(header.last or 0) + 1, 10**16))

        def shown(progress: JobProgress) -> Event:
            return Event("progress", progress.model_dump(mode="json"), next(numbers))

        return stream_answer(
            follow_job(routes, path.job_id, lambda manager: manager.subscribe_progress(path.job_id), shown)
        )

    def get_logs(path: JobPath, query: LogsQuery, header: LastEventHeader) -> Response:
        """The lines of a job's log. As `text/event-stream`: an event `log` for each line, and at last `end`."""
        after = max(query.after, int(header.last or 0))
        if not wants_stream():
            lines = routes.ask(lambda manager: manager.get_logs(path.job_id, after, query.limit))
            return answer(LogPage(lines=lines, after=lines[-1].number if lines else after))
        return stream_answer(follow_logs(routes, path.job_id, after))

    def get_job_results(path: JobPath, query: AfterQuery, header: LastEventHeader) -> Response:
        """What the job's handler returned and what it saved; empty before the end.

        As `text/event-stream`: an event `result` for each result that is saved, as soon as it is, and at last `end`.
        """
        if not wants_stream():
            results = routes.ask(lambda manager: manager.get_job_results(path.job_id))
            if results is None:
                return answer(ResultsView(ended=False))
            return answer(ResultsView(ended=True, result=results.result, saved=results.saved[query.after :]))
        routes.ask(lambda manager: manager.get_job(path.job_id))
        after = max(query.after, int(header.last or 0))

        def shown(saved: SavedResult) -> Event:
            return Event("result", SavedView.model_validate(saved).model_dump(mode="json"), saved.number)

        followed = follow_job(routes, path.job_id, lambda manager: manager.subscribe_results(path.job_id, after), shown)
        return stream_answer(followed)

    for rule, handler, model in (
        ("progress", get_progress, ProgressView),
        ("logs", get_logs, LogPage),
        ("results", get_job_results, ResultsView),
    ):
        routes.add("get", f"/jobs/<job_id>/{rule}", handler, Scope.READ, {200: model}, tag=TAG, stream=True)


def wants_stream() -> bool:
    """Whether the caller would rather have a stream than an answer."""
    return request.accept_mimetypes.best_match(["application/json", EVENT_STREAM]) == EVENT_STREAM


def stream_answer(stream: EventStream) -> Response:
    """A stream as an answer, which gives its place back however it ends."""
    response = Response(as_text(stream), content_type=EVENT_STREAM, headers={"X-Accel-Buffering": "no"})
    response.call_on_close(stream.close)
    return response


def follow_logs(routes: Routes, job_id: str, after: int, quiet_seconds: float = KEEP_ALIVE_SECONDS) -> EventStream:
    """The lines of a job's log behind that number.

    Raises:
        JobNotFound: there is no such job.
        StreamsFull: every place is taken.
    """
    routes.ask(lambda manager: manager.get_job(job_id))

    def shown(line: LogEntry) -> Event:
        return Event("log", line.model_dump(mode="json"), line.number)

    return follow_job(routes, job_id, lambda manager: manager.subscribe_logs(job_id, after), shown, quiet_seconds)


def follow_job(
    routes: Routes,
    job_id: str,
    subscribe: Callable[[AsyncJobManager], Subscription[T]],
    shown: Callable[[T], Event],
    quiet_seconds: float = KEEP_ALIVE_SECONDS,
) -> EventStream:
    """Follow a job until it ends, or the connection's time is up.

    Raises:
        StreamsFull: every place is taken.
    """

    def ending() -> Event | None:
        job = routes.ask(lambda manager: manager.get_job(job_id))
        return Event("end", {"status": job.status}) if job.is_terminal else None

    return follow(routes, subscribe, shown, ending, quiet_seconds)


def follow(
    routes: Routes,
    subscribe: Callable[[AsyncJobManager], Subscription[T]],
    shown: Callable[[T], Event],
    ending: Callable[[], Event | None],
    quiet_seconds: float = KEEP_ALIVE_SECONDS,
    first: Event | None = None,
) -> EventStream:
    """Follow something until it ends, or the connection's time is up.

    Args:
        routes: where it is asked for.
        subscribe: begins to follow.
        shown: what comes as an event.
        ending: the last event, when nothing more comes; None if that is not the end.
        quiet_seconds: after how long without anything a reader is told so.
        first: what a reader is told before all else.

    Raises:
        StreamsFull: every place is taken.
    """

    async def enter(desk: Desk) -> Any:
        return desk.streams.enter(subscribe(desk.manager))

    follower = routes.service.wait_for(enter)
    return EventStream(
        read=lambda seconds: routes.service.wait_for(lambda desk: follower.next(seconds)),
        shown=shown,
        ending=ending,
        left=lambda: routes.service.wait_for(lambda desk: desk.streams.leave(follower)),
        quiet_seconds=quiet_seconds,
        first=first,
    )

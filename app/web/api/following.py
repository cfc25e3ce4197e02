"""`/jobs/{id}/progress` and `/jobs/{id}/logs`: as they are now, or as a stream for those who accept one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response, request

from app.jobs import AsyncJobManager, JobProgress, LogEntry, Subscription
from app.web.api.answers import answer
from app.web.api.calls import JobPath, LastEventHeader, LogsQuery
from app.web.api.desk import Desk
from app.web.api.routes import Routes
from app.web.api.streams import KEEP_ALIVE_SECONDS, Event, EventStream, as_text
from app.web.api.views import LogPage, ProgressView
from app.web.tokens import Scope

T = TypeVar("T")

TAG = "following"
EVENT_STREAM = "text/event-stream"


def add_following(routes: Routes) -> None:
    """Add the routes."""

    def get_progress(path: JobPath, header: LastEventHeader) -> Response:
        """How far a job is. As `text/event-stream`: an event `progress` whenever that changes, and at last `end`."""
        job = routes.ask(lambda manager: manager.get_job(path.job_id))
        if not _wants_stream():
            return answer(ProgressView(status=job.status, progress=job.progress))
        numbers = iter(range(int(header.last or 0) + 1, 10**16))

        def shown(progress: JobProgress) -> Event:
            return Event("progress", progress.model_dump(mode="json"), next(numbers))

        return _answer(follow(routes, path.job_id, lambda manager: manager.subscribe_progress(path.job_id), shown))

    def get_logs(path: JobPath, query: LogsQuery, header: LastEventHeader) -> Response:
        """The lines of a job's log. As `text/event-stream`: an event `log` for each line, and at last `end`."""
        after = max(query.after, int(header.last or 0))
        if not _wants_stream():
            lines = routes.ask(lambda manager: manager.get_logs(path.job_id, after, query.limit))
            return answer(LogPage(lines=lines, after=lines[-1].number if lines else after))
        return _answer(follow_logs(routes, path.job_id, after))

    for rule, handler, model in (("progress", get_progress, ProgressView), ("logs", get_logs, LogPage)):
        routes.add("get", f"/jobs/<job_id>/{rule}", handler, Scope.READ, {200: model}, tag=TAG, stream=True)


def _wants_stream() -> bool:
    return request.accept_mimetypes.best_match(["application/json", EVENT_STREAM]) == EVENT_STREAM


def _answer(stream: EventStream) -> Response:
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

    return follow(routes, job_id, lambda manager: manager.subscribe_logs(job_id, after), shown, quiet_seconds)


def follow(
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

    async def enter(desk: Desk) -> Any:
        return desk.streams.enter(subscribe(desk.manager))

    follower = routes.service.wait_for(enter)

    def ending() -> Event | None:
        job = routes.ask(lambda manager: manager.get_job(job_id))
        return Event("end", {"status": job.status}) if job.is_terminal else None

    return EventStream(
        read=lambda seconds: routes.service.wait_for(lambda desk: follower.next(seconds)),
        shown=shown,
        ending=ending,
        left=lambda: routes.service.wait_for(lambda desk: desk.streams.leave(follower)),
        quiet_seconds=quiet_seconds,
    )

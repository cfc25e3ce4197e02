"""`/queues`, `/types`, `/reviews` and `/events`: what is paused, what waits for people, what is sent to jobs."""

from __future__ import annotations

from flask import Response

from app.jobs import AsyncJobManager, SentEvent, event_number
from app.web.api.answers import answer, job_answer, wanted_revision
from app.web.api.bodies import Decision, NewEvent
from app.web.api.calls import EventsQuery, JobPath, LastTimeHeader, MatchHeader, QueuePath, ReviewsQuery, TypePath
from app.web.api.following import follow, stream_answer, wants_stream
from app.web.api.routes import Routes, caller_name
from app.web.api.streams import Event, EventStream
from app.web.api.views import EventList, EventView, JobView, PausedView, ReviewList, ReviewView
from app.web.tokens import Scope


def add_pauses(routes: Routes) -> None:
    """Add the routes that pause and resume whole queues and job types."""

    def get_paused() -> Response:
        """Which queues and types are paused."""
        return answer(_paused(routes.ask(lambda manager: manager.get_paused())))

    def pause_queue(path: QueuePath) -> Response:
        """Let no further job of a queue begin, until it is resumed."""
        return answer(_paused(routes.ask(lambda manager: manager.pause_queue(path.queue))))

    def resume_queue(path: QueuePath) -> Response:
        """Let jobs of a paused queue begin again."""
        return answer(_paused(routes.ask(lambda manager: manager.resume_queue(path.queue))))

    def pause_type(path: TypePath) -> Response:
        """Let no further job of a type begin, until it is resumed."""
        return answer(_paused(routes.ask(lambda manager: manager.pause_type(path.job_type))))

    def resume_type(path: TypePath) -> Response:
        """Let jobs of a paused type begin again."""
        return answer(_paused(routes.ask(lambda manager: manager.resume_type(path.job_type))))

    answers, tag = {200: PausedView}, "pauses"
    routes.add("get", "/paused", get_paused, Scope.READ, answers, tag=tag)
    routes.add("post", "/queues/<queue>/pause", pause_queue, Scope.ADMIN, answers, tag=tag)
    routes.add("post", "/queues/<queue>/resume", resume_queue, Scope.ADMIN, answers, tag=tag)
    routes.add("post", "/types/<path:job_type>/pause", pause_type, Scope.ADMIN, answers, tag=tag)
    routes.add("post", "/types/<path:job_type>/resume", resume_type, Scope.ADMIN, answers, tag=tag)


def _paused(paused: object) -> PausedView:
    return PausedView.model_validate(paused)


def add_reviews(routes: Routes) -> None:
    """Add the routes about jobs that wait for a person."""

    def list_reviews(query: ReviewsQuery) -> Response:
        """What waits for a person, the newest job first."""
        found = routes.ask(lambda manager: manager.list_reviews(limit=query.limit, type=query.type))
        return answer(ReviewList(reviews=[ReviewView.model_validate(each) for each in found]))

    def review(path: JobPath, header: MatchHeader, body: Decision) -> Response:
        """Decide about a job that waits for a person: `approve` and `edit` let it go on, `reject` cancels it."""
        revision = wanted_revision(header.match, path.job_id)
        decided = body.model_dump()
        decided["by"] = caller_name(body.by)
        return job_answer(routes.ask(lambda manager: manager.review(path.job_id, revision=revision, **decided)))

    routes.add("get", "/reviews", list_reviews, Scope.READ, {200: ReviewList}, tag="reviews")
    routes.add("post", "/jobs/<job_id>/review", review, Scope.ADMIN, {200: JobView}, tag="reviews")


def add_events(routes: Routes) -> None:
    """Add the routes about events."""

    def send_event(body: NewEvent) -> Response:
        """Send an event: it is stored, and jobs that wait for it go on."""
        given = body.model_dump()
        given["by"] = caller_name(body.by)
        sent = routes.ask(lambda manager: manager.send_event(**given))
        return answer(EventView.model_validate(sent), 201)

    def list_events(query: EventsQuery, header: LastTimeHeader) -> Response:
        """Events that are kept, the newest first.

        As `text/event-stream`: an event `event` for each that is sent from now on, or from that of `Last-Event-ID` on;
        what was sent in the ten seconds before that is told again, with the `id` that it had.
        """
        if wants_stream():
            return stream_answer(follow_events(routes, query.name, int(header.last or 0)))
        found = routes.ask(lambda manager: manager.list_events(query.name, query.limit))
        return answer(EventList(events=[EventView.model_validate(each) for each in found]))

    routes.add("post", "/events", send_event, Scope.ENQUEUE, {201: EventView}, tag="events")
    routes.add("get", "/events", list_events, Scope.READ, {200: EventList}, tag="events", stream=True)


def follow_events(routes: Routes, name: str | None, after: int) -> EventStream:
    """Events as they are sent.

    Raises:
        BadInput: a name that is none.
        StreamsFull: every place is taken.
    """

    async def now(manager: AsyncJobManager) -> int:
        return event_number(manager.runtime.clock.now())

    begins = after or routes.ask(now)

    def shown(event: SentEvent) -> Event:
        return Event("event", EventView.model_validate(event).model_dump(mode="json"), event_number(event.sent_at))

    # Who is told nothing for as long as a connection lasts goes on from where it began.
    first = Event("begin", {"after": begins}, begins)
    return follow(routes, lambda manager: manager.subscribe_events(name, after), shown, lambda: None, first=first)

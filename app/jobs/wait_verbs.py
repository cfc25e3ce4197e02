"""What a handler waits for durably: time, events, and people. No worker holds its job meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from app.jobs.codec import canonical_json
from app.jobs.errors import LONGEST_DELAY_SECONDS, BadInput, EventTimeout, NoEngine
from app.jobs.events import AskReview, Suspend
from app.jobs.inbox import check_event_name, waiting_for
from app.jobs.journal import received_events
from app.jobs.models import Json
from app.jobs.step_verbs import StepVerbs, check_name
from app.jobs.steps import Call, StepKind
from app.jobs.texts import MESSAGE_CHARACTERS, tidy
from app.stores.base import PreconditionFailed

if TYPE_CHECKING:
    from app.jobs.journal import Journal

IN_PLACE_SECONDS = 2.0
"""So short a wait is waited out where it is: giving the job back and claiming it again would take as long."""
GOES_ON = ("approve", "edit")
"""Decisions after which the handler goes on."""
LOOK_AGAIN = timedelta(seconds=15)
"""When a job looks again by itself that was suspended by a worker that died before it had looked once more."""


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """What a person decided about a request for review."""

    decision: str
    """`approve`, or `edit` if the payload was changed."""
    by: str
    comment: str
    data: Json
    """What was given with the decision; None if nothing was."""
    decided_at: datetime

    @classmethod
    def of(cls, told: Mapping[str, Json]) -> ReviewDecision:
        """From what is recorded of it."""
        return cls(
            decision=told["decision"],
            by=told["by"],
            comment=told["comment"],
            data=told.get("data"),
            decided_at=datetime.fromisoformat(told["decided_at"]),
        )


def seconds_of(field: str, seconds: float) -> float:
    """A time to wait.

    Raises:
        BadInput: negative, longer than ten years, or no number.
    """
    if not 0 <= seconds <= LONGEST_DELAY_SECONDS:
        raise BadInput(field, f"{seconds!r} is not a time to wait", "give seconds, from 0 up to ten years")
    return seconds


class WaitVerbs(StepVerbs):
    """The waiting verbs of a handler's context."""

    # --- time ---

    async def sleep(self, seconds: float, *, name: str | None = None) -> None:
        """Wait so long, however often the job is interrupted meanwhile.

        From two seconds on the attempt ends here, uncounted, and a later one goes on behind it: what the handler did
        before it is done again, unless it was recorded as a step.

        Args:
            seconds: up to ten years.
            name: tells sleeps apart that are called beside each other; else they are numbered as they are called.

        Raises:
            BadInput: a time that is none.
            StepNameTwice, StepsChanged, LeaseLost: as for `step`.
        """
        seconds_of("seconds", seconds)
        journal = self._journal
        call = await self._begin(StepKind.SLEEP, name, "sleep")
        try:
            now = journal.clock.now()
            if call.recorded is not None:
                until = datetime.fromisoformat(call.recorded.value["until"])
            else:
                until = now + timedelta(seconds=seconds)
                if seconds > IN_PLACE_SECONDS:
                    await journal.record(call, {"until": until.isoformat()}, now)
            if journal.is_stored and (until - now).total_seconds() > IN_PLACE_SECONDS:
                raise self._flag.leave(Suspend(until))
            await journal.clock.sleep(max(0.0, (until - now).total_seconds()))
        finally:
            journal.end(call)

    # --- events ---

    async def wait_for_event(self, name: str, timeout_seconds: float | None = None, *, step: str | None = None) -> Json:
        """The data of the next event of a name: the oldest that this job has not received yet.

        It may have been sent before: for this job alone at any time, for whoever waits since the job was created.
        While none is there the attempt ends, uncounted, and a later one goes on behind this with what came.

        Args:
            name: of the event.
            timeout_seconds: how long to wait, from the first time that this is called; None waits for ever.
            step: tells waits apart that are called beside each other; else they are numbered as they are called.

        Raises:
            EventTimeout: none came in time. Not caught, it fails the job.
            BadInput: a name or time that is none.
            NoEngine: the job runs in a standalone executor.
            StepNameTwice, StepsChanged, LeaseLost: as for `step`.
        """
        check_event_name(name)
        if timeout_seconds is not None:
            seconds_of("timeout_seconds", timeout_seconds)
        journal = self._journal
        if journal.inbox is None:
            raise NoEngine
        call = await self._begin(StepKind.EVENT, step, name)
        try:
            if call.recorded is not None and call.recorded.ended_at is not None:
                told = call.recorded.value
            else:
                told = await self._received(journal, call, name, timeout_seconds)
        finally:
            journal.end(call)
        if told.get("timed_out"):
            raise EventTimeout(self._holder.job.id, name)
        return told["data"]

    async def _received(
        self, journal: Journal, call: Call, name: str, timeout_seconds: float | None
    ) -> dict[str, Json]:
        started = journal.clock.now()
        until: datetime | None = None
        if call.recorded is not None:
            until = datetime.fromisoformat(call.recorded.value["until"])
        elif timeout_seconds is not None:
            until = started + timedelta(seconds=timeout_seconds)
        while True:
            found = await self._next_event(journal, call, name, started)
            if found is not None:
                return found
            now = journal.clock.now()
            if until is None:
                self._leave_if_asked()
                raise self._flag.leave(Suspend(None, waiting_for(name), now + LOOK_AGAIN))
            left = (until - now).total_seconds()
            if left <= 0:
                timed_out: dict[str, Json] = await journal.record(call, {"timed_out": True}, started)
                return timed_out
            if left > IN_PLACE_SECONDS:
                if call.recorded is None:
                    await journal.record(call, {"until": until.isoformat()}, started, is_open=True)
                self._leave_if_asked()
                raise self._flag.leave(Suspend(until, waiting_for(name), now + LOOK_AGAIN))
            await journal.clock.sleep(left)

    async def _next_event(self, journal: Journal, call: Call, name: str, started: datetime) -> dict[str, Json] | None:
        while journal.inbox is not None:
            received = received_events((await journal.book()).recorded)
            arrived = await journal.inbox.next_for(self._holder.job, name, received)
            if arrived is None:
                return None
            event = arrived.event
            told: dict[str, Json] = {"id": event.id, "sent_at": event.sent_at.isoformat(), "data": event.data}
            told |= {"by": event.sent_by, "for_anybody": event.job_id is None}
            try:
                recorded: dict[str, Json] = await journal.record(call, told, started, also=arrived.also)
            except PreconditionFailed:
                continue  # another wait of this attempt has just received it
            return recorded
        return None

    # --- people ---

    async def request_review(
        self, question: str, data: Json = None, *, expires_seconds: float | None = None, name: str | None = None
    ) -> ReviewDecision:
        """Ask a person, and go on with the decision in a later attempt.

        The job is NEEDS_REVIEW until `review` decides: `approve` and `edit` let it go on, behind this call, `reject`
        ends it CANCELLED.

        Args:
            question: for people.
            data: what they need to decide, any JSON value.
            expires_seconds: after so long the job ends CANCELLED if nobody has decided; None waits for ever.
            name: tells requests apart that are called beside each other; else they are numbered as they are called.

        Raises:
            BadInput: data that is not a JSON value, or a time that is none.
            StepNameTwice, StepsChanged, LeaseLost: as for `step`.
        """
        canonical_json(data, "data")
        if expires_seconds is not None:
            seconds_of("expires_seconds", expires_seconds)
        journal = self._journal
        call = await self._begin(StepKind.REVIEW, name, "review")
        try:
            if call.recorded is not None:
                return ReviewDecision.of(call.recorded.value)
            asked = self._holder.job.review
            now = journal.clock.now()
            if isinstance(asked, dict) and asked.get("step") == call.key[1] and asked.get("decision") in GOES_ON:
                told = {field: asked.get(field) for field in ("decision", "by", "comment", "data", "decided_at")}
                return ReviewDecision.of(await journal.record(call, told, now))
            expires = None if expires_seconds is None else now + timedelta(seconds=expires_seconds)
            reason = tidy(str(question), MESSAGE_CHARACTERS)
            raise self._flag.leave(AskReview(reason, data, step=call.key[1], expires_at=expires))
        finally:
            journal.end(call)

    async def _begin(self, kind: StepKind, name: str | None, stem: str) -> Call:
        journal = self._journal
        book = await journal.book()
        return await journal.begin(kind, book.next_name(kind, stem) if name is None else check_name(name))

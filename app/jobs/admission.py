"""Who may start: what a claim does with a job that could be taken, if something limits it.

A claim asks about each candidate in the store's own transaction, where nothing can be waited for. So a round begins
with what is known, answers from that alone, and notes what it would have had to know; after it that is found out, and
the next round can decide. What may not run is parked, in one write, and hides nothing any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TypeAlias

from app.jobs.events import Event, Park
from app.jobs.limits import Limit, limit_name
from app.jobs.models import Job, JobQueue
from app.jobs.pauses import Paused, Pauses


class Verdict(Enum):
    """What becomes of a candidate that nothing is to happen to by an event of its own."""

    TAKE = "take"
    LEAVE = "leave"


Answer: TypeAlias = Event | Verdict
"""The event that the candidate meets instead of being taken, or whether it is taken at all."""


class Round:
    """One claim's answers. A store may ask about one job twice, and in another thread, but never two at a time."""

    def __init__(self, paused: Paused) -> None:
        self.paused = paused
        self._answers: dict[str, Answer] = {}

    def ask(self, job: Job) -> Answer:
        """Whether a candidate may be taken."""
        answer = self._answers.get(job.id)
        if answer is None:
            answer = self._answers[job.id] = self._answer(job)
        return answer

    def _answer(self, job: Job) -> Answer:
        if job.queue in self.paused.queues:
            return Verdict.LEAVE
        if job.type in self.paused.types:
            return Park(limit_name(Limit.PAUSE, job.type))
        return Verdict.TAKE

    def open_of(self, queues: Sequence[JobQueue]) -> tuple[JobQueue, ...]:
        """Those of the queues that are not paused."""
        return tuple(queue for queue in queues if queue not in self.paused.queues)

    @property
    def turned_away(self) -> int:
        """How many candidates met an event of their own."""
        return sum(not isinstance(answer, Verdict) for answer in self._answers.values())


class Admission:
    """Begins and ends the rounds of one engine's claims."""

    def __init__(self, pauses: Pauses) -> None:
        self._pauses = pauses

    async def begin(self) -> Round:
        """A round with what is known now.

        Raises:
            StoreError: what is paused had to be read, and could not be.
        """
        return Round(await self._pauses.known())

    async def end(self, asked: Round) -> bool:
        """Find out what a round lacked.

        Returns:
            Whether another round may take what this one did not.
        """
        return asked.turned_away > 0

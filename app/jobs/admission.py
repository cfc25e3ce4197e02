"""Who may start: what a claim does with a job that could be taken, if something limits it.

A claim asks about each candidate in the store's own transaction, where nothing can be waited for. So a round begins
with what is known, answers from that alone, and notes what it would have had to know; after it that is found out, and
the next round can decide. What may not run is parked, in one write, and hides nothing any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeAlias

from app.jobs.concurrency import ConcurrencyLimits, ConcurrencyRound, order_of_parked
from app.jobs.events import Event, Park
from app.jobs.lease import Lease
from app.jobs.limits import Limit, limit_name
from app.jobs.models import Job, JobQueue
from app.jobs.pauses import Paused, Pauses
from app.jobs.rates import RateRound, Rates
from app.jobs.turns import Turns
from app.stores.base import Record, RecordKey


class Verdict(Enum):
    """What becomes of a candidate that nothing is to happen to by an event of its own."""

    TAKE = "take"
    LEAVE = "leave"


Answer: TypeAlias = Event | Verdict
"""The event that the candidate meets instead of being taken, or whether it is taken at all."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who claims, and what it could run at once."""

    worker_id: str
    queues: tuple[JobQueue, ...]
    """In the order in which they are polled."""
    routes: tuple[str, ...]
    limit: int

    def wanting(self, limit: int) -> Asker:
        """The same, for so many jobs."""
        return replace(self, limit=limit)

    def could_run(self, job: Job) -> bool:
        """Whether it serves the job's queue and route."""
        return job.queue in self.queues and job.route in self.routes

    def rank(self, job: Job) -> tuple[int, int, object, object, str]:
        """The order in which jobs are taken: by queue, by priority, by since when they could be, and by age."""
        since = job.ready_at or job.wake_at or job.created_at
        return self.queues.index(job.queue), -job.priority, since, job.created_at, job.id


class Round:
    """One claim's answers. A store may ask about one job twice, and in another thread, but never two at a time."""

    def __init__(self, asker: Asker, paused: Paused, concurrency: ConcurrencyRound, rates: RateRound) -> None:
        self.asker = replace(asker, queues=tuple(queue for queue in asker.queues if queue not in paused.queues))
        self.parked = sorted(concurrency.promised, key=self.asker.rank)
        """Parked jobs that may go on, best first: they have their place among the candidates."""
        self.concurrency = concurrency
        self.rates = rates
        self.turnless: list[Job] = []
        """Candidates that run one at a time, and have not been given their turn."""
        self._paused = paused
        self._taken = 0
        self._answers: dict[str, Answer] = {}

    def ask(self, job: Job) -> Answer:
        """What becomes of a candidate."""
        answer = self._answers.get(job.id)
        if answer is None:
            answer = self._answers[job.id] = self._answer(job)
            self._taken += answer is Verdict.TAKE
        return answer

    def _answer(self, job: Job) -> Answer:
        if job.queue in self._paused.queues:
            return Verdict.LEAVE
        if job.type in self._paused.types:
            return Park(limit_name(Limit.PAUSE, job.type))
        if job.turn is not None and not job.holds_turn:
            self.turnless.append(job)
            return Verdict.LEAVE
        if job.parked_on is None and self._taken + self._better_parked(job) >= self.asker.limit:
            return Verdict.LEAVE
        permitted = self.concurrency.permits(job)
        if permitted is None:
            return Verdict.LEAVE
        if not permitted:
            return Park(limit_name(Limit.CONCURRENCY, job.type))
        allowed = self.rates.allows(job)
        if allowed is True:
            return Verdict.TAKE
        self.concurrency.give_back(job)
        if allowed is None:
            return Verdict.LEAVE
        return allowed or Park(limit_name(Limit.RATE, job.type))

    def _better_parked(self, job: Job) -> int:
        if not self.parked:
            return 0
        return sum(self._goes_before(parked, job) for parked in self.parked)

    def _goes_before(self, parked: Job, job: Job) -> bool:
        if parked.type == job.type:
            # Of one type, who was let go stays before those who are still parked, though it is ready since then only.
            return order_of_parked(parked) < order_of_parked(job)
        return self.asker.rank(parked) < self.asker.rank(job)

    @property
    def left_alone(self) -> int:
        """How many candidates wait as they are: for a permit that they were let go for, or for their time."""
        return self.concurrency.left_alone.total() + self.rates.left_alone.total()

    @property
    def room(self) -> int:
        """How many more jobs could begin than were taken."""
        return max(0, self.asker.limit - self._taken)

    @property
    def turned_away(self) -> int:
        """How many candidates met an event of their own."""
        return sum(not isinstance(answer, Verdict) for answer in self._answers.values())


class Admission:
    """Begins and ends the rounds of one engine's claims."""

    def __init__(self, pauses: Pauses, turns: Turns, concurrency: ConcurrencyLimits, rates: Rates) -> None:
        self._pauses = pauses
        self._turns = turns
        self._concurrency = concurrency
        self._rates = rates

    def missing(self) -> list[RecordKey]:
        """What a claim has to know and nobody has read lately, for who reads something else anyway."""
        return self._pauses.stale

    def found(self, records: Sequence[Record | None]) -> None:
        """What `missing` named, as it was read just now."""
        for record in records:
            self._pauses.learn(record)

    async def begin(self, asker: Asker) -> Round:
        """A round with what is known now. `settle` it in any case.

        Raises:
            StoreError: what had to be read could not be.
        """
        paused = await self._pauses.known()
        queues = frozenset(asker.queues) - paused.queues

        def could_run(job: Job) -> bool:
            return job.queue in queues and asker.could_run(job)

        concurrency = await self._concurrency.begin(asker.limit, could_run)
        try:
            rates = await self._rates.begin()
        except BaseException:
            self._concurrency.settle(concurrency, ())
            raise
        return Round(asker, paused, concurrency, rates)

    def settle(self, asked: Round, leases: Sequence[Lease]) -> None:
        """What was lent for a round is in use by these leases, as far as they were made in it, or free again."""
        self._concurrency.settle(asked.concurrency, leases)
        self._rates.settle(asked.rates)

    async def learn(self, asked: Round) -> bool:
        """Find out what a round lacked.

        Returns:
            Whether another round may take what this one did not.

        Raises:
            StoreError: it could not be found out.
        """
        await self._turns.settle(asked.turnless)
        learned = await self._concurrency.learn(asked.concurrency)
        learned = await self._rates.learn(asked.rates, asked.room) or learned
        return asked.turned_away > 0 or bool(asked.turnless) or learned or await self._concurrency.look_again()

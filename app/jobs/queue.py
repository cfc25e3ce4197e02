"""The queue's verbs on the engine's side: create, claim, settle what nobody holds, and change by hand.

Every change of a job goes through the transition table and a guarded write; a write that met another is
decided anew on the fresh state.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence, Set
from datetime import timedelta
from typing import TypeVar

from app.jobs.admission import Admission, Asker
from app.jobs.claiming import Claiming
from app.jobs.codec import canonical_json
from app.jobs.errors import IdempotencyConflict, JobNotFound
from app.jobs.events import Event, LoseLease
from app.jobs.lease import Lease, LeaseParts
from app.jobs.models import Job, JobQueue, changed
from app.jobs.options import EngineOptions
from app.jobs.ramp import SENT_TOGETHER, Pace
from app.jobs.records import SET_ASIDE
from app.jobs.settlement import is_state
from app.jobs.summaries import run_id, told_apart
from app.jobs.transitions import transition
from app.jobs.turns import Turns, lined_up, unplaced
from app.stores.base import (
    OutcomeUnknown,
    PreconditionFailed,
    Query,
    Record,
    RecordTooLarge,
    StoreError,
    Update,
    Write,
)

logger = logging.getLogger(__name__)

QUEUES = (JobQueue.PRIORITY, JobQueue.MAINTENANCE)
"""`priority` is always polled first."""
MAX_TRIES = 20
"""How often a change by hand is decided anew before its conflict is reported."""
T = TypeVar("T")
_KEY_SPACE = uuid.UUID("6c1f5a52-9c0e-5f0a-8f0e-7d0c6f6b7a11")


def job_id_of_key(key: str) -> str:
    """The id of the job that an idempotency key names: the key lives exactly as long as its job."""
    return str(uuid.uuid5(_KEY_SPACE, key))


async def _gather(waits: Sequence[Awaitable[T]]) -> list[T | StoreError]:
    """All answers, with the store's refusals among them. Any other error is raised once all have ended."""
    answers = await asyncio.gather(*waits, return_exceptions=True)
    kept: list[T | StoreError] = []
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, StoreError):
            raise answer
        kept.append(answer)
    return kept


class Queue:
    """Jobs in and out of the store."""

    def __init__(self, parts: LeaseParts, options: EngineOptions, admission: Admission, turns: Turns) -> None:
        self._parts = parts
        self._turns = turns
        self._claiming = Claiming(parts, options, admission)

    # --- create ---

    async def create(self, jobs: Sequence[Job], pace: Pace | None = None) -> list[Job]:
        """Store new jobs, each by itself; one whose idempotency key is taken is answered with the job there.

        Args:
            jobs: what is to be stored.
            pace: kept to, and told how far this is; without one all of them go at once.

        Raises:
            BadInput: user data that cannot be stored; nothing was written.
            IdempotencyConflict: a key's job differs in type or payload.
        """
        prepared = [(job, self._parts.records.insert(job)) for job in jobs]
        size = max(1, len(jobs)) if pace is None else SENT_TOGETHER
        created: list[Job] = []
        for start in range(0, len(prepared), size):
            some = prepared[start : start + size]
            if pace is not None:
                await pace.take(sum(len(unit) for _, unit in some))
            created += await self._created(some)
            if pace is not None:
                pace.wrote(len(some))
        return created

    async def _created(self, prepared: Sequence[tuple[Job, list[Write]]]) -> list[Job]:
        lined = lined_up([job for job, _ in prepared], self._parts.clock.now())
        units = [
            unit if job is before else self._parts.records.insert(job)
            for job, (before, unit) in zip(lined, prepared, strict=True)
        ]
        placed = [await self._placed(job, unit) for job, unit in zip(lined, units, strict=True)]
        created: list[Job] = []
        answers = await _gather([self._parts.commits.send(unit) for _, unit in placed])
        for (job, _), answer in zip(placed, answers, strict=True):
            if isinstance(answer, list):
                created.append(changed(job, {"version": answer[-1]}))
            elif isinstance(answer, PreconditionFailed | OutcomeUnknown):
                created.append(await self._created_before(job, answer))
            else:
                raise answer
        for job in created:
            if not job.existing:
                self._parts.wake_ups.note(job)
        parked = {job.id for job, (before, _) in zip(lined, prepared, strict=True) if job is not before}
        begun = await self._turns.begun([job for job in created if job.id in parked and not job.existing])
        now = {job.id: job for job in begun}
        return [job if job.existing else now.get(job.id, job) for job in created]

    async def _placed(self, job: Job, unit: list[Write]) -> tuple[Job, list[Write]]:
        """A new job, parked if another one has its turn, and the writes that create it; `unit` did so far."""
        if job.turn is None or job.ready_at is None:
            return job, unit
        job, guard = await self._turns.placed(job)
        return job, [*guard, *self._parts.records.insert(job)]

    async def _created_before(self, job: Job, answer: StoreError) -> Job:
        """What stands under the id of a job whose insert was refused, or whose answer was lost."""
        unheard = False
        for _ in range(MAX_TRIES):
            unheard = unheard or isinstance(answer, OutcomeUnknown)
            (there,) = await self._parts.records.get([job.id])
            if there is not None:
                break
            try:  # deleted meanwhile, or never applied
                job, unit = await self._placed(unplaced(job), self._parts.records.insert(job))
                versions = await self._parts.commits.commit(unit)
            except (PreconditionFailed, OutcomeUnknown) as next_answer:
                answer = next_answer
            else:
                return changed(job, {"version": versions[-1]})
        else:
            raise answer
        return self.answered(job, there, answer, unheard=unheard)

    def answered(self, job: Job, there: Job, answer: StoreError, *, unheard: bool) -> Job:
        """The answer to a create that found a job under its id.

        Args:
            job: what was to be created.
            there: what is there.
            answer: what the store said.
            unheard: whether one of the answers to it was lost.

        Raises:
            IdempotencyConflict: it has another type or payload.
            StoreError: the store's answer; the two have nothing to do with each other.
        """
        if unheard and there.created_at == job.created_at:
            return there  # one of our own inserts, however late it arrived
        if job.idempotency_key is None or there.idempotency_key is None:
            raise answer
        return self.same_job(job, there, job.idempotency_key)

    @staticmethod
    def same_job(job: Job, there: Job, key: str) -> Job:
        """The job that has an idempotency key, as the answer to one more that asks for it.

        Raises:
            IdempotencyConflict: it has another type or payload.
        """
        for differs in ("type", "payload"):
            ours, theirs = getattr(job, differs), getattr(there, differs)
            # By their texts: Python takes 1, 1.0 and True for equal, and a list for another thing than a tuple.
            if canonical_json(ours) != canonical_json(theirs):
                raise IdempotencyConflict(key, there.id, differs)
        there.existing = True
        return there

    async def found_by_key(self, jobs: Sequence[Job]) -> dict[str, Job]:
        """By their ids, those of the jobs whose idempotency key is taken already: as they are stored.

        Raises:
            IdempotencyConflict: a key's job differs in type or payload.
        """
        keyed = [(job, job.idempotency_key) for job in jobs if job.idempotency_key is not None]
        found = await self._parts.records.get([job.id for job, _ in keyed]) if keyed else []
        pairs = zip(keyed, found, strict=True)
        return {job.id: self.same_job(job, there, key) for (job, key), there in pairs if there is not None}

    # --- claim ---

    async def claim(
        self,
        worker_id: str,
        routes: Sequence[str],
        limit: int,
        *,
        queues: Sequence[JobQueue] = QUEUES,
        shards: Sequence[int] | None = None,
        due: bool = True,
    ) -> tuple[list[Lease], bool]:
        """Take up to `limit` jobs for a worker, best first.

        Returns:
            Their leases, and whether more may be claimable right now.
        """
        asker = Asker(worker_id, tuple(queues), tuple(routes), limit)
        return await self._claiming.claim(asker, shards=shards, due=due)

    async def claim_job(self, worker_id: str, job_id: str) -> Lease | None:
        """Take one job by its id; None if it is not claimable now, or somebody was faster.

        Raises:
            JobNotFound: there is no such job.
        """
        return await self._claiming.claim_job(worker_id, job_id)

    def take_ended(self) -> list[Job]:
        """The jobs that ended at a claim because they had to begin earlier, each given once.

        Whoever claimed tells `Runtime.settled` of them.
        """
        return self._claiming.take_ended()

    def decoded(self, records: Sequence[Record]) -> list[Job]:
        """The jobs of records; those that this version of the code cannot read are left out, and told in the log."""
        return self._parts.records.decoded(records)

    # --- change by hand ---

    async def apply(self, job_id: str, decide: Callable[[Job], Event | None]) -> Job:
        """Change a job that this caller does not hold, deciding anew whenever somebody was faster.

        Args:
            job_id: the job.
            decide: the event for the job as it is now; None leaves it as it is.

        Raises:
            JobNotFound: there is no such job.
            IllegalTransition: its status does not allow the event.
            PreconditionFailed: it changed under every one of many tries.
        """
        tries = 0
        while True:
            (before,) = await self._parts.records.get([job_id], strict=False)
            if before is None:
                raise JobNotFound(job_id)
            event = decide(before)
            if event is None:
                return before
            try:
                return await self.change(before, event)
            except (PreconditionFailed, OutcomeUnknown):
                tries += 1
                if tries >= MAX_TRIES:
                    raise

    async def change(self, before: Job, event: Event, also: Sequence[Write] = ()) -> Job:
        """Write the outcome of one event on exactly this state of a job.

        Args:
            before: the job as it was read.
            event: what happens to it; if that changes nothing, nothing is written.
            also: further writes of the same commit.

        Raises:
            IllegalTransition: its status does not allow the event.
            PreconditionFailed: it is not in that state any more.
        """
        now = self._parts.clock.now()
        after = transition(before, event, now)
        if after is before:
            return before
        after, unit = self._parts.settlement.complete(before, after, now)
        unit.extend(also)
        unit.extend(self._parts.records.update(before, after))
        try:
            versions = await self._parts.commits.commit(unit)
        except OutcomeUnknown:
            (there,) = await self._parts.records.get([after.id], strict=False)
            if there is None or not is_state(there, after):
                raise
            return there
        except PreconditionFailed:
            if before.lease_token is None or not await self._number_is_taken(before):
                raise
            versions = await self._parts.commits.commit(told_apart(unit, before.lease_token))
        self._parts.wake_ups.note(after)
        return changed(after, {"version": versions[-1]})

    async def _number_is_taken(self, job: Job) -> bool:
        """Whether a job of the same key that was deleted has left a summary of the attempt that is to end now."""
        if job.idempotency_key is None:
            return False
        (there,) = await self._parts.store.get("jobs", [job.id])
        (run,) = await self._parts.store.get("runs", [run_id(job.id, job.attempt)])
        return there is not None and there.version == job.version and run is not None

    async def _set_leases_aside(self, records: Sequence[Record], readable: Set[str]) -> None:
        """Let leases that ran out of jobs that nobody here can read not fill the page at each look."""
        later = {"lease_expires_at": self._parts.clock.now() + SET_ASIDE}
        unread = [record for record in records if record.id not in readable]
        await _gather([self._parts.commits.send([Update("jobs", each.id, later, each.version)]) for each in unread])

    async def take_back(
        self, limit: int, *, everything: bool = False, grace: timedelta = timedelta(0)
    ) -> list[tuple[Job, Job | None]]:
        """Take back jobs whose lease ran out, the longest expired first.

        Args:
            limit: at most so many.
            everything: also leases that still live; right only where no holder can be alive.
            grace: leave alone what ran out less long ago.

        Returns:
            Each job as it was found and as it is now; None for what is now if its holder was faster.
        """
        until = None if everything else self._parts.clock.now() - grace
        page = await self._parts.store.query(Query("jobs.leased", until=until, limit=limit))
        found = self._parts.records.decoded(page.records)
        await self._set_leases_aside(page.records, {job.id for job in found})
        # A job that must not run twice asks a person now, and what was asked before stays with it.
        asked = [job for job in found if not job.idempotent and job.review is not None]
        await self._parts.records.resolve(asked, strict=False)
        changes = await _gather([self.change(job, LoseLease()) for job in found])
        taken: list[tuple[Job, Job | None]] = []
        for job, answer in zip(found, changes, strict=True):
            if isinstance(answer, Job):
                taken.append((job, answer))
            elif isinstance(answer, PreconditionFailed | OutcomeUnknown):
                taken.append((job, None))
            elif isinstance(answer, RecordTooLarge):
                logger.error("job %s cannot be taken back: %s", job.id, answer)
                taken.append((job, None))
            else:
                raise answer
        return taken

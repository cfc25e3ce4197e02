"""Jobs that run one at a time: those of one `concurrency_key`, and those of a type that preserves its order.

Such jobs share a name. A record of that name says whose turn it is; only that job is claimable, the others are parked
on the name, so one key with many jobs never stands before other keys. Whoever ends, pauses or waits for review gives
the turn to the next, in one commit for both. `Job.holds_turn` is written together with the record only, and a job
that does not run and waits for no time has it not: so a record whose job does not hold the turn is left over from a
crash.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from app.jobs.events import Event, Park, TakeTurn
from app.jobs.lease import LeaseParts
from app.jobs.limits import COLLECTION, SCHEMA_VERSION, Limit, plain_name
from app.jobs.models import Job, JobStatus, changed
from app.jobs.parked import ParkedJobs
from app.jobs.transitions import transition
from app.stores.base import (
    Delete,
    Insert,
    OutcomeUnknown,
    PreconditionFailed,
    Record,
    StoreError,
    Update,
    Value,
    Verify,
    Write,
)

logger = logging.getLogger(__name__)

MAX_TRIES = 20
"""How often a turn is looked at again because somebody else changed it first."""
PASSED_TOGETHER = 50
"""So many turns are given at once to jobs that were created together."""
_BY_AGE = f"{Limit.TURN}:order:"


def turn_of_key(key: str) -> str:
    """What the jobs of a `concurrency_key` share."""
    return f"{Limit.TURN}:key:{plain_name(key)}"


def turn_of_type(job_type: str) -> str:
    """What the jobs of a type share that preserves its order."""
    return f"{_BY_AGE}{plain_name(job_type)}"


class Turns:
    """Gives turns, and passes them on."""

    def __init__(self, parts: LeaseParts, parked: ParkedJobs) -> None:
        self._parts = parts
        self._parked = parked

    async def placed(self, job: Job) -> tuple[Job, list[Write]]:
        """A job that is to be created ready: with the turn if that is free, else parked; and what is written with it.

        The writes fail if somebody takes or gives back the turn first: then ask again.

        Raises:
            StoreError: the turn could not be read.
        """
        if job.turn is None or job.ready_at is None:
            return job, []
        turn = await self._read(job.turn)
        if turn is None:
            return changed(job, {"holds_turn": True}), [_new(job.turn, job.id)]
        parked = transition(job, Park(job.turn), job.created_at)
        return changed(parked, {"revision": job.revision}), [Verify(COLLECTION, turn.id, turn.version)]

    async def begun(self, jobs: Sequence[Job]) -> list[Job]:
        """Give the turns that new jobs are parked on to the first of each, unless somebody has them.

        Args:
            jobs: as they were stored. What cannot be given now, the watchdog gives.

        Returns:
            The jobs, those that have got their turn as they are now.
        """
        first: dict[str, Job] = {}
        for job in sorted(jobs, key=_place):
            if job.turn is not None and job.parked_on == job.turn:
                first.setdefault(job.turn, job)
        names = list(first)
        got: dict[str, Job] = {}
        try:
            heads: list[Job] = []
            for start in range(0, len(names), PASSED_TOGETHER):
                some = names[start : start + PASSED_TOGETHER]
                given = await asyncio.gather(*map(self.pass_on, some))
                heads += [first[name] for name, count in zip(some, given, strict=True) if count]
            for there in await self._parts.records.get([job.id for job in heads], strict=False) if heads else []:
                if there is not None and there.holds_turn and there.status is JobStatus.QUEUED:
                    got[there.id] = there
        except StoreError as error:
            logger.warning("new jobs wait for the watchdog to give them their turn: %s", error)
        return [got.get(job.id, job) for job in jobs]

    async def settle(self, jobs: Sequence[Job]) -> None:
        """Give ready jobs that share a turn the turn, one of those that share it, and park the others.

        Args:
            jobs: as they were read; changed under us, they are left alone.

        Raises:
            StoreError: the store could not be asked.
        """
        for job in sorted(jobs, key=_place):
            await self._settle(job)

    async def _settle(self, job: Job) -> None:
        name = job.turn
        if name is None:
            return
        unit: list[Write]
        event: Event
        for _ in range(MAX_TRIES):
            turn = await self._read(name)
            if turn is None:
                first = await self._parked.first(name, 1, by_age=name.startswith(_BY_AGE))
                if first and _place(first[0]) < _place(job):
                    await self.pass_on(name)
                    continue
                unit, event = [_new(name, job.id)], TakeTurn()
            elif turn.fields.get("job_id") == job.id:
                unit, event = [_taken(turn, job.id)], TakeTurn()
            elif await self._is_held(turn):
                unit, event = [Verify(COLLECTION, turn.id, turn.version)], Park(name)
            else:
                await self.pass_on(name)
                continue
            if await self._commit(unit, job, event) or not await self._is_as_read(job):
                return

    async def pass_on(self, name: str) -> int:
        """Give a turn to the next job, unless the one that has it may still run.

        Returns:
            How many jobs got it: 1 or 0.

        Raises:
            StoreError: the store could not be asked.
        """
        for _ in range(MAX_TRIES):
            # The turn first and its job then: a job that takes its turn again changes the turn's version.
            turn = await self._read(name)
            if turn is not None and await self._is_held(turn):
                return 0
            following = await self._parked.first(name, 1, by_age=name.startswith(_BY_AGE))
            if following:
                write = _new(name, following[0].id) if turn is None else _taken(turn, following[0].id)
                if await self._commit([write], following[0], TakeTurn()):
                    return 1
            elif turn is None:
                return 0
            else:
                # Who parks itself verifies the turn: it did so before this, and is seen by the next look, or it fails.
                await self._commit([Delete(COLLECTION, turn.id, turn.version)])
        return 0

    async def ended(self, job: Job) -> None:
        """Pass on the turn of a job that is not to run for now.

        Raises:
            StoreError: the store could not be asked.
        """
        if job.turn is not None and not job.is_under_way:
            await self.pass_on(job.turn)

    async def _read(self, name: str) -> Record | None:
        (record,) = await self._parts.store.get(COLLECTION, [name])
        return record

    async def _is_held(self, turn: Record) -> bool:
        job_id = turn.fields.get("job_id")
        (record,) = await self._parts.records.find([str(job_id)])
        job = None if record is None else self._parts.records.readable(record)
        return job is not None and job.holds_turn and job.turn == turn.id

    async def _is_as_read(self, job: Job) -> bool:
        (record,) = await self._parts.records.find([job.id])
        return record is not None and record.version == job.version

    async def _commit(self, writes: Sequence[Write], job: Job | None = None, event: Event | None = None) -> bool:
        unit = list(writes)
        after: Job | None = None
        if job is not None and event is not None:
            after = transition(job, event, self._parts.clock.now())
            unit += self._parts.records.update(job, after)
        try:
            await self._parts.commits.commit(unit)
        except (PreconditionFailed, OutcomeUnknown):
            return False  # whatever became of it shows at the next look
        if after is not None:
            self._parts.wake_ups.note(after)
        return True


def _place(job: Job) -> tuple[int, object, str]:
    """Where a job stands among those of its turn: as parked jobs are given it."""
    by_age = job.turn is not None and job.turn.startswith(_BY_AGE)
    return 0 if by_age else -job.priority, job.created_at, job.id


def lined_up(jobs: Sequence[Job], now: datetime) -> list[Job]:
    """New jobs; several that are ready and share a turn are parked on it, and `Turns.begun` gives it to the first.

    As ready jobs only their ids would tell them apart, because they have been ready for equally long.
    """
    sharing = Counter(job.turn for job in jobs if job.ready_at is not None)
    return [
        changed(transition(job, Park(job.turn), now), {"revision": job.revision})
        if job.turn is not None and job.ready_at is not None and sharing[job.turn] > 1
        else job
        for job in jobs
    ]


def unplaced(job: Job) -> Job:
    """A new job as it was before `Turns.placed`."""
    if job.turn is None or (job.parked_on != job.turn and not job.holds_turn):
        return job
    at = job.created_at
    return changed(job, {"parked_on": None, "ready_at": at, "queued_at": at, "holds_turn": False})


def _new(name: str, job_id: str) -> Write:
    return Insert(COLLECTION, name, {"schema_version": SCHEMA_VERSION, "job_id": job_id, "epoch": 1})


def _taken(turn: Record, job_id: str) -> Write:
    epoch = turn.fields.get("epoch")
    # Also for the job that has it: the version has to change.
    fields: dict[str, Value] = {"job_id": job_id, "epoch": (epoch if isinstance(epoch, int) else 0) + 1}
    return Update(COLLECTION, turn.id, fields, turn.version)

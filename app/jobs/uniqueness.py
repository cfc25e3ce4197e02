"""One job at a time, or one for a while: keys that have a record of their own, apart from the job.

The record of a key names the job that has it. It is written in the same commit as that job, so of several that create
one at once a single one does. A key whose job has ended, or whose time is over, is taken over under its version, and
under that of its job: nobody can run that one again in the same moment.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.jobs.codec import SCHEMA_VERSION, canonical_json
from app.jobs.errors import BadInput, IdempotencyConflict
from app.jobs.lease import LeaseParts
from app.jobs.linking import Links
from app.jobs.models import Job, changed
from app.jobs.queue import MAX_TRIES, Queue
from app.jobs.ramp import Pace
from app.jobs.request import WHILE_ACTIVE, JobRequest
from app.stores.base import (
    Delete,
    Insert,
    OutcomeUnknown,
    PreconditionFailed,
    Query,
    Record,
    Store,
    StoreError,
    Update,
    Value,
    Verify,
    Write,
)

COLLECTION = "uniques"
LOOK_AFTER = timedelta(hours=1)
"""How long a key of an active job is left alone before it is looked at whether it is still of use."""
_SPACE = uuid.UUID("a4b1f0ce-2f64-5a3f-9d0a-7be6d6c7f0d3")


@dataclass(frozen=True, slots=True)
class Unique:
    """What is asked of a new job: that there be no other of its key."""

    id: str
    """Of the key's record."""
    shown: str | None
    """The key, if somebody named one; else it is the payload."""
    seconds: float | None
    """For how long; None while the job has not ended."""


def unique_of(request: JobRequest, job: Job) -> Unique | None:
    """The key that a request asks for; None if it asks for none."""
    if request.unique is None and request.unique_key is None:
        return None
    named = canonical_json(job.payload) if request.unique_key is None else f"={request.unique_key}"
    seconds = None if request.unique in (None, WHILE_ACTIVE) else float(request.unique)
    return Unique(str(uuid.uuid5(_SPACE, f"{len(job.type)} {job.type} {named}")), request.unique_key, seconds)


def holds(key: Record, holder: Job | None, wanted: Unique, now: datetime) -> bool:
    """Whether a stored key keeps another job from being created."""
    if holder is None:
        return False
    until = key.fields.get("until")
    if isinstance(until, datetime) and now < until:
        return True
    # If either of the two is to be the only one while it is active, no other may be.
    return not holder.is_terminal and (until is None or wanted.seconds is None)


def _fields(job: Job, wanted: Unique, now: datetime) -> dict[str, Value]:
    until = None if wanted.seconds is None else now + timedelta(seconds=wanted.seconds)
    return {
        "schema_version": SCHEMA_VERSION,
        "job_id": job.id,
        "until": until,
        "look_at": until or now + LOOK_AFTER,
    }


class Uniques:
    """Creates jobs, with their keys where they have one."""

    def __init__(self, parts: LeaseParts, queue: Queue, links: Links) -> None:
        self._parts = parts
        self._queue = queue
        self._links = links

    async def create_all(
        self,
        requests: Sequence[JobRequest],
        jobs: Sequence[Job],
        wanted: Sequence[Sequence[str]],
        pace: Pace | None = None,
    ) -> list[Job]:
        """Store new jobs, each by itself, with what each depends on and the key that it asks for.

        Args:
            requests: what was asked.
            jobs: what they make.
            wanted: what each depends on.
            pace: see `Queue.create`.

        Returns:
            The jobs; with `existing=True` those that were there already.

        Raises:
            BadInput, IdempotencyConflict: see `AsyncJobManager.create_job`.
        """
        keys = [unique_of(request, job) for request, job in zip(requests, jobs, strict=True)]
        if not any(keys):
            return await self._links.create_all(jobs, wanted, pace)
        plain = [place for place, key in enumerate(keys) if key is None]
        free = await self._links.create_all([jobs[place] for place in plain], [wanted[place] for place in plain], pace)
        created = dict(zip(plain, free, strict=True))
        for place, key in enumerate(keys):
            if key is not None:
                if pace is not None:
                    await pace.take(2 + len(wanted[place]))
                created[place] = await self._create(jobs[place], key, wanted[place])
                if pace is not None:
                    pace.wrote(1)
        return [created[place] for place in range(len(jobs))]

    async def unit(
        self, requests: Sequence[JobRequest], jobs: Sequence[Job], wanted: Sequence[Sequence[str]]
    ) -> tuple[list[Job], list[Write]]:
        """New jobs and the writes that create them, for a transaction of the caller's own.

        Args:
            requests: what was asked.
            jobs: what they make.
            wanted: what each depends on.

        Returns:
            The jobs; with `existing=True` those whose key is taken, also by one before it here.

        Raises:
            BadInput, IdempotencyConflict: see `AsyncJobManager.create_job`.
        """
        stored = await self._queue.found_by_key(jobs)
        made: dict[str, Job] = {}
        holders: dict[str, Job] = {}
        answers: list[Job] = []
        unit: dict[tuple[str, str], Write] = {}
        for request, job, ids in zip(requests, jobs, wanted, strict=True):
            if job.id in stored:
                answers.append(stored[job.id])
                continue
            if job.id in made and job.idempotency_key is not None:
                answers.append(self._queue.same_job(job, changed(made[job.id], {}), job.idempotency_key))
                continue
            key = unique_of(request, job)
            there = None if key is None else holders.get(key.id)
            writes: list[Write] = []
            if key is not None and there is not None and (key.seconds is not None or not there.is_terminal):
                answers.append(_existing(job, changed(there, {}), key))
                continue
            if key is not None:
                there, writes = await self._taken(job, key)
                if there is not None:
                    answers.append(there)
                    continue
            after, more = await self._links.unit(job, ids)
            made[job.id] = after
            if key is not None:
                holders[key.id] = after
            answers.append(after)
            # Two that wait for the same job guard it by the same write.
            unit |= {(write.collection, write.id): write for write in (*writes, *more)}
        return answers, list(unit.values())

    async def _create(self, job: Job, key: Unique, ids: Sequence[str]) -> Job:
        # Most keys are free: so the first try reads nothing.
        claim: list[Write] = [self._insert(job, key)]
        answer: StoreError
        unheard = False
        for _ in range(MAX_TRIES):
            after, unit = await self._links.unit(job, ids) if ids else (job, self._parts.records.insert(job))
            try:
                versions = await self._parts.commits.commit([*claim, *unit])
            except (PreconditionFailed, OutcomeUnknown) as problem:
                answer = problem
                unheard = unheard or isinstance(problem, OutcomeUnknown)
            else:
                self._parts.wake_ups.note(after)
                return changed(after, {"version": versions[-1]})
            (own,) = await self._parts.records.get([job.id]) if unheard else [None]
            if own is not None:
                return own  # written by one of the tries whose answer was lost
            there, claim = await self._taken(job, key)
            if there is not None:
                return there
        raise answer

    def _insert(self, job: Job, key: Unique) -> Insert:
        fields = _fields(job, key, self._parts.clock.now())
        return Insert(COLLECTION, key.id, {name: value for name, value in fields.items() if value is not None})

    async def _taken(self, job: Job, key: Unique) -> tuple[Job | None, list[Write]]:
        """The job that has the key; if none has, the writes that take it."""
        now = self._parts.clock.now()
        (record,) = await self._parts.store.get(COLLECTION, [key.id])
        if record is None:
            return None, [self._insert(job, key)]
        (holder,) = await self._parts.records.get([str(record.fields["job_id"])], strict=False)
        if holder is not None and holds(record, holder, key, now):
            return _existing(job, holder, key), []
        writes: list[Write] = [Update(COLLECTION, key.id, _fields(job, key, now), record.version)]
        if holder is not None:
            writes.append(Verify("jobs", holder.id, holder.version))
        return None, writes


def _existing(job: Job, holder: Job, key: Unique) -> Job:
    """The job that has a key, as the answer to one more that asks for it."""
    if key.shown is not None and canonical_json(holder.payload) != canonical_json(job.payload):
        raise IdempotencyConflict(key.shown, holder.id, "payload", field="unique_key")
    holder.existing = True
    return holder


async def forget_stale_keys(parts: LeaseParts, limit: int, *, dry_run: bool = False) -> int:
    """Delete keys that keep nobody from anything any more, a page of them.

    Args:
        parts: what the engine is made of.
        limit: how many are looked at.
        dry_run: only count them.

    Returns:
        How many were deleted.
    """
    store, now = parts.store, parts.clock.now()
    page = await store.query(Query("uniques.stale", until=now, limit=limit))
    holders = await parts.records.find([str(record.fields["job_id"]) for record in page.records])
    units: list[list[Write]] = []
    stale = 0
    for record, holder in zip(page.records, holders, strict=True):
        job = None if holder is None else parts.records.codec.job(holder)
        if record.fields.get("until") is None and job is not None and not job.is_terminal:
            units.append([Update(COLLECTION, record.id, {"look_at": now + LOOK_AFTER}, record.version)])
            continue
        stale += 1
        unit: list[Write] = [Delete(COLLECTION, record.id, record.version)]
        if job is not None:
            unit.append(Verify("jobs", job.id, job.version))
        units.append(unit)
    if dry_run:
        return stale
    return stale - await _refused(store, units)


async def _refused(store: Store, units: Sequence[Sequence[Write]]) -> int:
    """Write units; how many of them somebody was faster for."""
    refused = 0
    size = store.limits().units_per_round
    for start in range(0, len(units), size):
        for answer in await store.commit_each(units[start : start + size]):
            if isinstance(answer, PreconditionFailed | OutcomeUnknown):
                refused += 1
            elif isinstance(answer, StoreError):
                raise answer
    return refused


def check_not_unique(requests: Sequence[JobRequest], field: str) -> None:
    """Refuse keys where jobs are created all or none.

    Raises:
        BadInput: one of the requests asks for a key.
    """
    for place, request in enumerate(requests):
        if request.unique is not None or request.unique_key is not None:
            raise BadInput(f"{field}.{place}.unique", "is not for jobs of a batch", "use the batch's idempotency_key")

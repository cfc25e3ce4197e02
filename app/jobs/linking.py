"""Writing dependencies: always in one commit with a guard on the jobs that are waited for.

A job that settles while another one begins to wait for it makes the guard fail; then all is read again, so that no
dependency is ever missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.jobs.dependencies import GATE_SIZE, MAX_DEPENDENCIES, effect_of, gate, guard, linked, linked_again
from app.jobs.errors import BadInput, DependencyCycle, JobNotFound
from app.jobs.events import AddDependency, RemoveDependency, Requeue
from app.jobs.forgetting import forgotten, sent_ahead
from app.jobs.graph import READ_TOGETHER, path_up
from app.jobs.lease import LeaseParts
from app.jobs.models import Job, JobStatus, changed
from app.jobs.queue import MAX_TRIES, Queue
from app.jobs.ramp import Pace
from app.jobs.request import JobRequest
from app.jobs.revisions import check_revision
from app.jobs.settlement import is_state
from app.jobs.transitions import transition
from app.stores.base import Delete, OutcomeUnknown, PreconditionFailed, Query, Record, StoreError, Update, Verify, Write

EDITABLE = frozenset({JobStatus.PENDING, JobStatus.QUEUED, JobStatus.PAUSED})
"""Where a job is that has not begun, or begins again later: what it depends on can still be changed."""


@dataclass(frozen=True, slots=True)
class _Gates:
    """Gates that were written for a job that is not stored in its new state yet."""

    records: Sequence[Record]

    @property
    def covered(self) -> frozenset[str]:
        """All that they stand for."""
        return frozenset(key for record in self.records for key in _unmet(record))

    @property
    def keys(self) -> tuple[str, ...]:
        """What stands for them in a job's `unmet`."""
        return tuple(record.id for record in self.records)

    @property
    def guards(self) -> list[Write]:
        """What makes sure that they are as they were read."""
        return [Verify("gates", record.id, record.version) for record in self.records]


def _unmet(record: Record) -> tuple[str, ...]:
    unmet = record.fields.get("unmet")
    return unmet if isinstance(unmet, tuple) else ()


class Links:
    """Creates and changes what jobs depend on."""

    def __init__(self, parts: LeaseParts, queue: Queue) -> None:
        self._parts = parts
        self._queue = queue

    # --- create ---

    async def wanted(self, request: JobRequest, types: Sequence[str]) -> tuple[str, ...]:
        """The jobs that a new one is to depend on: those named, and of each type the newest that has not ended.

        Raises:
            BadInput: a number, which only means something in a batch.
        """
        ids: list[str] = []
        for each in request.dependencies:
            if isinstance(each, int):
                raise BadInput("dependencies", f"{each} is a place in a batch", "name a job, or create a batch")
            ids.append(each)
        newest = await asyncio.gather(*(self._newest_unended(job_type) for job_type in types))
        return tuple(dict.fromkeys((*ids, *(job_id for job_id in newest if job_id is not None))))

    async def _newest_unended(self, job_type: str) -> str | None:
        statuses = [status for status in JobStatus if not status.is_terminal]
        queries = [
            Query("jobs.list", {"type": job_type, "status": str(status)}, reverse=True, limit=1) for status in statuses
        ]
        pages = await asyncio.gather(*map(self._parts.store.query, queries))
        found = [record for page in pages for record in page.records]
        newest = max(found, key=lambda record: (record.fields["created_at"], record.id), default=None)
        return None if newest is None else newest.id

    async def create_all(
        self, jobs: Sequence[Job], wanted: Sequence[Sequence[str]], pace: Pace | None = None
    ) -> list[Job]:
        """Store new jobs, each by itself, with what each depends on; see `create` and `Queue.create`."""
        for ids in wanted:
            if ids:
                await self.parents(ids)  # before anything is written
        free = iter(await self._queue.create([job for job, ids in zip(jobs, wanted, strict=True) if not ids], pace))
        created: list[Job] = []
        for job, ids in zip(jobs, wanted, strict=True):
            if ids and pace is not None:
                await pace.take(1 + len(ids))
            created.append(await self.create(job, ids) if ids else next(free))
            if ids and pace is not None:
                pace.wrote(1)
        return created

    async def parents(self, ids: Sequence[str], field: str = "dependencies") -> list[Job]:
        """The jobs that are to be depended on, as they are now.

        Raises:
            BadInput: there are too many, or one of them does not exist.
        """
        check_number(len(ids), field)
        found = await self._find(ids)
        for job_id, job in zip(ids, found, strict=True):
            if job is None:
                raise BadInput(field, f"there is no job {job_id[:200]!r}", "create it first, or leave it out")
        return [job for job in found if job is not None]

    async def create(self, job: Job, ids: Sequence[str], writes: Sequence[Write] = ()) -> Job:
        """Store a new job that depends on others.

        Args:
            job: as it would be without dependencies.
            ids: what it depends on, each once.
            writes: what goes into the same commit.

        Returns:
            The job, which waits, or not if nothing is unmet; one that was there already has `existing=True`.

        Raises:
            BadInput: one of the others does not exist; nothing was written.
            IdempotencyConflict: its key belongs to another job.
            PreconditionFailed: the others changed under every one of many tries.
        """
        unheard = False
        gates = _Gates(())
        answer: StoreError
        for _ in range(MAX_TRIES):
            parents = await self.parents(ids)
            after, gates, unit = await self._linked(job, parents, gates)
            try:
                versions = await self._parts.commits.commit([*writes, *unit, *self._parts.records.insert(after)])
            except (PreconditionFailed, OutcomeUnknown) as problem:
                answer = problem
                unheard = unheard or isinstance(problem, OutcomeUnknown)
                (there,) = await self._parts.records.get([job.id])
                if there is not None:
                    return self._queue.answered(job, there, answer, unheard=unheard)
                continue
            self._parts.wake_ups.note(after)
            return changed(after, {"version": versions[-1]})
        raise answer

    async def unit(self, job: Job, ids: Sequence[str]) -> tuple[Job, list[Write]]:
        """A new job that depends on others, and the writes that create it, for a transaction of the caller's own.

        Raises:
            BadInput: one of the others does not exist, or there are more than go into one transaction.
        """
        if len(ids) > GATE_SIZE:
            raise BadInput("dependencies", f"{len(ids)} in a transaction", f"give at most {GATE_SIZE}")
        after, _, unit = await self._linked(job, await self.parents(ids), _Gates(()))
        return after, [*unit, *self._parts.records.insert(after)]

    async def _linked(self, job: Job, parents: Sequence[Job], gates: _Gates) -> tuple[Job, _Gates, list[Write]]:
        """The job as it waits for these, its gates, and the writes that make sure that it does."""
        now = self._parts.clock.now()
        gates, uncovered = await self._gates_for(job, parents, gates)
        after = transition(job, AddDependency(tuple(parent.id for parent in parents), gates.keys), now)
        after = linked(after, uncovered, now)
        after = changed(self._parts.settlement.dated(job, after, now), {"revision": job.revision})
        waited_for = set(after.unmet)
        return after, gates, [*gates.guards, *(guard(parent) for parent in uncovered if parent.id in waited_for)]

    # --- gates ---

    async def _gates_for(self, job: Job, parents: Sequence[Job], gates: _Gates) -> tuple[_Gates, list[Job]]:
        """Gates for most of many parents, and those parents that have none."""
        if gates.records:
            found = await self._parts.store.get("gates", gates.keys)
            gates = _Gates([record for record in found if record is not None and _unmet(record)])
            # What a gate does not stand for any more has ended. How, is read after the gates.
            parents = await self.parents([parent.id for parent in parents])
        uncovered = [parent for parent in parents if parent.id not in gates.covered]
        unended = [parent for parent in uncovered if not parent.is_terminal]
        if len(unended) <= GATE_SIZE:
            return gates, uncovered
        made: list[Record] = []
        for start in range(0, len(unended), GATE_SIZE):
            made += await self._make_gate(job, unended[start : start + GATE_SIZE])
        # Once more: what ended before its gate was written is in none of them.
        return await self._gates_for(job, parents, _Gates([*gates.records, *made]))

    async def _make_gate(self, job: Job, parents: Sequence[Job]) -> list[Record]:
        """One gate, which those of the parents that have not ended will open; none if all have."""
        parts = self._parts
        waiting = changed(job, {"waiting_since": parts.clock.now()})
        gate_id = f"{job.id[:100]}-{parts.chance.token()}"
        for _ in range(MAX_TRIES):
            unended = [parent for parent in parents if not parent.is_terminal]
            if not unended:
                return []
            write = gate(gate_id, waiting, tuple(parent.id for parent in unended))
            try:
                versions = await parts.commits.commit([write, *map(guard, unended)])
                return [Record("gates", gate_id, versions[0], write.fields)]
            except (PreconditionFailed, OutcomeUnknown) as problem:
                answer = problem
            parents = await self.parents([parent.id for parent in parents])
        raise answer

    # --- again ---

    async def requeue(self, job_id: str, decide: Callable[[Job], Requeue], from_step: str | None = None) -> Job:
        """Run an ended job again; it waits for what it depends on and is not COMPLETED.

        Args:
            job_id: the job.
            decide: the event for the job as it is now.
            from_step: a recorded step; it and all that were called after it are forgotten, in the same commit.

        Raises:
            JobNotFound, IllegalTransition: there is no such job, or it is in another state.
            BadInput: it has no such step.
        """
        answer: StoreError
        for _ in range(MAX_TRIES):
            (before,) = await self._parts.records.get([job_id], strict=False)
            if before is None:
                raise JobNotFound(job_id)
            now = self._parts.clock.now()
            event = decide(before)
            after = transition(before, event, now)
            deletes: list[Write] = []
            if from_step is not None:
                without, deletes = await forgotten(self._parts, before, from_step)
                after = transition(without, event, now)
            # Those that are gone had ended, and nobody can complete them any more.
            parents = [parent for parent in await self._find(before.depends_on) if parent is not None]
            gates, uncovered = await self._gates_for(before, parents, _Gates(()))
            after = transition(after, AddDependency((), gates.keys), now)
            after = linked_again(after, uncovered, now)
            waited_for = set(after.unmet)
            unit = [*gates.guards, *(guard(parent) for parent in uncovered if parent.id in waited_for)]
            try:
                return await self._write(before, after, unit, deletes)
            except (PreconditionFailed, OutcomeUnknown) as problem:
                answer = problem
        raise answer

    # --- change ---

    async def add(self, job_id: str, parent_id: str, revision: int | None = None) -> Job:
        """Let a job that has not begun wait for another one.

        Args:
            job_id: the job that is to wait.
            parent_id: the other one.
            revision: the revision of the job that is to wait; None is any.

        Returns:
            The job; unchanged if the other one is COMPLETED already, or is waited for.

        Raises:
            JobNotFound, BadInput: there is no such job, or no such other one.
            RevisionChanged: the job is in another revision.
            IllegalTransition: it runs or has ended.
            DependencyCycle: the other one waits for it, directly or not.
        """
        answer: StoreError
        for _ in range(MAX_TRIES):
            child = await self._child(job_id)
            check_revision(revision, child)
            (parent,) = await self.parents([parent_id], "depends_on_id")
            if parent.status is JobStatus.COMPLETED:
                return child
            way, walked = await self._way(parent_id, job_id)
            if way is not None:
                raise DependencyCycle([job_id, *way])
            now = self._parts.clock.now()
            after = transition(child, AddDependency((parent_id,), (parent_id,)), now)
            check_number(len(after.depends_on), "depends_on_id")
            if parent.is_terminal:
                after = transition(after, effect_of(parent, [parent_id]), now)
            if after is child:
                return child
            try:
                after = await self._write(child, after, [guard(parent)])
            except (PreconditionFailed, OutcomeUnknown) as problem:
                answer = problem
                continue
            if walked > 1:
                await self._take_back_if_cycle(job_id, parent_id)
            return after
        raise answer

    async def _way(self, start: str, goal: str) -> tuple[list[str] | None, int]:
        return ([start], 1) if start == goal else await path_up(self._parts.records, start, goal)

    async def _take_back_if_cycle(self, job_id: str, parent_id: str) -> None:
        """Several dependencies that are added at once can close a cycle that none of them would close alone."""
        way, _ = await self._way(parent_id, job_id)
        if way is not None:
            await self.remove(job_id, parent_id)
            raise DependencyCycle([job_id, *way])

    async def remove(self, job_id: str, parent_id: str, revision: int | None = None) -> Job:
        """Let a job not wait for another one any more; it goes on if that was the last.

        Args:
            job_id: the job that waits.
            parent_id: the other one.
            revision: the revision of the job that waits; None is any.

        Returns:
            The job; unchanged if it did not depend on the other one, or has begun.

        Raises:
            JobNotFound: there is no such job.
            RevisionChanged: the job is in another revision.
        """
        answer: StoreError
        for _ in range(MAX_TRIES):
            child = await self._child(job_id)
            check_revision(revision, child)
            if child.status not in EDITABLE or parent_id not in child.depends_on:
                return child
            key, unit = await self._taken_from_gate(child, parent_id)
            after = transition(child, RemoveDependency(parent_id, key), self._parts.clock.now())
            try:
                return await self._write(child, after, unit)
            except (PreconditionFailed, OutcomeUnknown) as problem:
                answer = problem
        raise answer

    async def _taken_from_gate(self, child: Job, parent_id: str) -> tuple[str | None, list[Write]]:
        """What in `unmet` stands for a dependency alone, and the write of the gate that stands for it."""
        if parent_id in child.unmet:
            return parent_id, []
        for record in await self._parts.store.get("gates", child.unmet) if child.unmet else []:
            if record is not None and parent_id in _unmet(record):
                left = tuple(key for key in _unmet(record) if key != parent_id)
                if left:
                    return None, [Update("gates", record.id, {"unmet": left}, record.version)]
                return record.id, [Delete("gates", record.id, record.version)]
        return None, []

    # --- store ---

    async def _child(self, job_id: str) -> Job:
        (child,) = await self._parts.records.get([job_id], strict=False)
        if child is None:
            raise JobNotFound(job_id)
        return child

    async def _find(self, ids: Sequence[str]) -> list[Job | None]:
        """Jobs without their user data."""
        pages = [ids[start : start + READ_TOGETHER] for start in range(0, len(ids), READ_TOGETHER)]
        found = await asyncio.gather(*(self._parts.records.find(page) for page in pages))
        codec = self._parts.records.codec
        return [None if record is None else codec.job(record) for page in found for record in page]

    async def _write(self, before: Job, after: Job, unit: Sequence[Write], deletes: Sequence[Write] = ()) -> Job:
        after, more = self._parts.settlement.complete(before, after, self._parts.clock.now())
        writes = [*unit, *more, *self._parts.records.update(before, after)]
        if deletes:
            writes = [*await sent_ahead(self._parts, before, deletes, len(writes)), *writes]
        try:
            versions = await self._parts.commits.commit(writes)
        except OutcomeUnknown:
            (there,) = await self._parts.records.get([after.id], strict=False)
            if there is None or not is_state(there, after):
                raise
            return there
        self._parts.wake_ups.note(after)
        return changed(after, {"version": versions[-1]})


def check_number(count: int, field: str = "dependencies") -> None:
    """Refuse too many dependencies.

    Raises:
        BadInput: more than one job's record can name.
    """
    if count > MAX_DEPENDENCIES:
        raise BadInput(field, f"{count:,} are too many", f"give at most {MAX_DEPENDENCIES:,}, or put jobs in between")

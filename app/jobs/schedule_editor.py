"""Changes of schedules, with the jobs that were created ahead for slots they give up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from app.jobs.clock import Clock
from app.jobs.dependencies import about_to_delete
from app.jobs.errors import ScheduleNotFound
from app.jobs.group import GroupCommit
from app.jobs.models import Job, JobStatus, changed
from app.jobs.records import JobRecords
from app.jobs.schedule_records import ScheduleRecords
from app.jobs.schedules import AFTER, SCHEDULE, Schedule, slot_job_id, slots_ahead
from app.stores.base import Delete, OutcomeUnknown, PreconditionFailed, Query, Store, Write

MAX_TRIES = 20
"""How often a change is decided anew before its conflict is reported."""
MOST_WAITING = 20
"""A job for which more wait than those of its own schedule is not withdrawn."""


class ScheduleEditor:
    """Changes schedules, each in one guarded write, with the jobs that were created ahead for slots it gives up."""

    def __init__(
        self, store: Store, commits: GroupCommit, records: JobRecords, schedules: ScheduleRecords, clock: Clock
    ) -> None:
        self._store = store
        self._commits = commits
        self._records = records
        self._schedules = schedules
        self._clock = clock

    async def change(self, name: str, decide: Callable[[Schedule], Schedule | None]) -> Schedule:
        """Change a schedule, deciding anew whenever somebody was faster.

        Args:
            name: whose.
            decide: the schedule as it is to be; None leaves it as it is. Slots that it has not decided about any more
                lose the jobs that were created ahead for them and have not begun.

        Raises:
            ScheduleNotFound: there is none of that name.
            PreconditionFailed: it changed under every one of many tries.
        """
        return await self._tried(name, lambda before: decide(before) or before)

    async def delete(self, name: str) -> None:
        """Remove a schedule, with the jobs that were created ahead; those that were due stay.

        Raises:
            ScheduleNotFound: there is none of that name.
        """
        await self._tried(name, lambda before: None)

    async def _tried(self, name: str, decide: Callable[[Schedule], Schedule | None]) -> Schedule:
        tries = 0
        unheard: Schedule | None = None
        while True:
            before = await self._schedules.find(name)
            if before is None and unheard is not None:
                return unheard  # removed by a try whose answer was lost
            if before is None:
                raise ScheduleNotFound(name)
            after = decide(before)
            if after is before:
                return before
            try:
                return await self._write(before, after)
            except (PreconditionFailed, OutcomeUnknown) as problem:
                tries += 1
                if after is None and isinstance(problem, OutcomeUnknown):
                    unheard = before
                if tries >= MAX_TRIES:
                    raise

    async def _write(self, before: Schedule, after: Schedule | None) -> Schedule:
        now = self._clock.now()
        unit: list[Write] = []
        if after is None or after.high_water < before.high_water:
            withdrawn = await self._ahead(before, now)
            unit += [Delete("jobs", job.id, job.version) for job in withdrawn]
            if withdrawn and after is not None:
                note = withdrawn[0].metadata.get(SCHEDULE)
                earlier = note.get(AFTER) if isinstance(note, dict) else None
                after = after.model_copy(update={"last_job_id": earlier, "last_slot": None})
        if after is None:
            await self._commits.commit([*unit, self._schedules.delete(before)])
            return before
        *_, version = await self._commits.commit([*unit, self._schedules.update(before, after)])
        return after.model_copy(update={"version": version})

    async def _ahead(self, schedule: Schedule, now: datetime) -> list[Job]:
        """The jobs of slots to come that can be withdrawn, in the order of time."""
        ids = [slot_job_id(schedule.name, slot) for slot in slots_ahead(schedule, now)]
        found = await self._records.get(ids, strict=False) if ids else []
        waiting = await self._about_to_go([job for job in found if job is not None and _has_not_begun(job)])
        gone: dict[str, Job] = {}
        for job in reversed(waiting):
            if not job.has_dependents or await self._waiting_for(job) <= gone.keys():
                gone[job.id] = job
        return list(gone.values())[::-1]

    async def _about_to_go(self, jobs: list[Job]) -> list[Job]:
        """The jobs in states that change when anybody begins to wait for one of them from now on."""
        used = [job for job in jobs if job.has_dependents]
        writes = [about_to_delete(job.id, job.version, job.deleting) for job in used]
        unit = [write for write in writes if write is not None]
        if not unit:
            return jobs
        versions = await self._commits.commit(unit)
        new = {write.id: version for write, version in zip(unit, versions, strict=True)}
        return [changed(job, {"deleting": True, "version": new[job.id]}) if job.id in new else job for job in jobs]

    async def _waiting_for(self, job: Job) -> set[str]:
        """The jobs that wait for a job."""
        query = Query("jobs.dependents", {"depends_on": (job.id,)}, limit=MOST_WAITING)
        return {record.id for record in (await self._store.query(query)).records}


def _has_not_begun(job: Job) -> bool:
    later = job.wake_at if job.status is JobStatus.QUEUED else job.start_at
    return job.status in (JobStatus.QUEUED, JobStatus.PENDING) and later is not None and not job.attempt

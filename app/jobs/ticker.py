"""Creates the jobs of schedules' slots.

The job of a slot and the schedule's high-water slot are one commit, under the schedule's version: however many tick at
once, each slot is decided about once, and no retention can bring one back. What is decided, `app.jobs.schedules` says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from app.jobs.clock import Chance, Clock
from app.jobs.group import GroupCommit
from app.jobs.linking import Links
from app.jobs.middleware import Hooks
from app.jobs.models import Job, JobStatus
from app.jobs.records import JobRecords
from app.jobs.request import JobRequest
from app.jobs.schedule_records import PAGE, ScheduleRecords
from app.jobs.schedules import (
    AHEAD,
    SLOTS_AT_ONCE,
    Predecessor,
    Schedule,
    decide,
    decided,
    jobs_of,
    needs_predecessor,
)
from app.jobs.waking import WakeUps
from app.stores.base import OutcomeUnknown, PreconditionFailed, Query, Store, StoreError, Write

logger = logging.getLogger(__name__)

MAX_TRIES = 20
"""How often a schedule that others change at the same time is decided about anew."""
AT_ONCE = 20
"""How many schedules are worked on at the same time."""
BYTES_SHARE = 4
"""What the jobs of one commit say takes this part of what a commit may hold at most: records say more than payloads."""


@dataclass(slots=True)
class TickReport:
    """What one tick did."""

    schedules: int = 0
    """Schedules with a slot at hand."""
    created: int = 0
    """Jobs created for slots."""
    skipped: int = 0
    """Notes about slots that were left out."""
    failed: int = 0
    """Schedules that could not be worked on; the log says why."""

    def as_dict(self) -> dict[str, int]:
        """As JSON."""
        return asdict(self)


class Ticker:
    """Creates the jobs of slots."""

    def __init__(
        self,
        store: Store,
        commits: GroupCommit,
        records: JobRecords,
        schedules: ScheduleRecords,
        links: Links,
        wake_ups: WakeUps,
        hooks: Hooks,
        clock: Clock,
        chance: Chance,
        shards: int,
    ) -> None:
        self._links = links
        self._wake_ups = wake_ups
        self._hooks = hooks
        self._commits = commits
        self._records = records
        self._schedules = schedules
        self._clock = clock
        self._chance = chance
        self._shards = shards
        self._limits = store.limits()

    async def tick(self) -> TickReport:
        """Decide about every slot that is not further ahead than `AHEAD`.

        Raises:
            StoreError: the schedules could not be read.
        """
        report = TickReport()
        due = Query("schedules.due", until=self._clock.now() + AHEAD, limit=PAGE)
        async for page in self._schedules.pages(due):
            report.schedules += len(page)
            for start in range(0, len(page), AT_ONCE):
                await asyncio.gather(*(self._attended(each, report) for each in page[start : start + AT_ONCE]))
        await self._wake_ups.send()
        if report.created or report.skipped:
            logger.info("schedules: %s", report.as_dict())
        return report

    async def _attended(self, schedule: Schedule, report: TickReport) -> None:
        try:
            await self._attend(schedule, report)
        except Exception as error:  # one schedule that cannot be worked on must not keep the others from it
            report.failed += 1
            level = logging.WARNING if isinstance(error, StoreError) else logging.ERROR
            logger.log(level, "schedule %s: %s", schedule.name, error, exc_info=not isinstance(error, StoreError))

    async def _attend(self, schedule: Schedule, report: TickReport) -> None:
        tries, there = 0, frozenset[str]()
        while schedule.status == "active" and schedule.next_at is not None:
            now = self._clock.now()
            if schedule.next_at > now + AHEAD:
                return
            predecessor = await self._predecessor(schedule) if needs_predecessor(schedule, now) else None
            decision = decide(schedule, now, predecessor, self._most(schedule))
            if decision.high_water is None:
                return
            after = decided(schedule, decision)
            jobs = jobs_of(schedule, decision.create, now, self._chance, self._shards, after=schedule.last_job_id)
            new, unit = await self._created(schedule, [job for job in jobs if job.id not in there])
            try:
                *_, version = await self._commits.commit([*unit, self._schedules.update(schedule, after)])
            except (PreconditionFailed, OutcomeUnknown):
                tries += 1
                fresh = await self._schedules.find(schedule.name)
                if fresh is None:
                    return
                if tries >= MAX_TRIES:
                    raise
                if fresh.version == schedule.version:
                    # So it is a job that stands in the way: of the same slot, created before the schedule was changed.
                    found = await self._records.find([job.id for job in jobs])
                    there = frozenset(record.id for record in found if record is not None)
                schedule = fresh
            else:
                for job in new:
                    self._wake_ups.note(job)
                await self._hooks.after_create(new)
                report.created += len(new)
                report.skipped += len(decision.skipped)
                schedule = after.model_copy(update={"version": version})

    async def backfill(self, schedule: Schedule, slots: Sequence[datetime]) -> int:
        """Create the jobs of past slots that have none, in the order of time.

        Without overlap they run one after the other, like those of a schedule that catches up with all.

        Returns:
            How many were created.
        """
        definition = schedule.definition
        if not definition.overlap:
            definition = definition.model_copy(update={"catch_up": "all"})
        filled = schedule.model_copy(update={"definition": definition, "last_job_id": None})
        created, size = 0, self._most(filled)
        for start in range(0, len(slots), size):
            page = slots[start : start + size]
            jobs = jobs_of(filled, page, self._clock.now(), self._chance, self._shards, after=filled.last_job_id)
            created += await self._fill(filled, jobs)
            filled = filled.model_copy(update={"last_job_id": jobs[-1].id})
        await self._wake_ups.send()
        return created

    async def _fill(self, schedule: Schedule, jobs: Sequence[Job]) -> int:
        """Create those of some jobs that are not there yet."""
        answer: StoreError
        for _ in range(MAX_TRIES):
            there = await self._records.find([job.id for job in jobs])
            missing = [job for job, record in zip(jobs, there, strict=True) if record is None]
            if not missing:
                return 0
            new, unit = await self._created(schedule, missing)
            try:
                await self._commits.commit(unit)
            except (PreconditionFailed, OutcomeUnknown) as problem:
                answer = problem
            else:
                for job in new:
                    self._wake_ups.note(job)
                await self._hooks.after_create(new)
                return len(new)
        raise answer

    async def _created(self, schedule: Schedule, jobs: Sequence[Job]) -> tuple[list[Job], list[Write]]:
        """The jobs as they are to be stored, and the writes for it; there is one job at most where it is to wait."""
        definition = schedule.definition
        await self._hooks.before_create(jobs)
        if not definition.waits:
            return list(jobs), [write for job in jobs for write in self._records.insert(job)]
        created: list[Job] = []
        unit: list[Write] = []
        for job in jobs:
            ids = await self._links.wanted(JobRequest(type=definition.job_type), definition.dependencies)
            if definition.is_sequence and schedule.last_job_id is not None:
                (record,) = await self._records.find([schedule.last_job_id])
                ids = () if record is None else (record.id,)
            after, writes = await self._links.unit(job, ids) if ids else (job, self._records.insert(job))
            created.append(after)
            unit += writes
        return created, unit

    def _most(self, schedule: Schedule) -> int:
        """How many of its jobs go into one commit."""
        if schedule.definition.waits:
            return 1
        size = len(str(schedule.definition.template))
        by_bytes = self._limits.bytes_per_commit // BYTES_SHARE // max(size, 1)
        return max(1, min(SLOTS_AT_ONCE, self._limits.writes_per_commit - 1, by_bytes))

    async def _predecessor(self, schedule: Schedule) -> Predecessor | None:
        if schedule.last_job_id is None:
            return None
        (record,) = await self._records.find([schedule.last_job_id])
        unfinished = record is not None and not JobStatus(str(record.fields["status"])).is_terminal
        return Predecessor(schedule.last_job_id, schedule.last_slot, unfinished)

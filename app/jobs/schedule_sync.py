"""Schedules of the code: they are as the registered job types say, and stop when those are gone."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial

from app.jobs.clock import Chance, Clock
from app.jobs.definition import JobDefinition
from app.jobs.deployment import home_of, is_gone
from app.jobs.errors import BadInput
from app.jobs.group import GroupCommit
from app.jobs.registry import Registry
from app.jobs.request import JobRequest, job_of
from app.jobs.schedule_editor import ScheduleEditor
from app.jobs.schedule_records import ScheduleRecords
from app.jobs.schedules import Schedule, ScheduleDefinition, halted, new_schedule, redefined, template_of
from app.stores.base import OutcomeUnknown, PreconditionFailed

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class SyncReport:
    """What following the code changed."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Types whose schedule could not be made, and why."""


class CodeSchedules:
    """Makes schedules follow what the registered job types say."""

    def __init__(
        self,
        editor: ScheduleEditor,
        commits: GroupCommit,
        schedules: ScheduleRecords,
        registry: Registry,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._editor = editor
        self._commits = commits
        self._schedules = schedules
        self._registry = registry
        self._clock = clock
        self._chance = chance
        self._followed: list[JobDefinition] | None = None

    async def sync_if_changed(self) -> None:
        """Follow the code at the first call, and again when further types have been registered."""
        now = list(self._registry)
        if now != self._followed:
            await self.sync()
            self._followed = now

    async def sync(self) -> SyncReport:
        """Create, change and stop schedules until they are as the code says.

        A type that is registered without a timetable or disabled stops its schedule; so does one that this process
        knows to be gone from the code. Those of code that it never saw are left alone.
        """
        report = SyncReport()
        wanted = self._wanted(report)
        stored = {schedule.name: schedule for schedule in await self._schedules.all()}
        for name, definition in wanted.items():
            there = stored.get(name)
            if there is not None and there.definition.source != "code":
                report.problems.append(f"{name}: somebody's own schedule has that name; delete it, or rename the type")
            elif there is None:
                await self._create(definition, report)
            elif there.definition != definition or there.status == "stopped":
                await self._editor.change(name, partial(self._following, definition))
                report.changed.append(name)
        for name, schedule in stored.items():
            if name not in wanted and schedule.status != "stopped" and self._is_over(schedule, report):
                await self._editor.change(name, self._stopped)
                report.stopped.append(name)
        for problem in report.problems:
            logger.error("schedule %s", problem)
        return report

    def _wanted(self, report: SyncReport) -> dict[str, ScheduleDefinition]:
        found: dict[str, ScheduleDefinition] = {}
        for definition in self._registry:
            try:
                wanted = self.definition_of(definition)
            except BadInput as problem:
                report.problems.append(f"{definition.type}: {problem}")
            else:
                if wanted is not None:
                    found[definition.type] = wanted
        return found

    def definition_of(self, definition: JobDefinition) -> ScheduleDefinition | None:
        """The schedule that a job type declares; None for one that has none, or is disabled.

        Raises:
            BadInput: the type needs a payload, which a schedule of the code has not.
        """
        options = definition.options
        if options.timetable is None or not options.enabled:
            return None
        request = JobRequest(type=definition.type)
        job = job_of(request, self._registry, self._clock.now(), self._chance, 1, start=False)
        return ScheduleDefinition(
            name=definition.type,
            job_type=definition.type,
            source="code",
            interval_seconds=options.interval_seconds,
            cron=options.cron,
            timezone=options.timezone,
            misfire_grace_seconds=options.misfire_grace_seconds,
            catch_up=options.catch_up,
            catch_up_limit=options.catch_up_limit,
            overlap=options.overlap,
            origin=home_of(definition),
            dependencies=options.dependencies,
            template=template_of(job),
        )

    async def _create(self, definition: ScheduleDefinition, report: SyncReport) -> None:
        try:
            await self._commits.commit([self._schedules.insert(new_schedule(definition, self._clock.now()))])
        except (PreconditionFailed, OutcomeUnknown):
            there = await self._schedules.find(definition.name)
            if there is None:
                raise
            if there.definition == definition:
                return  # created by another process of the same code, or by this one unheard
            await self._editor.change(definition.name, partial(self._following, definition))
        report.created.append(definition.name)

    def _following(self, definition: ScheduleDefinition, before: Schedule) -> Schedule | None:
        if before.definition == definition and before.status != "stopped":
            return None
        return redefined(before, definition, self._clock.now())

    def _is_over(self, schedule: Schedule, report: SyncReport) -> bool:
        if schedule.definition.source != "code" or any(p.startswith(f"{schedule.name}: ") for p in report.problems):
            return False
        return self._registry.find(schedule.job_type) is not None or is_gone(schedule.definition.origin)

    def _stopped(self, before: Schedule) -> Schedule | None:
        return None if before.status == "stopped" else halted(before, "stopped", self._clock.now())

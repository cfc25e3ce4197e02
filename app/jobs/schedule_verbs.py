"""The manager's verbs for schedules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from app.jobs.definition import LONGEST_GRACE_SECONDS, MOST_TO_CATCH_UP
from app.jobs.errors import BadInput, PayloadInvalid
from app.jobs.models import Job, Json, is_key
from app.jobs.reader import JobReader
from app.jobs.request import as_utc, job_of, request_of
from app.jobs.runtime import Runtime
from app.jobs.schedule_sync import SyncReport
from app.jobs.schedules import (
    CatchUp,
    Schedule,
    ScheduleDefinition,
    halted,
    job_out_of_turn,
    new_schedule,
    restarted,
    template_of,
)
from app.jobs.slots import timetable_of
from app.jobs.ticker import TickReport
from app.stores.base import OutcomeUnknown, PreconditionFailed, Write

Schedules: TypeAlias = list[Schedule]

MOST_BACKFILLED = 10_000
"""So many slots one backfill creates at most: more is a slip of the range."""
TRIES = 20
_CATCH_UP = ("skip", "last", "all")


class ScheduleVerbs(JobReader):
    """Schedules: those of the code, and those that somebody creates."""

    async def sync_schedules(self) -> SyncReport:
        """Make schedules follow the registered job types: create, change and stop what the code says.

        Workers and `tick` do it by themselves when they begin.
        """
        return await (await self._ready()).code_schedules.sync()

    async def tick(self) -> TickReport:
        """Create the jobs of all slots up to 75 seconds ahead, each once however many tick at the same time."""
        runtime = await self._ready()
        await runtime.code_schedules.sync_if_changed()
        return await runtime.ticker.tick()

    async def create_schedule(
        self,
        /,
        name: str,
        job_type: str,
        payload: Mapping[str, Json] | None = None,
        *,
        interval_seconds: float | None = None,
        cron: str | None = None,
        timezone: str = "UTC",
        misfire_grace_seconds: float = 60.0,
        catch_up: CatchUp = "skip",
        catch_up_limit: int = 100,
        overlap: bool = False,
        **options: Any,
    ) -> Schedule:
        """Create a schedule of one's own, beside those that job types declare.

        Args:
            name: unique among schedules.
            job_type: what its jobs are of.
            payload: what each of them is given.
            interval_seconds: how often; either this or `cron`.
            cron: minute, hour, day of month, month and day of week.
            timezone: what `cron` is read in.
            misfire_grace_seconds: how late the job of a slot may be created; after that the slot counts as missed.
            catch_up: what becomes of missed slots: `skip` them, create the `last`, or `all` one after the other.
            catch_up_limit: for `all`: at most so many, the newest; up to 10,000.
            overlap: whether a slot's job may run while an earlier one's has not ended; if not, the slot is skipped.
            options: further arguments of `create_job` that each job has.

        Raises:
            BadInput: naming the argument that is wrong, or a name that is taken; nothing was written.
        """
        runtime = await self._ready()
        if not is_key(name):
            raise BadInput("name", f"{str(name)[:200]!r} is no name", "give a text of 1 to 200 characters")
        if timetable_of(interval_seconds, cron, timezone) is None:
            raise BadInput("cron", "is missing, and interval_seconds too", "give one of the two")
        if catch_up not in _CATCH_UP:
            raise BadInput("catch_up", f"{catch_up!r} is not a policy", f"use one of {', '.join(_CATCH_UP)}")
        if not 0 <= misfire_grace_seconds <= LONGEST_GRACE_SECONDS:
            raise BadInput("misfire_grace_seconds", f"{misfire_grace_seconds!r} is out of range", "give 0 to a year")
        if type(catch_up_limit) is not int or not 1 <= catch_up_limit <= MOST_TO_CATCH_UP:
            remedy = f"give a whole number from 1 to {MOST_TO_CATCH_UP:,}"
            raise BadInput("catch_up_limit", "is not a number of slots to catch up with", remedy)
        for fixed in (
            "idempotency_key",
            "unique",
            "unique_key",
            "delay",
            "delay_seconds",
            "start_before",
            "dependencies",
        ):
            if fixed in options:
                raise BadInput(fixed, "is not for jobs of a schedule, of which there is one for each slot", "drop it")
        request = request_of({"type": job_type, "payload": payload, **options})
        now = runtime.clock.now()
        job = job_of(request, runtime.registry, now, runtime.chance, 1, start=False)
        definition = ScheduleDefinition(
            name=name,
            job_type=job.type,
            source="user",
            interval_seconds=interval_seconds,
            cron=cron,
            timezone=timezone,
            misfire_grace_seconds=misfire_grace_seconds,
            catch_up=catch_up,
            catch_up_limit=catch_up_limit,
            overlap=overlap,
            template=template_of(job),
        )
        schedule = new_schedule(definition, now)
        try:
            (version,) = await runtime.store.commit([runtime.schedules.insert(schedule)])
        except PreconditionFailed:
            raise BadInput("name", f"there is a schedule {name!r} already", "use another name") from None
        except OutcomeUnknown:
            there = await runtime.schedules.find(name)
            if there is None or (there.definition, there.created_at) != (definition, now):
                raise
            return there
        return schedule.model_copy(update={"version": version})

    async def add_job(
        self,
        /,
        job_type: str,
        payload: Mapping[str, Json] | None = None,
        *,
        id: str | None = None,
        max_instances: int = 1,
        misfire_grace_time: float = 60.0,
        **schedule: Any,
    ) -> Schedule:
        """The same as `create_schedule`, in APScheduler's words.

        Args:
            job_type: what the schedule's jobs are of.
            payload: what each of them is given.
            id: the schedule's name; without one the job type's.
            max_instances: 1 lets no job begin while the one of the slot before is unfinished; more lets them overlap,
                and how many then run at once is what the type's `max_concurrent` says.
            misfire_grace_time: how many seconds late the job of a slot may be; after that the slot is skipped.
            schedule: what else `create_schedule` takes: `interval_seconds` or `cron`, and the rest.

        Raises:
            BadInput: naming the argument, what is wrong with it, and what to do.
        """
        if not max_instances >= 1:
            raise BadInput("max_instances", f"{max_instances!r} is less than 1", "give 1 or more")
        return await self.create_schedule(
            id or job_type,
            job_type,
            payload,
            misfire_grace_seconds=misfire_grace_time,
            overlap=max_instances > 1,
            **schedule,
        )

    async def get_schedule(self, name: str) -> Schedule:
        """A schedule as it is now.

        Raises:
            ScheduleNotFound: there is none of that name.
        """
        return await (await self._ready()).schedules.get(name)

    async def list_schedules(self) -> Schedules:
        """Every schedule, oldest first."""
        return await (await self._ready()).schedules.all()

    async def pause_schedule(self, name: str) -> Schedule:
        """Let a schedule create no job until it is resumed. Jobs that were created ahead are withdrawn.

        Raises:
            ScheduleNotFound: there is none of that name.
        """
        runtime = await self._ready()

        def decide(before: Schedule) -> Schedule | None:
            return None if before.status != "active" else halted(before, "paused", runtime.clock.now())

        return await runtime.schedule_editor.change(name, decide)

    async def resume_schedule(self, name: str) -> Schedule:
        """Let a paused schedule go on with its next slot; those of the pause are not made up for.

        Raises:
            ScheduleNotFound: there is none of that name.
            BadInput: the code has it no more, or has disabled it.
        """
        runtime = await self._ready()

        def decide(before: Schedule) -> Schedule | None:
            if before.status == "stopped":
                raise BadInput("name", f"schedule {name!r} is stopped by the code", "enable its job type, or add it")
            return None if before.status == "active" else restarted(before, runtime.clock.now())

        return await runtime.schedule_editor.change(name, decide)

    async def delete_schedule(self, name: str) -> None:
        """Remove a schedule that somebody created. Jobs that were created ahead are withdrawn.

        Raises:
            ScheduleNotFound: there is none of that name.
            BadInput: it is one of the code, which would only create it again.
        """
        runtime = await self._ready()
        schedule = await runtime.schedules.get(name)
        if schedule.definition.source == "code" and schedule.status != "stopped":
            raise BadInput("name", f"schedule {name!r} is one of the code", "take it out of the code, or pause it")
        await runtime.schedule_editor.delete(name)

    async def trigger_schedule(self, name: str, payload: Mapping[str, Json] | None = None) -> Job:
        """Create one job of a schedule now, beside its slots, whatever its state; the next slot waits for its end as
        for any other.

        Raises:
            ScheduleNotFound: there is none of that name.
            PayloadInvalid: the payload given does not fit the type's model.
        """
        runtime = await self._ready()
        for attempt in range(TRIES):
            schedule = await runtime.schedules.get(name)
            job = job_out_of_turn(
                schedule, self._payload_of(runtime, schedule, payload), runtime.clock.now(), runtime.chance
            )
            after = schedule.model_copy(update={"last_job_id": job.id, "last_slot": None})
            unit: list[Write] = [*runtime.records.insert(job), runtime.schedules.update(schedule, after)]
            try:
                await runtime.store.commit(unit)
            except (PreconditionFailed, OutcomeUnknown):
                (there,) = await runtime.records.get([job.id])
                if there is not None:
                    return there
                if attempt == TRIES - 1:
                    raise
            else:
                return await self.get_job(job.id)
        raise AssertionError("the last try returns or raises")

    @staticmethod
    def _payload_of(
        runtime: Runtime, schedule: Schedule, payload: Mapping[str, Json] | None
    ) -> Mapping[str, Json] | None:
        definition = runtime.registry.find(schedule.job_type)
        if payload is None or definition is None:
            return payload
        try:
            return definition.check_payload(payload)
        except PayloadInvalid:
            raise
        except BadInput as problem:
            raise PayloadInvalid("payload", problem.problem, problem.remedy) from problem

    async def backfill_schedule(self, name: str, since: datetime | str, until: datetime | str | None = None) -> int:
        """Create the jobs of past slots that have none.

        Args:
            name: the schedule.
            since: the first time whose slot counts; a naive one is UTC.
            until: the first time whose slot does not count any more; now if left out.

        Returns:
            How many jobs were created. Slots that the schedule has still to decide about are not among them.

        Raises:
            ScheduleNotFound: there is none of that name.
            BadInput: a time that is none, a range that is empty, or has more slots than 10,000.
        """
        runtime = await self._ready()
        now = runtime.clock.now()
        schedule = await runtime.schedules.get(name)
        begin = as_utc(since, "since")
        end = now if until is None else as_utc(until, "until")
        if begin >= end:
            raise BadInput("since", f"{begin.isoformat()} is not before {end.isoformat()}", "give a range of time")
        tick = timedelta(microseconds=1)
        last = min(end - tick, schedule.high_water if schedule.status == "active" else now, now)
        slots = schedule.definition.timetable.between(begin - tick, last, MOST_BACKFILLED + 1)
        if len(slots) > MOST_BACKFILLED:
            raise BadInput("since", f"there are more than {MOST_BACKFILLED:,} slots since then", "give a shorter range")
        return await runtime.ticker.backfill(schedule, slots)

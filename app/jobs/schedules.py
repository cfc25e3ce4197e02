"""Schedules: what they are, and what becomes of each of their slots. Pure; `app.jobs.ticker` does what is decided."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.jobs.clock import Chance
from app.jobs.described import Described
from app.jobs.events import Start
from app.jobs.models import Job, Json, Key, UtcTime, changed, is_key
from app.jobs.slots import Timetable, timetable_of
from app.jobs.transitions import transition

AHEAD = timedelta(seconds=75)
"""So far ahead are slots created, as delayed jobs: a scheduler that comes by each minute is never late for one."""
OVERDUE = 2 * AHEAD
"""While a job of a schedule without overlap has not ended so long after its slot, none is created ahead: each would
only wait to be skipped."""
SLOTS_AT_ONCE = 50
"""Most slots of one schedule that are created in one commit."""
NOTES_KEPT = 20
"""How many notes about skipped slots a schedule keeps: the newest."""
SCHEDULE = "schedule"
"""Under this name a job's metadata say which slot it is of."""
AFTER = "after"
"""In that note: the job that it must not run beside."""

_SLOT_SPACE = uuid.UUID("0b9d3f36-51f5-5c8e-9c2e-6a4c6f0f8d21")
_NAME_SPACE = uuid.UUID("f3e0a1b4-8c0d-5d2c-8a53-02d4f5b2c9aa")

CatchUp = Literal["skip", "last", "all"]


class ScheduleDefinition(Described):
    """What was asked for: which job, and when."""

    model_config = ConfigDict(frozen=True)

    name: Key
    job_type: Key
    source: Literal["code", "user"]
    """Whether it follows a job type's options in the code, or was created by somebody."""
    interval_seconds: float | None = None
    cron: str | None = None
    timezone: str = "UTC"
    misfire_grace_seconds: float = 60.0
    catch_up: CatchUp = "skip"
    catch_up_limit: int = 100
    overlap: bool = False
    origin: str = ""
    """The module of the handler, for one from the code."""
    dependencies: tuple[Key, ...] = ()
    """Each of its jobs waits for the newest job of each of these types that has not ended."""
    template: dict[str, Json] = Field(default_factory=dict)
    """The fields that each of its jobs has, so that whoever creates one need not know the type."""

    @property
    def timetable(self) -> Timetable:
        """When its slots are.

        Raises:
            BadInput: it has none that can be reckoned with.
        """
        found = timetable_of(self.interval_seconds, self.cron, self.timezone)
        if found is None:
            raise ValueError(f"schedule {self.name!r} has neither interval nor cron expression")
        return found

    @property
    def is_sequence(self) -> bool:
        """Whether each of its jobs waits for the end of the one before, so that all slots are worked off in order."""
        return self.catch_up == "all" and not self.overlap and not self.dependencies

    @property
    def waits(self) -> bool:
        """Whether its jobs wait for others, which are to be read when they are created."""
        return self.is_sequence or bool(self.dependencies)


class SkippedSlots(BaseModel):
    """One or more slots that no job was created for, and why."""

    model_config = ConfigDict(frozen=True)

    first: UtcTime
    last: UtcTime
    why: str


class Schedule(Described):
    """A schedule as it stands."""

    definition: ScheduleDefinition
    version: str = Field(default="", exclude=True, repr=False)
    """The stored state this was read from; not part of the record."""
    status: Literal["active", "paused", "stopped"] = "active"
    """`paused` by somebody; `stopped` when the code has it no more, or has disabled it."""
    created_at: UtcTime
    high_water: UtcTime
    """Every slot up to here has been decided about, once and for all."""
    next_at: UtcTime | None = None
    """The next slot to decide about; None if there is none to come."""
    last_slot: UtcTime | None = None
    last_job_id: Key | None = None
    """The newest job that it created."""
    skipped: tuple[SkippedSlots, ...] = ()
    """The newest slots that were left out."""

    @property
    def name(self) -> str:
        """Its name: a job type's, for one from the code."""
        return self.definition.name

    @property
    def job_type(self) -> str:
        """What it creates jobs of."""
        return self.definition.job_type


def schedule_id(name: str) -> str:
    """The id of a schedule's record."""
    return str(uuid.uuid5(_NAME_SPACE, name))


def slot_job_id(name: str, slot: datetime) -> str:
    """The id of the job of one slot: whoever creates it, it is the same."""
    return str(uuid.uuid5(_SLOT_SPACE, f"{slot.isoformat()} {name}"))


def schedule_tag(name: str) -> str | None:
    """The tag by which the jobs of a schedule are listed; None if the name is too long for one."""
    tag = f"schedule:{name}"
    return tag if is_key(tag) else None


# --- deciding -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The job that a schedule created last, as far as it matters for the next."""

    job_id: str
    slot: datetime | None
    """None for one that was not created for a slot."""
    unfinished: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done about a schedule's slots now."""

    create: tuple[datetime, ...] = ()
    skipped: tuple[SkippedSlots, ...] = ()
    high_water: datetime | None = None
    """Slots up to here are decided about by this; None if nothing can be decided yet."""


@dataclass(slots=True)
class _Draft:
    create: list[datetime] = field(default_factory=list)
    skipped: list[SkippedSlots] = field(default_factory=list)
    high_water: datetime | None = None


def needs_predecessor(schedule: Schedule, now: datetime) -> bool:
    """Whether what becomes of the next slots depends on the state of the job created last."""
    definition = schedule.definition
    if definition.overlap or definition.is_sequence or schedule.last_job_id is None or schedule.next_at is None:
        return False
    if schedule.next_at <= now:
        return True
    return schedule.last_slot is None or schedule.last_slot <= now - OVERDUE


def decide(schedule: Schedule, now: datetime, predecessor: Predecessor | None, most: int = SLOTS_AT_ONCE) -> Decision:
    """What becomes of the slots after the high-water slot that are not further ahead than `AHEAD`.

    Args:
        schedule: as it is stored.
        now: the time.
        predecessor: the job created last, where `needs_predecessor` says so.
        most: at most so many slots are created; the rest is decided about when these are written.

    Returns:
        What to create and what to leave out; nothing, if it has to wait.
    """
    definition, draft = schedule.definition, _Draft()
    timetable = definition.timetable
    candidates = _in_time(schedule, timetable, now, draft, most)
    for slot in candidates:
        if predecessor is not None and predecessor.unfinished and not (definition.overlap or definition.is_sequence):
            if slot <= now:
                why = f"job {predecessor.job_id} had not ended"
                draft.skipped.append(SkippedSlots(first=slot, last=slot, why=why))
                draft.high_water = slot
                continue
            if predecessor.slot is not None and predecessor.slot <= now - OVERDUE:
                break
        draft.create.append(slot)
        draft.high_water = slot
        predecessor = Predecessor(slot_job_id(definition.name, slot), slot, unfinished=True)
    return Decision(tuple(draft.create), tuple(draft.skipped), draft.high_water)


def _in_time(schedule: Schedule, timetable: Timetable, now: datetime, draft: _Draft, most: int) -> list[datetime]:
    """The slots that may be created, after those that were missed for good have been left out."""
    definition, done = schedule.definition, schedule.high_water
    on_time = now - timedelta(seconds=definition.misfire_grace_seconds)
    first = timetable.after(done)
    if first is None or first > now + AHEAD:
        return []
    if first < on_time:
        before = on_time - timedelta(microseconds=1)
        match definition.catch_up:
            case "skip":
                wanted = timetable.newest(done, before, 1)
                done = wanted[-1]
                _leave_out(draft, first, done, "missed: nobody was there to create it in time")
            case "last":
                newest = timetable.newest(done, now, 2)
                if len(newest) == 2:
                    done = newest[0]
                    _leave_out(draft, first, done, "missed, and a later one stands for it")
            case "all":
                newest = timetable.newest(done, before, definition.catch_up_limit + 1)
                if len(newest) > definition.catch_up_limit:
                    done = newest[0]
                    _leave_out(draft, first, done, f"missed, with {definition.catch_up_limit} later ones to catch up")
    return timetable.between(done, now + AHEAD, most)


def _leave_out(draft: _Draft, first: datetime, last: datetime, why: str) -> None:
    draft.skipped.append(SkippedSlots(first=first, last=last, why=why))
    draft.high_water = last


def decided(schedule: Schedule, decision: Decision) -> Schedule:
    """The schedule when the decision has been carried out."""
    if decision.high_water is None:
        return schedule
    update: dict[str, Any] = {
        "high_water": decision.high_water,
        "next_at": schedule.definition.timetable.after(decision.high_water),
    }
    if decision.create:
        last = decision.create[-1]
        update |= {"last_slot": last, "last_job_id": slot_job_id(schedule.name, last)}
    if decision.skipped:
        update["skipped"] = (*schedule.skipped, *decision.skipped)[-NOTES_KEPT:]
    return schedule.model_copy(update=update)


def new_schedule(definition: ScheduleDefinition, now: datetime) -> Schedule:
    """A schedule whose first slot is the first one after now."""
    following = definition.timetable.after(now)
    return Schedule(definition=definition, created_at=now, high_water=now, next_at=following)


def restarted(schedule: Schedule, now: datetime) -> Schedule:
    """The schedule going on from now: what was decided about slots to come is decided anew, what was missed is not."""
    following = schedule.definition.timetable.after(now)
    return schedule.model_copy(update={"status": "active", "high_water": now, "next_at": following})


def redefined(schedule: Schedule, definition: ScheduleDefinition, now: datetime) -> Schedule:
    """The schedule going on as another definition says.

    By the same timetable it goes on where it was: its missed slots are caught up with as the new definition says, and
    only slots to come are decided anew. By another timetable, or after it was stopped, it begins anew.
    """
    after = schedule.model_copy(update={"definition": definition})
    if schedule.status == "paused":
        return after
    if schedule.status == "stopped" or _times(definition) != _times(schedule.definition):
        return restarted(after, now)
    high_water = min(now, schedule.high_water)
    return after.model_copy(update={"high_water": high_water, "next_at": definition.timetable.after(high_water)})


def _times(definition: ScheduleDefinition) -> tuple[float | None, str | None, str]:
    return definition.interval_seconds, definition.cron, definition.timezone


def halted(schedule: Schedule, status: Literal["paused", "stopped"], now: datetime) -> Schedule:
    """The schedule deciding about nothing from now on."""
    high_water = min(now, schedule.high_water)
    return schedule.model_copy(update={"status": status, "next_at": None, "high_water": high_water})


def slots_ahead(schedule: Schedule, now: datetime) -> list[datetime]:
    """The slots to come that are decided about already, and so may have jobs."""
    return schedule.definition.timetable.between(now, schedule.high_water, int(AHEAD.total_seconds()) + 1)


# --- the jobs of slots ---------------------------------------------------------------------------------


def jobs_of(
    schedule: Schedule, slots: Sequence[datetime], now: datetime, chance: Chance, shards: int, *, after: str | None
) -> list[Job]:
    """The jobs of some slots, each delayed until its slot, or claimable if that has passed.

    Args:
        schedule: whose slots they are.
        slots: in the order of time.
        now: the time of creation.
        chance: for the shards.
        shards: over how many shards jobs are spread.
        after: the job that the first of them must not run beside, if the schedule does not let it.
    """
    definition, jobs = schedule.definition, []
    for slot in slots:
        note: dict[str, Json] = {"name": schedule.name, "slot": slot.isoformat()}
        if after is not None and not (definition.overlap or definition.is_sequence):
            note[AFTER] = after
        job = _job(definition, slot_job_id(schedule.name, slot), note, now, chance, shards)
        if definition.is_sequence:
            job = changed(job, {"on_dependency_failure": "run"})
        after = job.id
        jobs.append(_started(job, slot, now))
    return jobs


def job_out_of_turn(schedule: Schedule, payload: Mapping[str, Json] | None, now: datetime, chance: Chance) -> Job:
    """A job that somebody asked for beside the slots; `payload` stands for the schedule's own if it is given."""
    job = _job(schedule.definition, chance.job_id(), {"name": schedule.name, "triggered": True}, now, chance, 1)
    if payload is not None:
        job = changed(job, {"payload": dict(payload)})
    return _started(job, now, now)


def _job(
    definition: ScheduleDefinition, job_id: str, note: dict[str, Json], now: datetime, chance: Chance, shards: int
) -> Job:
    job = Job.model_validate({**definition.template, "id": job_id, "created_at": now, "updated_at": now})
    tag = schedule_tag(definition.name)
    changes: dict[str, Any] = {
        "metadata": {**job.metadata, SCHEDULE: note},
        "shard": int(chance.fraction() * shards) if shards > 1 else 0,
    }
    if tag is not None and tag not in job.tags:
        changes["tags"] = (*job.tags, tag)
    return changed(job, changes)


def _started(job: Job, at: datetime, now: datetime) -> Job:
    started = transition(job, Start(at), now)
    started.revision = 1
    return started


_GIVEN_EACH = {"id", "created_at", "updated_at", "shard", "status", "revision"}


def template_of(job: Job) -> dict[str, Json]:
    """What all jobs of a schedule have in common, from one that was never stored."""
    return job.model_dump(mode="json", exclude=_GIVEN_EACH, exclude_defaults=True) | {"type": job.type}

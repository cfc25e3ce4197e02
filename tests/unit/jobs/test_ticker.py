"""Schedules on the memory store: following the code, ticking, pausing, overlap, and races made to happen."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import pytest

from app.jobs import BadInput, Job, JobContext, JobStatus, Outcome, ScheduleNotFound
from app.jobs.deployment import is_gone
from app.jobs.schedules import AHEAD, slot_job_id
from app.jobs.upkeep import Upkeep
from app.stores import MemoryJobStore
from app.stores.base import Delete
from app.stores.faults import Call, FaultPlan, FaultyStore, Operation
from tests.support.clock import NOON, settle
from tests.support.engine import Engine


@pytest.fixture
def engine() -> Engine:
    return Engine()


def declare(engine: Engine, name: str = "report", **options: Any) -> None:
    """A job type, as a deployment with these options has it."""
    engine.registry.remove(name)

    @engine.job(name, **options)
    async def handler(ctx: JobContext) -> int:
        return ctx.attempt


async def jobs_of(engine: Engine, name: str = "report") -> list[Job]:
    """The jobs of a schedule, oldest slot first."""
    jobs = await engine.manager.list_jobs(tags=f"schedule:{name}")
    return sorted(jobs, key=lambda job: str(job.metadata["schedule"].get("slot")))


async def slots_of(engine: Engine, name: str = "report") -> list[float]:
    """How long after noon the slots are that have jobs."""
    ids = {job.id: job for job in await jobs_of(engine, name)}
    schedule = await engine.manager.get_schedule(name)
    end = schedule.high_water + AHEAD
    slots = schedule.definition.timetable.between(NOON - timedelta(days=30), end, 100_000)
    return [(slot - NOON).total_seconds() for slot in slots if slot_job_id(name, slot) in ids]


# --- slots ---


async def test_slots_are_created_ahead_and_run_at_their_time(engine: Engine) -> None:
    declare(engine, interval_seconds=60)
    report = await engine.manager.tick()
    assert report.as_dict() == {"schedules": 1, "created": 1, "skipped": 0, "failed": 0}
    (job,) = await jobs_of(engine)
    assert (job.status, job.wake_at, job.type) == (JobStatus.QUEUED, NOON + timedelta(seconds=60), "report")
    assert (await engine.drain()).claimed == 0
    engine.clock.jump(60)
    assert (await engine.drain()).completed == 1
    assert (await engine.manager.tick()).created == 1
    assert await slots_of(engine) == [60, 120]


async def test_a_job_of_a_schedule_is_as_its_type_says(engine: Engine) -> None:
    declare(
        engine, interval_seconds=60, queue="maintenance", priority="high", max_retries=7, pool="big", requires_gpu=True
    )
    await engine.manager.tick()
    (job,) = await jobs_of(engine)
    like = await engine.manager.create_job("report")
    differs = {name for name in type(job).model_fields if getattr(job, name) != getattr(like, name)}
    assert differs <= {"id", "version", "status", "tags", "metadata", "wake_at", "queued_at"}


async def test_whoever_ticks_need_not_know_the_type(engine: Engine) -> None:
    declare(engine, interval_seconds=60, queue="maintenance")
    await engine.manager.sync_schedules()
    other = Engine(store=engine.store, clock=engine.clock)
    assert (await other.runtime.ticker.tick()).created == 1
    assert (await jobs_of(engine))[0].queue == "maintenance"


async def test_one_schedule_that_cannot_be_worked_on_does_not_keep_the_others(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    declare(engine, "broken", interval_seconds=60)
    declare(engine, "whole", interval_seconds=60)
    await engine.manager.sync_schedules()
    schedule = await engine.manager.get_schedule("broken")
    definition = schedule.definition.model_copy(update={"template": {"type": "broken", "priority": 99}})
    spoilt = engine.runtime.schedules.update(schedule, schedule.model_copy(update={"definition": definition}))
    await engine.store.commit([spoilt])
    report = await engine.runtime.ticker.tick()
    assert (report.created, report.failed) == (1, 1)
    assert "schedule broken" in caplog.text


# --- overlap ---


async def test_a_slot_is_skipped_at_its_start_while_an_earlier_job_runs(engine: Engine) -> None:
    gate = asyncio.Event()

    @engine.job("report", interval_seconds=30)
    async def report(ctx: JobContext) -> str:
        await gate.wait()
        return "done"

    await engine.manager.tick()  # slots 30 and 60
    async with engine.working():
        await engine.clock.advance(30)
        first, second = await jobs_of(engine)
        assert (await engine.get(first.id)).status is JobStatus.RUNNING
        await engine.clock.advance(31)
        second = await engine.get(second.id)
        assert (second.status, second.outcome) == (JobStatus.COMPLETED, Outcome.SKIPPED)
        assert second.result is not None
        assert second.result.data["blocked_by"] == first.id
        await engine.manager.tick()  # slots 90 and 120, while the first one still runs
        await engine.clock.advance(31)
        third = (await jobs_of(engine))[2]
        assert third.outcome is Outcome.SKIPPED
        assert third.result is not None
        assert third.result.data["blocked_by"] == first.id, "the one before was itself skipped for the first"
        gate.set()
        await settle()
        await engine.clock.advance(31)
        assert (await jobs_of(engine))[3].outcome is Outcome.COMPLETED


async def test_overlap_is_let_where_asked_for(engine: Engine) -> None:
    declare(engine, interval_seconds=30, overlap=True)
    await engine.manager.tick()
    engine.clock.jump(61)
    assert (await engine.drain()).completed == 2
    assert [job.outcome for job in await jobs_of(engine)] == [Outcome.COMPLETED, Outcome.COMPLETED]


async def test_catching_up_with_all_runs_one_after_the_other(engine: Engine) -> None:
    ran: list[str] = []

    @engine.job("report", interval_seconds=3600, catch_up="all", catch_up_limit=3, max_retries=0)
    async def report(ctx: JobContext) -> None:
        ran.append(str((await ctx.manager.get_job(ctx.job_id)).metadata["schedule"]["slot"])[11:16])
        raise ValueError("an earlier one that fails does not keep the later ones")

    await engine.manager.sync_schedules()
    engine.clock.jump(10 * 3600 + 1800)
    assert (await engine.manager.tick()).created == 3
    assert [job.status for job in await jobs_of(engine)].count(JobStatus.PENDING) == 2
    await engine.drain()
    assert ran == ["20:00", "21:00", "22:00"]


async def test_a_slot_waits_for_the_types_it_depends_on(engine: Engine) -> None:
    declare(engine, "first")
    declare(engine, "then", interval_seconds=60, dependencies=["first"])
    first = await engine.submitted("first", delay=100)
    await engine.manager.tick()
    engine.clock.jump(60)
    await engine.drain()
    (job,) = await jobs_of(engine, "then")
    assert (job.status, job.depends_on) == (JobStatus.PENDING, (first,))
    engine.clock.jump(60)
    await engine.drain()
    assert (await engine.get(job.id)).status is JobStatus.COMPLETED


# --- following the code ---


async def test_code_creates_changes_and_stops_schedules(engine: Engine) -> None:
    declare(engine, interval_seconds=60)
    assert (await engine.manager.sync_schedules()).created == ["report"]
    assert (await engine.manager.sync_schedules()) == type(await engine.manager.sync_schedules())()
    await engine.manager.tick()
    declare(engine, interval_seconds=45, priority="critical")
    assert (await engine.manager.sync_schedules()).changed == ["report"]
    assert await slots_of(engine) == [], "the slot to come was one of the old timetable"
    await engine.manager.tick()
    assert [job.priority.name for job in await jobs_of(engine)] == ["CRITICAL"]
    assert await slots_of(engine) == [45]
    declare(engine)
    assert (await engine.manager.sync_schedules()).stopped == ["report"]
    assert ((await engine.manager.get_schedule("report")).status, await slots_of(engine)) == ("stopped", [])
    engine.clock.jump(3600)
    assert (await engine.manager.tick()).schedules == 0
    declare(engine, interval_seconds=60)
    await engine.manager.tick()
    assert await slots_of(engine) == [3660], "what was missed while it was out of the code is not made up for"


@pytest.mark.parametrize(
    ("change", "slots"),
    [
        ({}, [120, 180, 240, 300, 360]),
        ({"description": "other words"}, [120, 180, 240, 300, 360]),
        ({"catch_up": "last"}, [300, 360]),
        ({"interval_seconds": 50}, [350]),
    ],
    ids=["no", "description", "policy", "timetable"],
)
async def test_a_deployment_after_a_pause_of_the_engine_catches_up_unless_the_timetable_is_another(
    engine: Engine, change: dict[str, Any], slots: list[float]
) -> None:
    options: dict[str, Any] = {"interval_seconds": 60, "catch_up": "all", "overlap": True}
    declare(engine, **options)
    await engine.manager.tick()
    engine.clock.jump(300)
    declare(engine, **(options | change))
    await engine.manager.tick()
    made = [datetime.fromisoformat(job.metadata["schedule"]["slot"]) for job in await jobs_of(engine)]
    assert [(slot - NOON).total_seconds() for slot in made] == [60, *slots]


async def test_a_deployment_gives_slots_to_come_its_new_options(engine: Engine) -> None:
    declare(engine, interval_seconds=60)
    await engine.manager.tick()
    declare(engine, interval_seconds=60, priority="critical")
    await engine.manager.tick()
    assert [job.priority.name for job in await jobs_of(engine)] == ["CRITICAL"]
    assert await slots_of(engine) == [60]


async def test_a_type_that_is_gone_stops_its_schedule_where_that_is_known(engine: Engine) -> None:
    declare(engine, interval_seconds=60)
    await engine.manager.sync_schedules()
    engine.registry.remove("report")
    schedule = await engine.manager.get_schedule("report")
    elsewhere = schedule.definition.model_copy(update={"origin": "never_imported.tasks"})
    await engine.runtime.schedule_editor.change(
        "report", lambda before: before.model_copy(update={"definition": elsewhere})
    )
    assert (await engine.manager.sync_schedules()).stopped == [], "another deployment may have it"
    await engine.runtime.schedule_editor.change(
        "report", lambda before: before.model_copy(update={"definition": schedule.definition})
    )
    assert (await engine.manager.sync_schedules()).stopped == ["report"], "this module was imported, without it"


@pytest.mark.parametrize("variable", ["REPORT_ENABLED", "REPORT_RUNNER_ENABLED"])
async def test_the_environment_disables_a_schedule(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    declare(engine, interval_seconds=60)
    await engine.manager.sync_schedules()
    monkeypatch.setenv(variable, "false")
    declare(engine, interval_seconds=60)
    assert (await engine.manager.sync_schedules()).stopped == ["report"]


async def test_the_environment_sets_the_interval(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPORT_INTERVAL_SECONDS", "50")
    declare(engine, interval_seconds=60)
    await engine.manager.tick()
    assert (await jobs_of(engine))[0].wake_at == NOON + timedelta(seconds=50)


def test_a_scheduled_type_must_do_without_a_payload(engine: Engine) -> None:
    with pytest.raises(BadInput, match="gives no payload"):

        @engine.job("needy", cron="0 * * * *")
        async def needy(ctx: JobContext, account: str) -> None: ...


async def test_a_schedule_that_somebody_made_is_not_taken_over_by_the_code(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    declare(engine, "other")
    await engine.manager.create_schedule("report", "other", interval_seconds=60)
    declare(engine, interval_seconds=60)
    report = await engine.manager.sync_schedules()
    assert len(report.problems) == 1
    assert "somebody's own" in caplog.text
    assert (await engine.manager.get_schedule("report")).job_type == "other"


async def test_upkeep_follows_types_that_are_registered_later(engine: Engine) -> None:
    await engine.manager.open()
    upkeep = Upkeep(engine.runtime)
    await upkeep.run()
    declare(engine, interval_seconds=60)
    await upkeep.run()
    assert await slots_of(engine) == [60]


# --- by hand ---


async def test_pause_withdraws_what_is_to_come_and_resume_goes_on_from_then(engine: Engine) -> None:
    declare(engine, interval_seconds=60)
    await engine.manager.tick()
    engine.clock.jump(60)
    await engine.manager.tick()
    assert await slots_of(engine) == [60, 120]
    assert (await engine.manager.pause_schedule("report")).status == "paused"
    assert await slots_of(engine) == [60], "that slot's time had come"
    declare(engine, interval_seconds=30)
    assert (await engine.manager.sync_schedules()).changed == ["report"]
    engine.clock.jump(600)
    assert (await engine.manager.tick()).created == 0
    assert (await engine.manager.resume_schedule("report")).status == "active"
    await engine.manager.tick()
    assert await slots_of(engine) == [60, 690, 720]
    assert (await engine.manager.resume_schedule("report")).status == "active"


async def test_what_is_withdrawn_does_not_make_its_predecessor_forgotten(engine: Engine) -> None:
    declare(engine, interval_seconds=60)
    await engine.manager.tick()
    engine.clock.jump(60)
    await engine.manager.tick()
    first, _ = await jobs_of(engine)
    await engine.manager.pause_schedule("report")
    assert (await engine.manager.get_schedule("report")).last_job_id == first.id


async def test_trigger_makes_a_job_at_once_and_the_next_slot_does_not_overlap_it(engine: Engine) -> None:
    declare(engine, interval_seconds=60)
    await engine.manager.sync_schedules()
    job = await engine.manager.trigger_schedule("report")
    assert job.status is JobStatus.QUEUED
    assert job.ready_at is not None
    await engine.manager.tick()
    engine.clock.jump(61)
    await engine.manager.pause_job(job.id)
    await engine.drain()
    assert [each.outcome for each in await jobs_of(engine)] == [Outcome.SKIPPED, None]


async def test_backfill_creates_each_past_slot_that_has_no_job_and_runs_them_in_order(engine: Engine) -> None:
    declare(engine, cron="0 * * * *")
    await engine.manager.sync_schedules()
    assert await engine.manager.backfill_schedule("report", "2026-11-02T06:00", "2026-11-02T09:00") == 3
    assert await engine.manager.backfill_schedule("report", "2026-11-02T05:30") == 3
    assert await engine.manager.backfill_schedule("report", "2026-11-02T05:30") == 0
    await engine.drain()
    assert [job.status for job in await jobs_of(engine)] == [JobStatus.COMPLETED] * 6
    assert len({job.finished_at for job in await jobs_of(engine)}) == 1
    assert (await engine.manager.get_schedule("report")).high_water == NOON


@pytest.mark.parametrize(
    ("since", "until", "field"),
    [("2026-11-02T09:00", "2026-11-02T08:00", "since"), ("soon", None, "since"), ("1970-01-01", None, "since")],
)
async def test_a_backfill_that_makes_no_sense_is_refused(
    engine: Engine, since: str, until: str | None, field: str
) -> None:
    declare(engine, interval_seconds=60)
    await engine.manager.sync_schedules()
    with pytest.raises(BadInput) as refused:
        await engine.manager.backfill_schedule("report", since, until)
    assert refused.value.field == field
    assert await jobs_of(engine) == []


async def test_schedules_of_ones_own(engine: Engine) -> None:
    @engine.job("mail")
    async def mail(ctx: JobContext, to: str) -> str:
        return to

    made = await engine.manager.create_schedule("ann", "mail", {"to": "ann"}, cron="*/5 * * * *", priority="low")
    assert (made.status, made.next_at) == ("active", NOON + timedelta(minutes=5))
    await engine.manager.create_schedule("bob", "mail", {"to": "bob"}, interval_seconds=60)
    assert [each.name for each in await engine.manager.list_schedules()] == ["ann", "bob"]
    assert (await engine.manager.sync_schedules()).stopped == []
    engine.clock.jump(290)
    await engine.manager.tick()
    engine.clock.jump(10)
    await engine.drain()
    assert {job.payload["to"]: job.priority.name for job in await engine.manager.list_jobs(type="mail")} == {
        "ann": "LOW",
        "bob": "NORMAL",
    }
    await engine.manager.delete_schedule("bob")
    with pytest.raises(ScheduleNotFound):
        await engine.manager.get_schedule("bob")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "taken"}, "name"),
        ({"job_type": "nobody"}, "type"),
        ({"payload": {"to": [1]}}, "payload.to"),
        ({"interval_seconds": None}, "cron"),
        ({"cron": "* * * * *"}, "cron"),
        ({"cron": "whenever", "interval_seconds": None}, "cron"),
        ({"timezone": "Mars"}, "timezone"),
        ({"catch_up": "maybe"}, "catch_up"),
        ({"catch_up_limit": 0}, "catch_up_limit"),
        ({"catch_up_limit": float("nan")}, "catch_up_limit"),
        ({"catch_up_limit": 2.5}, "catch_up_limit"),
        ({"catch_up_limit": 10_001}, "catch_up_limit"),
        ({"catch_up_limit": 10**30}, "catch_up_limit"),
        ({"misfire_grace_seconds": -1}, "misfire_grace_seconds"),
        ({"idempotency_key": "x"}, "idempotency_key"),
        ({"payload": {"to": "x" * 300_000}}, "payload"),
    ],
)
async def test_a_schedule_that_cannot_be_is_refused(engine: Engine, change: dict[str, Any], field: str) -> None:
    @engine.job("mail")
    async def mail(ctx: JobContext, to: str) -> str:
        return to

    good: dict[str, Any] = {"name": "s", "job_type": "mail", "payload": {"to": "ann"}, "interval_seconds": 60}
    await engine.manager.create_schedule(**(good | {"name": "taken"}))
    with pytest.raises(BadInput) as refused:
        await engine.manager.create_schedule(**(good | change))
    assert refused.value.field == field
    assert [each.name for each in await engine.manager.list_schedules()] == ["taken"]


@pytest.mark.parametrize("name", ["", "\x00", "\ud800", "x" * 201])
async def test_a_name_that_no_schedule_can_have_is_told_to_be_unknown(engine: Engine, name: str) -> None:
    manager = engine.manager
    for verb in (
        manager.get_schedule,
        manager.pause_schedule,
        manager.resume_schedule,
        manager.delete_schedule,
        manager.trigger_schedule,
    ):
        with pytest.raises(ScheduleNotFound):
            await verb(name)


async def test_schedules_of_the_code_are_not_deleted_and_stopped_ones_not_resumed(engine: Engine) -> None:
    declare(engine, interval_seconds=60)
    await engine.manager.sync_schedules()
    with pytest.raises(BadInput, match="one of the code"):
        await engine.manager.delete_schedule("report")
    declare(engine)
    await engine.manager.sync_schedules()
    with pytest.raises(BadInput, match="stopped by the code"):
        await engine.manager.resume_schedule("report")
    await engine.manager.delete_schedule("report")
    assert await engine.manager.list_schedules() == []


# --- races and lost answers ---


class Two:
    """Two tickers on one store, one of them on a connection that fails as told."""

    def __init__(self) -> None:
        memory = MemoryJobStore()
        self.plan = FaultPlan()
        self.one = Engine(store=FaultyStore(memory, self.plan))
        self.other = Engine(store=memory, clock=self.one.clock)
        for engine in (self.one, self.other):
            declare(engine, interval_seconds=30, overlap=True)


async def test_who_ticks_while_another_one_does_creates_nothing_twice() -> None:
    two = Two()
    await two.other.manager.sync_schedules()
    held = two.plan.hold(Operation.COMMIT_EACH)
    ticking = asyncio.ensure_future(two.one.runtime.ticker.tick())
    await held.reached()
    assert (await two.other.runtime.ticker.tick()).created == 2
    held.release()
    assert (await ticking).created == 0
    assert await slots_of(two.other) == [30, 60]


async def test_retention_brings_no_slot_back() -> None:
    two = Two()
    await two.other.manager.sync_schedules()
    await two.other.runtime.ticker.tick()
    for job in await jobs_of(two.other):
        await two.other.manager.delete_job(job.id)
    assert (await two.one.runtime.ticker.tick()).created == 0


async def test_who_ticks_while_the_schedule_is_paused_creates_nothing() -> None:
    two = Two()
    await two.other.manager.sync_schedules()
    held = two.plan.hold(Operation.COMMIT_EACH)
    ticking = asyncio.ensure_future(two.one.runtime.ticker.tick())
    await held.reached()
    await two.other.manager.pause_schedule("report")
    held.release()
    assert (await ticking).created == 0
    assert await slots_of(two.other) == []


@pytest.mark.parametrize("applied", [True, False])
async def test_a_tick_whose_answer_is_lost_creates_nothing_twice(applied: bool) -> None:
    two = Two()
    await two.other.manager.sync_schedules()
    two.plan.lose(Operation.COMMIT_EACH, applied=applied)
    await two.one.runtime.ticker.tick()
    assert await slots_of(two.other) == [30, 60]
    assert (await two.other.runtime.ticker.tick()).created == 0


async def test_a_job_that_stands_in_the_way_of_a_slot_is_its_job() -> None:
    two = Two()
    await two.other.manager.sync_schedules()
    await two.other.runtime.ticker.tick()
    first, second = await jobs_of(two.other)
    await two.other.manager.add_job_dependency(await two.other.submitted("report", delay=500), second.id)
    declare(two.other, interval_seconds=30, overlap=True, priority="low")
    await two.other.manager.sync_schedules()
    assert [job.id for job in await jobs_of(two.other)] == [second.id], "somebody waits for that one"
    assert (await two.other.runtime.ticker.tick()).created == 1
    assert [(job.id, job.priority.name) for job in await jobs_of(two.other)] == [
        (first.id, "LOW"),
        (second.id, "NORMAL"),
    ]
    assert (await two.other.manager.get_schedule("report")).high_water == NOON + timedelta(seconds=60)


async def test_a_change_that_meets_another_is_decided_anew() -> None:
    two = Two()
    await two.other.manager.sync_schedules()
    await two.other.runtime.ticker.tick()
    held = two.plan.hold(Operation.COMMIT_EACH)
    pausing = asyncio.ensure_future(two.one.manager.pause_schedule("report"))
    await held.reached()
    two.one.clock.jump(30)
    assert (await two.other.runtime.ticker.tick()).created == 1
    held.release()
    assert (await pausing).status == "paused"
    assert await slots_of(two.other) == [30], "what the other one created meanwhile is withdrawn too"


async def test_a_failing_store_fails_the_tick_of_that_schedule_only(caplog: pytest.LogCaptureFixture) -> None:
    two = Two()
    await two.other.manager.sync_schedules()
    two.plan.refuse(Operation.COMMIT_EACH, times=100)
    report = await two.one.runtime.ticker.tick()
    assert (report.created, report.failed) == (0, 1)
    assert "refused on purpose" in caplog.text


async def test_a_chain_that_was_created_ahead_is_withdrawn_whole(engine: Engine) -> None:
    declare(engine, interval_seconds=30, catch_up="all")
    await engine.manager.tick()
    assert [job.status for job in await jobs_of(engine)] == [JobStatus.QUEUED, JobStatus.PENDING]
    await engine.manager.pause_schedule("report")
    assert await jobs_of(engine) == []


async def test_who_begins_to_wait_for_a_job_while_it_is_withdrawn_keeps_it() -> None:
    two = Two()
    for engine in (two.one, two.other):
        declare(engine, interval_seconds=30, catch_up="all")
    await two.one.manager.tick()
    ahead = await jobs_of(two.other)
    assert [job.has_dependents for job in ahead] == [True, False]
    held = two.plan.hold(Operation.COMMIT_EACH, when=a_delete)
    pausing = asyncio.ensure_future(two.one.manager.pause_schedule("report"))
    await held.reached()
    child = await two.other.manager.create_job("report", dependencies=[ahead[0].id])
    held.release()
    await pausing
    assert [job.id for job in await jobs_of(two.other)] == [ahead[0].id]
    assert (await two.other.get(child.id)).unmet == (ahead[0].id,)


def a_delete(call: Call) -> bool:
    """Whether this call deletes a job."""
    return any(isinstance(write, Delete) and write.collection == "jobs" for unit in call.units for write in unit)


@pytest.mark.parametrize("applied", [True, False])
async def test_a_removal_whose_answer_is_lost_removes(applied: bool) -> None:
    two = Two()
    await two.one.manager.create_schedule("mine", "report", interval_seconds=60)
    two.plan.lose(Operation.COMMIT_EACH, applied=applied)
    await two.one.manager.delete_schedule("mine")
    assert "mine" not in [each.name for each in await two.other.manager.list_schedules()]


async def test_a_drain_ticks_once_and_ends(engine: Engine) -> None:
    declare(engine, interval_seconds=2, overlap=True)
    await engine.manager.open()
    upkeep = Upkeep(engine.runtime, ticks_on=False)
    await upkeep.run()
    created = len(await jobs_of(engine))
    engine.clock.jump(60)
    await upkeep.run()
    assert len(await jobs_of(engine)) == created == 37


@pytest.mark.parametrize(
    ("home", "gone"),
    [
        ("tests.unit.jobs.no_such_module", True),
        ("app.jobs.ticker", True),
        ("no_such_package.tasks", False),
        ("alone", False),
        ("app.jobs.slots.inner", False),
        ("__main__ another_script.py", False),
        ("__main__ ", False),
    ],
    ids=[
        "the module was taken out of its package",
        "the module is imported and has it not",
        "the package was never imported",
        "a module that was never imported",
        "its package is no package",
        "another script",
        "no script at all",
    ],
)
def test_what_is_gone_from_the_code(home: str, gone: bool) -> None:
    import_module("tests.unit.jobs")
    assert is_gone(home) is gone

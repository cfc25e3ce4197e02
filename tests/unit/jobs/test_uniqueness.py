"""`unique`: one job of a key while it is active, or for a period; what is answered, refused and forgotten."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from app.jobs import BadInput, IdempotencyConflict, JobContext, JobStatus, Watchdog
from app.jobs.request import request_of
from app.stores import DatabaseJobStore, MemoryJobStore
from app.stores.faults import FaultPlan, FaultyStore, Operation
from tests.support.engine import Engine

MAIL = {"to": "ann"}


def register(engine: Engine) -> None:
    @engine.job("mail")
    async def mail(ctx: JobContext, to: str, copies: int = 1) -> str:
        return to

    @engine.job("letter")
    async def letter(ctx: JobContext, to: str, copies: int = 1) -> str:
        return to


@pytest.fixture
def engine() -> Engine:
    engine = Engine()
    register(engine)
    return engine


async def keys(engine: Engine) -> int:
    return (await engine.records())["uniques"]


async def test_while_active_the_first_job_is_answered_and_after_its_end_there_is_a_new_one(engine: Engine) -> None:
    first = await engine.manager.submit("mail", MAIL, unique="while_active")
    again = await engine.manager.submit("mail", MAIL, unique="while_active")
    assert (first.existing, again.existing, again.id) == (False, True, first.id)
    await engine.drain()
    new = await engine.manager.submit("mail", MAIL, unique="while_active")
    assert (new.existing, new.id != first.id) == (False, True)
    assert await keys(engine) == 1


@pytest.mark.parametrize("status", ["pending", "paused", "needs_review"])
async def test_active_is_whatever_has_not_ended(engine: Engine, status: str) -> None:
    @engine.job("asks")
    async def asks(ctx: JobContext) -> None:
        await ctx.request_review("well?")

    first = await engine.manager.create_job("asks", unique="while_active", auto_start=status != "pending")
    if status == "paused":
        await engine.manager.pause_job(first.id)
    await engine.drain()
    assert (await engine.get(first.id)).status == status
    assert (await engine.manager.submit("asks", unique="while_active")).id == first.id


@pytest.mark.parametrize("period", [90, "90s", "1m30s", timedelta(seconds=90)])
async def test_for_a_period_the_first_job_is_answered_however_it_ended(engine: Engine, period: Any) -> None:
    first = await engine.manager.submit("mail", MAIL, unique=period)
    await engine.drain()
    engine.clock.jump(89)
    again = await engine.manager.submit("mail", MAIL, unique=period)
    assert (again.id, again.existing, again.status) == (first.id, True, JobStatus.COMPLETED)
    engine.clock.jump(1)
    assert not (await engine.manager.submit("mail", MAIL, unique=period)).existing


async def test_when_a_period_is_over_a_job_that_still_runs_stands_in_the_way_only_of_while_active(
    engine: Engine,
) -> None:
    first = await engine.manager.submit("mail", MAIL, unique=60)
    engine.clock.jump(60)
    assert (await engine.manager.submit("mail", MAIL, unique="while_active")).id == first.id
    assert (await engine.manager.submit("mail", MAIL, unique=60)).id != first.id


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"payload": {"to": "ann", "copies": 1}}, True),
        ({"payload": {"to": "bob"}}, False),
        ({"job_type": "letter"}, False),
        ({"priority": "high"}, True),
        ({"unique_key": "k"}, False),
    ],
    ids=["defaults count", "another payload", "another type", "other options", "a key that somebody named"],
)
async def test_without_a_key_the_payload_is_the_key(engine: Engine, other: dict[str, Any], same: bool) -> None:
    first = await engine.manager.submit("mail", MAIL, unique="while_active")
    options = {"job_type": "mail", "payload": MAIL, "unique": "while_active"} | other
    again = await engine.manager.submit(options.pop("job_type"), **options)
    assert (again.id == first.id) is same


async def test_a_key_that_somebody_named_is_for_one_payload(engine: Engine) -> None:
    first = await engine.manager.submit("mail", MAIL, unique_key="ann/1")
    assert (await engine.manager.submit("mail", MAIL, unique_key="ann/1")).id == first.id
    with pytest.raises(IdempotencyConflict) as refused:
        await engine.manager.submit("mail", {"to": "bob"}, unique_key="ann/1")
    assert (refused.value.field, refused.value.job_id) == ("unique_key", first.id)
    assert not (await engine.manager.submit("letter", {"to": "bob"}, unique_key="ann/1")).existing
    await engine.drain()
    assert not (await engine.manager.submit("mail", {"to": "bob"}, unique_key="ann/1")).existing


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"unique": "sometimes"}, "unique"),
        ({"unique": 0}, "unique"),
        ({"unique": -1}, "unique"),
        ({"unique": float("nan")}, "unique"),
        ({"unique": 1e12}, "unique"),
        ({"unique": "while_active", "unique_key": ""}, "unique_key"),
        ({"unique_key": "x" * 1001}, "unique_key"),
        ({"unique": "while_active", "idempotency_key": "k"}, "unique"),
    ],
)
async def test_what_makes_no_sense_is_refused(engine: Engine, options: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        await engine.manager.submit("mail", MAIL, **options)
    assert refused.value.field.startswith(field)
    assert await engine.manager.count_jobs() == await keys(engine) == 0


async def test_keys_are_not_for_the_jobs_of_a_batch(engine: Engine) -> None:
    with pytest.raises(BadInput, match="batch"):
        await engine.manager.create_job_batch([{"type": "mail", "payload": MAIL, "unique": 60}])


async def test_many_at_once_some_with_keys(engine: Engine) -> None:
    items: list[dict[str, Any]] = [{"payload": {"to": to}} for to in "abc"]
    items[0]["unique"] = items[2]["unique"] = "while_active"
    items.append(items[0])
    created = await engine.manager.create_jobs([request_of({"type": "mail"} | item) for item in items])
    assert [job.payload["to"] for job in created] == ["a", "b", "c", "a"]
    assert [job.existing for job in created] == [False, False, False, True]


async def test_a_key_goes_with_its_job(engine: Engine) -> None:
    first = await engine.manager.submit("mail", MAIL, unique=3600)
    await engine.manager.delete_job(first.id)
    assert (await engine.manager.submit("mail", MAIL, unique=3600)).id != first.id


async def test_a_job_may_depend_on_others_and_have_a_key(engine: Engine) -> None:
    parent = await engine.submitted("letter", MAIL)
    first = await engine.manager.submit("mail", MAIL, unique="while_active", dependencies=[parent])
    assert (first.status, first.unmet) == (JobStatus.PENDING, (parent,))
    again = await engine.manager.submit("mail", MAIL, unique="while_active", dependencies=[parent])
    assert again.id == first.id
    await engine.drain()
    assert (await engine.get(first.id)).status is JobStatus.COMPLETED


# --- what is forgotten ---


async def test_stale_keys_are_forgotten_and_others_kept(engine: Engine) -> None:
    @engine.job("slow")
    async def slow(ctx: JobContext) -> None: ...

    active = await engine.manager.create_job("slow", unique="while_active")
    ended = await engine.manager.submit("mail", MAIL, unique="while_active")
    await engine.manager.submit("mail", MAIL, unique=7200, unique_key="long")
    await engine.manager.submit("mail", MAIL, unique=1800, unique_key="short")
    deleted = await engine.manager.submit("letter", MAIL, unique="while_active")
    await engine.drain()
    await engine.manager.delete_job(deleted.id)
    watchdog = Watchdog(engine.runtime)
    assert await watchdog.cleanup_idempotency_records() == 0, "not looked at for an hour"
    engine.clock.jump(3601)
    assert await watchdog.cleanup_idempotency_records(dry_run=True) == 3
    assert await watchdog.cleanup_idempotency_records() == 3
    assert await keys(engine) == 2
    assert (await engine.manager.submit("slow", unique="while_active")).id == active.id
    assert not (await engine.manager.submit("mail", MAIL, unique="while_active")).existing
    assert (await engine.get(ended.id)).status is JobStatus.COMPLETED
    engine.clock.jump(3601)
    assert (await watchdog.run()).deleted_keys == 1, "that of the long period"


# --- races and lost answers ---


class Two:
    """Two managers on one store, one of them on a connection that fails as told."""

    def __init__(self) -> None:
        memory = MemoryJobStore()
        self.plan = FaultPlan()
        self.one = Engine(store=FaultyStore(memory, self.plan))
        self.other = Engine(store=memory, clock=self.one.clock)
        for engine in (self.one, self.other):
            register(engine)
        self.one.chance._ids = iter(range(1_000_000, 2_000_000))  # type: ignore[assignment]  # ids of its own

    async def creating(self) -> tuple[asyncio.Task[Any], Any]:
        """One is about to write what it has decided to write."""
        held = self.plan.hold(Operation.COMMIT_EACH)
        task = asyncio.create_task(self.one.manager.submit("mail", MAIL, unique="while_active"))
        await held.reached()
        return task, held


async def test_of_two_that_create_at_once_one_does() -> None:
    two = Two()
    task, held = await two.creating()
    theirs = await two.other.manager.submit("mail", MAIL, unique="while_active")
    held.release()
    ours = await task
    assert (theirs.existing, ours.existing, ours.id) == (False, True, theirs.id)
    assert await two.other.manager.count_jobs() == 1


@pytest.mark.parametrize("applied", [True, False])
async def test_a_create_whose_answer_is_lost_creates_one(applied: bool) -> None:
    two = Two()
    two.plan.lose(Operation.COMMIT_EACH, applied=applied)
    job = await two.one.manager.submit("mail", MAIL, unique="while_active")
    assert not job.existing
    assert await two.one.manager.count_jobs() == 1
    assert (await two.other.manager.submit("mail", MAIL, unique="while_active")).id == job.id


async def test_of_two_that_take_a_key_over_one_does() -> None:
    two = Two()
    await two.other.manager.submit("mail", MAIL, unique="while_active")
    await two.other.drain()
    await two.one.manager.open()
    held = two.plan.hold(Operation.COMMIT_EACH, skip=1)  # the first try is a new key
    task = asyncio.create_task(two.one.manager.submit("mail", MAIL, unique="while_active"))
    await held.reached()
    theirs = await two.other.manager.submit("mail", MAIL, unique="while_active")
    held.release()
    assert (await task).id == theirs.id


async def test_a_job_that_is_run_again_while_its_key_is_taken_over_keeps_it() -> None:
    two = Two()
    first = await two.other.manager.submit("mail", MAIL, unique="while_active")
    await two.other.manager.cancel_job(first.id)
    await two.one.manager.open()
    held = two.plan.hold(Operation.COMMIT_EACH, skip=1)
    task = asyncio.create_task(two.one.manager.submit("mail", MAIL, unique="while_active"))
    await held.reached()
    await two.other.manager.retry_job(first.id)
    held.release()
    job = await task
    assert (job.id, job.existing, job.status) == (first.id, True, JobStatus.QUEUED)


async def test_a_key_that_is_of_use_again_is_not_forgotten() -> None:
    two = Two()
    first = await two.other.manager.submit("mail", MAIL, unique="while_active")
    await two.other.manager.cancel_job(first.id)
    two.one.clock.jump(3601)
    await two.one.manager.open()
    held = two.plan.hold(Operation.COMMIT_EACH)
    task = asyncio.create_task(Watchdog(two.one.runtime).cleanup_idempotency_records())
    await held.reached()
    await two.other.manager.retry_job(first.id)
    held.release()
    assert await task == 0
    assert (await two.other.manager.submit("mail", MAIL, unique="while_active")).id == first.id


async def test_two_of_one_key_in_one_transaction_are_one_job_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "jobs.db"
    engine = Engine(store=DatabaseJobStore(url=f"sqlite:///{file}"))
    await engine.store.open()
    register(engine)
    database = create_engine(f"sqlite:///{file}")
    for number, keyed in enumerate(({"unique": "while_active", "unique_key": "k"}, {"idempotency_key": "k"}), start=1):
        same = request_of({"type": "mail", "payload": MAIL, **keyed})
        other = request_of({"type": "mail", "payload": {"to": "bob"}, **keyed})
        with database.begin() as connection:
            first, again = await engine.manager.create_jobs([same, same], transaction=connection)
            assert (first.existing, again.existing, again.id) == (False, True, first.id)
        assert await engine.manager.count_jobs() == number
        await engine.manager.cancel_job(first.id)
        await engine.manager.delete_job(first.id)
        with database.begin() as connection, pytest.raises(IdempotencyConflict):
            await engine.manager.create_jobs([same, other], transaction=connection)
        assert await engine.manager.count_jobs() == number - 1
        await engine.manager.create_job("letter", MAIL)
    database.dispose()
    await engine.store.close()

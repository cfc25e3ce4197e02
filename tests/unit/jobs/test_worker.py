"""The worker: what it claims, in which order, when it ends, and what it gives back."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.jobs import (
    BlockingJobContext,
    ContinueLater,
    EngineOptions,
    JobContext,
    JobQueue,
    JobStatus,
    Outcome,
    Worker,
)
from app.jobs.events import Park
from app.jobs.routes import Served
from app.jobs.worker import DRAIN_PATIENCE_SECONDS, worker_name
from app.stores.base import StoreLimits, StoreUnavailable, Update
from app.stores.faults import FaultPlan, FaultyStore, Operation
from app.stores.memory import MemoryJobStore
from tests.support.clock import settle, until
from tests.support.engine import Engine
from tests.unit.jobs.test_codec import Scrambled

Q, R, C, F, X = (
    JobStatus.QUEUED,
    JobStatus.RUNNING,
    JobStatus.COMPLETED,
    JobStatus.FAILED,
    JobStatus.CANCELLED,
)


@pytest.fixture
def ran(engine: Engine) -> list[str]:
    """The names of jobs of type `it`, in the order in which they ran."""
    names: list[str] = []

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        names.append(ctx.job.name)

    return names


# --- what it claims ----------------------------------------------------------------------------------


async def test_the_order_is_queue_then_priority_then_age(engine: Engine, ran: list[str]) -> None:
    for name, queue, priority in [
        ("m-critical", "maintenance", "critical"),
        ("p-low", "priority", "low"),
        ("p-normal-old", "priority", "normal"),
        ("p-normal-new", "priority", "medium"),
        ("m-low", "maintenance", "low"),
        ("p-critical", "priority", "critical"),
        ("p-high", "priority", "high"),
    ]:
        await engine.submitted("it", name=name, queue=queue, priority=priority)
        engine.clock.jump(1)
    await engine.drain(concurrency=1)
    assert ran == ["p-critical", "p-high", "p-normal-old", "p-normal-new", "p-low", "m-critical", "m-low"]


async def test_a_delayed_job_takes_its_turn_by_when_it_became_due(engine: Engine, ran: list[str]) -> None:
    await engine.submitted("it", name="delayed", delay=10)
    engine.clock.jump(20)
    await engine.submitted("it", name="later")
    await engine.drain(concurrency=1)
    assert ran == ["delayed", "later"]


async def test_queues_can_be_chosen(engine: Engine, ran: list[str]) -> None:
    await engine.submitted("it", name="p")
    await engine.submitted("it", name="m", queue="maintenance")
    await engine.drain(queues=[JobQueue.MAINTENANCE])
    assert ran == ["m"]


@pytest.mark.parametrize(
    ("served", "ran_routes"),
    [
        (Served(), ["plain", "wallet"]),
        (Served(flags=frozenset()), ["plain"]),
        (Served(flags=frozenset({"wallet"})), ["plain", "wallet"]),
        (Served(pools=frozenset({"big"})), ["big"]),
        (Served(pools=frozenset({"big", "default"})), ["big", "plain", "wallet"]),
        (Served(pools=frozenset({"elsewhere"})), []),
    ],
)
async def test_only_routes_that_it_serves(engine: Engine, served: Served, ran_routes: list[str]) -> None:
    names: list[str] = []

    async def handler(ctx: JobContext) -> None:
        names.append(ctx.job_type)

    async def other(ctx: JobContext) -> None:
        names.append(ctx.job_type)

    async def third(ctx: JobContext) -> None:
        names.append(ctx.job_type)

    engine.job("plain")(handler)
    engine.job("wallet", requires_wallet=True)(other)
    engine.job("big", pool="big")(third)
    for job_type in ("plain", "wallet", "big"):
        await engine.submitted(job_type)
    await engine.drain(served=served)
    assert sorted(names) == ran_routes
    assert await engine.manager.count_jobs(status="queued") == 3 - len(ran_routes)


async def test_no_more_is_claimed_than_can_start_at_once(engine: Engine) -> None:
    """Given thirty jobs and three slots, then never more than three are RUNNING."""
    release = asyncio.Event()

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await release.wait()

    for _ in range(30):
        await engine.submitted("it")
    async with engine.working(concurrency=3) as worker:
        assert (worker.report.claimed, await engine.manager.count_jobs(status="running")) == (3, 3)
        release.set()
        await settle()
        assert worker.report.completed == 30


@pytest.mark.parametrize("hindrance", ["unroutable", "delayed", "parked", "backed off"])
@pytest.mark.parametrize("number", [20, 300])
async def test_jobs_that_cannot_run_never_hide_one_that_can(
    engine: Engine, ran: list[str], hindrance: str, number: int
) -> None:
    engine.job("elsewhere", pool="elsewhere")(lambda: None)
    for _ in range(number):
        if hindrance == "unroutable":
            await engine.submitted("elsewhere", priority="critical")
        elif hindrance == "parked":
            held = await engine.manager.submit("it", name="hidden", priority="critical")
            await engine.runtime.queue.change(held, Park("limit:x"))
        else:
            delay = 60 if hindrance == "delayed" else 600
            await engine.submitted("it", name="hidden", priority="critical", delay=delay)
    engine.clock.jump(1)
    await engine.submitted("it", name="due", priority="low")
    reads = engine.store.usage.reads
    await engine.drain()
    assert ran == ["due"]
    assert engine.store.usage.reads - reads < 20, "finding due work must not cost more the more there waits"


# --- when it ends ------------------------------------------------------------------------------------


async def test_a_drain_ends_when_nothing_is_claimable_and_nothing_runs(engine: Engine, ran: list[str]) -> None:
    for number in range(45):
        await engine.submitted("it", name=str(number))
    report = await engine.drain(concurrency=4)
    assert (report.claimed, report.settled, report.completed, report.failed, report.lost) == (45, 45, 45, 0, 0)
    assert (await engine.drain()).claimed == 0


async def test_a_drain_takes_what_its_own_jobs_create(engine: Engine) -> None:
    @engine.job("parent")
    async def parent(ctx: JobContext, generations: int) -> None:
        if generations:
            for _ in range(2):
                await ctx.manager.submit("parent", {"generations": generations - 1}, parent_id=ctx.job_id)

    await engine.submitted("parent", {"generations": 3})
    report = await engine.drain(concurrency=3)
    assert report.completed == 1 + 2 + 4 + 8
    deepest = await engine.manager.list_jobs(limit=1)
    assert deepest[0].depth == 3


async def test_a_drain_waits_for_what_is_due_very_soon(engine: Engine, ran: list[str]) -> None:
    await engine.submitted("it", name="soon", delay=DRAIN_PATIENCE_SECONDS - 1)
    await engine.submitted("it", name="later", delay=DRAIN_PATIENCE_SECONDS + 60)
    draining = asyncio.ensure_future(engine.drain())
    await settle()
    assert not draining.done()
    await engine.clock.advance(DRAIN_PATIENCE_SECONDS)
    assert (await draining).completed == 1
    assert ran == ["soon"]


async def test_a_worker_takes_at_most_so_many_jobs(engine: Engine, ran: list[str]) -> None:
    for number in range(5):
        await engine.submitted("it", name=str(number))
    report = await Worker(engine.runtime, concurrency=2).run(max_jobs=3)
    assert (report.claimed, report.completed, len(ran)) == (3, 3, 3)


async def test_a_worker_works_at_most_so_long(engine: Engine) -> None:
    """Given a deadline, when it comes, then what runs is given back uncounted, and goes on elsewhere."""

    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await engine.clock.sleep(100)

    job_id = await engine.submitted("it")
    task = asyncio.ensure_future(Worker(engine.runtime).run(max_seconds=30))
    await engine.clock.advance(29)
    assert not task.done()
    await engine.clock.advance(1 + engine.runtime.options.shutdown_seconds)
    assert (await task).claimed == 1
    job = await engine.get(job_id)
    assert (job.status, job.outcome, job.retries_used, job.lease_losses) == (Q, Outcome.SLICED, 0, 0)


async def test_a_worker_says_whether_its_time_was_up_before_its_work_was_done(engine: Engine) -> None:
    """Given short jobs, when it is so late that no more is begun, then it ends with the last one and says so."""

    @engine.job("it")
    async def handler() -> None:
        await engine.clock.sleep(1)

    for _ in range(30):
        await engine.submitted("it")
    task = asyncio.ensure_future(Worker(engine.runtime, concurrency=1).run(drain=True, max_seconds=10))
    while not task.done():
        await engine.clock.advance(0.5)
    report = await task
    assert (report.cut_short, report.completed, report.lost) == (True, report.claimed, 0)
    assert 0 < report.completed < 30
    task = asyncio.ensure_future(Worker(engine.runtime, concurrency=30).run(drain=True, max_seconds=10))
    while not task.done():
        await engine.clock.advance(0.5)
    assert not (await task).cut_short


async def test_a_worker_can_run_again(engine: Engine, ran: list[str]) -> None:
    worker = Worker(engine.runtime)
    for number in range(3):
        await engine.submitted("it", name=str(number))
        assert (await worker.run(drain=True)).completed == 1
    assert ran == ["0", "1", "2"]


# --- waking ------------------------------------------------------------------------------------------


async def test_an_idle_worker_is_woken_by_a_new_job(engine: Engine, ran: list[str]) -> None:
    """Given an idle worker, when a job is created, then it runs at once; no time goes by."""
    async with engine.working():
        for number in range(3):
            await engine.submitted("it", name=str(number))
            await settle()
            assert len(ran) == number + 1


async def test_a_wake_up_that_is_lost_costs_a_poll_and_no_more(engine: Engine, ran: list[str]) -> None:
    watch = engine.memory.watch

    async def deaf(collection: str, record_id: str | None = None) -> Any:
        heard = await watch(collection, record_id)
        heard.ring = lambda: None  # type: ignore[attr-defined]
        return heard

    engine.memory.watch = deaf  # type: ignore[method-assign, assignment]
    async with engine.working():
        await engine.submitted("it", name="unheard")
        await settle()
        assert ran == []
        await engine.clock.advance(engine.store.limits().poll_seconds)
        assert ran == ["unheard"]


async def test_a_delayed_job_runs_when_it_is_due(engine: Engine, ran: list[str]) -> None:
    async with engine.working():
        await engine.submitted("it", name="delayed", delay=30)
        await engine.clock.advance(29)
        assert ran == []
        await engine.clock.advance(1 + engine.store.limits().poll_seconds)
        assert ran == ["delayed"]


async def test_a_worker_that_is_never_idle_does_not_pile_up_the_times_of_jobs_that_it_delayed() -> None:
    engine = Engine()

    @engine.job("busy")
    async def busy(ctx: JobContext) -> None:
        await engine.clock.sleep(1)

    @engine.job("again", priority="critical")
    async def again(ctx: JobContext) -> None:
        raise ContinueLater(5)

    for _ in range(80):
        await engine.submitted("busy")
    for _ in range(4):
        await engine.submitted("again")
    async with engine.working(concurrency=2) as worker:
        await engine.clock.advance(30)
        assert len(await engine.manager.list_jobs(type="busy", status="queued")) > 10, "so it was never idle"
        times = worker.lookout.times
        assert sum(time <= engine.clock.now() for time in times) <= 1
        assert len(times) <= 5


async def test_an_idle_worker_looks_again_when_a_delayed_job_is_due(engine: Engine, ran: list[str]) -> None:
    await engine.submitted("it", name="delayed", delay=1.5)
    async with engine.working():
        await engine.clock.advance(1.4)
        assert ran == []
        await engine.clock.advance(0.2)
        assert ran == ["delayed"]


class PricedStore(MemoryJobStore):
    """A store whose questions cost money."""

    def limits(self) -> StoreLimits:
        return replace(super().limits(), reads_are_priced=True)


async def test_where_questions_cost_a_worker_knows_the_delays_that_it_made_itself() -> None:
    plan = FaultPlan()
    engine = Engine(store=FaultyStore(PricedStore(), plan))
    await engine.store.open()

    @engine.job("it", max_retries=1, retry_delay_seconds=2, retry_backoff="fixed")
    async def handler(ctx: JobContext) -> None:
        if ctx.attempt == 1:
            raise ValueError("again")

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(1.9)
        assert (await engine.get(job_id)).attempt == 1
        await engine.clock.advance(0.2)
        assert (await engine.get(job_id)).status is C
    assert plan.calls[Operation.QUERY] == 0
    await engine.store.close()


# --- stopping ----------------------------------------------------------------------------------------


async def test_a_handler_that_ends_in_time_is_settled_at_shutdown(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> str:
        while not ctx.is_stopping:
            await engine.clock.sleep(0.5)
        return "done quickly"

    job_id = await engine.submitted("it")
    async with engine.working() as worker:
        await engine.clock.advance(1)
        worker.stop()
        assert not worker.is_ready
        await engine.clock.advance(1)
    assert (await engine.get(job_id)).status is C


async def test_a_handler_may_save_where_it_is_at_shutdown(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> str:
        page = ctx.checkpoint or 0
        while page < 10:
            if ctx.is_stopping:
                raise ContinueLater(0, checkpoint=page)
            await engine.clock.sleep(1)
            page += 1
        return "all pages"

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(3.5)
    job = await engine.get(job_id)
    assert (job.status, job.outcome, job.checkpoint) == (Q, Outcome.SLICED, 4)
    async with engine.working():
        await engine.clock.advance(7)
    job = await engine.get(job_id)
    assert (job.status, job.retries_used, job.lease_losses, job.attempt) == (C, 0, 0, 2)


async def test_a_handler_that_does_not_listen_is_cut_off_and_released_uncounted(engine: Engine) -> None:
    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext) -> None:
        await ctx.save_checkpoint({"page": 1})
        await ctx.log("working")
        await engine.clock.sleep(1000)

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(1)
    stopped_after = engine.clock.monotonic() - 5001
    assert stopped_after <= engine.runtime.options.shutdown_seconds
    job = await engine.get(job_id)
    assert (job.status, job.outcome, job.checkpoint) == (Q, Outcome.RELEASED, {"page": 1})
    assert (job.retries_used, job.lease_losses, job.lease_token, await engine.log(job_id)) == (0, 0, None, ["working"])
    (run,) = await engine.runs(job_id)
    assert run.counted is False


async def test_an_error_because_of_the_shutdown_is_an_error_all_the_same(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        while not ctx.is_stopping:
            await engine.clock.sleep(0.5)
        raise ValueError("no time")

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(1)
    job = await engine.get(job_id)
    assert (job.status, job.outcome, job.retries_used) == (Q, Outcome.RETRIED, 1)


async def test_a_thread_that_will_not_stop_keeps_its_lease_for_a_moment_only(engine: Engine) -> None:
    """Given a sync handler at shutdown, then it is not released, because it still runs: its lease is shortened."""
    begun, release = threading.Event(), threading.Event()

    @engine.job("it", max_retries=0)
    def handler(ctx: BlockingJobContext) -> None:
        begun.set()
        assert release.wait(30)

    job_id = await engine.submitted("it")
    async with engine.working():
        await until(begun.is_set)
    job = await engine.get(job_id)
    assert (job.status, job.attempt) == (R, 1)
    assert job.lease_expires_at is not None
    left = (job.lease_expires_at - engine.clock.now()).total_seconds()
    assert 10 < left <= 15
    release.set()
    engine.clock.jump(16)
    assert (await engine.manager.run_watchdog()).recovered == 1
    job = await engine.get(job_id)
    assert (job.status, job.retries_used, job.lease_losses) == (Q, 0, 0)


async def test_a_hundred_running_jobs_are_given_back_in_time(engine: Engine) -> None:
    @engine.job("it")
    async def handler(ctx: JobContext) -> None:
        await engine.clock.sleep(1000)

    for _ in range(100):
        await engine.submitted("it")
    async with engine.working(concurrency=100):
        assert await engine.manager.count_jobs(status="running") == 100
    assert engine.clock.monotonic() - 5000 <= engine.runtime.options.shutdown_seconds
    assert await engine.manager.count_jobs(status="queued") == 100


# --- jobs that cannot be run -------------------------------------------------------------------------


async def test_a_type_that_nothing_here_handles_is_left_to_others(engine: Engine) -> None:
    """Given a job whose type this worker's code does not know, then it goes back uncounted, for longer each time."""
    engine.job("gone", max_retries=0)(lambda: None)
    job_id = await engine.submitted("gone")
    definition = engine.registry.get("gone")
    engine.registry.remove("gone")
    async with engine.working():
        await engine.clock.advance(10)
        job = await engine.get(job_id)
        assert (job.status, job.retries_used, job.lease_losses) == (Q, 0, 0)
        assert {run.outcome for run in await engine.runs(job_id)} == {Outcome.RELEASED}
        assert not any(run.counted for run in await engine.runs(job_id))
        engine.registry.add(definition)
        await engine.clock.advance(60)
    assert (await engine.get(job_id)).status is JobStatus.COMPLETED


async def test_a_payload_that_cannot_be_read_fails_and_can_still_be_steered(engine: Engine) -> None:
    """Given a payload written under another key, then the job ends FAILED by itself, and breaks nobody else's list."""
    engine.job("it", max_retries=1, retry_delay_seconds=60)(lambda n: n)
    other = Engine(store=engine.store, text_codec=Scrambled(), clock=engine.clock)
    other.registry.add(engine.registry.get("it"))
    job_id = await engine.submitted("it", {"n": 1})
    second = await engine.submitted("it", {"n": 2}, delay=1000)
    async with other.working():
        await engine.clock.advance(61)
    listed = {each.id: each for each in await engine.manager.list_jobs()}
    job = listed[job_id]
    assert (job.status, job.error and job.error.code, job.payload) == (F, "UNREADABLE", {"n": 1})
    assert {each.id: each.status for each in await other.manager.list_jobs()} == {job_id: F, second: Q}
    assert (await other.manager.cancel_job(second)).status is X
    payloads = {each.id: each.payload for each in await engine.manager.list_jobs()}
    assert payloads[second] == {"n": 2}


async def test_a_stored_payload_that_no_longer_fits_its_handler_fails_at_once(engine: Engine) -> None:
    engine.job("it")(lambda old: old)
    job_id = await engine.submitted("it", {"old": 1})
    engine.registry.remove("it")

    @engine.job("it")
    async def newer(ctx: JobContext, new: int) -> int:
        return new

    await engine.drain()
    job = await engine.get(job_id)
    assert (job.status, job.error and job.error.code) == (F, "PAYLOAD_INVALID")


async def test_a_job_not_begun_in_time_is_never_run(engine: Engine, ran: list[str]) -> None:
    start_before = engine.clock.now() + timedelta(seconds=30)
    late = await engine.submitted("it", name="late", start_before=start_before)
    engine.clock.jump(31)
    report = await engine.drain()
    job = await engine.get(late)
    assert (ran, report.settled) == ([], 0)
    assert (job.status, job.error and job.error.code, job.error and job.error.message) == (X, "EXPIRED", "expired")
    assert job.expire_at is not None
    assert await engine.runs(late) == []


# --- trouble -----------------------------------------------------------------------------------------


async def test_a_store_that_cannot_be_reached_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    plan = FaultPlan()
    engine = Engine(store=FaultyStore(MemoryJobStore(), plan))
    await engine.store.open()
    engine.job("it")(lambda: 1)
    job_id = await engine.submitted("it")
    plan.refuse(Operation.CLAIM, times=3)
    async with engine.working():
        assert (await engine.get(job_id)).status is Q
        await engine.clock.advance(10)
        assert (await engine.get(job_id)).status is C
    assert caplog.text.count("nothing could be claimed") == 3


async def test_a_settle_that_cannot_be_sent_is_sent_again_while_the_lease_lives() -> None:
    plan = FaultPlan()
    engine = Engine(store=FaultyStore(MemoryJobStore(), plan))
    await engine.store.open()

    @engine.job("it")
    async def handler(ctx: JobContext) -> int:
        plan.refuse(Operation.COMMIT_EACH, times=5)
        return 1

    job_id = await engine.submitted("it")
    async with engine.working():
        await engine.clock.advance(30)
        assert (await engine.get(job_id)).status is C
    assert len(await engine.runs(job_id)) == 1


async def test_a_store_that_stays_away_costs_the_lease_and_not_the_worker() -> None:
    plan = FaultPlan()
    engine = Engine(store=FaultyStore(MemoryJobStore(), plan), options=EngineOptions(lease_seconds=30))
    await engine.store.open()

    @engine.job("it")
    async def handler(ctx: JobContext) -> int:
        if ctx.attempt == 1:
            plan.refuse(Operation.COMMIT_EACH, when=lambda call: engine.clock.monotonic() < 5060, times=1000)
        return ctx.attempt

    job_id = await engine.submitted("it")
    async with engine.working() as worker:
        await engine.clock.advance(100)
        assert worker.report.lost == 1
        await engine.manager.run_watchdog()
        await engine.clock.advance(10)
    job = await engine.get(job_id)
    assert (job.status, job.attempt, job.lease_losses) == (C, 2, 1)


async def test_upkeep_is_done_now_and_then_and_its_trouble_is_told(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[float] = []

    async def upkeep() -> None:
        done.append(engine.clock.monotonic() - 5000)
        if len(done) == 2:
            raise StoreUnavailable("it is away")

    async with engine.working(upkeep=upkeep, upkeep_seconds=30):
        await engine.clock.advance(95)
    assert done == [0, 30, 60, 90]
    assert caplog.text.count("upkeep was not done: it is away") == 1


async def test_a_record_that_changes_between_claims_is_nobodys_loss(engine: Engine, ran: list[str]) -> None:
    """Given a job that somebody else changed since it was listed, then the claim sees it as it is."""
    job = await engine.manager.submit("it", name="first")
    (record,) = await engine.store.get("jobs", [job.id])
    assert record is not None
    await engine.store.commit([Update("jobs", job.id, {"name": "renamed"}, record.version)])
    await engine.drain()
    assert ran == ["renamed"]


async def test_a_worker_has_a_name_that_people_recognise(engine: Engine) -> None:
    assert worker_name().rpartition("-")[2].isdigit()
    assert Worker(engine.runtime).worker_id == worker_name()


async def test_a_job_that_ends_at_its_claim_lets_others_go_on(engine: Engine, ran: list[str]) -> None:
    """Given a job that had to begin earlier, when it is claimed, then who waits for it or its key need no watchdog."""
    start_before = engine.clock.now() + timedelta(seconds=5)
    late = await engine.submitted("it", name="late", concurrency_key="k", start_before=start_before)
    await engine.submitted("it", name="next", concurrency_key="k")
    child = await engine.submitted("it", name="child", dependencies=[late])
    engine.clock.jump(10)
    await engine.drain()
    assert ran == ["next"]
    assert [(await engine.get(job_id)).status for job_id in (late, child)] == [X, X]
    assert (await engine.get(late)).release == "done"


async def test_a_worker_for_one_job_that_has_expired_lets_others_go_on(engine: Engine, ran: list[str]) -> None:
    late = await engine.submitted("it", name="late", start_before=engine.clock.now() + timedelta(seconds=5))
    child = await engine.submitted("it", name="child", dependencies=[late])
    engine.clock.jump(10)
    await Worker(engine.runtime).run(job_id=late)
    assert (ran, (await engine.get(child)).status) == ([], X)

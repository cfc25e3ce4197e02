"""Following a job's log and saved results: in order, without gaps, from any place, by several at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.jobs import BadInput, JobContext, JobNotFound, LogEntry, Runtime, Worker, event_number, results
from app.jobs.errors import BatchNotFound
from app.jobs.lease import Lease
from app.jobs.results import LogTail
from app.jobs.streams import LogPump, Subscription
from app.stores.base import Insert
from app.stores.faults import FaultPlan, FaultyStore, Operation
from app.stores.memory import MemoryJobStore
from tests.support.clock import settle
from tests.support.engine import Engine


@pytest.fixture(autouse=True)
def types(engine: Engine) -> None:
    @engine.job("talk")
    async def talk(ctx: JobContext, lines: int = 6, each: float = 10.0) -> None:
        for number in range(1, lines + 1):
            await ctx.log(f"line {number}")
            await ctx.save_result({"part": number})
            await engine.clock.sleep(each)


def elsewhere(engine: Engine) -> Worker:
    """A worker of another process, which shares the store and nothing else."""
    return Worker(Runtime(engine.store, registry=engine.registry, clock=engine.clock), worker_id="elsewhere")


async def collect(lines: AsyncIterator[LogEntry], into: list[str]) -> None:
    async for entry in lines:
        line = f"{entry.number}: {entry.message}"
        into.append(line)


ALL = [f"{number}: line {number}" for number in range(1, 7)]


async def test_several_follow_one_log_from_different_places_to_its_end(engine: Engine) -> None:
    job_id = await engine.submitted("talk")
    heard: dict[int, list[str]] = {0: [], 2: [], 6: [], 9: []}
    tasks = [asyncio.create_task(collect(engine.manager.subscribe_logs(job_id, n), into)) for n, into in heard.items()]
    work = asyncio.create_task(elsewhere(engine).run(max_jobs=1))
    await engine.clock.advance(35)
    assert heard[0] == ALL[:4], "what is stored is heard while the job runs"
    late: list[str] = []
    tasks.append(asyncio.create_task(collect(engine.manager.subscribe_logs(job_id, 3), late)))
    await engine.clock.advance(40)
    await asyncio.gather(work, *tasks)
    assert (heard[0], heard[2], heard[6], heard[9], late) == (ALL, ALL[2:], [], [], ALL[3:])


async def test_the_log_of_an_ended_job_is_read_from_the_middle_of_a_page(engine: Engine) -> None:
    job_id = await engine.submitted("talk", {"each": 0.0, "lines": 6})
    await engine.drain()
    assert [entry.number for entry in await engine.manager.get_logs(job_id, after=2)] == [3, 4, 5, 6]
    assert [entry.number for entry in await engine.manager.get_logs(job_id, limit=2)] == [1, 2]
    for after in range(8):
        heard: list[str] = []
        await collect(engine.manager.subscribe_logs(job_id, after), heard)
        assert heard == ALL[after:]


async def test_a_slow_follower_loses_nothing_and_holds_nobody_up(engine: Engine) -> None:
    job_id = await engine.submitted("talk")
    slow = engine.manager.subscribe_logs(job_id)
    work = asyncio.create_task(elsewhere(engine).run(max_jobs=1))
    await engine.clock.advance(11)
    assert (await anext(slow)).number == 1
    await engine.clock.advance(100)
    assert (await engine.get(job_id)).is_terminal
    await work
    heard: list[str] = []
    await collect(slow, heard)
    assert heard == ALL[1:]


async def test_a_subscription_is_ended_by_another_task(engine: Engine) -> None:
    job_id = await engine.submitted("talk")
    heard: list[str] = []
    lines = engine.manager.subscribe_logs(job_id)
    task = asyncio.create_task(collect(lines, heard))
    await settle()
    assert not task.done()
    engine.manager.unsubscribe_logs(job_id, lines)
    await settle()
    assert task.done()
    assert heard == []
    assert [line async for line in lines] == []


async def test_saved_results_are_followed_with_their_numbers(engine: Engine) -> None:
    job_id = await engine.submitted("talk")
    seen: list[tuple[int, object]] = []

    async def follow() -> None:
        async for result in engine.manager.subscribe_results(job_id, after=1):
            number = result.number
            seen.append((number, result.data))

    task = asyncio.create_task(follow())
    work = asyncio.create_task(elsewhere(engine).run(max_jobs=1))
    await engine.clock.advance(25)
    assert seen == [(2, {"part": 2}), (3, {"part": 3})], "the store tells what another process saved"
    await engine.clock.advance(60)
    await asyncio.gather(task, work)
    assert [number for number, _ in seen] == [2, 3, 4, 5, 6]


async def test_what_cannot_be_followed_is_refused(engine: Engine) -> None:
    for nothing in ("nobody", "no/id"):
        with pytest.raises(JobNotFound):
            await anext(engine.manager.subscribe_logs(nothing))
    for wrong in (-1, 1.5, "3", True, None):
        with pytest.raises(BadInput, match="after"):
            engine.manager.subscribe_logs("any", wrong)  # type: ignore[arg-type]
        with pytest.raises(BadInput, match="after"):
            engine.manager.subscribe_results("any", wrong)  # type: ignore[arg-type]


async def test_a_follower_of_a_job_that_is_deleted_is_told(engine: Engine) -> None:
    job_id = await engine.submitted("talk")
    lines = engine.manager.subscribe_logs(job_id)
    waiting = asyncio.ensure_future(anext(lines))
    await settle()
    await engine.manager.delete_job(job_id)
    await settle()
    with pytest.raises(JobNotFound):
        await waiting


async def test_a_batch_is_followed_until_none_of_its_jobs_is_unfinished(engine: Engine) -> None:
    seen: list[tuple[dict[str, int], float]] = []
    batch = await engine.manager.create_job_batch([{"type": "talk", "payload": {"lines": n}} for n in (1, 3)])

    async def follow() -> None:
        async for info in engine.manager.subscribe_batch(batch.id):
            progress = info.progress
            seen.append((info.counts, progress))

    task = asyncio.create_task(follow())
    async with engine.working():
        await engine.clock.advance(60)
    await task
    assert seen == [
        ({"queued": 2}, 0.0),
        ({"running": 2}, 0.0),
        ({"running": 1, "completed": 1}, 50.0),
        ({"completed": 2}, 100.0),
    ]
    again = [info.is_done async for info in engine.manager.subscribe_batch(batch.id)]
    assert again == [True]
    await engine.manager.delete_job(batch.jobs[0].id)
    assert [info.ended async for info in engine.manager.subscribe_batch(batch.id)] == [1]
    with pytest.raises(BatchNotFound):
        await anext(engine.manager.subscribe_batch("nobody"))


async def test_an_event_that_is_stored_late_is_told_and_each_once(engine: Engine) -> None:
    told: list[str] = []
    await engine.manager.send_event("news", event_id="before")
    await engine.clock.advance(1)
    feed = engine.manager.subscribe_events("news")

    async def follow() -> None:
        async for event in feed:
            told.append(event.id)  # noqa: PERF401 - it is looked at meanwhile

    task = asyncio.create_task(follow())
    await settle()
    for event_id, name in (("a", "news"), ("b", "other"), ("c", "news")):
        await engine.clock.advance(7)
        await engine.manager.send_event(name, event_id=event_id)
    await engine.clock.advance(6)
    (of_c,) = await engine.store.get("events", ["c"])
    assert of_c is not None
    assert told == ["a", "c"]
    sent_at = engine.clock.now() - timedelta(seconds=8)
    await engine.store.commit([Insert("events", "late", {**of_c.fields, "sent_at": sent_at})])
    await engine.clock.advance(60)
    feed.close()
    await settle()
    await task

    assert told == ["a", "c", "late"]
    again = engine.manager.subscribe_events(after=event_number(sent_at))
    assert [(await anext(again)).id for _ in range(3)] == ["b", "late", "c"]
    for wrong in (-1, 1.5):
        with pytest.raises(BadInput):
            engine.manager.subscribe_events(after=wrong)  # type: ignore[arg-type]


# --- while somebody watches ---


async def test_the_holder_writes_each_second_while_somebody_follows_and_no_longer(engine: Engine) -> None:
    job_id = await engine.submitted("talk", {"lines": 400, "each": 1.0})
    other = elsewhere(engine)
    work = asyncio.create_task(other.run(max_jobs=1))
    await settle()
    heard: list[tuple[int, float]] = []
    lines = engine.manager.subscribe_logs(job_id)
    began = engine.clock.monotonic()

    async def follow() -> None:
        async for entry in lines:
            seconds = engine.clock.monotonic() - began
            heard.append((entry.number, seconds))

    task = asyncio.create_task(follow())
    await engine.clock.advance(60)
    lateness = [at - (number - 1) for number, at in heard]
    assert max(lateness) <= 1.0
    told = (await engine.get(job_id)).watched_until
    assert told is not None
    lines.close()
    await engine.clock.advance(1)
    assert task.done()
    await engine.clock.advance(120)
    assert (await engine.get(job_id)).watched_until == told, "nobody tells the holder any more"
    other.stop()
    await engine.clock.advance(20)
    await work


async def test_a_holder_is_told_about_once_in_three_quarters_of_a_minute_by_however_many(engine: Engine) -> None:
    @engine.job("quiet")
    async def quiet(ctx: JobContext) -> None:
        await engine.clock.sleep(600)

    job_id = await engine.submitted("quiet")
    (lease,), _ = await engine.runtime.queue.claim("w", sorted(engine.registry.routes()), 1)
    assert isinstance(lease, Lease)
    subscriptions = [engine.manager.subscribe_logs(job_id) for _ in range(3)]
    tasks = [asyncio.create_task(collect(each, [])) for each in subscriptions]
    writes = engine.store.usage.writes
    await engine.clock.advance(44)
    assert engine.store.usage.writes - writes == 1
    await engine.clock.advance(10)
    assert engine.store.usage.writes - writes == 2
    # The holder comes across what the followers wrote, keeps its lease, and takes it over.
    await lease.flush()
    assert lease.job.watched_until is not None
    assert lease.lost is None
    for each in subscriptions:
        each.close()
    await settle()
    await asyncio.gather(*tasks)


async def test_who_may_only_read_follows_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    plan = FaultPlan()
    engine = Engine(store=FaultyStore(MemoryJobStore(), plan))
    await engine.store.open()
    engine.job("quiet")(lambda: None)
    job_id = await engine.submitted("quiet")
    (lease,), _ = await engine.runtime.queue.claim("w", sorted(engine.registry.routes()), 1)
    heard: list[str] = []
    plan.refuse(Operation.COMMIT)
    plan.refuse(Operation.COMMIT_EACH)
    lines = engine.manager.subscribe_logs(job_id)
    task = asyncio.create_task(collect(lines, heard))
    await engine.clock.advance(3)
    lease.add_log("INFO", "said")
    await lease.flush()
    await engine.clock.advance(1)
    assert heard == ["1: said"]
    assert caplog.text.count("cannot be told that it is followed") == 1
    lines.close()
    await settle()
    await task


@settings(max_examples=60, deadline=None)
@given(
    pages=st.lists(st.integers(1, 4), min_size=1, max_size=8),
    after=st.integers(0, 30),
    read_after=st.sets(st.integers(0, 7)),
    at_once=st.integers(1, 3),
)
async def test_a_log_is_read_without_gaps_from_any_line_however_it_is_cut_into_pages(
    pages: list[int], after: int, read_after: set[int], at_once: int
) -> None:
    engine = Engine()
    await engine.store.open()
    engine.job("quiet")(lambda: None)
    job_id = await engine.submitted("quiet")
    (lease,), _ = await engine.runtime.queue.claim("w", sorted(engine.registry.routes()), 1)
    tail = LogTail(engine.store, engine.runtime.records, job_id, after)
    read: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "LOG_PAGES", at_once)
        for number, size in enumerate(pages):
            for line in range(size):
                lease.add_log("INFO", f"line {line}")
            await lease.flush()
            if number in read_after:
                read += [entry.number async for entry in tail.lines()]
        read += [entry.number async for entry in tail.lines()]
    assert read == list(range(after + 1, sum(pages) + 1))


async def test_what_following_costs(engine: Engine) -> None:
    """The figures of docs/costs.md."""
    engine.job("quiet")(lambda: None)
    job_id = await engine.submitted("quiet")
    (lease,), _ = await engine.runtime.queue.claim("w", sorted(engine.registry.routes()), 1)
    heard: list[str] = []
    lines = engine.manager.subscribe_logs(job_id)
    task = asyncio.create_task(collect(lines, heard))
    await settle()
    usage = engine.store.usage

    lease.add_log("INFO", "meets what the follower wrote")
    reads, writes = usage.reads, usage.writes
    await lease.flush()
    assert (usage.reads - reads, usage.writes - writes) == (1, 2), "the holder reads back once; log page and job"
    await settle()
    for number in range(3):
        lease.add_log("INFO", f"line {number}")
        reads, writes = usage.reads, usage.writes
        await lease.flush()
        await settle()
        assert (usage.reads - reads, usage.writes - writes) == (2, 2), "the follower reads job and log page"
    assert len(heard) == 4
    lines.close()
    await settle()
    await task


# --- the queue of a subscriber ---


async def test_a_pump_waits_for_its_reader_and_reads_on_from_there(engine: Engine) -> None:
    job_id = await engine.submitted("talk", {"each": 0.0})
    await engine.drain()
    queue: asyncio.Queue[LogEntry | None] = asyncio.Queue(2)
    pump = asyncio.create_task(LogPump(partial(engine.manager.subscribe_logs, job_id), engine.clock, queue).run())
    await settle()
    assert (queue.qsize(), pump.done()) == (2, False)
    heard: list[int] = []
    while (entry := await queue.get()) is not None:
        heard.append(entry.number)
    assert heard == [1, 2, 3, 4, 5, 6]
    await pump


async def test_a_pump_outlasts_a_store_that_is_away(engine: Engine) -> None:
    job_id = await engine.submitted("talk", {"each": 0.0, "lines": 2})
    queue: asyncio.Queue[LogEntry | None] = asyncio.Queue()
    pump = asyncio.create_task(LogPump(partial(engine.manager.subscribe_logs, job_id), engine.clock, queue).run())
    await settle()
    await engine.store.close()
    await engine.clock.advance(10)
    await engine.store.open()
    await engine.drain()
    await engine.clock.advance(40)
    assert pump.done()
    assert [entry.number for entry in (queue.get_nowait(), queue.get_nowait()) if entry is not None] == [1, 2]
    assert queue.get_nowait() is None


async def test_a_subscription_is_its_own_iterator() -> None:
    async def one(closed: asyncio.Event) -> AsyncGenerator[int, None]:
        yield 1

    subscription = Subscription(one)
    assert aiter(subscription) is subscription

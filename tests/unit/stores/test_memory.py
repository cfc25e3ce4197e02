"""What is particular to the memory store: lifetime, threads, and a cost that does not grow with the backlog."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.stores.base import Fields, Insert, Query, Record, StoreUnavailable
from app.stores.conformance.harness import NOON, ask, ids, insert, job, lease, promote, ready
from app.stores.memory import MemoryJobStore


async def test_a_closed_store_says_so() -> None:
    store = MemoryJobStore()
    with pytest.raises(StoreUnavailable, match="open it first"):
        await store.get("jobs", ["a"])
    await store.open()
    await store.get("jobs", ["a"])
    await store.close()
    with pytest.raises(StoreUnavailable, match="open it first"):
        await store.commit([Insert("jobs", "a", job())])


async def test_counters_begin_anew_with_each_opening() -> None:
    store = MemoryJobStore()
    await store.open()
    await store.commit([Insert("jobs", "a", job())])
    assert store.usage.writes == 1
    await store.open()
    assert store.usage.writes == 1
    await store.close()
    await store.open()
    assert store.usage.writes == 0


async def test_a_callback_that_raises_leaves_everything_as_it_was() -> None:
    store = MemoryJobStore()
    await store.open()
    versions = await insert(store, "jobs", [("a", ready()), ("b", ready())])

    def broken(record: Record) -> Fields | None:
        if record.id == "b":
            raise RuntimeError("a bug in the engine")
        return lease(record)

    with pytest.raises(RuntimeError, match="a bug in the engine"):
        await store.claim(ask(), broken, promote)
    records = await store.get("jobs", ["a", "b"])
    assert [record and record.version for record in records] == [versions["a"], versions["b"]]


@pytest.mark.parametrize("patch", [{"no_such_field": 1}, {"priority": "high"}])
async def test_a_patch_that_does_not_fit_is_refused(patch: Fields) -> None:
    store = MemoryJobStore()
    await store.open()
    await insert(store, "jobs", [("a", ready())])
    with pytest.raises((TypeError, ValueError)):
        await store.claim(ask(), lambda record: patch, promote)
    assert ids((await store.claim(ask(), lease, promote)).records) == ["a"]


async def test_a_claim_of_nothing_is_refused() -> None:
    store = MemoryJobStore()
    await store.open()
    with pytest.raises(ValueError, match="ask for at least 1"):
        await store.claim(ask(limit=0), lease, promote)


async def test_a_record_that_is_ready_and_due_is_taken_once() -> None:
    store = MemoryJobStore()
    await store.open()
    await insert(store, "jobs", [("a", ready(wake_at=NOON))])
    assert ids((await store.claim(ask(), lease, promote)).records) == ["a"]
    assert ids((await store.claim(ask(), lease, promote)).records) == []


def test_threads_with_loops_of_their_own_share_one_store() -> None:
    store = MemoryJobStore()
    names = [f"job-{number}" for number in range(400)]

    async def fill() -> None:
        await store.open()
        await insert(store, "jobs", [(name, ready()) for name in names])

    async def drain() -> list[str]:
        found: list[str] = []
        while True:
            claimed = await store.claim(ask(limit=3), lease, promote)
            found += ids(claimed.records)
            if not claimed.full_page:
                return found

    asyncio.run(fill())
    with ThreadPoolExecutor(4) as threads:
        drains = [threads.submit(lambda: asyncio.run(drain())) for _ in range(4)]
        found = [name for drained in drains for name in drained.result()]
    assert sorted(found) == sorted(names)


def test_a_write_in_one_thread_wakes_a_watch_in_another() -> None:
    store = MemoryJobStore()

    async def write() -> None:
        await store.commit([Insert("jobs", "a", ready())])

    async def wait() -> None:
        await store.open()
        watch = await store.watch("jobs")
        await asyncio.to_thread(asyncio.run, write())
        await asyncio.wait_for(watch.wait(), 30)
        await watch.close()

    asyncio.run(wait())


async def test_closing_lets_waiting_watchers_go() -> None:
    store = MemoryJobStore()
    await store.open()
    watch = await store.watch("jobs")
    waiting = asyncio.create_task(watch.wait())
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(StoreUnavailable, match="watch is closed"):
        await waiting
    with pytest.raises(StoreUnavailable, match="watch is closed"):
        await watch.wait()


async def test_a_watch_whose_loop_is_gone_harms_no_writer() -> None:
    store = MemoryJobStore()
    await store.open()

    def forgotten() -> None:
        async def watch() -> None:
            await store.watch("jobs")

        asyncio.run(watch())

    await asyncio.to_thread(forgotten)
    await store.commit([Insert("jobs", "a", ready())])
    assert await store.count(Query("jobs.list")) == 1


async def test_only_what_is_watched_rings() -> None:
    store = MemoryJobStore()
    await store.open()
    watch = await store.watch("jobs", "a")
    waiting = asyncio.create_task(watch.wait())
    await store.commit([Insert("jobs", "b", ready()), Insert("runs", "a", {})])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    await store.commit([Insert("jobs", "a", job())])
    await waiting

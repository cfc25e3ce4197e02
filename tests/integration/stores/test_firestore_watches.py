"""Hints on Firestore come from other processes as well, and cost nothing while nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from app.stores.base import Insert, StoreUnavailable, Update
from app.stores.firestore import FirestoreJobStore

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
LONG_SECONDS = 30.0


@pytest.fixture
async def stores(firestore_emulator: str) -> AsyncIterator[tuple[FirestoreJobStore, FirestoreJobStore]]:
    prefix = f"{uuid4().hex}_"
    watching, writing = (
        FirestoreJobStore(project="torpor-watch", prefix=prefix, emulator=firestore_emulator, timeout_seconds=60)
        for _ in range(2)
    )
    await watching.open()
    await writing.open()
    yield watching, writing
    await watching.close()
    await writing.close()


async def test_a_waiting_worker_is_woken_by_another_process(
    stores: tuple[FirestoreJobStore, FirestoreJobStore],
) -> None:
    watching, writing = stores
    watch = await watching.watch("jobs")
    for turn in range(3):
        waiting = asyncio.create_task(watch.wait())
        await writing.commit([Insert("jobs", f"{turn}", {"ready_at": NOON + turn * timedelta(seconds=1)})])
        await asyncio.wait_for(waiting, LONG_SECONDS)
    rpcs, reads = watching.usage.rpcs, watching.usage.reads
    await writing.commit([Insert("jobs", "unseen", {"ready_at": NOON + timedelta(hours=1)})])
    await asyncio.sleep(0)
    assert (watching.usage.rpcs, watching.usage.reads) == (rpcs, reads)


async def test_a_wait_that_is_given_up_can_be_taken_up_again(
    stores: tuple[FirestoreJobStore, FirestoreJobStore],
) -> None:
    watching, writing = stores
    (version,) = await writing.commit([Insert("jobs", "a", {"progress": "0"})])
    watch = await watching.watch("jobs", "a")
    await asyncio.wait_for(watch.wait(), LONG_SECONDS)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watch.wait(), 0.2)
    await writing.commit([Update("jobs", "a", {"progress": "1"}, version)])
    await asyncio.wait_for(watch.wait(), LONG_SECONDS)


async def test_closing_lets_a_waiting_caller_go(stores: tuple[FirestoreJobStore, FirestoreJobStore]) -> None:
    watching, _ = stores
    own, of_store = await watching.watch("jobs"), await watching.watch("jobs", "a")
    waits = [asyncio.create_task(watch.wait()) for watch in (own, of_store)]
    await asyncio.sleep(0.1)
    await own.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await asyncio.wait_for(waits[0], LONG_SECONDS)
    await watching.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await asyncio.wait_for(waits[1], LONG_SECONDS)
    with pytest.raises(StoreUnavailable, match="closed"):
        await of_store.wait()


async def test_only_jobs_become_claimable(stores: tuple[FirestoreJobStore, FirestoreJobStore]) -> None:
    watching, _ = stores
    with pytest.raises(ValueError, match="watch one record of it"):
        await watching.watch("exercises")

"""The memory store keeps every promise that needs no second store object."""

from __future__ import annotations

import asyncio

import pytest

from app.stores.base import Insert
from app.stores.conformance import MakeStore, StoreConformance
from app.stores.conformance.harness import is_there, job
from app.stores.memory import MemoryJobStore


class TestMemoryStore(StoreConformance):
    bills_reads = True

    @pytest.fixture
    def make_store(self) -> MakeStore:
        return lambda prefix="": MemoryJobStore()


def test_a_closed_memory_store_keeps_its_records_for_another_event_loop() -> None:
    store = MemoryJobStore()

    async def write() -> None:
        await store.open()
        await store.commit([Insert("jobs", "a", job())])
        await store.close()

    async def look() -> bool:
        await store.open()
        return await is_there(store, "jobs", "a")

    asyncio.run(write())
    assert asyncio.run(look())

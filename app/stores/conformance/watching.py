"""That hints come: late and doubled ones are allowed, so nothing is said about hints that need not have come."""

from __future__ import annotations

import asyncio

import pytest

from app.stores.base import Delete, Insert, NotJoinable, Store, Update, Watch
from app.stores.conformance.harness import NOON, Harness, is_there, job, one, ready, touch

_GRACE_SECONDS = 30.0
"""Beyond the store's own poll period; long, because only a store that never tells should fail."""


class WatchConformance(Harness):
    """Watching, and what needs no other home."""

    async def test_a_claimable_insert_is_told(self, store: Store) -> None:
        watch = await store.watch("jobs")
        try:
            for number in range(2):
                await store.commit([Insert("jobs", f"{number}", ready())])
                await _told(store, watch)
        finally:
            await watch.close()

    async def test_a_record_that_becomes_claimable_is_told(self, store: Store) -> None:
        await store.commit([Insert("jobs", "a", job(parked_on="limit"))])
        watch = await store.watch("jobs")
        try:
            await touch(store, await one(store, "jobs", "a"), ready_at=NOON, parked_on=None)
            await _told(store, watch)
        finally:
            await watch.close()

    async def test_changes_of_a_watched_record_are_told(self, store: Store) -> None:
        (version,) = await store.commit([Insert("jobs", "a", job())])
        watch = await store.watch("jobs", "a")
        try:
            (version,) = await store.commit([Update("jobs", "a", {"progress": "{}"}, version)])
            await _told(store, watch)
            await store.commit_each([[Update("jobs", "a", {"progress": "[]"}, version)]])
            await _told(store, watch)
            await store.commit([Delete("jobs", "a")])
            await _told(store, watch)
        finally:
            await watch.close()

    async def test_a_hint_that_came_early_is_kept(self, store: Store) -> None:
        (version,) = await store.commit([Insert("jobs", "a", job())])
        watch = await store.watch("jobs", "a")
        try:
            await store.commit([Update("jobs", "a", {"progress": "{}"}, version)])
            await store.get("jobs", ["a"])
            await _told(store, watch)
        finally:
            await watch.close()

    async def test_watches_are_closed_more_than_once_and_with_the_store(self, store: Store) -> None:
        watch = await store.watch("jobs", "a")
        await watch.close()
        await watch.close()
        await store.watch("jobs")
        await store.close()
        await store.open()
        assert not await is_there(store, "jobs", "a")

    async def test_opening_twice_and_closing_twice_do_nothing(self, store: Store) -> None:
        await store.open()
        await store.commit([Insert("jobs", "a", job())])
        await store.open()
        assert await is_there(store, "jobs", "a")
        await store.close()
        await store.close()

    async def test_a_transaction_of_an_unknown_kind_is_not_joined(self, store: Store) -> None:
        with pytest.raises(NotJoinable):
            await store.enlist(object(), [Insert("jobs", "a", job())])
        assert not await is_there(store, "jobs", "a")

    async def test_limits_are_such_that_work_gets_done(self, store: Store) -> None:
        limits = store.limits()
        assert limits.bytes_per_commit >= limits.bytes_per_record
        assert limits.units_per_round >= 1
        assert limits.rounds_in_flight >= 1
        assert limits.poll_seconds > 0


async def _told(store: Store, watch: Watch) -> None:
    await asyncio.wait_for(watch.wait(), store.limits().poll_seconds + _GRACE_SECONDS)

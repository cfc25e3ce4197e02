"""Hints of what another process did; a second store object shares nothing with the first but the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from app.stores.base import Delete, Insert, Store, StoreUnavailable, Update, Watch
from tests.integration.stores.sql_databases import KINDS, connected, place

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
PATIENCE_SECONDS = 30.0


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def told(watch: Watch) -> None:
    await asyncio.wait_for(watch.wait(), PATIENCE_SECONDS)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_what_another_process_made_claimable_is_told(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    where = place(kind, request, tmp_path)
    async with opened(where.store()) as mine, opened(where.store()) as other:
        watch = await mine.watch("jobs")
        (version,) = await other.commit([Insert("jobs", "a", {"ready_at": NOON})])
        await told(watch)
        await other.commit([Update("jobs", "a", {"ready_at": None, "wake_at": NOON}, version)])
        await told(watch)
        await watch.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_what_another_process_did_to_a_watched_record_is_told(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    where = place(kind, request, tmp_path)
    async with opened(where.store()) as mine, opened(where.store()) as other:
        watch = await mine.watch("jobs", "a")
        (version,) = await other.commit([Insert("jobs", "a", {})])
        await told(watch)
        await other.commit([Update("jobs", "a", {"progress": "{}"}, version)])
        await told(watch)
        second = await mine.watch("jobs", "a")
        await watch.close()
        await other.commit([Delete("jobs", "a")])
        await told(second)


async def test_a_watch_for_one_record_is_deaf_to_others(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    where = place("sqlite", request, tmp_path)
    async with opened(where.store()) as mine, opened(where.store()) as other:
        (watch, beacon) = (await mine.watch("jobs", "a"), await mine.watch("jobs", "z"))
        waiting = asyncio.create_task(watch.wait())
        await other.commit([Insert("jobs", "b", {"ready_at": NOON})])
        await other.commit([Insert("jobs", "z", {})])
        await told(beacon)
        assert not waiting.done()
        await mine.close()
        with pytest.raises(StoreUnavailable):
            await waiting


async def test_listening_goes_on_after_the_server_ended_the_connection(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    where = place("postgresql", request, tmp_path)
    async with opened(where.store()) as mine, opened(where.store()) as other:
        watch = await mine.watch("jobs")
        for connection in connected(where):
            ended = connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
                )
            )
            assert len(ended.fetchall()) == 1
        await told(watch)  # of the interruption: something may have been missed
        for number in range(1000):
            # The new connection is made in its own time; a notice before that tells nobody.
            await other.commit([Insert("jobs", f"{number}", {"ready_at": NOON})])
            try:
                await asyncio.wait_for(watch.wait(), 0.1)
            except TimeoutError:
                continue
            break
        else:
            pytest.fail("the store listens no more")


async def test_whoever_watches_is_told_to_look_after_an_interruption(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    where = place("postgresql", request, tmp_path)
    async with opened(where.store()) as store:
        await store.commit([Insert("jobs", "a", {})])
        watch = await store.watch("jobs", "a")
        for connection in connected(where):
            ended = connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
            assert ended.fetchall()
        await told(watch)


async def test_an_own_notice_is_not_heard_twice(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    where = place("postgresql", request, tmp_path)
    async with opened(where.store()) as mine, opened(where.store()) as other:
        watch = await mine.watch("jobs")
        await mine.commit([Insert("jobs", "a", {"ready_at": NOON})])
        await told(watch)
        waiting = asyncio.create_task(watch.wait())
        beacon = await other.watch("jobs")
        await mine.commit([Insert("jobs", "b", {})])
        await other.commit([Insert("jobs", "c", {"ready_at": NOON})])
        await told(beacon)
        # Notices come in order, so the one of "a" would have been before this.
        await asyncio.wait_for(waiting, PATIENCE_SECONDS)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_job_that_a_users_transaction_enqueued_is_told(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    where = place(kind, request, tmp_path)
    async with opened(where.store()) as store:
        watch = await store.watch("jobs")
        for connection in connected(where):
            await store.enlist(connection, [Insert("jobs", "a", {"ready_at": NOON})])
            connection.commit()
        await told(watch)


@pytest.mark.parametrize("kind", KINDS)
async def test_only_who_was_heard_to_tell_counts_as_telling_of_all(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    where = place(kind, request, tmp_path)
    async with opened(where.store()) as mine:
        watch = await mine.watch("jobs")
        if kind != "postgresql":
            assert not watch.hears_all
            return
        await told(watch)  # of its own greeting
        assert watch.hears_all
        for connection in connected(where):
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
                )
            )
        await told(watch)
        assert not watch.hears_all
        await told(watch)  # when it listens again, of what it may have missed
        assert watch.hears_all


async def test_nobody_is_woken_by_the_greetings_of_others(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    where = place("postgresql", request, tmp_path)
    async with opened(where.store()) as mine, opened(where.store()) as other, opened(where.store()) as third:
        watch = await mine.watch("jobs")
        await told(watch)
        waiting = asyncio.create_task(watch.wait())
        second = await other.watch("jobs")
        await told(second)
        # A notice that comes after the greeting, on the same connections, so that both have come by then.
        await third.commit([Insert("jobs", "a", {})])
        assert not waiting.done()
        await third.commit([Insert("jobs", "b", {"ready_at": NOON})])
        await told(second)
        await asyncio.wait_for(waiting, PATIENCE_SECONDS)

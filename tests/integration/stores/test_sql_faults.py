"""Locks held by others, servers that go away, and what a store says of them."""

# ruff: noqa: S608 - the names of tables are the test's own

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from app.stores.base import (
    ClaimRequest,
    Delete,
    Fields,
    Insert,
    NotJoinable,
    OutcomeUnknown,
    PreconditionFailed,
    Put,
    Query,
    Record,
    Store,
    StoreUnavailable,
    Update,
    Verify,
    Write,
)
from app.stores.sql import DatabaseJobStore
from tests.integration.stores.sql_databases import KINDS, SERVERS, Place, connected, place

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
PATIENCE_SECONDS = 60.0
SHORT_SECONDS = 0.2
"""How long the store waits for locks in these tests; MySQL counts in whole seconds and makes one of it."""


@pytest.fixture
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place(request.param, request, tmp_path)


@pytest.fixture
def other(where: Place) -> Iterator[Connection]:
    """Somebody else's connection to the same database."""
    yield from connected(where)


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def hold(other: Connection, where: Place, *names: str) -> None:
    """Write rows in a transaction that stays open."""
    for name in names:
        other.execute(text(f"UPDATE {where.table} SET name = 'held' WHERE id = :name"), {"name": name})


@pytest.mark.parametrize("where", KINDS, indirect=True)
async def test_a_lock_that_is_held_too_long_refuses_the_write(where: Place, other: Connection) -> None:
    async with opened(where.store(busy_timeout_seconds=SHORT_SECONDS)) as store:
        (version,) = await store.commit([Insert("jobs", "a", {})])
        hold(other, where, "a")
        with pytest.raises(StoreUnavailable, match="another transaction holds what is needed"):
            await store.commit([Update("jobs", "a", {"attempt": 1}, version)])
        (found,) = await store.get("jobs", ["a"])
        assert found is not None
        assert found.version == version
        other.rollback()
        await store.commit([Update("jobs", "a", {"attempt": 1}, version)])


@pytest.mark.parametrize("where", SERVERS, indirect=True)
async def test_a_held_row_holds_up_no_other_unit(where: Place, other: Connection) -> None:
    async with opened(where.store(busy_timeout_seconds=SHORT_SECONDS)) as store:
        answers = await store.commit_each([[Insert("jobs", name, {})] for name in "abc"])
        versions = {name: answer[0] for name, answer in zip("abc", answers, strict=True) if isinstance(answer, list)}
        hold(other, where, "b")
        outcomes = await store.commit_each([[Update("jobs", name, {"attempt": 1}, versions[name])] for name in "abc"])
        assert [type(outcome) for outcome in outcomes] == [list, StoreUnavailable, list]
        other.rollback()


@pytest.mark.parametrize("where", SERVERS, indirect=True)
async def test_a_claim_passes_over_held_rows(where: Place, other: Connection) -> None:
    async with opened(where.store()) as store:
        await store.commit_each(
            [[Insert("jobs", f"{n}", claimable(ready_at=NOON))] for n in range(4)]
            + [[Insert("jobs", f"due-{n}", claimable(wake_at=NOON))] for n in range(4)]
        )
        hold(other, where, "0", "1", "due-0", "due-1")
        claimed = await asyncio.wait_for(store.claim(ask(10), lease, lease), PATIENCE_SECONDS)
        assert sorted(record.id for record in claimed.records) == ["2", "3", "due-2", "due-3"]
        other.rollback()
        claimed = await store.claim(ask(10), lease, lease)
        assert sorted(record.id for record in claimed.records) == ["0", "1", "due-0", "due-1"]


def claimable(**fields: datetime) -> Fields:
    return {"status": "queued", "queue": "priority", "route": "any", "shard": 0, "priority": 1, **fields}


def ask(limit: int) -> ClaimRequest:
    return ClaimRequest(("priority",), ("any",), limit, NOON)


def lease(record: Record) -> Fields:
    return {"status": "running", "ready_at": None, "wake_at": None, "lease_token": record.id}


@pytest.mark.parametrize("where", SERVERS, indirect=True)
@pytest.mark.parametrize("ending", ["commit", "rollback"])
async def test_an_id_that_somebody_else_is_about_to_take(where: Place, other: Connection, ending: str) -> None:
    async with opened(where.store()) as store:
        other.execute(text(f"INSERT INTO {where.table} (id, version) VALUES ('a', 1)"))
        writing = asyncio.create_task(store.commit([Insert("jobs", "a", {"name": "ours"})]))
        await until_waiting(where)
        getattr(other, ending)()
        if ending == "commit":
            with pytest.raises(PreconditionFailed, match="jobs/a: there is a record with this id already"):
                await asyncio.wait_for(writing, PATIENCE_SECONDS)
        else:
            await asyncio.wait_for(writing, PATIENCE_SECONDS)


async def until_waiting(where: Place) -> None:
    """Return when a statement about the table of jobs waits for a lock."""
    asked = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE :query",
        # What waits for a row's lock is still in the list; what does not is gone before anybody looks.
        "mysql": "SELECT count(*) FROM information_schema.processlist WHERE info LIKE :query",
    }
    for connection in connected(where):
        for _ in range(1000):
            query = {"query": f"INSERT INTO {where.table}%"}
            waiting = connection.execute(text(asked[where.kind]), query).scalar_one()
            connection.rollback()
            if waiting:
                return
            await asyncio.sleep(0.02)
        pytest.fail("the store does not wait for the lock")


@pytest.mark.parametrize("where", ["postgresql"], indirect=True)
async def test_nothing_is_lost_or_done_twice_while_the_server_ends_connections(where: Place, other: Connection) -> None:
    """Counters are counted up by tasks that only trust what they were answered, or read back."""
    workers, endings = 4, 12
    is_over = asyncio.Event()

    async def count(store: Store, name: str) -> int:
        number = 0
        version = await until_known(store, name, number, None)
        while not is_over.is_set():
            number += 1
            version = await until_known(store, name, number, version)
        return number

    async def end_connections() -> None:
        ended = 0
        while ended < endings:
            await asyncio.sleep(0.05)
            ended += await asyncio.to_thread(end_all) > 0
        is_over.set()

    def end_all() -> int:
        ended = other.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ).fetchall()
        other.rollback()
        return len(ended)

    async with opened(where.store()) as store:
        counting = asyncio.gather(*(count(store, f"{number}") for number in range(workers)))
        await asyncio.wait_for(asyncio.gather(counting, end_connections()), PATIENCE_SECONDS)
        found = await store.get("jobs", [f"{number}" for number in range(workers)])
        assert [record and record.fields["attempt"] for record in found] == await counting
        assert await store.count(Query("jobs.list")) == workers


async def until_known(store: Store, name: str, number: int, version: str | None) -> str:
    """Bring a counter from one number to the next, once; gives its new version."""
    fields: Fields = {"attempt": number, "created_at": NOON}
    while True:
        write = Insert("jobs", name, fields) if version is None else Update("jobs", name, fields, version)
        try:
            (written,) = await store.commit([write])
        except StoreUnavailable:
            await asyncio.sleep(0.01)  # nothing was applied
            continue
        except OutcomeUnknown:
            found = await read_back(store, name)
            if found is not None and found.fields["attempt"] == number:
                return found.version
            continue
        return written


async def read_back(store: Store, name: str) -> Record | None:
    while True:
        try:
            (found,) = await store.get("jobs", [name])
        except StoreUnavailable:
            await asyncio.sleep(0.01)
            continue
        return found


@pytest.mark.parametrize("where", SERVERS, indirect=True)
async def test_idle_connections_that_the_server_closed_are_replaced(where: Place, other: Connection) -> None:
    async with opened(where.store()) as store:
        await store.commit([Insert("jobs", "a", {})])
        await store.get("jobs", ["a"])
        if where.kind == "postgresql":
            own = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            end = "SELECT pg_terminate_backend(:id)"
        else:
            own = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
            end = "KILL :id"
        ended = other.execute(text(own)).scalars().all()
        for connection_id in ended:
            other.execute(text(end), {"id": connection_id})
        other.rollback()
        assert len(ended) >= 2
        assert (await store.get("jobs", ["a"]))[0] is not None
        await store.commit([Insert("jobs", "b", {})])


@pytest.mark.parametrize("scheme", SERVERS)
async def test_a_server_that_is_not_there_is_unavailable_and_the_password_stays_secret(scheme: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: nobody else takes the port, and nobody answers
        port = taken.getsockname()[1]
        store = DatabaseJobStore(url=f"{scheme}://me:hush@127.0.0.1:{port}/jobs")
        with pytest.raises(StoreUnavailable) as caught:
            await store.open()
    assert f"me:***@127.0.0.1:{port}/jobs" in str(caught.value)
    seen: BaseException | None = caught.value
    while seen is not None:
        assert "hush" not in str(seen)
        assert "hush" not in repr(seen)
        seen = seen.__cause__ or seen.__context__
    with pytest.raises(StoreUnavailable, match="open it first"):
        await store.get("jobs", ["a"])


async def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    store = DatabaseJobStore(dialect="sqlite", path=str(tmp_path / "missing" / "jobs.db"))
    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        await store.open()


@pytest.mark.parametrize("where", SERVERS, indirect=True)
async def test_a_connection_without_a_transaction_is_not_joined(where: Place) -> None:
    async with opened(where.store()) as store:
        engine = where.engine().execution_options(isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection, pytest.raises(NotJoinable, match="autocommit"):
                await store.enlist(connection, [Insert("jobs", "a", {})])
        finally:
            engine.dispose()
        assert await store.get("jobs", ["a"]) == [None]


async def test_a_transaction_of_another_dialect_is_not_joined(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    here, there = (place(kind, request, tmp_path) for kind in ("sqlite", "postgresql"))
    async with opened(here.store()) as store:
        for connection in connected(there):
            with pytest.raises(NotJoinable, match="the transaction is on postgresql, but the jobs are on sqlite"):
                await store.enlist(connection, [Insert("jobs", "a", {})])


@pytest.mark.parametrize("where", KINDS, indirect=True)
async def test_a_refused_unit_leaves_the_users_transaction_usable(where: Place, other: Connection) -> None:
    async with opened(where.store()) as store:
        await store.commit([Insert("jobs", "taken", {})])
        await store.enlist(other, [Insert("jobs", "first", {})])
        with pytest.raises(PreconditionFailed, match="jobs/taken"):
            await store.enlist(other, [Insert("runs", "never", {}), Insert("jobs", "taken", {})])
        await store.enlist(other, [Insert("jobs", "last", {})])
        other.commit()
        found: Sequence[Record | None] = await store.get("jobs", ["first", "last"])
        assert None not in found
        assert await store.get("runs", ["never"]) == [None]


@pytest.mark.parametrize("where", KINDS, indirect=True)
async def test_every_kind_of_write_is_enlisted(where: Place, other: Connection) -> None:
    async with opened(where.store()) as store:
        versions = {name: (await store.commit([Insert("jobs", name, {"name": "old"})]))[0] for name in "abcde"}
        unit: list[Write] = [
            Update("jobs", "a", {"attempt": 1, "ready_at": NOON}, versions["a"]),
            Put("jobs", "b", {"tags": ("x",)}),
            Put("jobs", "new", {"idempotent": True}),
            Delete("jobs", "c", versions["c"]),
            Delete("jobs", "d"),
            Delete("jobs", "nobody"),
            Verify("jobs", "e", versions["e"]),
        ]
        await store.enlist(other, unit)
        other.commit()
        found = {record.id: record for record in await store.get("jobs", [*"abcde", "new"]) if record is not None}
        assert {name: record.fields for name, record in found.items()} == {
            "a": {"name": "old", "attempt": 1, "ready_at": NOON},
            "b": {"tags": ("x",)},
            "e": {"name": "old"},
            "new": {"idempotent": True},
        }
        assert found["e"].version == versions["e"]
        assert found["a"].version != versions["a"]
        await store.commit([Update("jobs", "a", {"attempt": 2}, found["a"].version)])
        with pytest.raises(PreconditionFailed):
            await store.enlist(other, [Verify("jobs", "e", "1")])


@pytest.mark.parametrize("where", ["sqlite"], indirect=True)
async def test_a_decision_that_raises_is_told_and_changes_nothing(where: Place) -> None:
    def broken(record: Record) -> Fields:
        raise ZeroDivisionError(record.id)

    async with opened(where.store()) as store:
        (version,) = await store.commit([Insert("jobs", "a", claimable(ready_at=NOON))])
        with pytest.raises(ZeroDivisionError, match="a"):
            await store.claim(ask(1), broken, broken)
        with pytest.raises(ValueError, match="no_such_field"):
            await store.claim(ask(1), lambda record: {"no_such_field": 1}, broken)
        (found,) = await store.get("jobs", ["a"])
        assert found is not None
        assert found.version == version


@pytest.mark.parametrize("where", KINDS, indirect=True)
async def test_tasks_that_open_at_the_same_time_open_one_store(where: Place) -> None:
    store = where.store()
    await asyncio.gather(store.open(), store.open(), store.open())
    try:
        await store.commit([Insert("jobs", "a", {})])
    finally:
        await store.close()

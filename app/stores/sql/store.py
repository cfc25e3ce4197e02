"""The store on SQLite, PostgreSQL and MySQL or MariaDB."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from app.stores.base import (
    Claimed,
    ClaimRequest,
    Decide,
    Delete,
    Page,
    Query,
    Record,
    RecordKey,
    StoreError,
    StoreLimits,
    StoreUnavailable,
    Unit,
    Usage,
    Verify,
    Version,
    Watch,
    Write,
)
from app.stores.checks import checked_unit, checked_units
from app.stores.evaluate import cursor_of, question
from app.stores.schema import BY_NAME
from app.stores.sql.address import address_of, address_of_parts, shown
from app.stores.sql.database import Database, connect
from app.stores.sql.drivers import Row, refusal
from app.stores.sql.known_drivers import driver_for
from app.stores.sql.tables import Naming
from app.stores.sql.transaction import ClaimTask, UnitTask
from app.stores.weights import check_weight

_IDS_AT_ONCE = 512


class DatabaseJobStore:
    """Records in SQL tables, on SQLite, PostgreSQL, MySQL or MariaDB.

    Takes either `url` (`sqlite:///FILE`, `postgresql://…`, `mysql://…`) or `dialect` with its parts: `path` for
    sqlite; `host`, `port`, `username`, `password` and `database` for postgresql and mysql. `connection_pool_size`
    is how many connections one process opens at most, beside the one that waits for notifications. `prefix` goes
    before the table names, so that environments share a database without meeting.

    `synchronous` is SQLite's own setting: FULL keeps every answered write through a power failure, NORMAL through a
    crash of the process only, and is faster. `busy_timeout_seconds` is how long a write waits for another
    transaction's lock before it is refused with `StoreUnavailable`.

    Raises:
        ValueError: the parts make no address; no password is ever shown.
    """

    def __init__(
        self,
        dialect: str | None = None,
        *,
        path: str | None = None,
        host: str | None = None,
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        database: str | None = None,
        url: str | None = None,
        connection_pool_size: int = 5,
        prefix: str = "",
        synchronous: str = "FULL",
        busy_timeout_seconds: float = 5.0,
    ) -> None:
        if (url is None) == (dialect is None):
            raise ValueError("say where the database is: either url=… or dialect=… with its parts")
        if connection_pool_size < 2:
            raise ValueError(f"connection_pool_size {connection_pool_size}: one writes, so take at least 2")
        if url is not None:
            self._address = address_of(url)
        else:
            self._address = address_of_parts(
                dialect or "",
                path=path,
                host=host,
                port=port,
                username=username,
                password=password,
                database=database,
            )
        self._naming = Naming(prefix)
        self._driver = driver_for(self._address, synchronous, busy_timeout_seconds)
        self._pool_size = connection_pool_size
        self._database: Database | None = None
        self._usage = Usage()

    def __repr__(self) -> str:
        return f"DatabaseJobStore({shown(self._address)!r}, prefix={self._naming.prefix!r})"

    @property
    def usage(self) -> Usage:
        """Counters since `open`; an rpc is a transaction or a read."""
        return self._usage

    def limits(self) -> StoreLimits:
        """What this store can take at once."""
        return self._driver.limits()

    async def open(self) -> None:
        """Connect, and bring tables and indexes up to date. Opening an open store does nothing.

        Raises:
            StoreUnavailable: the database cannot be reached now.
            StoreError: it refuses, or was migrated by a newer version of this program.
        """
        if self._is_open():
            return
        database = await asyncio.to_thread(connect, self._driver, self._address, self._naming, self._pool_size)
        if self._is_open():
            await database.close()  # another task opened the store meanwhile
            return
        self._usage = Usage()
        self._database = database

    async def close(self) -> None:
        """Let go of every connection and thread. A closed store can be opened again."""
        database, self._database = self._database, None
        if database is not None:
            await database.close()

    async def get(self, collection: str, ids: Sequence[str], also: Sequence[RecordKey] = ()) -> list[Record | None]:
        """The newest state of each record, in the order asked, None where there is none; see `Store.get`."""
        database = self._entered()
        keys = [*((collection, record_id) for record_id in ids), *also]
        wanted: dict[str, list[str]] = {collection: []}
        for name, record_id in dict.fromkeys(keys):
            wanted.setdefault(name, []).append(record_id)
        for name in wanted:
            if name not in BY_NAME:
                raise ValueError(f"no collection is called {name!r}; declared: {', '.join(BY_NAME)}")
        parts = [
            (name, some[start : start + _IDS_AT_ONCE])
            for name, some in wanted.items()
            for start in range(0, len(some), _IDS_AT_ONCE)
        ]

        def understand(answers: list[list[Row]]) -> dict[RecordKey, Record]:
            return {
                (name, row[0]): database.rows[name].record(row)
                for (name, _), rows in zip(parts, answers, strict=True)
                for row in rows
            }

        lookups = [database.questions.records(name, some) for name, some in parts]
        found = await database.reader.read(lookups, understand) if lookups else {}
        self._bill(reads=sum(map(len, wanted.values())))
        return [found.get(key) for key in keys]

    async def commit(self, unit: Unit) -> list[Version]:
        """Apply one unit, all or nothing; see `Store.commit`."""
        checked_unit(unit)
        check_weight(unit, self.limits())
        database = self._entered()
        task = UnitTask(database.planner.plan(unit))
        await database.writer.apply([task])
        self._written(database, [unit], [task])
        if task.outcome is not None:
            raise task.outcome
        return task.unit.versions

    async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
        """Apply many units in one transaction, each all or nothing by itself; see `Store.commit_each`."""
        checked_units(units)
        database = self._entered()
        tasks: list[UnitTask] = []
        too_large: dict[int, StoreError] = {}
        for number, unit in enumerate(units):
            try:
                check_weight(unit, self.limits())
            except StoreError as error:
                too_large[number] = error
            else:
                tasks.append(UnitTask(database.planner.plan(unit)))
        await database.writer.apply(tasks)
        self._written(database, [unit for number, unit in enumerate(units) if number not in too_large], tasks)
        done = iter(tasks)
        return [too_large[number] if number in too_large else _outcome(next(done)) for number in range(len(units))]

    async def claim(self, request: ClaimRequest, lease: Decide, promote: Decide) -> Claimed:
        """Take claimable records; see `Store.claim`.

        Candidates are locked while they are decided about, so there are no conflicts: what somebody else is about
        to change is passed over.
        """
        if request.limit < 1:
            raise ValueError(f"a claim of {request.limit}: ask for at least 1")
        database = self._entered()
        task = ClaimTask(request, lease, promote)
        await database.writer.claim(task)
        outcome = task.outcome
        if isinstance(outcome, BaseException):
            raise outcome
        self._bill(reads=outcome.looked_at, writes=len(outcome.writes))
        if database.watcher.is_watched:
            database.watcher.tell((None, record) for record in (*outcome.taken, *outcome.promoted))
        return Claimed(outcome.taken, conflicts=0, full_page=outcome.full_page)

    async def query(self, query: Query) -> Page:
        """One page of records; see `Store.query`."""
        asked = question(query)
        database = self._entered()
        record = database.rows[asked.shape.collection].record
        lookup = database.questions.page(asked, query)
        records = await database.reader.read([lookup], lambda answers: [record(row) for row in answers[0]])
        self._bill(reads=len(records))
        if len(records) <= asked.limit:
            return Page(records, None)
        del records[asked.limit :]
        return Page(records, cursor_of(asked.shape, records[-1]))

    async def count(self, query: Query) -> int:
        """How many records match, regardless of limit, offset and cursor; see `Store.count`."""
        asked = question(Query(query.shape, query.where, query.since, query.until, query.reverse))
        database = self._entered()
        lookup = database.questions.count(asked)
        total: int = await database.reader.read([lookup], lambda answers: answers[0][0][0])
        self._bill(reads=1)
        return total

    async def watch(self, collection: str, record_id: str | None = None) -> Watch:
        """Hints about one record; without an id, hints that something in the collection became claimable."""
        database = self._entered()
        try:
            return await database.watcher.watch(collection, record_id)
        except self._driver.errors as error:
            raise refusal(self._driver, error, f"watching {shown(self._address)}") from error

    async def enlist(self, transaction: object, unit: Unit) -> None:
        """Write the unit inside the caller's own open transaction; it is applied when that commits.

        `transaction` is an SQLAlchemy Connection or Session, or their asyncio kind, on the same database as this
        store, through whatever driver. The blocking kinds block, as they do for the caller's own statements.

        Raises:
            NotJoinable: it is something else, on another kind of database, or in autocommit mode.
            PreconditionFailed: nothing of the unit was written; the transaction can go on.
        """
        checked_unit(unit)
        check_weight(unit, self.limits())
        database = self._entered()
        await database.enlister.enlist(transaction, unit, database.planner.plan(unit))
        self._bill(writes=len(unit))

    def _is_open(self) -> bool:
        return self._database is not None

    def _entered(self) -> Database:
        if self._database is None:
            raise StoreUnavailable("the store is closed; open it first")
        return self._database

    def _written(self, database: Database, units: Sequence[Unit], tasks: Sequence[UnitTask]) -> None:
        applied = [(unit, task) for unit, task in zip(units, tasks, strict=True) if task.outcome is None]
        deletes = sum(isinstance(write, Delete) for unit, _ in applied for write in unit)
        self._bill(writes=sum(len(unit) for unit, _ in applied) - deletes, deletes=deletes)
        if database.watcher.is_watched:
            for unit, task in applied:
                database.watcher.tell(map(_change, unit, task.unit.versions))

    def _bill(self, *, reads: int | None = None, writes: int = 0, deletes: int = 0) -> None:
        self._usage.rpcs += 1
        self._usage.deletes += deletes
        self._usage.writes += writes
        if reads is not None:
            self._usage.reads += max(1, reads)


def _change(write: Write, version: Version) -> tuple[Record | None, Record | None]:
    """A write as watches are told of it: what it wrote, or what is gone."""
    if isinstance(write, Delete):
        return Record(write.collection, write.id, version, {}), None
    fields = {} if isinstance(write, Verify) else write.fields
    return None, Record(write.collection, write.id, version, fields)


def _outcome(task: UnitTask) -> list[Version] | StoreError:
    return task.unit.versions if task.outcome is None else task.outcome

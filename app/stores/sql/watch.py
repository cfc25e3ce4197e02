"""Hearing of changes: at once of this process's own, and soon of everybody else's.

While anybody watches, one task looks now and then: SQLite says whether its file was changed, and of watched records
the versions are compared. PostgreSQL tells by itself what became claimable. On MySQL nobody tells what others made
claimable: there an idle worker finds it when it looks again after `poll_seconds`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from sqlalchemy import Connection, Engine, Table, select

from app.stores.base import Record, Version
from app.stores.hints import Hints, LocalWatch
from app.stores.sql.drivers import Driver, Listener
from app.stores.sql.tables import Naming
from app.stores.sql.units import Name

Result = TypeVar("Result")


class Watcher:
    """The watches of one open database. Everything but the looking itself runs in the event loop."""

    def __init__(self, driver: Driver, engine: Engine, naming: Naming, tables: Mapping[str, Table]) -> None:
        self._driver = driver
        self._engine = engine
        self._tables = tables
        self._hints = Hints()
        self._watches: set[DatabaseWatch] = set()
        self._seen: dict[Name, Version | None] = {}
        self._mark: int | None = None
        self._connection: Connection | None = None
        self._one_look = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        self._listener: Listener | None = driver.listener(engine, naming)
        self._hears_on: asyncio.AbstractEventLoop | None = None
        self._socket: int | None = None

    @property
    def is_watched(self) -> bool:
        """Whether anybody watches anything."""
        return bool(self._watches)

    @property
    def hears_all(self) -> bool:
        """Whether the database tells by itself of what becomes claimable, and was heard to."""
        return self._hears_on is not None and self._listener is not None and self._listener.is_heard

    async def watch(self, collection: str, record_id: str | None) -> DatabaseWatch:
        """Start watching a record, or what becomes claimable.

        Raises:
            SQLAlchemyError: the database could not be asked.
        """
        watch = DatabaseWatch(self, self._hints.watch(collection, record_id))
        self._watches.add(watch)
        try:
            # What is there now is no change: only what comes after is rung for.
            await self._look()
            await self._listen()
        except BaseException:
            await watch.close()
            raise
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._keep_looking())
        return watch

    def tell(self, changes: Iterable[tuple[Record | None, Record | None]]) -> None:
        """Ring for changes that this process made itself, each given as it was and as it is."""
        told = list(changes)
        for before, after in told:
            record = after or before
            if record is not None and (record.collection, record.id) in self._seen:
                self._seen[record.collection, record.id] = after.version if after is not None else None
        self._hints.tell(told)

    def forget(self, watch: DatabaseWatch) -> None:
        """Ring no more for this watch; without any, nothing is looked at."""
        self._watches.discard(watch)
        if watch.name is not None and all(other.name != watch.name for other in self._watches):
            self._seen.pop(watch.name, None)
        if not self._is_awaited():
            self._stop_listening()
        if not self._watches and self._looking is not None:
            self._looking.cancel()
            self._looking = None

    async def close(self) -> None:
        """End every watch and let go of the connections."""
        self._hints.close()
        for watch in tuple(self._watches):
            self.forget(watch)
        async with self._one_look:  # a look that is on its way ends first
            await asyncio.to_thread(self._let_go)

    async def _keep_looking(self) -> None:
        was_cut_off = False
        while True:
            await asyncio.sleep(self._driver.look_seconds)
            try:
                await self._look()
                await self._listen()
            except self._driver.errors:
                was_cut_off = True
                await asyncio.to_thread(self._let_go)
                continue
            if was_cut_off:
                # Nobody knows what happened meanwhile, so everybody had better look.
                was_cut_off = False
                self._ring(set(self._watches))

    async def _look(self) -> None:
        async with self._one_look:
            names = {watch.name for watch in self._watches if watch.name is not None}
            mark, versions = await _in_thread(lambda: self._read(names))
        changed = {name for name, version in versions.items() if self._seen.get(name, version) != version}
        self._seen.update({name: version for name, version in versions.items() if self._is_watched(name)})
        if mark is not None:
            if self._mark is not None and mark != self._mark:
                self._ring({watch for watch in self._watches if watch.name is None})
            self._mark = mark
        self._ring({watch for watch in self._watches if watch.name in changed})

    def _is_watched(self, name: Name) -> bool:
        return any(watch.name == name for watch in self._watches)

    def _read(self, names: set[Name]) -> tuple[int | None, dict[Name, Version | None]]:
        if not names and not self._driver.has_marks:
            return None, {}
        if self._connection is None:
            self._connection = self._engine.connect()
        connection = self._connection
        mark = self._driver.mark(connection)
        if mark is not None and mark == self._mark and names <= self._seen.keys():
            return mark, {}
        versions: dict[Name, Version | None] = dict.fromkeys(names)
        ids: dict[str, list[str]] = defaultdict(list)
        for collection, record_id in names:
            ids[collection].append(record_id)
        for collection, wanted in ids.items():
            table = self._tables[collection]
            for row in connection.execute(select(table.c.id, table.c.version).where(table.c.id.in_(wanted))):
                versions[collection, row[0]] = str(row[1])
        return mark, versions

    def _is_awaited(self) -> bool:
        return any(watch.name is None for watch in self._watches)

    async def _listen(self) -> None:
        listener = self._listener
        if listener is None:
            return
        async with self._one_look:
            if self._hears_on is not None or not self._is_awaited():
                return
            socket = await _in_thread(listener.connect)
            if not self._is_awaited():
                listener.close()
                return
            self._socket, self._hears_on = socket, asyncio.get_running_loop()
            self._hears_on.add_reader(socket, self._hear)

    def _hear(self) -> None:
        try:
            heard = self._listener is not None and self._listener.heard()
        except self._driver.errors:
            self._stop_listening()
            heard = True
        if heard:
            self._ring({watch for watch in self._watches if watch.name is None})

    def _stop_listening(self) -> None:
        if self._listener is None or self._hears_on is None or self._socket is None:
            return
        if not self._hears_on.is_closed():
            self._hears_on.remove_reader(self._socket)
        self._listener.close()
        self._socket = self._hears_on = None

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        self._mark = None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _ring(self, watches: set[DatabaseWatch]) -> None:
        for watch in watches:
            watch.local.ring()


async def _in_thread(work: Callable[[], Result]) -> Result:
    """Run in a thread, to its end even if the caller is cancelled: it cannot be stopped half-way."""
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


class DatabaseWatch:
    """A `Watch` that is rung by this process at once, and by a look at the database for others."""

    def __init__(self, watcher: Watcher, local: LocalWatch) -> None:
        self.local = local
        self.name: Name | None = None if local.record_id is None else (local.collection, local.record_id)
        """The watched record, or None for what becomes claimable."""
        self._watcher = watcher

    @property
    def hears_all(self) -> bool:
        """Whether the database tells, by itself, of what others make claimable."""
        return self._watcher.hears_all

    async def wait(self) -> None:
        """Return when there may have been a change since the last call.

        Raises:
            StoreUnavailable: the watch, or its store, is closed.
        """
        await self.local.wait()

    async def close(self) -> None:
        """Stop watching; a waiting caller is let go with StoreUnavailable."""
        await self.local.close()
        self._watcher.forget(self)

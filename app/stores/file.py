"""Records in one directory, with nothing to set up: every commit is a line of JSON that was synced to disk.

The records are held in memory as well, as in the memory store, so the directory should hold no more than fits
there. Several store objects and processes on one machine may use it at once (not over a network file system, where
flock and appending are not what they are on a disk).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TypeVar

from app.stores.base import (
    Claimed,
    ClaimRequest,
    Decide,
    NotJoinable,
    Page,
    Query,
    Record,
    RecordKey,
    StoreError,
    StoreLimits,
    StoreUnavailable,
    Unit,
    Usage,
    Version,
    Watch,
)
from app.stores.checks import checked_unit, checked_units
from app.stores.file_codec import Group, snapshot
from app.stores.file_disk import Disk, FileLock
from app.stores.file_journal import Journal, JournalLost
from app.stores.hints import LocalWatch
from app.stores.ledger import Ledger
from app.stores.tables import Change, Tables

_LIMITS = StoreLimits(
    writes_per_commit=500,
    bytes_per_commit=64 * 2**20,
    bytes_per_record=16 * 2**20,
    units_per_round=100,
    claim_batch=100,
    rounds_in_flight=1,
    poll_seconds=5.0,
    embedded_worker=True,
    # The directory may be shared with other processes, so at start their leases may be alive.
    single_process=False,
)
_LOOK_SECONDS = 0.2
"""How often a watch looks for changes by other processes; a look costs one system call."""
_RECORDS_IN_A_LINE = 50

_Answer = TypeVar("_Answer")


class FileJobStore:
    """A store in a directory that one machine's processes may share.

    Args:
        storage_dir: the directory; made if it is not there.
        prefix: begins the names of this store's files, so that several stores can live in one directory.
        rewrite_after_bytes: how much the journal grows at least before it is rewritten without what is outdated; it
            always grows to twice the size of the present records first.
        disk: what touches the files; for tests.

    Raises:
        ValueError: the prefix cannot begin a file's name.
        StoreError: the platform has no flock.
    """

    def __init__(
        self,
        storage_dir: str | Path = "jobs_data",
        prefix: str = "",
        *,
        rewrite_after_bytes: int = 4 * 2**20,
        disk: Disk | None = None,
    ) -> None:
        if Path(f"{prefix}x").name != f"{prefix}x" or "\0" in prefix:
            raise ValueError(f"prefix {prefix!r} cannot begin a file's name; leave out slashes")
        self._directory = Path(storage_dir)
        self._disk = disk or Disk()
        self._journal = Journal(self._directory, prefix, self._disk, rewrite_after_bytes)
        self._lock = FileLock(self._directory / f"{prefix}records.lock")
        self._mutex = Lock()
        """Around everything that touches the ledger; waited for in the store's own thread only."""
        self._ledger = self._new_ledger()
        self._thread: ThreadPoolExecutor | None = None

    @property
    def usage(self) -> Usage:
        """Counters since `open`; reads are records looked at, at least one a question."""
        return self._ledger.usage

    def limits(self) -> StoreLimits:
        """What this store can take at once."""
        return _LIMITS

    async def open(self) -> None:
        """Make the directory if need be, and read what is there.

        Raises:
            StoreUnavailable: the directory cannot be used.
            StoreError: a file in it is damaged.
        """
        if self._thread is not None:
            return
        # One thread of its own: in the loop's pool, handlers that wait for the store could hold every place.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="torpor-file-store")
        try:
            await self._in_thread(self._open)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what is being written, end every watch and let go of the files."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._ledger.hints.close()
        try:
            await asyncio.get_running_loop().run_in_executor(thread, self._close)
        finally:
            thread.shutdown(wait=False)

    async def get(self, collection: str, ids: Sequence[str], also: Sequence[RecordKey] = ()) -> list[Record | None]:
        """The newest state of each record, in the order asked, None where there is none; see `Store.get`."""
        return await self._look(lambda: self._ledger.get(collection, ids, also))

    async def commit(self, unit: Unit) -> list[Version]:
        """Apply one unit, all or nothing; see `Store.commit`."""
        checked_unit(unit)
        return await self._change(lambda: self._ledger.commit(unit))

    async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
        """Apply many units with one sync, each all or nothing by itself; see `Store.commit_each`."""
        checked_units(units)
        return await self._change(lambda: self._ledger.commit_each(units))

    async def claim(self, request: ClaimRequest, lease: Decide, promote: Decide) -> Claimed:
        """Take claimable records; see `Store.claim`. Nobody can come between, so there are no conflicts."""
        return await self._change(lambda: self._ledger.claim(request, lease, promote))

    async def query(self, query: Query) -> Page:
        """One page of records; see `Store.query`."""
        return await self._look(lambda: self._ledger.query(query))

    async def count(self, query: Query) -> int:
        """How many records match, regardless of limit, offset and cursor; see `Store.count`."""
        return await self._look(lambda: self._ledger.count(query))

    async def watch(self, collection: str, record_id: str | None = None) -> Watch:
        """Hints about one record; without an id, hints that something in the collection became claimable."""
        self._opened()
        return _LookingWatch(self._ledger.hints.watch(collection, record_id), self._catch_up_if_needed)

    async def enlist(self, transaction: object, unit: Unit) -> None:
        """Refuse: nobody else's transaction reaches into these files.

        Raises:
            NotJoinable: always.
        """
        raise NotJoinable(
            f"a file store cannot write inside {type(transaction).__name__}; commit the unit when that is done"
        )

    # --- in the caller's event loop ---------------------------------------------------------------------

    async def _look(self, act: Callable[[], _Answer]) -> _Answer:
        # Every real store gives way here; one that never did would hide races, and starve the event loop.
        await asyncio.sleep(0)
        self._opened()
        self._ledger.usage.rpcs += 1
        if self._mutex.acquire(blocking=False):
            try:
                with self._explained():
                    if self._journal.is_current():
                        return act()
            finally:
                self._mutex.release()
        return await self._in_thread(lambda: self._act(act))

    async def _change(self, act: Callable[[], _Answer]) -> _Answer:
        self._opened()
        self._ledger.usage.rpcs += 1
        return await self._in_thread(lambda: self._act(act))

    async def _catch_up_if_needed(self) -> None:
        await self._look(lambda: None)

    async def _in_thread(self, act: Callable[[], _Answer]) -> _Answer:
        return await asyncio.get_running_loop().run_in_executor(self._opened(), act)

    def _opened(self) -> ThreadPoolExecutor:
        if self._thread is None:
            raise StoreUnavailable("the store is closed; open it first")
        return self._thread

    # --- in the store's own thread ----------------------------------------------------------------------

    def _open(self) -> None:
        with self._mutex, self._explained():
            if not self._directory.is_dir():
                self._directory.mkdir(parents=True, exist_ok=True)
                self._disk.sync_directory(self._directory.parent)
            with self._lock.held():
                self._ledger = self._new_ledger()
                self._read_all()

    def _close(self) -> None:
        with self._mutex:
            self._journal.close()

    def _act(self, act: Callable[[], _Answer]) -> _Answer:
        with self._mutex, self._explained(), self._lock.held():
            self._catch_up()
            answer = act()
            if self._journal.has_outgrown():
                tables = self._ledger.tables
                self._journal.rewrite(snapshot(tables, tables.last_version, _RECORDS_IN_A_LINE))
            return answer

    def _catch_up(self) -> None:
        if self._journal.is_open:
            try:
                return self._read_on()
            except JournalLost:
                self._ledger.hints.tell_all()
        return self._read_all()

    def _read_all(self) -> None:
        while True:
            self._ledger.tables = Tables()
            self._journal.open()
            try:
                self._read_on()
            except JournalLost:
                continue
            return self._journal.settle(len(self._ledger.tables))

    def _read_on(self) -> None:
        tables = self._ledger.tables
        for group in self._journal.read_on():
            self._ledger.hints.tell(tables.follow(group.states))
            tables.last_version = max(tables.last_version, group.last_version)

    def _save(self, changes: Sequence[Change]) -> None:
        states = [
            (record.collection, record.id, after)
            for before, after in changes
            if (record := after or before) is not None
        ]
        self._journal.append(Group(self._ledger.tables.last_version, states))

    def _new_ledger(self) -> Ledger:
        return Ledger(_LIMITS, self._save)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        # What fails here failed before its commit point; the journal itself answers for what comes after.
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(f"{self._directory} cannot be used: {error}") from error


class _LookingWatch:
    """A watch that also sees what other processes write, by looking now and then."""

    def __init__(self, local: LocalWatch, look: Callable[[], Awaitable[None]]) -> None:
        self._local = local
        self._look = look

    @property
    def hears_all(self) -> bool:
        """Not by itself: it looks."""
        return False

    async def wait(self) -> None:
        """Return when there may have been a change since the last call.

        Raises:
            StoreUnavailable: the watch, or its store, is closed, or the directory cannot be read.
        """
        while True:
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    return await self._local.wait()
            except TimeoutError:
                await self._look()

    async def close(self) -> None:
        """Stop watching."""
        await self._local.close()

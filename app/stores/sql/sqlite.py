"""SQLite: one file, one writer at a time, readers beside it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Text,
    bindparam,
    create_engine,
    event,
    exists,
    func,
    select,
    type_coerce,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, PoolProxiedConnection

from app.stores.base import StoreLimits
from app.stores.sql.drivers import Batch, Row, Trouble
from app.stores.sql.statements import Lookup
from app.stores.sql.tables import Naming

_LIMITS = StoreLimits(
    writes_per_commit=1000,
    bytes_per_commit=64 * 2**20,
    bytes_per_record=16 * 2**20,
    units_per_round=100,
    claim_batch=100,
    rounds_in_flight=2,
    poll_seconds=1.0,
)
_TROUBLES = {
    sqlite3.SQLITE_CONSTRAINT: Trouble.CONFLICT,
    sqlite3.SQLITE_BUSY: Trouble.LOCKED,
    sqlite3.SQLITE_LOCKED: Trouble.LOCKED,
    sqlite3.SQLITE_TOOBIG: Trouble.TOO_LARGE,
    sqlite3.SQLITE_CANTOPEN: Trouble.UNAVAILABLE,
    sqlite3.SQLITE_FULL: Trouble.UNAVAILABLE,
    sqlite3.SQLITE_IOERR: Trouble.UNAVAILABLE,
    sqlite3.SQLITE_NOMEM: Trouble.UNAVAILABLE,
    sqlite3.SQLITE_READONLY: Trouble.UNAVAILABLE,
}
_SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")
_LOG_BYTES = 64 * 2**20
"""What the write-ahead log is cut back to after a burst."""
_LOOK_AGAIN_SECONDS = 0.02


class SqliteDriver:
    """The dialect and its settings."""

    name = "sqlite"
    look_seconds = 0.05
    locks_rows = False
    has_marks = True
    errors = (sqlite3.Error, SQLAlchemyError)

    def __init__(self, synchronous: str, busy_timeout_seconds: float) -> None:
        if synchronous not in _SYNCHRONOUS:
            raise ValueError(f"synchronous {synchronous!r}: SQLite knows {', '.join(_SYNCHRONOUS)}")
        self._synchronous = synchronous
        self._busy_timeout_seconds = busy_timeout_seconds

    def limits(self) -> StoreLimits:
        """What a store on this database can take at once."""
        return _LIMITS

    def engine(self, url: URL) -> Engine:
        """An engine on the file, which is created when it is first connected to."""
        engine = create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            connect_args={"timeout": self._busy_timeout_seconds, "check_same_thread": False},
            poolclass=NullPool,
        )
        event.listen(engine, "connect", self._set_up)
        return engine

    def link(self, engine: Engine, *, writing: bool) -> SqliteLink:
        """A connection to write or to read with."""
        return SqliteLink(engine.raw_connection())

    def trouble(self, error: BaseException) -> Trouble:
        """What an error of sqlite3 means."""
        code = getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", None)
        # An extended code holds the primary one in its lowest byte.
        return Trouble.OTHER if code is None else _TROUBLES.get(code & 0xFF, Trouble.OTHER)

    def is_uncertain(self, error: BaseException) -> bool:
        """A commit that found the file locked was not applied; after a failed write or sync nobody knows."""
        return self.trouble(error) is not Trouble.LOCKED

    def mark(self, connection: Connection) -> int:
        """Another number once any other connection changed the file."""
        changes: int = connection.exec_driver_sql("PRAGMA data_version").scalar_one()
        return changes

    def listener(self, engine: Engine, naming: Naming) -> None:
        """Nothing: a file tells nobody."""

    def tell(self, connection: Connection, naming: Naming) -> None:
        """Nothing: others see by themselves that the file changed."""

    def notice(self, naming: Naming) -> None:
        """Nothing: others see by themselves that the file changed."""

    def prepare(self, connection: Connection) -> None:
        """Turn the write-ahead log on, for good, so that readers and the writer never wait for each other."""
        deadline = time.monotonic() + self._busy_timeout_seconds
        while connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() != "wal":
            try:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL").close()
                return
            except Exception as error:
                # SQLite does not wait by itself here while another process does the same.
                if self.trouble(error) is not Trouble.LOCKED or time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_AGAIN_SECONDS)

    @contextmanager
    def migration_lock(self, connection: Connection, name: str) -> Iterator[None]:
        """Hold the file's write lock; what was done is committed at the end, or undone if it fails."""
        connection.rollback()
        with connection.begin():
            # SQLAlchemy's own `begin` sends nothing in autocommit mode, but its `commit` and `rollback` end this.
            connection.exec_driver_sql("BEGIN EXCLUSIVE")
            yield

    def holds_all(self, column: ColumnElement[Any], keys: str) -> ColumnElement[bool]:
        """The condition that a KEYS column holds every key of the parameter of that name."""
        wanted = func.json_each(bindparam(keys)).table_valued("value", name="wanted")
        held = func.json_each(type_coerce(column, Text())).table_valued("value", name="held")
        return ~exists(select(wanted.c.value).where(wanted.c.value.not_in(select(held.c.value))))

    def _set_up(self, connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA synchronous={self._synchronous}").close()
        connection.execute(f"PRAGMA journal_size_limit={_LOG_BYTES}").close()


class SqliteLink:
    """Writes row by row: within the process a round trip costs nothing, and one prepared text serves all rows."""

    def __init__(self, connection: PoolProxiedConnection) -> None:
        self._pooled = connection
        driver: Any = connection.driver_connection
        self._connection: sqlite3.Connection = driver
        self._cursor = self._connection.cursor()

    def begin(self) -> None:
        """Take the write lock at once: a transaction that read first could not be sure to get it later."""
        self._cursor.execute("BEGIN IMMEDIATE")

    def run(self, batches: Sequence[Batch]) -> list[int]:
        """Execute writes; how many rows each batch touched in all."""
        return [self._cursor.executemany(text, rows).rowcount for text, rows in batches]

    def fetch(self, questions: Sequence[Lookup]) -> list[list[Row]]:
        """Execute reads."""
        return [self._cursor.execute(text, params).fetchall() for text, params in questions]

    def commit(self, last: Sequence[Batch] = ()) -> None:
        """Execute the last writes and commit."""
        self.run(last)
        self._cursor.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction; does nothing where there is none."""
        if self._connection.in_transaction:
            self._cursor.execute("ROLLBACK")

    def close(self) -> None:
        """Give the connection back."""
        self._cursor.close()
        self._pooled.close()

    def discard(self) -> None:
        """Throw the connection away, because it is in no known state."""
        self._cursor.close()
        self._pooled.invalidate()

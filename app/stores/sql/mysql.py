"""MySQL 8 and MariaDB from 10.6, through PyMySQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pymysql  # type: ignore[import-untyped]  # PyMySQL brings no types
from pymysql.constants import CR, ER  # type: ignore[import-untyped]  # as above
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Text,
    bindparam,
    create_engine,
    event,
    func,
    select,
    type_coerce,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, PoolProxiedConnection

from app.stores.base import StoreLimits, StoreUnavailable
from app.stores.sql.drivers import Batch, Row, Trouble
from app.stores.sql.statements import Lookup
from app.stores.sql.tables import Naming

_LIMITS = StoreLimits(
    writes_per_commit=1000,
    # The server takes 16 MiB in one statement unless its max_allowed_packet says otherwise.
    bytes_per_commit=16 * 2**20,
    bytes_per_record=4 * 2**20,
    units_per_round=100,
    claim_batch=100,
    rounds_in_flight=2,
    poll_seconds=1.0,
)
_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 60
_MIGRATION_WAIT_SECONDS = 300
_CHECKREAD = 1020
_KILLED = 1927
_SERVER_SHUTDOWN = 1053
_TROUBLES = {
    ER.DUP_ENTRY: Trouble.CONFLICT,
    ER.LOCK_DEADLOCK: Trouble.RETRY,
    _CHECKREAD: Trouble.RETRY,
    ER.LOCK_WAIT_TIMEOUT: Trouble.LOCKED,
    ER.NET_PACKET_TOO_LARGE: Trouble.TOO_LARGE,
    ER.CON_COUNT_ERROR: Trouble.UNAVAILABLE,
    ER.OPTION_PREVENTS_STATEMENT: Trouble.UNAVAILABLE,
    _SERVER_SHUTDOWN: Trouble.LOST,
    _KILLED: Trouble.LOST,
    CR.CR_CONN_HOST_ERROR: Trouble.LOST,
    CR.CR_CONNECTION_ERROR: Trouble.LOST,
    CR.CR_SERVER_GONE_ERROR: Trouble.LOST,
    CR.CR_SERVER_LOST: Trouble.LOST,
    CR.CR_COMMANDS_OUT_OF_SYNC: Trouble.LOST,
}


class MysqlDriver:
    """The dialect and its settings."""

    name = "mysql"
    look_seconds = 0.25
    locks_rows = True
    has_marks = False
    errors = (pymysql.err.MySQLError, SQLAlchemyError)

    def __init__(self, lock_timeout_seconds: float) -> None:
        self._lock_timeout_seconds = lock_timeout_seconds

    def limits(self) -> StoreLimits:
        """What a store on this database can take at once."""
        return _LIMITS

    def engine(self, url: URL) -> Engine:
        """An engine whose connections read what is committed, speak UTC and wait for locks only so long."""
        defaults: dict[str, Any] = {
            "charset": "utf8mb4",
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": _ANSWER_SECONDS,
            "write_timeout": _ANSWER_SECONDS,
        }
        engine = create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            paramstyle="format",
            connect_args={name: value for name, value in defaults.items() if name not in url.query},
            poolclass=NullPool,
        )
        event.listen(engine, "connect", self._set_up)
        return engine

    def link(self, engine: Engine, *, writing: bool) -> MysqlLink:
        """A connection to write or to read with."""
        return MysqlLink(engine.raw_connection())

    def trouble(self, error: BaseException) -> Trouble:
        """What an error of PyMySQL means."""
        cause = getattr(error, "orig", None) or error
        if isinstance(cause, pymysql.err.InterfaceError):
            return Trouble.LOST  # the connection was closed under us
        code = cause.args[0] if isinstance(cause, pymysql.err.MySQLError) and cause.args else None
        return _TROUBLES.get(code, Trouble.OTHER) if isinstance(code, int) else Trouble.OTHER

    def is_uncertain(self, error: BaseException) -> bool:
        """A commit that the server answered was answered truly; without an answer nobody knows."""
        return self.trouble(error) is Trouble.LOST

    def mark(self, connection: Connection) -> None:
        """Nothing: MySQL has no such number that is cheap and exact."""

    def listener(self, engine: Engine, naming: Naming) -> None:
        """Nothing: MySQL tells nobody."""

    def tell(self, connection: Connection, naming: Naming) -> None:
        """Nothing: workers find it when they look again."""

    def notice(self, naming: Naming) -> None:
        """Nothing: workers find it when they look again."""

    def prepare(self, connection: Connection) -> None:
        """Nothing is needed."""

    @contextmanager
    def migration_lock(self, connection: Connection, name: str) -> Iterator[None]:
        """Hold a lock of that name. Changes of tables cannot be undone here, so a migration must be able to go on."""
        database = connection.engine.url.database
        # The server's lock names are for all its databases, and short.
        lock = func.concat("torpor-", func.md5(f"{database}.{name}"))
        if connection.scalar(select(func.get_lock(lock, _MIGRATION_WAIT_SECONDS))) != 1:
            raise StoreUnavailable("another process has been migrating the tables for long; try again later")
        try:
            yield
        finally:
            connection.execute(select(func.release_lock(lock)))

    def holds_all(self, column: ColumnElement[Any], keys: str) -> ColumnElement[bool]:
        """The condition that a KEYS column holds every key of the parameter of that name."""
        holds: ColumnElement[bool] = func.json_contains(type_coerce(column, Text()), bindparam(keys)) == 1
        return holds

    def _set_up(self, connection: Any, _: object) -> None:
        wait = max(1, round(self._lock_timeout_seconds))
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute(f"SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = {wait}")


class MysqlLink:
    """Writes row by row; inserts of one kind go in one statement, which PyMySQL puts together."""

    def __init__(self, connection: PoolProxiedConnection) -> None:
        self._pooled = connection
        # PyMySQL's connection has no declared type in SQLAlchemy.
        driver: Any = connection.driver_connection
        self._cursor: Any = driver.cursor()

    def begin(self) -> None:
        """Start a transaction."""
        self._cursor.execute("BEGIN")

    def run(self, batches: Sequence[Batch]) -> list[int]:
        """Execute writes; how many rows each batch touched in all."""
        counts = []
        for text, rows in batches:
            self._cursor.executemany(text, rows)
            counts.append(self._cursor.rowcount)
        return counts

    def fetch(self, questions: Sequence[Lookup]) -> list[list[Row]]:
        """Execute reads."""
        answers: list[list[Row]] = []
        for text, params in questions:
            self._cursor.execute(text, params)
            answers.append(list(self._cursor.fetchall()))
        return answers

    def commit(self, last: Sequence[Batch] = ()) -> None:
        """Execute the last writes and commit."""
        self.run(last)
        self._cursor.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction; does nothing where there is none."""
        self._cursor.execute("ROLLBACK")

    def close(self) -> None:
        """Give the connection back."""
        self._pooled.close()

    def discard(self) -> None:
        """Throw the connection away, because it is in no known state."""
        self._pooled.invalidate()

"""PostgreSQL, through psycopg 3: round trips are saved by its pipeline mode, claims pass over locked rows."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.types.numeric import Int8Dumper
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
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import JSONB
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
_CONNECT_SECONDS = 10
_UNANSWERED_MILLISECONDS = 20_000
"""After how long without an acknowledgement a connection counts as lost."""
_SILENT_SECONDS = 30
"""After how long without a word from the server it is asked whether it is there: a listener says nothing itself."""
_MIGRATION_WAIT = "300s"
_GREETING = "hello "
"""Begins what a process says to itself when it has begun to listen."""
_TROUBLES = {
    "23505": Trouble.CONFLICT,  # unique_violation
    "40001": Trouble.RETRY,  # serialization_failure
    "40P01": Trouble.RETRY,  # deadlock_detected
    "55P03": Trouble.LOCKED,  # lock_not_available
    "57P01": Trouble.LOST,  # admin_shutdown
    "57P02": Trouble.LOST,  # crash_shutdown
    "57P03": Trouble.UNAVAILABLE,  # cannot_connect_now
    "57P05": Trouble.LOST,  # idle_session_timeout
    "54000": Trouble.TOO_LARGE,  # program_limit_exceeded
    "25P03": Trouble.LOST,  # idle_in_transaction_session_timeout
    "25006": Trouble.UNAVAILABLE,  # read_only_sql_transaction: a standby, while it is not promoted
}
_TROUBLE_CLASSES = {"08": Trouble.LOST, "53": Trouble.UNAVAILABLE, "58": Trouble.UNAVAILABLE}


class PostgresqlDriver:
    """The dialect and its settings."""

    name = "postgresql"
    look_seconds = 0.25
    locks_rows = True
    has_marks = False
    errors = (psycopg.Error, SQLAlchemyError)

    def __init__(self, lock_timeout_seconds: float) -> None:
        self._lock_timeout_seconds = lock_timeout_seconds
        self._token = secrets.token_hex(8)
        """Signs this process's own notices, which it need not hear."""

    def limits(self) -> StoreLimits:
        """What a store on this database can take at once."""
        return _LIMITS

    def engine(self, url: URL) -> Engine:
        """An engine whose connections speak UTC."""
        defaults = {
            "connect_timeout": _CONNECT_SECONDS,
            "tcp_user_timeout": _UNANSWERED_MILLISECONDS,
            "keepalives_idle": _SILENT_SECONDS,
        }
        engine = create_engine(
            url,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            # By position: psycopg fills these in faster than names.
            paramstyle="format",
            connect_args={name: value for name, value in defaults.items() if name not in url.query},
            poolclass=NullPool,
        )
        event.listen(engine, "connect", self._set_up)
        return engine

    def link(self, engine: Engine, *, writing: bool) -> PostgresqlLink:
        """A connection to write or to read with."""
        return PostgresqlLink(engine.raw_connection(), writing=writing)

    def trouble(self, error: BaseException) -> Trouble:
        """What an error of psycopg means."""
        cause = getattr(error, "orig", None) or error
        state = getattr(cause, "sqlstate", None)
        if state is None:
            # No answer from the server at all: the connection failed, or is closed.
            lost = isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError))
            return Trouble.LOST if lost else Trouble.OTHER
        return _TROUBLES.get(state) or _TROUBLE_CLASSES.get(state[:2], Trouble.OTHER)

    def is_uncertain(self, error: BaseException) -> bool:
        """A commit that the server answered was answered truly; without an answer nobody knows."""
        return self.trouble(error) is Trouble.LOST

    def mark(self, connection: Connection) -> None:
        """Nothing: PostgreSQL has no such number that is cheap and exact."""

    def listener(self, engine: Engine, naming: Naming) -> NoticeListener:
        """What hears of notices."""
        return NoticeListener(engine, naming.channel, self._token)

    def tell(self, connection: Connection, naming: Naming) -> None:
        """Send the notice with the transaction of somebody's own connection; this process has to hear it, too."""
        connection.execute(select(func.pg_notify(naming.channel, "")))

    def notice(self, naming: Naming) -> Batch:
        """What tells other processes, when it is committed, that something became claimable."""
        return "SELECT pg_notify(%s, %s)", [(naming.channel, self._token)]

    def prepare(self, connection: Connection) -> None:
        """Nothing is needed."""

    @contextmanager
    def migration_lock(self, connection: Connection, name: str) -> Iterator[None]:
        """Hold a lock of that name in one transaction, which also undoes what fails half-way."""
        connection.rollback()
        with connection.begin():
            # SQLAlchemy's own `begin` sends nothing in autocommit mode, but its `commit` and `rollback` end this.
            connection.exec_driver_sql("BEGIN")
            connection.execute(select(func.set_config("lock_timeout", _MIGRATION_WAIT, True)))
            connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))
            yield

    def holds_all(self, column: ColumnElement[Any], keys: str) -> ColumnElement[bool]:
        """The condition that a KEYS column holds every key of the parameter of that name."""
        wanted = sql_cast(bindparam(keys, type_=Text()), JSONB)
        return sql_cast(type_coerce(column, Text()), JSONB).contains(wanted)

    def _set_up(self, connection: psycopg.Connection[Any], _: object) -> None:
        connection.autocommit = True
        milliseconds = round(self._lock_timeout_seconds * 1000)
        connection.execute(f"SET TIME ZONE 'UTC'; SET lock_timeout = {milliseconds}")


class PostgresqlLink:
    """Writes in pipelines: one round trip for however many statements, each prepared once for all its rows."""

    def __init__(self, connection: PoolProxiedConnection, *, writing: bool) -> None:
        self._pooled = connection
        driver: Any = connection.driver_connection
        self._connection: psycopg.Connection[Row] = driver
        self._begins = False
        # Numbers would otherwise go as the smallest type they fit in, and each mixture be prepared anew.
        self._connection.adapters.register_dumper(int, Int8Dumper)
        if not writing:
            return
        self._connection.prepare_threshold = 1
        # All that is executed here is served by an index. Statistics of a queue are stale by nature, and a plan that
        # was made while the table was small must not read all of it later.
        self._connection.execute(
            "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off; SET jit = off; "
            "SET plan_cache_mode = force_generic_plan"
        )

    def begin(self) -> None:
        """Let the next call start a transaction in its own round trip."""
        self._begins = True

    def run(self, batches: Sequence[Batch]) -> list[int]:
        """Execute writes in one round trip; how many rows each batch touched in all."""
        cursors = []
        with self._connection.pipeline():
            self._begin_now()
            for text, rows in batches:
                cursor = self._connection.cursor()
                cursor.executemany(text, rows)
                cursors.append(cursor)
        return [cursor.rowcount for cursor in cursors]

    def fetch(self, questions: Sequence[Lookup]) -> list[list[Row]]:
        """Execute reads in one round trip."""
        if len(questions) == 1 and not self._begins:
            return [self._connection.execute(*questions[0]).fetchall()]
        cursors = []
        with self._connection.pipeline():
            self._begin_now()
            for text, params in questions:
                cursor = self._connection.cursor()
                cursor.execute(text, params)
                cursors.append(cursor)
        return [cursor.fetchall() for cursor in cursors]

    def commit(self, last: Sequence[Batch] = ()) -> None:
        """Execute the last writes and commit, in one round trip."""
        if not last:
            self._connection.execute("COMMIT")
            return
        with self._connection.pipeline():
            self._begin_now()
            for text, rows in last:
                self._connection.cursor().executemany(text, rows)
            self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction; does nothing where there is none."""
        if self._begins or self._connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE:
            self._begins = False
            return
        self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Give the connection back."""
        self._pooled.close()

    def discard(self) -> None:
        """Throw the connection away, because it is in no known state."""
        self._pooled.invalidate()

    def _begin_now(self) -> None:
        if self._begins:
            self._begins = False
            self._connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")


class NoticeListener:
    """A connection of its own that LISTENs; the event loop watches its socket, so that waiting takes no thread."""

    def __init__(self, engine: Engine, channel: str, own_token: str) -> None:
        self._engine = engine
        self._channel = channel
        self._own_token = own_token
        self._pooled: PoolProxiedConnection | None = None
        self._is_heard = False

    @property
    def is_heard(self) -> bool:
        """Whether anything has come over it yet. Behind a pooler that changes servers under a session nothing does."""
        return self._is_heard

    def connect(self) -> int:
        """Start listening; gives the socket, which is readable when there is something to hear. Blocks."""
        pooled = self._engine.raw_connection()
        connection = self._raw(pooled)
        connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self._channel)))
        try:
            with self._engine.connect() as other:
                other.execute(select(func.pg_notify(self._channel, _GREETING + self._own_token)))
        except BaseException:
            pooled.invalidate()
            raise
        self._pooled = pooled
        return connection.pgconn.socket

    def heard(self) -> bool:
        """Whether another process told of something since the last call, or this one's greeting came through.

        Whoever hears its greeting looks: nobody told of what happened before. Does not block.
        """
        if self._pooled is None:
            return False
        server = self._raw(self._pooled).pgconn
        server.consume_input()
        heard = False
        while (notice := server.notifies()) is not None:
            said = notice.extra.decode(errors="replace")
            greets = said.startswith(_GREETING)
            is_own = said.removeprefix(_GREETING) == self._own_token
            heard = heard or greets == is_own
            self._is_heard = True
        return heard

    def close(self) -> None:
        """Stop listening."""
        self._is_heard = False
        pooled, self._pooled = self._pooled, None
        if pooled is not None:
            # Thrown away and not given back: a pooled connection that still listens would gather notices for ever.
            pooled.invalidate()

    def _raw(self, pooled: PoolProxiedConnection) -> psycopg.Connection[Row]:
        driver: Any = pooled.driver_connection
        connection: psycopg.Connection[Row] = driver
        return connection

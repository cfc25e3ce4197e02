"""What differs between databases, as one small interface; the rest of the store knows no dialect.

A `Driver` says how to connect, what its errors mean and how to hear of changes. A `Link` is one connection to
write with, below SQLAlchemy's execution layer and above the DBAPI.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from enum import Enum, auto
from typing import Any, Protocol, TypeAlias

from sqlalchemy import URL, ColumnElement, Connection, Engine

from app.stores.base import RecordTooLarge, StoreError, StoreLimits, StoreUnavailable
from app.stores.sql.statements import Lookup, Params
from app.stores.sql.tables import Naming

Batch: TypeAlias = tuple[str, Sequence[Params]]
"""One text to execute once for each set of parameters."""

Row: TypeAlias = tuple[Any, ...]


class Trouble(Enum):
    """What a driver's error means to a transaction that had not been committed: nothing of it was applied."""

    CONFLICT = auto()
    """A row with this id exists."""
    RETRY = auto()
    """A deadlock or a serialization failure: the same again may work at once."""
    LOCKED = auto()
    """Somebody held a lock for longer than this store waits."""
    LOST = auto()
    """The connection is gone."""
    TOO_LARGE = auto()
    UNAVAILABLE = auto()
    """The server answers, but cannot work now."""
    OTHER = auto()


class Link(Protocol):
    """One connection, used by one thread, with one transaction at a time."""

    def begin(self) -> None:
        """Start a transaction, or let the next call start it."""

    def run(self, batches: Sequence[Batch]) -> list[int]:
        """Execute writes in as few round trips as possible; how many rows each batch touched in all."""

    def fetch(self, questions: Sequence[Lookup]) -> list[list[Row]]:
        """Execute reads in as few round trips as possible."""

    def commit(self, last: Sequence[Batch] = ()) -> None:
        """Execute writes that cannot fail any more and commit, in as few round trips as possible."""

    def rollback(self) -> None:
        """Undo the transaction; does nothing where there is none."""

    def close(self) -> None:
        """Give the connection back."""

    def discard(self) -> None:
        """Throw the connection away, because it is in no known state."""


class Listener(Protocol):
    """A connection on which the database tells that something became claimable."""

    @property
    def is_heard(self) -> bool:
        """Whether anything has come over it yet: something between here and the database may keep it all back."""

    def connect(self) -> int:
        """Start listening; gives the socket, which is readable when there is something to hear. Blocks.

        The first thing that comes is a notice to oneself.
        """

    def heard(self) -> bool:
        """Whether another process told of something since the last call, or one's own first notice came through.

        Does not block.
        """

    def close(self) -> None:
        """Stop listening."""


class Driver(Protocol):
    """One kind of database."""

    @property
    def name(self) -> str:
        """The dialect's name in SQLAlchemy."""

    def limits(self) -> StoreLimits:
        """What a store on this database can take at once."""

    def engine(self, url: URL) -> Engine:
        """An engine whose connections are in autocommit mode, set up for this store and never pooled."""

    def link(self, engine: Engine, *, writing: bool) -> Link:
        """A connection to write or to read with."""

    @property
    def locks_rows(self) -> bool:
        """Whether a lock stands in the way of some writes only, and not of all."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What the DBAPI and SQLAlchemy raise."""

    def trouble(self, error: BaseException) -> Trouble:
        """What an error of the DBAPI means."""

    def is_uncertain(self, error: BaseException) -> bool:
        """Whether a commit that ended in this error may have been applied all the same."""

    @property
    def look_seconds(self) -> float:
        """How often to look for changes while somebody watches."""

    @property
    def has_marks(self) -> bool:
        """Whether `mark` says anything."""

    def mark(self, connection: Connection) -> int | None:
        """A number that is another one, on the same connection, once anybody else changed anything."""

    def listener(self, engine: Engine, naming: Naming) -> Listener | None:
        """What hears of notices, if the database can send any."""

    def tell(self, connection: Connection, naming: Naming) -> None:
        """Send the notice with the transaction of somebody's own connection."""

    def notice(self, naming: Naming) -> Batch | None:
        """What tells other processes, when it is committed, that something became claimable."""

    def prepare(self, connection: Connection) -> None:
        """What a database needs before anything else, each time it is opened."""

    def migration_lock(self, connection: Connection, name: str) -> AbstractContextManager[None]:
        """Let one process at a time in, across processes, while it changes tables on this connection."""

    def holds_all(self, column: ColumnElement[Any], keys: str) -> ColumnElement[bool]:
        """The condition that a KEYS column holds every key of the parameter of that name, itself such a value."""


def refusal(driver: Driver, error: BaseException, doing: str) -> StoreError:
    """The store's error for a driver's error after which nothing is applied."""
    trouble = driver.trouble(error)
    # Never the statement or its parameters, which hold users' data; and one line, for logs.
    detail = (str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__])[0]
    if trouble is Trouble.TOO_LARGE:
        return RecordTooLarge(f"{doing}: the database refused the size ({detail}); keep large data elsewhere")
    if trouble is Trouble.LOCKED:
        return StoreUnavailable(f"{doing}: another transaction holds what is needed ({detail}); try again later")
    if trouble is Trouble.RETRY:
        return StoreUnavailable(f"{doing}: other transactions kept getting in the way ({detail}); try again later")
    if trouble in {Trouble.LOST, Trouble.UNAVAILABLE}:
        return StoreUnavailable(f"{doing}: {detail}; nothing was applied, try again later")
    return StoreError(f"{doing}: the database refused it ({detail}); nothing was applied")

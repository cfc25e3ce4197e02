"""The store protocol: versioned records in named collections.

Everything durable is a record: jobs, run summaries, log pages, saved results, chunks, roll-ups and the
catalogue. A store keeps records, gives every stored state a version, and applies writes that name the
version they last saw. It knows no rule of the engine: what a write means was decided before it got here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, TypeAlias, runtime_checkable

Value: TypeAlias = bool | int | float | str | datetime | tuple[str, ...] | None
"""A field's value. None and "not there" are the same thing, in every store."""

RecordKey: TypeAlias = tuple[str, str]
"""Names one record: its collection and its id."""

Version: TypeAlias = str
"""Names one stored state of one record. Opaque: compare for equality only, never reuse after a delete."""

Fields: TypeAlias = Mapping[str, Value]


# --- what is declared about records -----------------------------------------------------------------


class Kind(StrEnum):
    """What a field holds, and so how a store keeps it."""

    KEY = "key"
    """Short text that can be indexed: at most 200 characters, no control characters."""
    TEXT = "text"
    """Text of any length, never indexed, no NUL."""
    INT = "int"
    """A signed integer of 64 bits."""
    FLOAT = "float"
    BOOL = "bool"
    TIME = "time"
    """An aware time in UTC, to the microsecond."""
    KEYS = "keys"
    """A tuple of KEY values, without order or doubles that matter."""


@dataclass(frozen=True, slots=True)
class Collection:
    """One named set of records and the fields they may have."""

    name: str
    fields: Mapping[str, Kind]


@dataclass(frozen=True, slots=True)
class Order:
    """One field that results are sorted by."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A query that may be asked, by name: what it filters by and how it sorts.

    Stores make their indexes from shapes, so a filter outside of its shape is refused on every store,
    not only on the one whose index would be missing.
    """

    name: str
    collection: str
    order: tuple[Order, ...]
    """Sorted by these, then by record id in the direction of the last. A record without one of these
    fields is not found."""
    equal: tuple[str, ...] = ()
    """Fields that must be given."""
    optional: tuple[str, ...] = ()
    """Fields that may be given, in any combination."""
    within: tuple[str, ...] = ()
    """Fields that must be given as a tuple of alternatives. Used by `claim` only."""
    contains: str | None = None
    """A KEYS field that may be asked to hold all of the given keys."""
    reversible: bool = False
    """Whether it is also asked in the opposite order."""

    @property
    def range_field(self) -> str:
        """The field that `since` and `until` bound: the first of the order."""
        return self.order[0].field


# --- records and writes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Record:
    """One stored state of one record. `fields` holds only the fields that have a value."""

    collection: str
    id: str
    version: Version
    fields: Fields


@dataclass(frozen=True, slots=True)
class Insert:
    """Create a record; fails if the id exists."""

    collection: str
    id: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Update:
    """Change the named fields of a record (None removes one) if it still has this version."""

    collection: str
    id: str
    fields: Fields
    version: Version


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole record, whatever was there."""

    collection: str
    id: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a record: with a version only that state, without one whatever is there, or nothing."""

    collection: str
    id: str
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class Verify:
    """Change nothing, but fail the unit unless the record still has this version, which it keeps."""

    collection: str
    id: str
    version: Version


Write: TypeAlias = Insert | Update | Put | Delete | Verify
Unit: TypeAlias = Sequence[Write]
"""Writes that are applied together or not at all. No record is named twice in one unit."""


# --- queries and claims ------------------------------------------------------------------------------


MOST_ASKED = 1_000_000_000
"""What a query takes, and leaves out, at most: what every store can count."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question of a declared shape."""

    shape: str
    where: Fields = field(default_factory=dict)
    """Values of the shape's `equal` and `optional` fields; for its `contains` field a tuple of keys, all
    of which the record must hold."""
    since: Value = None
    """Inclusive lower bound of the shape's first order field."""
    until: Value = None
    """Exclusive upper bound of the shape's first order field."""
    reverse: bool = False
    limit: int = 100
    offset: int = 0
    cursor: str | None = None
    """Where the page before ended (`Page.cursor`)."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some records in order, and where to go on; `cursor` is None when there are no more."""

    records: Sequence[Record]
    cursor: str | None


Decide: TypeAlias = Callable[[Record], Fields | None]
"""What to change in a candidate: the engine's decision, pure. None leaves the record alone."""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Take up to `limit` claimable records for one holder.

    Candidates are those of shape `jobs.ready` (in each queue in turn, the routes and shards given, best
    first) and, if `due`, those of shape `jobs.due` whose `wake_at` is not after `now`, whatever their
    route. Both are merged by (place of the queue, priority descending, time since when claimable).
    """

    queues: tuple[str, ...]
    routes: tuple[str, ...]
    limit: int
    now: datetime
    due: bool = True
    shards: tuple[int, ...] = (0,)
    spread: int = 1
    """Above 1, the shards below it may be worked off apart: the order then holds in each of them and not between them.
    A store on which claimers get in each other's way takes from one of them first, and from the others what that lacks;
    other stores need not care."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim brought: records in the state that `lease` gave them."""

    records: Sequence[Record]
    conflicts: int
    """Candidates that somebody else changed first."""
    full_page: bool
    """Whether more may be claimable right now."""


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """What a store can take at once, so that callers cut their work to it."""

    writes_per_commit: int
    bytes_per_commit: int
    bytes_per_record: int
    units_per_round: int
    """How many units `commit_each` should be given at once."""
    rounds_in_flight: int
    """How many calls of `commit_each` gain anything by running at the same time."""
    poll_seconds: float
    """How often an idle worker should look when nobody wakes it."""
    claim_batch: int
    """How many records one `claim` should take at most."""
    reads_are_priced: bool = False
    """Whether each question costs money, so that nobody asks one that can be done without."""
    prices: PriceList | None = None
    """What its reads and writes cost; None where nobody is billed for them."""
    embedded_worker: bool = False
    """Whether a manager on this store runs a worker of its own unless told otherwise."""
    single_process: bool = False
    """Whether only this process can hold leases, so that at start none of them is alive."""
    bulk_writes_per_second: float | None = None
    """How fast many records may be created at first, half as fast again every five minutes; None for no limit."""
    claim_alternatives: int = 30
    """How many routes times shards one claim may ask for before it costs more."""


@dataclass(slots=True)
class Usage:
    """What was asked of the store since it was opened, in billed units where the store is billed."""

    reads: int = 0
    writes: int = 0
    deletes: int = 0
    rpcs: int = 0


@dataclass(frozen=True, slots=True)
class PriceList:
    """Prices in US dollars per 100,000 documents.

    The defaults are the list prices of the Standard edition in the region us-central1 beyond the free quota, as
    https://cloud.google.com/firestore/pricing gave them in 2025. Other places differ and prices change, so they can
    be given. Stored bytes, index entries read by counts, and network traffic are billed apart and not included.
    """

    reads: Decimal = Decimal("0.03")
    writes: Decimal = Decimal("0.09")
    deletes: Decimal = Decimal("0.01")

    def cost(self, usage: Usage) -> Decimal:
        """What this usage costs in US dollars."""
        per_document = Decimal(1) / 100_000
        total = usage.reads * self.reads + usage.writes * self.writes + usage.deletes * self.deletes
        return total * per_document


# --- errors ------------------------------------------------------------------------------------------


class StoreError(Exception):
    """Something a store could not do."""


class PreconditionFailed(StoreError):
    """A write named a state that is not the stored one; nothing of its unit was applied."""

    def __init__(self, collection: str | None, record_id: str | None, found: str) -> None:
        self.collection = collection
        self.record_id = record_id
        where = f"{collection}/{record_id}" if record_id is not None else "one of the unit's records"
        super().__init__(f"{where}: {found}; read it again and decide anew")


class OutcomeUnknown(StoreError):
    """The answer to a write was lost: it may have been applied. Read back before doing anything else."""


class StoreUnavailable(StoreError):
    """The store cannot be reached now; nothing was applied. Trying later is safe."""


class RecordTooLarge(StoreError):
    """A record or commit is over the store's limit."""


class UnknownShape(StoreError):
    """A query that no shape declares."""


class NotJoinable(StoreError):
    """The store cannot write inside the transaction it was given."""


# --- the protocol ------------------------------------------------------------------------------------


@runtime_checkable
class Watch(Protocol):
    """Hints that something changed. They may be lost, late or doubled: look again yourself now and then."""

    @property
    def hears_all(self) -> bool:
        """Whether it hears at present of what any process makes claimable, so that one need hardly look oneself.

        When that ends, whoever waits is told.
        """

    async def wait(self) -> None:
        """Return when there may have been a change since the last call."""

    async def close(self) -> None:
        """Stop watching."""


class Store(Protocol):
    """Versioned records in named collections. Every method may raise `StoreUnavailable`."""

    @property
    def usage(self) -> Usage:
        """Counters since `open`."""

    def limits(self) -> StoreLimits:
        """What this store can take at once."""

    async def open(self) -> None:
        """Connect, and bring collections and indexes up to date. Opening an open store does nothing."""

    async def close(self) -> None:
        """Let go of everything. A closed store can be opened again."""

    async def get(self, collection: str, ids: Sequence[str], also: Sequence[RecordKey] = ()) -> list[Record | None]:
        """The newest state of each record, in the order asked, None where there is none.

        `also` names further records, of any collections; they come after the others, in the same round trip.
        """

    async def commit(self, unit: Unit) -> list[Version]:
        """Apply one unit, all or nothing; returns the version of each written record, in order.

        A Delete's version is the empty string, a Verify's the version it named.

        Raises:
            PreconditionFailed: nothing was applied.
            OutcomeUnknown: it may have been applied.
            RecordTooLarge: nothing was applied.
        """

    async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
        """Apply many units in as few round trips as the store can, each all or nothing by itself.

        Returns for each unit what `commit` would have returned or raised. No two of the units may name
        the same record.
        """

    async def claim(self, request: ClaimRequest, lease: Decide, promote: Decide) -> Claimed:
        """Change up to `limit` claimable records as `lease` says, each only if still as it was seen.

        Candidates over the limit that came from the due query are changed as `promote` says. Both are
        called with records that may turn out to be taken; they must be pure and quick, and may run in
        another thread. A record that `lease` answers with None, or leaves unroutable, is not returned.

        Raises:
            OutcomeUnknown: some may have been changed; read them back.
        """

    async def query(self, query: Query) -> Page:
        """One page of records.

        Raises:
            UnknownShape: the shape is not declared, or does not have a filter that was given.
        """

    async def count(self, query: Query) -> int:
        """How many records match, regardless of limit, offset and cursor.

        Raises:
            UnknownShape: as for `query`.
        """

    async def watch(self, collection: str, record_id: str | None = None) -> Watch:
        """Hints about one record; without an id, hints that something in the collection became claimable."""

    async def enlist(self, transaction: object, unit: Unit) -> None:
        """Write the unit inside the caller's own open transaction; it is applied when that commits.

        Raises:
            NotJoinable: this store cannot join that kind of transaction.
        """

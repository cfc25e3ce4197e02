"""The store on Firestore: documents are the queues, update times are the versions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from app.stores.base import (
    Claimed,
    ClaimRequest,
    Decide,
    Page,
    PriceList,
    Query,
    Record,
    RecordKey,
    StoreError,
    StoreLimits,
    Unit,
    Usage,
    Version,
    Watch,
)
from app.stores.checks import checked_unit
from app.stores.firestore.claim import Claims
from app.stores.firestore.commits import Commits
from app.stores.firestore.enlist import enlist
from app.stores.firestore.meter import Meter
from app.stores.firestore.names import Names
from app.stores.firestore.queries import MAX_DISJUNCTIONS, READY, Queries, record_of
from app.stores.firestore.search import Search
from app.stores.firestore.watch import FirestoreWatch, document_target, query_target
from app.stores.firestore.wire import Recorder, Wire
from app.stores.firestore.writes import Writes
from app.stores.weights import check_weight

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

EMULATOR_VARIABLE = "FIRESTORE_EMULATOR_HOST"
"""The environment variable by which Google's tools find an emulator, as `host:port`."""

_REQUEST_BYTES = 10 * 2**20
_EMULATOR_REQUEST_BYTES = 4 * 2**20
"""The emulator's gRPC server takes no larger message."""
_OVERHEAD_BYTES = 256 * 1024
"""Room for names, masks and preconditions in a request."""
_DOCUMENT_BYTES = 2**20
_DOCUMENT_OVERHEAD_BYTES = 8 * 1024
"""Room for a document's name and its fields' names, which count towards its limit."""


class FirestoreJobStore:
    """A store in one Firestore database, for any number of processes at once.

    Collections are called `{prefix}{name}`; their indexes and time-to-live policies are those of
    terraform/firestore.tf, because nothing but an administrator's tool may make them.

    Args:
        project: the Google Cloud project's id.
        database: the database's id in that project.
        prefix: put before each collection's name, so that several environments share a database.
        credentials: instead of the environment's (application default) credentials.
        emulator: `host:port` of an emulator, instead of `FIRESTORE_EMULATOR_HOST`.
        timeout_seconds: how long one call, or connecting, may take.
        randomness: for pauses and for places to claim from.
        prices: what Google asks for reads and writes; by default the list prices of us-central1.
        on_query: is shown each structured query that is sent.
    """

    def __init__(
        self,
        *,
        project: str,
        database: str = "(default)",
        prefix: str = "",
        credentials: Credentials | None = None,
        emulator: str | None = None,
        timeout_seconds: float = 10.0,
        randomness: Random | None = None,
        prices: PriceList | None = None,
        on_query: Recorder | None = None,
    ) -> None:
        emulator = emulator or os.environ.get(EMULATOR_VARIABLE)
        randomness = randomness or Random()
        self._randomness = randomness
        self._names = Names(project, database, prefix)
        self._meter = Meter()
        self._wire = Wire(
            self._names.database,
            self._meter,
            emulator=emulator,
            credentials=credentials,
            timeout_seconds=timeout_seconds,
            randomness=randomness,
            on_query=on_query,
        )
        self._limits = _limits(prices or PriceList(), is_emulator=emulator is not None)
        self._writes = Writes(self._names, randomness)
        self._queries = Queries(self._names)
        self._search = Search(self._wire, self._queries)
        self._claims = Claims(self._wire, self._writes, self._queries, randomness)
        self._commits = Commits(self._wire, self._writes, self._limits)
        self._watches: set[FirestoreWatch] = set()

    @property
    def usage(self) -> Usage:
        """What Firestore bills since `open`, as far as it is counted in documents; `limits` has the prices."""
        return self._meter.usage

    def limits(self) -> StoreLimits:
        """What this store can take at once."""
        return self._limits

    async def open(self) -> None:
        """Find credentials; the first call connects. Nothing is read or written: an idle process costs nothing.

        Raises:
            StoreUnavailable: there are no Google credentials.
        """
        if not self._wire.is_open:
            self._meter.reset()
            await self._wire.open()

    async def close(self) -> None:
        """Drop the connection and end every watch. A closed store can be opened again, in another event loop too."""
        for watch in tuple(self._watches):
            watch.end()
        await self._wire.close()

    async def get(self, collection: str, ids: Sequence[str], also: Sequence[RecordKey] = ()) -> list[Record | None]:
        """The newest state of each record, in the order asked, None where there is none; see `Store.get`."""
        keys = [*((collection, record_id) for record_id in ids), *also]
        if not keys:
            return []
        names = [self._names.document(*key) for key in keys]
        found = await self._wire.batch_get(tuple(dict.fromkeys(names)))
        return [
            record_of(found[name], key[0]) if name in found else None for name, key in zip(names, keys, strict=True)
        ]

    async def commit(self, unit: Unit) -> list[Version]:
        """Apply one unit, all or nothing; see `Store.commit`."""
        return await self._commits.apply(unit)

    async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
        """Apply many units, each all or nothing by itself; see `Store.commit_each`."""
        return await self._commits.apply_each(units)

    async def claim(self, request: ClaimRequest, lease: Decide, promote: Decide) -> Claimed:
        """Take claimable records; see `Store.claim`.

        Raises:
            OutcomeUnknown: some may have been changed; read them back.
        """
        return await self._claims.claim(request, lease, promote)

    async def query(self, query: Query) -> Page:
        """One page of records; see `Store.query`. Skipped records (`offset`) are billed as if they were read."""
        return await self._search.query(query)

    async def count(self, query: Query) -> int:
        """How many records match, regardless of limit, offset and cursor; a read per thousand.

        Only where several keys must be held at once every record with one of them is read.
        """
        return await self._search.count(query)

    async def watch(self, collection: str, record_id: str | None = None) -> Watch:
        """Hints about one record; without an id, hints that something in the collection became claimable."""
        if record_id is not None:
            target = document_target(self._names.document(collection, record_id))
        elif collection == READY.collection:
            target = query_target(self._names.root, self._queries.newest_ready())
        else:
            raise ValueError(f"nothing in collection {collection!r} is ever claimable; watch one record of it")
        watch = FirestoreWatch(self._wire, target, self._randomness, self._watches.discard)
        self._watches.add(watch)
        return watch

    async def enlist(self, transaction: object, unit: Unit) -> None:
        """Write the unit inside the caller's own batch or transaction of google-cloud-firestore, sync or async.

        It is applied, all or nothing with the caller's writes, when that is committed.

        Raises:
            NotJoinable: it is something else, or of another database.
        """
        checked_unit(unit)
        check_weight(unit, self._limits)
        enlist(transaction, unit, self._names, self._writes)


def _limits(prices: PriceList, *, is_emulator: bool) -> StoreLimits:
    return StoreLimits(
        prices=prices,
        writes_per_commit=500,
        bytes_per_commit=(_EMULATOR_REQUEST_BYTES if is_emulator else _REQUEST_BYTES) - _OVERHEAD_BYTES,
        bytes_per_record=_DOCUMENT_BYTES - _DOCUMENT_OVERHEAD_BYTES,
        units_per_round=20,
        claim_batch=20,
        claim_alternatives=MAX_DISJUNCTIONS,
        rounds_in_flight=8,
        # https://firebase.google.com/docs/firestore/best-practices#ramping_up_traffic
        bulk_writes_per_second=None if is_emulator else 500.0,
        # An empty look costs three reads: at this pace one idle worker stays within the free 50,000 a day.
        poll_seconds=10.0,
        reads_are_priced=True,
    )

"""What every part of the suite stands on: the fixtures, and records to write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

import pytest

from app.stores.base import ClaimRequest, Fields, Insert, Record, Store, Update, Value, Version

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
"""The time at which the suite claims."""
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)

_Answer = TypeVar("_Answer")


class MakeStore(Protocol):
    """Makes a store, closed, on the database of the running test."""

    def __call__(self, prefix: str = "") -> Store: ...


class Harness:
    """The fixtures. `make_store` is for the subclass to give."""

    bills_reads = False
    """Whether `usage.reads` counts the records that the store looked at, so that the cost of a claim can be checked."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """How to make a store on the test's own, empty database."""
        raise NotImplementedError(f"{type(self).__name__} must override the fixture make_store")

    @pytest.fixture
    async def store(self, make_store: MakeStore) -> AsyncIterator[Store]:
        """An open store on an empty database."""
        store = make_store()
        await store.open()
        try:
            yield store
        finally:
            await store.close()


# --- records ------------------------------------------------------------------------------------------


def job(**fields: Value) -> dict[str, Value]:
    """Fields of a job that waits nowhere; name the others, or None to leave one out."""
    whole: dict[str, Value] = {
        "schema_version": 1,
        "type": "report",
        "name": "A report",
        "queue": "priority",
        "priority": 1,
        "route": "any",
        "shard": 0,
        "payload": "{}",
        "status": "queued",
        "revision": 1,
        "created_at": NOON - 60 * MINUTE,
    }
    whole.update(fields)
    return {name: value for name, value in whole.items() if value is not None}


def ready(**fields: Value) -> dict[str, Value]:
    """Fields of a job that can be claimed."""
    return job(**{"ready_at": NOON - MINUTE, **fields})


def delayed(wake_at: datetime, **fields: Value) -> dict[str, Value]:
    """Fields of a job that waits for a time."""
    return job(**{"wake_at": wake_at, **fields})


def ask(**fields: object) -> ClaimRequest:
    """A claim from both queues on route `any`, at noon, of up to ten records; name what is different."""
    whole: dict[str, object] = {
        "queues": ("priority", "maintenance"),
        "routes": ("any",),
        "limit": 10,
        "now": NOON,
        **fields,
    }
    return ClaimRequest(**whole)  # type: ignore[arg-type]  # the keywords are the class's own


def lease(record: Record) -> Fields | None:
    """Take a candidate, as an engine would."""
    attempt = record.fields.get("attempt")
    return {
        "status": "running",
        "ready_at": None,
        "wake_at": None,
        "lease_token": f"token-{record.id}",
        "lease_expires_at": NOON + MINUTE,
        "attempt": attempt + 1 if isinstance(attempt, int) else 1,
    }


def promote(record: Record) -> Fields | None:
    """Make a due candidate ready, as an engine would."""
    return {"ready_at": record.fields["wake_at"], "wake_at": None}


# --- small steps --------------------------------------------------------------------------------------


async def insert(store: Store, collection: str, records: Iterable[tuple[str, Fields]]) -> dict[str, Version]:
    """Create records, each in a unit of its own; gives their versions."""
    named = list(records)
    size = store.limits().units_per_round
    versions: dict[str, Version] = {}
    for start in range(0, len(named), size):
        part = named[start : start + size]
        answers = await store.commit_each([[Insert(collection, record_id, fields)] for record_id, fields in part])
        for (record_id, _), answer in zip(part, answers, strict=True):
            (versions[record_id],) = granted(answer)
    return versions


async def one(store: Store, collection: str, record_id: str) -> Record:
    """A record that must be there."""
    (record,) = await store.get(collection, [record_id])
    assert record is not None, f"{collection}/{record_id} is not there"
    return record


async def is_there(store: Store, collection: str, record_id: str) -> bool:
    """Whether a record is there."""
    return await store.get(collection, [record_id]) != [None]


async def touch(store: Store, record: Record, **fields: Value) -> Record:
    """Update a record and give it as it is then."""
    await store.commit([Update(record.collection, record.id, fields, record.version)])
    return await one(store, record.collection, record.id)


def granted(answer: _Answer | Exception) -> _Answer:
    """An answer of `commit_each` or `gather` that must be no error."""
    assert not isinstance(answer, Exception), f"refused: {answer!r}"
    return answer


def ids(records: Sequence[Record]) -> list[str]:
    """The ids of records, in order."""
    return [record.id for record in records]


def plain(fields: Fields) -> dict[str, Value]:
    """Fields in the form in which two stores' answers are compared: keys sorted and without doubles."""
    return {
        name: tuple(sorted(set(value))) if isinstance(value, tuple) else value
        for name, value in fields.items()
        if value is not None and value != ()
    }

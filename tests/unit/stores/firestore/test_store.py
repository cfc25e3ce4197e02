"""Opening and closing without a server, and what is refused before any is asked."""

from __future__ import annotations

from collections.abc import Sequence

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError

from app.stores.base import Insert, Query, StoreUnavailable, UnknownShape
from app.stores.firestore import FirestoreJobStore
from app.stores.firestore.store import EMULATOR_VARIABLE


@pytest.fixture(autouse=True)
def no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(EMULATOR_VARIABLE, raising=False)


async def test_without_credentials_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_found(scopes: Sequence[str]) -> None:
        raise DefaultCredentialsError("not found")  # type: ignore[no-untyped-call]  # google.auth has no types here

    monkeypatch.setattr(google.auth, "default", none_found)
    store = FirestoreJobStore(project="p")
    with pytest.raises(StoreUnavailable, match=EMULATOR_VARIABLE):
        await store.open()
    await store.close()


async def test_opening_asks_nothing_of_the_server() -> None:
    store = FirestoreJobStore(project="p", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]  # as above
    for _ in range(2):
        await store.open()
        await store.open()
        assert store.usage.rpcs == 0
        await store.close()


async def test_a_closed_store_says_so() -> None:
    store = FirestoreJobStore(project="p")
    with pytest.raises(StoreUnavailable, match="open it first"):
        await store.commit([Insert("jobs", "a", {})])
    with pytest.raises(StoreUnavailable, match="open it first"):
        await store.get("jobs", ["a"])


async def test_a_shape_that_needs_alternatives_is_for_claims() -> None:
    query = Query("jobs.ready", {"status": "queued", "queue": "priority"})
    store = FirestoreJobStore(project="p")
    with pytest.raises(UnknownShape, match="route and shard"):
        await store.query(query)
    with pytest.raises(UnknownShape, match="route and shard"):
        await store.count(query)


def test_the_emulator_takes_smaller_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    there = FirestoreJobStore(project="p")
    monkeypatch.setenv(EMULATOR_VARIABLE, "127.0.0.1:1")
    here = FirestoreJobStore(project="p")
    assert here.limits().bytes_per_commit < 4 * 2**20 < there.limits().bytes_per_commit < 10 * 2**20
    assert here.limits().bytes_per_record == there.limits().bytes_per_record < 2**20

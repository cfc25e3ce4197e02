"""Sizes that Firestore refuses, and rounds that are too large to go at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from app.stores.base import Insert, Query, RecordTooLarge, Unit, Update
from app.stores.firestore import FirestoreJobStore

HALF = 2**19


@pytest.fixture
async def store(firestore_emulator: str) -> AsyncIterator[FirestoreJobStore]:
    store = FirestoreJobStore(
        project="torpor-limits", prefix=f"{uuid4().hex}_", emulator=firestore_emulator, timeout_seconds=60
    )
    await store.open()
    yield store
    await store.close()


async def test_a_record_as_large_as_the_limit_is_kept(store: FirestoreJobStore) -> None:
    text = "x" * (store.limits().bytes_per_record - 100)
    await store.commit([Insert("chunks", "a", {"text": text})])
    (record,) = await store.get("chunks", ["a"])
    assert record is not None
    assert record.fields["text"] == text


async def test_a_record_that_grows_over_the_limit_is_refused_by_the_server(store: FirestoreJobStore) -> None:
    (version,) = await store.commit([Insert("jobs", "a", {"payload": "x" * HALF})])
    grown = Update("jobs", "a", {"result": "x" * HALF, "error": "x" * HALF}, version)
    with pytest.raises(RecordTooLarge):
        await store.commit([grown])
    small, large = await store.commit_each([[Insert("jobs", "b", {})], [grown]])
    assert isinstance(small, list)
    assert isinstance(large, RecordTooLarge)
    (record,) = await store.get("jobs", ["a"])
    assert record is not None
    assert record.version == version


async def test_a_round_over_the_limit_of_a_request_is_cut(store: FirestoreJobStore) -> None:
    text = "x" * HALF
    units: list[Unit] = [[Insert("chunks", f"{number:02}", {"seq": number, "text": text})] for number in range(12)]
    units.insert(5, [Insert("chunks", "too large", {"text": text * 3})])
    answers = await store.commit_each(units)
    assert [isinstance(answer, list) for answer in answers] == [True] * 5 + [False] + [True] * 7
    assert isinstance(answers[5], RecordTooLarge)
    records = await store.get("chunks", [f"{number:02}" for number in range(12)])
    assert [record.version for record in records if record] == [
        answer[0] for answer in answers if isinstance(answer, list)
    ]
    assert await store.count(Query("chunks.of_job", {"job_id": "nobody"})) == 0


async def test_a_mistake_in_a_later_round_is_known_before_anything_is_written(store: FirestoreJobStore) -> None:
    units: list[Unit] = [[Insert("jobs", f"{number}", {})] for number in range(30)]
    with pytest.raises(TypeError):
        await store.commit_each([*units, [Insert("jobs", "wrong", {"priority": "high"})]])
    with pytest.raises(ValueError, match="twice"):
        await store.commit_each([*units, [Insert("jobs", "0", {})]])
    assert await store.get("jobs", ["0"]) == [None]

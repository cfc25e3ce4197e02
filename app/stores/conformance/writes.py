"""What each write does alone: insert, update, put, delete, verify, and the versions they leave."""

from __future__ import annotations

from datetime import datetime

import pytest

from app.stores.base import (
    Delete,
    Fields,
    Insert,
    PreconditionFailed,
    Put,
    RecordTooLarge,
    Store,
    Update,
    Value,
    Verify,
    Write,
)
from app.stores.conformance.harness import NOON, Harness, is_there, job, one, plain, touch

_LARGEST_SANE_LIMIT = 64 * 2**20


class WriteConformance(Harness):
    """One write at a time."""

    async def test_an_inserted_record_is_read_back_with_its_version(self, store: Store) -> None:
        (version,) = await store.commit([Insert("jobs", "a", job(tags=("x", "y")))])
        record = await one(store, "jobs", "a")
        assert (record.collection, record.id, record.version) == ("jobs", "a", version)
        assert plain(record.fields) == plain(job(tags=("x", "y")))

    async def test_get_keeps_the_order_asked_with_gaps_and_doubles(self, store: Store) -> None:
        for name in "abc":
            await store.commit([Insert("jobs", name, job(name=name))])
        records = await store.get("jobs", ["c", "nobody", "a", "c", "b", "nobody"])
        assert [record and record.id for record in records] == ["c", None, "a", "c", "b", None]
        assert await store.get("jobs", []) == []

    async def test_get_reads_other_collections_in_the_same_round_trip(self, store: Store) -> None:
        await store.commit(
            [Insert("jobs", "a", job(name="a")), Insert("runs", "a", {"schema_version": 1, "job_id": "a"})]
        )
        before = store.usage.rpcs
        records = await store.get("jobs", ["a"], [("runs", "a"), ("runs", "b"), ("jobs", "a")])
        assert [record and (record.collection, record.id) for record in records] == [
            ("jobs", "a"),
            ("runs", "a"),
            None,
            ("jobs", "a"),
        ]
        assert store.usage.rpcs - before <= 1
        assert [record and record.collection for record in await store.get("jobs", [], [("runs", "a")])] == ["runs"]

    async def test_many_records_are_read_at_once(self, store: Store) -> None:
        names = [f"chunk-{number:03}" for number in range(130)]
        for start in range(0, len(names), 65):
            await store.commit([Put("chunks", name, {"text": name}) for name in names[start : start + 65]])
        records = await store.get("chunks", names)
        assert [record and record.fields["text"] for record in records] == names

    async def test_collections_do_not_share_ids(self, store: Store) -> None:
        await store.commit([Insert("jobs", "same", job()), Insert("exercises", "same", {"name": "Squat"})])
        assert (await one(store, "exercises", "same")).fields == {"name": "Squat"}
        assert not await is_there(store, "runs", "same")

    async def test_inserting_an_id_that_exists_is_refused(self, store: Store) -> None:
        await store.commit([Insert("jobs", "a", job(name="first"))])
        before = await one(store, "jobs", "a")
        with pytest.raises(PreconditionFailed):
            await store.commit([Insert("jobs", "a", job(name="second"))])
        assert await one(store, "jobs", "a") == before

    async def test_none_is_the_same_as_not_there(self, store: Store) -> None:
        await store.commit([Insert("jobs", "a", {**job(), "error": None, "wake_at": None, "tags": None})])
        assert plain((await one(store, "jobs", "a")).fields) == plain(job())

    async def test_an_update_changes_only_the_fields_it_names(self, store: Store) -> None:
        await store.commit([Insert("jobs", "a", job(tags=("x",), error="boom", wake_at=NOON))])
        before = await one(store, "jobs", "a")
        (version,) = await store.commit(
            [Update("jobs", "a", {"status": "failed", "error": None, "wake_at": None, "attempt": 3}, before.version)]
        )
        after = await one(store, "jobs", "a")
        assert after.version == version != before.version
        assert plain(after.fields) == plain(job(tags=("x",), status="failed", attempt=3))

    @pytest.mark.parametrize("write", ["update", "delete", "verify"])
    async def test_a_write_that_names_an_old_version_is_refused(self, store: Store, write: str) -> None:
        (old,) = await store.commit([Insert("jobs", "a", job())])
        newest = await touch(store, await one(store, "jobs", "a"), attempt=1)
        with pytest.raises(PreconditionFailed):
            await store.commit([_guarded(write, "a", old)])
        assert await one(store, "jobs", "a") == newest

    @pytest.mark.parametrize("write", ["update", "delete", "verify"])
    async def test_a_guarded_write_of_a_record_that_is_gone_is_refused(self, store: Store, write: str) -> None:
        (version,) = await store.commit([Insert("jobs", "a", job())])
        await store.commit([Delete("jobs", "a", version)])
        with pytest.raises(PreconditionFailed):
            await store.commit([_guarded(write, "a", version)])
        assert not await is_there(store, "jobs", "a")

    @pytest.mark.parametrize("write", ["update", "delete", "verify"])
    async def test_a_guarded_write_of_a_record_that_never_was_is_refused(self, store: Store, write: str) -> None:
        (version,) = await store.commit([Insert("jobs", "other", job())])
        with pytest.raises(PreconditionFailed):
            await store.commit([_guarded(write, "a", version)])
        assert not await is_there(store, "jobs", "a")

    async def test_a_failed_precondition_of_one_write_says_which_record(self, store: Store) -> None:
        await store.commit([Insert("jobs", "a", job())])
        with pytest.raises(PreconditionFailed, match=r"jobs/a|one of the unit's records"):
            await store.commit([Insert("jobs", "a", job())])

    async def test_put_writes_the_whole_record_whatever_was_there(self, store: Store) -> None:
        (first,) = await store.commit([Put("exercises", "a", {"name": "Squat", "family": "legs"})])
        assert (await one(store, "exercises", "a")).version == first
        (second,) = await store.commit([Put("exercises", "a", {"document": "{}", "equipment": ("bar",)})])
        record = await one(store, "exercises", "a")
        assert (record.version, record.fields) == (second, {"document": "{}", "equipment": ("bar",)})
        assert first != second

    async def test_delete_answers_with_an_empty_version(self, store: Store) -> None:
        (version,) = await store.commit([Insert("jobs", "a", job())])
        assert await store.commit([Delete("jobs", "a", version)]) == [""]
        assert not await is_there(store, "jobs", "a")

    async def test_delete_without_a_version_takes_whatever_is_there(self, store: Store) -> None:
        await store.commit([Insert("jobs", "a", job())])
        await touch(store, await one(store, "jobs", "a"), attempt=1)
        assert await store.commit([Delete("jobs", "a")]) == [""]
        assert await store.commit([Delete("jobs", "a")]) == [""]
        assert not await is_there(store, "jobs", "a")

    async def test_verify_keeps_the_version(self, store: Store) -> None:
        (version,) = await store.commit([Insert("jobs", "a", job())])
        before = await one(store, "jobs", "a")
        assert await store.commit([Verify("jobs", "a", version)]) == [version]
        assert await store.commit([Verify("jobs", "a", version)]) == [version]
        assert await one(store, "jobs", "a") == before

    @pytest.mark.parametrize("fields", [{}, {"attempt": 7}, {"error": None}])
    async def test_an_update_that_changes_nothing_answers_with_the_stored_version(
        self, store: Store, fields: Fields
    ) -> None:
        (version,) = await store.commit([Insert("jobs", "a", job(attempt=7))])
        (answered,) = await store.commit([Update("jobs", "a", fields, version)])
        record = await one(store, "jobs", "a")
        assert record.version == answered
        assert plain(record.fields) == plain(job(attempt=7))

    async def test_every_state_of_an_id_has_its_own_version(self, store: Store) -> None:
        seen = []
        for _ in range(4):
            (version,) = await store.commit([Insert("jobs", "a", job())])
            seen.append(version)
            # Back and forth, so that a version made from the content would come again.
            for name in ("B", "A report"):
                (version,) = await store.commit([Update("jobs", "a", {"name": name}, version)])
                seen.append(version)
            (version,) = await store.commit([Put("jobs", "a", job(name="C"))])
            seen.append(version)
            await store.commit([Delete("jobs", "a", version)])
        assert len(set(seen)) == len(seen)
        assert "" not in seen

    async def test_a_version_from_before_a_delete_opens_nothing_after_it(self, store: Store) -> None:
        (old,) = await store.commit([Insert("jobs", "a", job())])
        await store.commit([Delete("jobs", "a")])
        await store.commit([Insert("jobs", "a", job())])
        for write in ("update", "delete", "verify"):
            with pytest.raises(PreconditionFailed):
                await store.commit([_guarded(write, "a", old)])

    @pytest.mark.parametrize(
        "fields",
        [
            {"no_such_field": 1},
            {"priority": "high"},
            {"priority": True},
            {"priority": 2**63},
            {"type": 7},
            {"type": "k" * 201},
            {"type": "a\nb"},
            {"payload": "a\0b"},
            {"payload": b"{}"},
            {"idempotent": 1},
            {"run_seconds": "1"},
            {"run_seconds": float("nan")},
            {"created_at": "2026-11-02"},
            {"created_at": datetime(2026, 11, 2)},  # noqa: DTZ001 - a naive time is the mistake under test
            {"tags": "abc"},
            {"tags": ["a"]},
            {"tags": ("a", 1)},
        ],
        ids=str,
    )
    async def test_fields_that_are_not_declared_so_are_refused(self, store: Store, fields: dict[str, Value]) -> None:
        (version,) = await store.commit([Insert("jobs", "there", job())])
        wrong = {**job(), **fields}
        for write in (
            Insert("jobs", "a", wrong),
            Put("jobs", "a", wrong),
            Update("jobs", "there", fields, version),
        ):
            with pytest.raises((TypeError, ValueError)):
                await store.commit([Insert("exercises", "beside", {"name": "Squat"}), write])
            with pytest.raises((TypeError, ValueError)):
                await store.commit_each([[Insert("exercises", "beside", {"name": "Squat"})], [write]])
        assert not await is_there(store, "jobs", "a")
        assert not await is_there(store, "exercises", "beside")
        assert (await one(store, "jobs", "there")).version == version

    async def test_a_collection_that_is_not_declared_is_refused(self, store: Store) -> None:
        with pytest.raises((KeyError, ValueError)):
            await store.commit([Insert("no_such_collection", "a", {})])
        with pytest.raises((KeyError, ValueError)):
            await store.get("no_such_collection", ["a"])

    async def test_a_record_over_the_limit_is_refused(self, store: Store) -> None:
        limit = store.limits().bytes_per_record
        assert 2**19 <= limit <= _LARGEST_SANE_LIMIT, "a limit that callers can cut their work to"
        oversize = Insert("chunks", "large", {"text": "x" * (limit + 1)})
        with pytest.raises(RecordTooLarge):
            await store.commit([Insert("chunks", "small", {"text": "x"}), oversize])
        small, large = await store.commit_each([[Insert("chunks", "small", {"text": "x"})], [oversize]])
        assert isinstance(small, list)
        assert isinstance(large, RecordTooLarge)
        assert not await is_there(store, "chunks", "large")


def _guarded(write: str, record_id: str, version: str) -> Write:
    if write == "update":
        return Update("jobs", record_id, {"attempt": 99}, version)
    if write == "delete":
        return Delete("jobs", record_id, version)
    return Verify("jobs", record_id, version)

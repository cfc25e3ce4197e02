"""What several writes do together: all or nothing in a unit, and each unit by itself in a round of them."""

from __future__ import annotations

import pytest

from app.stores.base import (
    Delete,
    Insert,
    PreconditionFailed,
    Put,
    RecordTooLarge,
    Store,
    Unit,
    Update,
    Verify,
    Write,
)
from app.stores.conformance.harness import Harness, granted, is_there, job, one, plain, touch

_FAILING = ("insert", "update", "update gone", "delete", "verify")


class UnitConformance(Harness):
    """Several writes at a time."""

    async def test_a_unit_across_collections_is_applied_as_one(self, store: Store) -> None:
        versions = await store.commit([Insert("jobs", "a", job()), Put("exercises", "old", {"name": "Lunge"})])
        unit: Unit = [
            Update("jobs", "a", {"status": "completed"}, versions[0]),
            Insert("runs", "a-1", {"job_id": "a", "outcome": "completed"}),
            Put("logs", "a-0", {"job_id": "a", "first": 0, "entries": "[]"}),
            Delete("exercises", "old"),
        ]
        answers = await store.commit(unit)
        assert answers[3] == ""
        for (collection, record_id), version in zip(
            [("jobs", "a"), ("runs", "a-1"), ("logs", "a-0")], answers[:3], strict=True
        ):
            assert (await one(store, collection, record_id)).version == version
        assert not await is_there(store, "exercises", "old")

    @pytest.mark.parametrize("place", [0, 1, 3])
    @pytest.mark.parametrize("failing", _FAILING)
    async def test_one_failing_write_leaves_nothing_of_its_unit(self, store: Store, failing: str, place: int) -> None:
        others, before = await self._others(store)
        unit = [*others]
        unit.insert(place, await self._failing(store, failing))
        with pytest.raises(PreconditionFailed):
            await store.commit(unit)
        await self._nothing_of_it(store, before)

    @pytest.mark.parametrize("failing", _FAILING)
    async def test_in_a_round_one_failing_unit_harms_no_other(self, store: Store, failing: str) -> None:
        others, before = await self._others(store)
        fine: list[Unit] = [[Insert("jobs", f"fine-{number}", job())] for number in range(3)]
        broken = [*others, await self._failing(store, failing)]
        answers = await store.commit_each([fine[0], broken, fine[1], fine[2]])
        assert isinstance(answers[1], PreconditionFailed)
        for number, answer in enumerate([answers[0], answers[2], answers[3]]):
            assert granted(answer) == [(await one(store, "jobs", f"fine-{number}")).version]
        await self._nothing_of_it(store, before)

    async def test_a_round_with_several_failing_units_answers_each(self, store: Store) -> None:
        await store.commit([Insert("jobs", "taken-1", job()), Insert("jobs", "taken-2", job())])
        answers = await store.commit_each(
            [
                [Insert("jobs", "taken-1", job())],
                [Insert("jobs", "new-1", job()), Insert("runs", "new-1-1", {"job_id": "new-1"})],
                [Insert("jobs", "taken-2", job()), Insert("jobs", "new-2", job())],
                [Insert("jobs", "new-3", job())],
            ]
        )
        kinds = [isinstance(answer, PreconditionFailed) for answer in answers]
        assert kinds == [True, False, True, False]
        assert len(granted(answers[1])) == 2
        there = [await is_there(store, "jobs", name) for name in ("new-1", "new-2", "new-3")]
        assert there == [True, False, True]

    async def test_a_round_of_every_kind_of_write(self, store: Store) -> None:
        versions = await store.commit([Insert("jobs", name, job()) for name in ("updated", "deleted", "verified")])
        answers = await store.commit_each(
            [
                [Update("jobs", "updated", {"attempt": 1}, versions[0])],
                [Delete("jobs", "deleted", versions[1])],
                [Verify("jobs", "verified", versions[2]), Insert("runs", "beside", {"job_id": "verified"})],
                [Put("jobs", "put", job())],
                [Delete("jobs", "nobody")],
            ]
        )
        assert granted(answers[0]) == [(await one(store, "jobs", "updated")).version]
        assert granted(answers[1]) == [""]
        assert granted(answers[2]) == [versions[2], (await one(store, "runs", "beside")).version]
        assert granted(answers[3]) == [(await one(store, "jobs", "put")).version]
        assert granted(answers[4]) == [""]
        assert not await is_there(store, "jobs", "deleted")

    async def test_a_round_larger_than_advised_is_done_all_the_same(self, store: Store) -> None:
        count = 2 * store.limits().units_per_round + 1
        answers = await store.commit_each([[Insert("jobs", f"job-{number}", job())] for number in range(count)])
        records = await store.get("jobs", [f"job-{number}" for number in range(count)])
        assert [granted(answer) for answer in answers] == [[record.version] for record in records if record]

    async def test_nothing_to_do_is_no_error(self, store: Store) -> None:
        assert await store.commit([]) == []
        assert await store.commit_each([]) == []

    async def test_verify_guards_the_writes_beside_it(self, store: Store) -> None:
        (version,) = await store.commit([Insert("jobs", "holder", job())])
        await store.commit([Verify("jobs", "holder", version), Insert("logs", "page-1", {"job_id": "holder"})])
        await touch(store, await one(store, "jobs", "holder"), attempt=2)
        with pytest.raises(PreconditionFailed):
            await store.commit([Insert("logs", "page-2", {"job_id": "holder"}), Verify("jobs", "holder", version)])
        assert await is_there(store, "logs", "page-1")
        assert not await is_there(store, "logs", "page-2")

    async def test_as_many_writes_as_the_limit_says_and_no_more(self, store: Store) -> None:
        limit = store.limits().writes_per_commit
        assert limit >= 20, "a unit of the engine settles a job with what hangs on it"
        writes: list[Write] = [Put("chunks", f"chunk-{number}", {"seq": number}) for number in range(limit)]
        assert len(set(await store.commit(writes))) >= 1
        with pytest.raises(RecordTooLarge):
            await store.commit([*writes, Insert("chunks", "one-more", {"seq": limit})])
        assert await is_there(store, "chunks", f"chunk-{limit - 1}")
        assert not await is_there(store, "chunks", "one-more")

    async def test_the_counters_move_with_the_work(self, store: Store) -> None:
        usage = store.usage
        counts = [(usage.reads, usage.writes, usage.deletes, usage.rpcs)]
        await store.commit([Insert("jobs", "a", job()), Insert("jobs", "b", job())])
        counts.append((usage.reads, usage.writes, usage.deletes, usage.rpcs))
        await store.get("jobs", ["a", "b"])
        counts.append((usage.reads, usage.writes, usage.deletes, usage.rpcs))
        await store.commit([Delete("jobs", "a")])
        counts.append((usage.reads, usage.writes, usage.deletes, usage.rpcs))
        (_, writes, _, rpcs), (reads, written, _, sent), (read, _, deletes, asked), (_, _, deleted, ended) = counts
        assert written - writes == 2
        assert read - reads >= 2
        assert deleted - deletes == 1
        assert rpcs < sent < asked < ended

    async def _others(self, store: Store) -> tuple[list[Write], str]:
        """Three writes that would work, and the version of the one record among them that exists."""
        (version,) = await store.commit([Insert("jobs", "kept", job(name="kept"))])
        return [
            Update("jobs", "kept", {"name": "changed"}, version),
            Insert("runs", "new", {"job_id": "kept"}),
            Put("exercises", "new", {"name": "Squat"}),
        ], version

    async def _nothing_of_it(self, store: Store, version: str) -> None:
        kept = await one(store, "jobs", "kept")
        assert kept.version == version
        assert plain(kept.fields) == plain(job(name="kept"))
        assert not await is_there(store, "runs", "new")
        assert not await is_there(store, "exercises", "new")

    async def _failing(self, store: Store, kind: str) -> Write:
        """A write that must fail, on a record of its own."""
        (old,) = await store.commit([Insert("results", "target", {"seq": 1})])
        if kind == "insert":
            return Insert("results", "target", {"seq": 2})
        if kind == "update gone":
            return Update("results", "never was", {"seq": 2}, old)
        await touch(store, await one(store, "results", "target"), seq=3)
        if kind == "update":
            return Update("results", "target", {"seq": 2}, old)
        return Delete("results", "target", old) if kind == "delete" else Verify("results", "target", old)

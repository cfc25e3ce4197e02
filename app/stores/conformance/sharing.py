"""What several store objects on one database owe each other, one after the other and at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from app.stores.base import Delete, Insert, PreconditionFailed, Put, Query, Store, Update
from app.stores.conformance.harness import (
    Harness,
    MakeStore,
    ask,
    ids,
    insert,
    is_there,
    job,
    lease,
    one,
    plain,
    promote,
    ready,
)
from app.stores.conformance.races import claim_all, only_winner, rivals

_ROUNDS = 10


class SharingConformance(Harness):
    """For stores whose records outlive the object."""

    async def test_reopening_keeps_everything(self, make_store: MakeStore) -> None:
        async with opened(make_store()) as store:
            await insert(store, "jobs", [(f"{number}", ready(name=f"{number}", tags=("x",))) for number in range(25)])
            await store.commit([Put("exercises", "e", {"name": "Squat", "equipment": ("bar",)})])
            claimed = await store.claim(ask(limit=3), lease, promote)
            await store.commit([Delete("jobs", "24")])
            before = await store.get("jobs", [f"{number}" for number in range(25)])
        async with opened(make_store()) as store:
            assert await store.get("jobs", [f"{number}" for number in range(25)]) == before
            assert (await one(store, "exercises", "e")).fields == {"name": "Squat", "equipment": ("bar",)}
            assert await store.count(Query("jobs.leased")) == len(claimed.records) == 3
            assert await store.count(Query("jobs.list", {"tags": ("x",)})) == 24
            rest = await claim_all([store])
            assert len(rest) == 21

    async def test_the_same_object_is_opened_again(self, store: Store) -> None:
        await store.commit([Insert("jobs", "a", job())])
        for _ in range(2):
            await store.close()
            await store.open()
        assert await is_there(store, "jobs", "a")

    async def test_versions_do_not_come_again_after_reopening(self, make_store: MakeStore) -> None:
        seen = []
        for _ in range(3):
            async with opened(make_store()) as store:
                seen += await store.commit([Insert("jobs", "a", job())])
                seen += await store.commit([Put("jobs", "a", job())])
                await store.commit([Delete("jobs", "a")])
        assert len(set(seen)) == len(seen)

    async def test_a_version_holds_across_reopening(self, make_store: MakeStore) -> None:
        async with opened(make_store()) as store:
            (version,) = await store.commit([Insert("jobs", "a", job())])
        async with opened(make_store()) as store:
            (newer,) = await store.commit([Update("jobs", "a", {"attempt": 1}, version)])
        async with opened(make_store()) as store:
            answers = await store.commit_each([[Update("jobs", "a", {"attempt": 2}, version)]])
            assert isinstance(answers[0], PreconditionFailed)
            await store.commit([Update("jobs", "a", {"attempt": 2}, newer)])

    async def test_handles_see_each_others_writes(self, make_store: MakeStore) -> None:
        async with opened(make_store()) as one_handle, opened(make_store()) as other:
            for turn in range(5):
                (version,) = await one_handle.commit([Insert("jobs", f"{turn}", ready(name="first"))])
                assert (await one(other, "jobs", f"{turn}")).version == version
                await other.commit([Update("jobs", f"{turn}", {"name": "second"}, version)])
                assert (await one(one_handle, "jobs", f"{turn}")).fields["name"] == "second"
                assert await one_handle.count(Query("jobs.list")) == turn + 1
                page = await other.query(Query("jobs.list", {"status": "queued"}))
                assert len(page.records) == turn + 1
            await other.commit([Delete("jobs", "0")])
            assert not await is_there(one_handle, "jobs", "0")
            claimed = await one_handle.claim(ask(limit=9), lease, promote)
            assert sorted(ids(claimed.records)) == ["1", "2", "3", "4"]

    async def test_of_two_handles_exactly_one_changes_a_state(self, make_store: MakeStore) -> None:
        async with opened(make_store()) as first, opened(make_store()) as second:
            (version,) = await first.commit([Insert("jobs", "a", job())])
            for turn in range(_ROUNDS):
                answers = await rivals(
                    [
                        handle.commit(
                            [
                                Update("jobs", "a", {"worker_id": f"{place}"}, version),
                                Insert("runs", f"{turn}-{place}", {"job_id": "a"}),
                            ]
                        )
                        for place, handle in enumerate((first, second))
                    ]
                )
                winner = only_winner(answers)
                record = await one(second, "jobs", "a")
                assert record.fields["worker_id"] == f"{winner}"
                there = [await is_there(first, "runs", f"{turn}-{place}") for place in range(2)]
                assert there == [winner == 0, winner == 1]
                version = record.version

    async def test_handles_never_claim_the_same_record(self, make_store: MakeStore) -> None:
        async with AsyncExitStack() as stack:
            handles = [await stack.enter_async_context(opened(make_store())) for _ in range(3)]
            for turn in range(3):
                names = [f"{turn}-{number}" for number in range(40)]
                await insert(handles[0], "jobs", [(name, ready()) for name in names])
                assert sorted(await claim_all(handles)) == sorted(names)

    async def test_prefixes_keep_environments_apart(self, make_store: MakeStore) -> None:
        async with opened(make_store("left_")) as left, opened(make_store("right_")) as right:
            await left.commit([Insert("jobs", "same", ready(name="left")), Insert("jobs", "only", ready())])
            await right.commit([Insert("jobs", "same", ready(name="right"))])
            assert (await one(left, "jobs", "same")).fields["name"] == "left"
            assert not await is_there(right, "jobs", "only")
            assert (await left.count(Query("jobs.list")), await right.count(Query("jobs.list"))) == (2, 1)
            claimed = await right.claim(ask(), lease, promote)
            assert [record.fields["name"] for record in claimed.records] == ["right"]
            assert plain((await one(left, "jobs", "same")).fields) == plain(ready(name="left"))
        async with opened(make_store()) as plain_store:
            assert await plain_store.count(Query("jobs.list")) == 0

    def test_a_closed_store_is_opened_in_another_event_loop(self, make_store: MakeStore) -> None:
        store = make_store()

        async def visit(expected: int) -> None:
            async with opened(store):
                assert await store.count(Query("jobs.list")) == expected
                await store.commit([Insert("jobs", f"{expected}", job())])
                watch = await store.watch("jobs")
                await watch.close()

        for turn in range(3):
            asyncio.run(visit(turn))


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    """An open store, closed at the end."""
    await store.open()
    try:
        yield store
    finally:
        await store.close()

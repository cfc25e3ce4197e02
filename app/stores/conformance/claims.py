"""That a claim takes the best records first, takes nothing it should not, and pays for what it takes only."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from app.stores.base import Claimed, ClaimRequest, Fields, Record, Store, Update, Value
from app.stores.conformance.harness import (
    MINUTE,
    NOON,
    SECOND,
    Harness,
    ask,
    delayed,
    ids,
    insert,
    job,
    lease,
    one,
    plain,
    promote,
    ready,
)

_HOUR = 60 * MINUTE
_FAR = NOON + 24 * _HOUR


class ClaimConformance(Harness):
    """Claims by one claimer; for several see `races` and `sharing`."""

    async def test_order_is_queue_then_priority_then_time_ready(self, store: Store) -> None:
        expected = []
        jobs = []
        for queue in ("priority", "maintenance"):
            for priority in (3, 1, 0, -1):
                for age in (9, 5, 2):
                    name = f"{queue}-{priority}-{age}"
                    expected.append(name)
                    jobs.append((name, ready(queue=queue, priority=priority, ready_at=NOON - age * MINUTE)))
        await insert(store, "jobs", sorted(jobs, key=lambda named: named[0][::-1]))
        assert ids((await store.claim(ask(limit=24), lease, promote)).records) == expected

    async def test_small_pages_together_keep_the_order(self, store: Store) -> None:
        places = [(priority, age) for priority in (2, 1, 0) for age in (9, 5, 2)]
        jobs = [
            (f"{priority}-{age}", ready(priority=priority, ready_at=NOON - age * MINUTE)) for priority, age in places
        ]
        await insert(store, "jobs", sorted(jobs, key=lambda named: named[0][::-1]))
        found = [name for claimed in await _drain(store, ask(limit=2)) for name in ids(claimed.records)]
        assert found == [name for name, _ in jobs]

    async def test_the_queues_are_asked_in_the_order_given(self, store: Store) -> None:
        await insert(store, "jobs", [("p", ready()), ("m", ready(queue="maintenance", priority=9))])
        claimed = await store.claim(ask(queues=("maintenance", "priority")), lease, promote)
        assert ids(claimed.records) == ["m", "p"]

    async def test_claimed_records_come_as_they_are_stored_now(self, store: Store) -> None:
        fields = ready(attempt=2, payload='{"n": 1}', tags=("x",))
        versions = await insert(store, "jobs", [("a", fields)])
        claimed = await store.claim(ask(), lease, promote)
        (record,) = claimed.records
        assert record.version != versions["a"]
        stored = await one(store, "jobs", "a")
        assert (stored.version, plain(stored.fields)) == (record.version, plain(record.fields))
        changed: Fields = {
            "status": "running",
            "lease_token": "token-a",
            "lease_expires_at": NOON + MINUTE,
            "attempt": 3,
        }
        assert plain(record.fields) == plain({**fields, **changed, "ready_at": None})
        await store.commit([Update("jobs", "a", {"status": "completed"}, record.version)])

    async def test_the_limit_is_kept_and_tells_that_there_is_more(self, store: Store) -> None:
        await insert(
            store, "jobs", [(f"{number}", ready(ready_at=NOON - (9 - number) * SECOND)) for number in range(7)]
        )
        first = await store.claim(ask(limit=3), lease, promote)
        second = await store.claim(ask(limit=3), lease, promote)
        last = await store.claim(ask(limit=3), lease, promote)
        assert [ids(claimed.records) for claimed in (first, second, last)] == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
        assert [claimed.full_page for claimed in (first, second, last)] == [True, True, False]

    async def test_nothing_to_claim(self, store: Store) -> None:
        claimed = await store.claim(ask(), lease, promote)
        assert (list(claimed.records), claimed.conflicts, claimed.full_page) == ([], 0, False)

    async def test_a_full_first_queue_leaves_the_second_alone(self, store: Store) -> None:
        await insert(store, "jobs", [(f"p{number}", ready(priority=0)) for number in range(4)])
        await insert(store, "jobs", [(f"m{number}", ready(priority=3, queue="maintenance")) for number in range(4)])
        claimed = await store.claim(ask(limit=4), lease, promote)
        assert sorted(ids(claimed.records)) == ["p0", "p1", "p2", "p3"]
        assert claimed.full_page
        rest = await store.claim(ask(limit=6), lease, promote)
        assert sorted(ids(rest.records)) == ["m0", "m1", "m2", "m3"]

    async def test_only_the_routes_shards_and_queues_asked_for(self, store: Store) -> None:
        await insert(
            store,
            "jobs",
            [
                ("any-0", ready()),
                ("gpu-0", ready(route="gpu")),
                ("any-1", ready(shard=1)),
                ("gpu-2", ready(route="gpu", shard=2)),
                ("other-0", ready(route="other")),
                ("maintenance", ready(queue="maintenance")),
            ],
        )
        claimed = await store.claim(ask(queues=("priority",), routes=("gpu", "any"), shards=(0, 2)), lease, promote)
        assert sorted(ids(claimed.records)) == ["any-0", "gpu-0", "gpu-2"]
        claimed = await store.claim(ask(routes=("other", "any"), shards=(1, 0)), lease, promote)
        assert sorted(ids(claimed.records)) == ["any-1", "maintenance", "other-0"]

    async def test_several_routes_and_shards_are_one_order(self, store: Store) -> None:
        places = [("any", 0), ("gpu", 1), ("any", 1), ("gpu", 0)]
        await insert(
            store,
            "jobs",
            [
                (f"{number:02}", ready(route=route, shard=shard, ready_at=NOON - (60 - number) * SECOND))
                for number in range(20)
                for route, shard in [places[number % 4]]
            ],
        )
        claimed = await store.claim(ask(routes=("any", "gpu"), shards=(0, 1), limit=9), lease, promote)
        assert ids(claimed.records) == [f"{number:02}" for number in range(9)]

    @pytest.mark.parametrize("limit", [1, 3, 20])
    async def test_shards_worked_off_apart_are_each_in_order_and_none_is_forgotten(
        self, store: Store, limit: int
    ) -> None:
        # More in one shard than in the others, one shard above those to be worked off apart, one that is empty.
        shards = [0, 1, 1, 2, 1, 5] * 5
        jobs = [
            (f"{shard}-{number:02}", ready(shard=shard, ready_at=NOON - (60 - number) * SECOND))
            for number, shard in enumerate(shards)
        ]
        maintenance = [(f"m-{number}", ready(shard=number, queue="maintenance")) for number in range(3)]
        await insert(store, "jobs", jobs + maintenance)
        rounds = await _drain(store, ask(shards=(0, 1, 2, 3, 5), spread=4, limit=limit))
        found = [name for claimed in rounds for name in ids(claimed.records)]
        assert sorted(found) == sorted(name for name, _ in jobs + maintenance)
        assert {name[0] for name in found[-3:]} == {"m"}
        if (
            limit == 1
        ):  # the records of one claim are in the order of their queue, not in that in which shards are asked
            for shard in set(shards):
                own = [name for name in found if name.startswith(f"{shard}-")]
                assert own == sorted(own)

    async def test_due_records_are_claimed_whichever_shard_is_taken_first(self, store: Store) -> None:
        await insert(store, "jobs", [(f"due-{shard}", delayed(NOON - MINUTE, shard=shard)) for shard in range(6)])
        await insert(store, "jobs", [(f"ready-{shard}", ready(shard=shard)) for shard in range(6)])
        rounds = await _drain(store, ask(shards=tuple(range(6)), spread=6, limit=20))
        found = {record.id: record.fields for claimed in rounds for record in claimed.records}
        assert len(found) == 12
        assert not any("ready_at" in fields for fields in found.values())

    @pytest.mark.parametrize(
        "fields",
        [
            job(),
            job(parked_on="limit"),
            job(status="pending"),
            job(status="running", lease_expires_at=NOON + MINUTE),
            job(status="completed", finished_at=NOON),
            ready(status="paused"),
            delayed(NOON + SECOND),
            ready(route=None),
            ready(priority=None),
        ],
        ids=["nowhere", "parked", "pending", "leased", "finished", "paused", "delayed", "no route", "no priority"],
    )
    async def test_what_is_not_claimable_is_left_alone(self, store: Store, fields: dict[str, Value]) -> None:
        versions = await insert(store, "jobs", [("a", fields)])
        claimed = await store.claim(ask(), lease, promote)
        assert list(claimed.records) == []
        assert (await one(store, "jobs", "a")).version == versions["a"]

    async def test_due_records_compete_by_the_time_they_were_due(self, store: Store) -> None:
        await insert(
            store,
            "jobs",
            [
                ("ready early", ready(ready_at=NOON - 9 * MINUTE)),
                ("ready late", ready(ready_at=NOON - 2 * MINUTE)),
                ("due first of queue", delayed(NOON - MINUTE, priority=2)),
                ("due between", delayed(NOON - 5 * MINUTE)),
                ("due just now", delayed(NOON)),
                ("due in second queue", delayed(NOON - _HOUR, queue="maintenance", priority=9)),
                ("later", delayed(NOON + SECOND, priority=9)),
            ],
        )
        claimed = await store.claim(ask(), lease, promote)
        assert ids(claimed.records) == [
            "due first of queue",
            "ready early",
            "due between",
            "ready late",
            "due just now",
            "due in second queue",
        ]
        assert all(plain(record.fields).get("wake_at") is None for record in claimed.records)

    async def test_due_records_over_the_limit_are_promoted(self, store: Store) -> None:
        await insert(store, "jobs", [(f"due-{number}", delayed(NOON - MINUTE)) for number in range(3)])
        await insert(store, "jobs", [(f"best-{number}", ready(priority=3)) for number in range(3)])
        claimed = await store.claim(ask(limit=3), lease, promote)
        assert sorted(ids(claimed.records)) == ["best-0", "best-1", "best-2"]
        for number in range(3):
            fields = (await one(store, "jobs", f"due-{number}")).fields
            assert (fields.get("ready_at"), fields.get("wake_at")) == (NOON - MINUTE, None)
        rest = await store.claim(ask(due=False), lease, promote)
        assert sorted(ids(rest.records)) == ["due-0", "due-1", "due-2"]

    @pytest.mark.parametrize(
        "foreign", [{"route": "gpu"}, {"shard": 7}, {"queue": "elsewhere"}], ids=["route", "shard", "queue"]
    )
    async def test_due_records_for_somebody_else_are_promoted(self, store: Store, foreign: dict[str, Value]) -> None:
        await insert(store, "jobs", [("theirs", delayed(NOON - MINUTE, **foreign)), ("ours", delayed(NOON - SECOND))])
        claimed = await store.claim(ask(), lease, promote)
        assert ids(claimed.records) == ["ours"]
        theirs = await one(store, "jobs", "theirs")
        assert plain(theirs.fields) == plain(job(ready_at=NOON - MINUTE, **foreign))
        there = await store.claim(
            ask(queues=("priority", "elsewhere"), routes=("gpu", "any"), shards=(0, 7)), lease, promote
        )
        assert ids(there.records) == ["theirs"]

    async def test_due_records_are_left_alone_unless_asked_for(self, store: Store) -> None:
        versions = await insert(store, "jobs", [("due", delayed(NOON - MINUTE)), ("ready", ready())])
        claimed = await store.claim(ask(due=False), lease, promote)
        assert ids(claimed.records) == ["ready"]
        assert (await one(store, "jobs", "due")).version == versions["due"]

    async def test_at_most_as_many_due_records_as_the_limit_are_changed(self, store: Store) -> None:
        await insert(store, "jobs", [(f"{number}", delayed(NOON - _HOUR, route="gpu")) for number in range(9)])
        claimed = await store.claim(ask(limit=4), lease, promote)
        assert (list(claimed.records), claimed.full_page) == ([], True)
        records = await store.get("jobs", [f"{number}" for number in range(9)])
        assert sum(record is not None and "ready_at" in record.fields for record in records) == 4

    async def test_the_callbacks_see_the_records_as_they_are_stored(self, store: Store) -> None:
        await insert(store, "jobs", [("ready", ready()), ("due", delayed(NOON, route="gpu"))])
        before = {record.id: record for record in await store.get("jobs", ["ready", "due"]) if record}
        seen: list[Record] = []

        def seeing(record: Record) -> Fields | None:
            seen.append(record)
            return None

        claimed = await store.claim(ask(), seeing, seeing)
        assert list(claimed.records) == []
        assert {record.id: (record.version, plain(record.fields)) for record in seen} == {
            name: (record.version, plain(record.fields)) for name, record in before.items()
        }

    async def test_a_candidate_that_is_declined_is_left_alone(self, store: Store) -> None:
        versions = await insert(
            store,
            "jobs",
            [("yes", ready()), ("no", ready()), ("due no", delayed(NOON)), ("gpu no", delayed(NOON, route="gpu"))],
        )
        claimed = await store.claim(ask(), lambda record: lease(record) if record.id == "yes" else None, lambda _: None)
        assert ids(claimed.records) == ["yes"]
        for name in ("no", "due no", "gpu no"):
            assert (await one(store, "jobs", name)).version == versions[name]

    @pytest.mark.parametrize("limit", [1, 5, 20])
    async def test_what_cannot_run_never_hides_what_can(self, store: Store, limit: int) -> None:
        await insert(store, "jobs", [(f"unroutable-{number}", ready(route="gpu", priority=3)) for number in range(20)])
        await insert(
            store,
            "jobs",
            [(f"due-gpu-{number}", delayed(NOON - _HOUR, route="gpu", priority=3)) for number in range(20)],
        )
        await insert(store, "jobs", [(f"delayed-{number}", delayed(_FAR, priority=3)) for number in range(20)])
        await insert(store, "jobs", [(f"parked-{number}", job(parked_on="limit", priority=3)) for number in range(20)])
        await insert(store, "jobs", [("ready", ready(priority=0)), ("due", delayed(NOON, priority=0))])
        found: list[str] = []
        for _ in range(20 // limit + 3):
            claimed = await store.claim(ask(limit=limit), lease, promote)
            found += ids(claimed.records)
            if not claimed.full_page:
                break
        assert sorted(found) == ["due", "ready"]

    async def test_a_backlog_that_waits_costs_a_claim_nothing(self, store: Store) -> None:
        await insert(
            store,
            "jobs",
            [(f"backed-off-{number}", delayed(NOON + (1 + number) * SECOND, priority=3)) for number in range(1000)],
        )
        await insert(store, "jobs", [("ready", ready(priority=0))])
        reads = store.usage.reads
        claimed = await store.claim(ask(limit=5), lease, promote)
        assert (ids(claimed.records), claimed.full_page) == (["ready"], False)
        if self.bills_reads:
            # One record, and at most one billed read for each question that found nothing.
            assert store.usage.reads - reads <= 4

    async def test_a_claim_pays_for_its_page_whatever_the_backlog(self, store: Store) -> None:
        await insert(store, "jobs", [(f"{number:03}", ready()) for number in range(300)])
        reads = store.usage.reads
        claimed = await store.claim(ask(limit=10), lease, promote)
        assert len(claimed.records) == 10
        if self.bills_reads:
            assert store.usage.reads - reads <= 12

    async def test_draining_finds_everything_once(self, store: Store) -> None:
        jobs = [(f"ready-{number}", ready(priority=number % 4)) for number in range(40)]
        jobs += [(f"due-{number}", delayed(NOON - number * SECOND, priority=number % 4)) for number in range(40)]
        jobs += [(f"maintenance-{number}", ready(queue="maintenance")) for number in range(20)]
        await insert(store, "jobs", jobs)
        rounds = await _drain(store, ask(limit=7))
        found = [name for claimed in rounds for name in ids(claimed.records)]
        assert sorted(found) == sorted(name for name, _ in jobs)
        assert all(len(claimed.records) <= 7 for claimed in rounds)


async def _drain(store: Store, request: ClaimRequest) -> Sequence[Claimed]:
    rounds = []
    for _ in range(200):
        claimed = await store.claim(request, lease, promote)
        rounds.append(claimed)
        if not claimed.full_page and not claimed.records:
            return rounds
    raise AssertionError("after 200 claims there was still a full page")

"""Claiming beside others on Firestore: whoever loses takes the next, and goes where there is less of a crowd."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import uuid4

import pytest

from app.stores.base import Claimed, ClaimRequest, Fields, Insert, Record, Update, Value
from app.stores.firestore import FirestoreJobStore
from app.stores.firestore.values import Message

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
PAGE = 5

MakeStore = Callable[[], Awaitable[FirestoreJobStore]]


@pytest.fixture
async def make_store(firestore_emulator: str) -> AsyncIterator[MakeStore]:
    prefix = f"{uuid4().hex}_"
    made: list[FirestoreJobStore] = []

    async def make() -> FirestoreJobStore:
        store = FirestoreJobStore(
            project="torpor-claims",
            prefix=prefix,
            emulator=firestore_emulator,
            timeout_seconds=60,
            randomness=Random(len(made)),
        )
        await store.open()
        made.append(store)
        return store

    yield make
    for store in made:
        await store.close()


async def fill(store: FirestoreJobStore, names: list[str], **fields: Value) -> None:
    for start in range(0, len(names), 20):
        units = [
            [
                Insert(
                    "jobs",
                    name,
                    {
                        "queue": "priority",
                        "priority": 2,
                        "route": "any",
                        "shard": 0,
                        "status": "queued",
                        "ready_at": NOON + (start + place) * timedelta(seconds=1),
                        **fields,
                    },
                )
            ]
            for place, name in enumerate(names[start : start + 20])
        ]
        assert all(isinstance(answer, list) for answer in await store.commit_each(units))


def lease(record: Record) -> Fields:
    return {"status": "running", "ready_at": None, "lease_token": uuid4().hex}


async def claim(store: FirestoreJobStore, limit: int = PAGE, *, lease: Callable[[Record], Fields] = lease) -> Claimed:
    return await store.claim(ClaimRequest(("priority",), ("any",), limit, NOON, due=False), lease, lambda _: None)


def ids(claimed: Claimed) -> list[str]:
    return [record.id for record in claimed.records]


def before_each_batch(store: FirestoreJobStore, first: Callable[[], Awaitable[object]], times: int = 1) -> None:
    """Let something happen between a claim's look at the candidates and its taking them."""
    wire = store._wire
    send = wire.batch_write
    left = times

    async def send_later(request: Message) -> Message:
        nonlocal left
        if left:
            left -= 1
            await first()
        return await send(request)

    wire.batch_write = send_later  # type: ignore[method-assign]  # the one place where a rival can step in between


def named(count: int) -> list[str]:
    return [f"{number:03}" for number in range(count)]


async def test_whoever_loses_a_page_takes_the_next_and_nothing_twice(make_store: MakeStore) -> None:
    store, rival = await make_store(), await make_store()
    await fill(store, named(2 * PAGE))
    before_each_batch(store, lambda: claim(rival))
    tried: Counter[str] = Counter()

    def counting(record: Record) -> Fields:
        tried[record.id] += 1
        return lease(record)

    claimed = await claim(store, lease=counting)
    assert sorted(ids(claimed)) == named(2 * PAGE)[PAGE:]
    assert claimed.conflicts == PAGE
    assert max(tried.values()) == 1


async def test_a_candidate_that_somebody_changed_is_left_to_the_next_claim(make_store: MakeStore) -> None:
    store, other = await make_store(), await make_store()
    await fill(store, named(3))

    async def ask_to_cancel() -> None:
        (record,) = await other.get("jobs", ["001"])
        assert record is not None
        await other.commit([Update("jobs", "001", {"control_id": "c"}, record.version)])

    before_each_batch(store, ask_to_cancel)
    first = await claim(store)
    assert (ids(first), first.conflicts) == (["000", "002"], 1)
    assert ids(await claim(store)) == ["001"]


async def test_in_a_crowd_it_works_on_ground_of_its_own(make_store: MakeStore) -> None:
    store, rival = await make_store(), await make_store()
    await fill(store, named(60))
    before_each_batch(store, lambda: claim(rival))
    first = await claim(store)
    assert first.conflicts == PAGE
    head = ids(await claim(rival, limit=1))
    away = [ids(await claim(store)) for _ in range(3)]
    assert all(min(page) > head[0] for page in away), "it stays away from the best page"
    assert [name for page in away for name in page] == sorted(name for page in away for name in page)
    # And the head is not forgotten by everybody: alone again, it comes back to it.
    while (claimed := await claim(store)).records:
        assert not claimed.conflicts
    assert ids(await claim(rival)) == []


async def test_in_a_crowd_the_higher_level_is_emptied_first(make_store: MakeStore) -> None:
    store, rival = await make_store(), await make_store()
    await fill(store, [f"low-{name}" for name in named(20)], priority=1)
    await fill(store, [f"high-{name}" for name in named(20)], priority=3)
    before_each_batch(store, lambda: claim(rival))
    found = ids(await claim(store))
    while len(found) < 15:
        found += ids(await claim(store))
    assert all(name.startswith("high-") for name in found)
    await fill(store, ["urgent"], priority=4)
    assert "urgent" in ids(await claim(store)) + ids(await claim(store))


async def test_records_of_one_instant_are_spread_as_well(make_store: MakeStore) -> None:
    store, rival = await make_store(), await make_store()
    names = sorted(uuid4().hex for _ in range(40))
    await fill(store, names, ready_at=NOON)
    before_each_batch(store, lambda: claim(rival))
    found: list[str] = ids(await claim(store))
    while page := ids(await claim(store)):
        found += page
    assert sorted(found) == names[PAGE:]


async def test_many_claimers_take_everything_once(make_store: MakeStore) -> None:
    stores = [await make_store() for _ in range(6)]
    await fill(stores[0], named(120))
    found: list[str] = []

    async def drain(store: FirestoreJobStore) -> None:
        idle = 0
        while idle < 3:
            claimed = await claim(store)
            found.extend(ids(claimed))
            idle = 0 if claimed.records or claimed.conflicts else idle + 1

    await asyncio.gather(*map(drain, stores))
    assert sorted(found) == named(120)


async def test_more_routes_than_one_query_takes_are_one_order(make_store: MakeStore) -> None:
    store = await make_store()
    for number, name in enumerate(named(12)):
        await fill(store, [name], route=f"route-{number * 3:02}", ready_at=NOON + number * timedelta(seconds=1))
    routes = tuple(f"route-{number:02}" for number in range(36))
    request = ClaimRequest(("priority",), routes, 7, NOON, due=False)
    claimed = await store.claim(request, lease, lambda _: None)
    assert (ids(claimed), claimed.full_page) == (named(7), True)
    rest = await store.claim(request, lease, lambda _: None)
    assert (ids(rest), rest.full_page) == (named(12)[7:], False)


async def test_without_routes_there_is_nothing_to_claim(make_store: MakeStore) -> None:
    store = await make_store()
    await fill(store, named(2))
    claimed = await store.claim(ClaimRequest(("priority",), (), 5, NOON), lease, lambda _: None)
    assert (ids(claimed), claimed.full_page) == ([], False)


# --- shards that are worked off apart -----------------------------------------------------------------


def apart(limit: int = 2 * PAGE, shards: int = 4) -> ClaimRequest:
    return ClaimRequest(("priority",), ("any",), limit, NOON, due=False, shards=tuple(range(shards)), spread=shards)


async def claim_apart(store: FirestoreJobStore, request: ClaimRequest | None = None) -> Claimed:
    return await store.claim(request or apart(), lease, lambda _: None)


def shard_of(claimed: Claimed) -> set[object]:
    return {record.fields["shard"] for record in claimed.records}


async def fill_shards(store: FirestoreJobStore, count: int, shards: int = 4) -> None:
    for shard in range(shards):
        await fill(store, [f"{shard}-{name}" for name in named(count)], shard=shard)


async def test_a_claimer_keeps_to_its_own_shard_while_there_is_enough(make_store: MakeStore) -> None:
    store = await make_store()
    await fill_shards(store, 40)
    await claim_apart(store)  # begins with a look at the best of all
    pages = [await claim_apart(store, apart(limit=PAGE)) for _ in range(3)]
    assert [len(shard_of(page)) for page in pages] == [1, 1, 1]
    assert len({shard for page in pages for shard in shard_of(page)}) == 1
    assert [name for page in pages for name in ids(page)] == sorted(name for page in pages for name in ids(page))
    assert all(page.full_page for page in pages)


async def test_who_finds_somebody_else_in_its_shard_moves(make_store: MakeStore) -> None:
    store, rival = await make_store(), await make_store()
    await fill_shards(store, 60)
    await claim_apart(store)
    (home,) = shard_of(await claim_apart(store, apart(limit=PAGE)))
    assert isinstance(home, int)
    in_its_shard = ClaimRequest(("priority",), ("any",), 20, NOON, due=False, shards=(home,))
    before_each_batch(store, lambda: rival.claim(in_its_shard, lease, lambda _: None))
    lost = await claim_apart(store)
    after = await claim_apart(store, apart(limit=PAGE))
    assert lost.conflicts > PAGE
    assert home not in shard_of(lost) | shard_of(after)
    assert after.conflicts == 0


async def test_no_shard_is_forgotten_while_others_are_never_empty(make_store: MakeStore) -> None:
    store = await make_store()
    await fill_shards(store, 10, shards=2)
    found: set[object] = set()
    for number in range(60):
        # Shard 0 is filled up as fast as it is emptied; the other is older than all that comes.
        late = NOON + timedelta(hours=1, minutes=number)
        await fill(store, [f"more-{number}-{name}" for name in named(PAGE)], shard=0, ready_at=late)
        found |= {*ids(await claim_apart(store, apart(limit=PAGE, shards=2)))}
        if found >= {f"1-{name}" for name in named(10)}:
            return
    pytest.fail("jobs of a shard were never claimed")


async def test_a_drained_shard_is_left_for_another(make_store: MakeStore) -> None:
    store = await make_store()
    await fill_shards(store, 3)
    found: list[str] = []
    while claimed := ids(await claim_apart(store)):
        found += claimed
    assert sorted(found) == sorted(f"{shard}-{name}" for shard in range(4) for name in named(3))
    # And alone in a small backlog it took them all in few looks, not one shard at a time.
    for shard in range(4):
        await fill(store, [f"last-{shard}"], shard=shard)
    assert len(ids(await claim_apart(store))) == 4


async def test_an_empty_look_is_cheap_wherever_the_claimer_lives(make_store: MakeStore) -> None:
    store = await make_store()
    request = ClaimRequest(("priority", "maintenance"), ("any",), 20, NOON, shards=tuple(range(16)), spread=16)
    costs = []
    for jobs in (0, 40, 0):
        await fill(store, [f"{jobs}-{name}" for name in named(jobs)], shard=3)
        while True:
            before = store.usage.reads
            if not (await store.claim(request, lease, lambda _: None)).records:
                break
        costs.append(store.usage.reads - before)
    assert max(costs) <= 4


async def test_more_shards_than_a_query_takes_are_one_order(make_store: MakeStore) -> None:
    store = await make_store()
    for number, name in enumerate(named(8)):
        await fill(store, [name], shard=number * 8, ready_at=NOON + number * timedelta(seconds=1))
    request = ClaimRequest(("priority",), ("any", "other"), 5, NOON, due=False, shards=tuple(range(64)))
    assert ids(await store.claim(request, lease, lambda _: None)) == named(5)
    assert ids(await store.claim(request, lease, lambda _: None)) == named(8)[5:]


async def test_claimers_apart_take_everything_once(make_store: MakeStore) -> None:
    stores = [await make_store() for _ in range(6)]
    await fill_shards(stores[0], 30)
    found: list[str] = []

    async def drain(store: FirestoreJobStore) -> None:
        while (claimed := await claim_apart(store)).records or claimed.full_page or claimed.conflicts:
            found.extend(ids(claimed))

    await asyncio.gather(*map(drain, stores))
    assert sorted(found) == sorted(f"{shard}-{name}" for shard in range(4) for name in named(30))

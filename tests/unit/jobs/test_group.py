"""Group commit: writes that are ready together share a round trip, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.jobs.group import GroupCommit
from app.stores.base import (
    Delete,
    Insert,
    OutcomeUnknown,
    PreconditionFailed,
    StoreError,
    StoreLimits,
    StoreUnavailable,
    Unit,
    Version,
)
from app.stores.memory import MemoryJobStore
from tests.support.clock import settle


class RoundStore(MemoryJobStore):
    """A memory store that notes its rounds, waits at each until a test lets it go, and may fail one."""

    def __init__(self, *, units_per_round: int = 100, rounds_in_flight: int = 1, wait: bool = False) -> None:
        super().__init__()
        self._own_limits = replace(super().limits(), units_per_round=units_per_round, rounds_in_flight=rounds_in_flight)
        self.rounds: list[list[str]] = []
        self.at_once: set[str] = set()
        self.gate = asyncio.Semaphore(0 if wait else 1_000_000)
        self.fail_next: Exception | None = None

    def limits(self) -> StoreLimits:
        return self._own_limits

    async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
        names = [write.id for unit in units for write in unit]
        assert len(set(names)) == len(names), "a round names a record twice"
        assert self.at_once.isdisjoint(names), "a record is in two rounds at once"
        self.at_once |= set(names)
        self.rounds.append(names)
        await self.gate.acquire()
        try:
            if self.fail_next is not None:
                error, self.fail_next = self.fail_next, None
                raise error
            return await super().commit_each(units)
        finally:
            self.at_once -= set(names)


def insert(name: str, /, **fields: Any) -> Insert:
    return Insert("exercises", name, {"schema_version": 1, **fields})


async def opened(store: RoundStore) -> GroupCommit:
    await store.open()
    return GroupCommit(store)


async def test_a_single_unit_does_not_wait_for_company() -> None:
    store = RoundStore()
    group = await opened(store)
    (version,) = await group.commit([insert("a")])
    (record,) = await store.get("exercises", ["a"])
    assert record is not None
    assert (record.version, store.rounds) == (version, [["a"]])


async def test_what_comes_while_a_round_is_on_its_way_shares_the_next() -> None:
    store = RoundStore(wait=True)
    group = await opened(store)
    tasks = [asyncio.ensure_future(group.commit([insert("first")]))]
    await settle()
    tasks += [asyncio.ensure_future(group.commit([insert(f"{n}")])) for n in range(5)]
    await settle()
    assert store.rounds == [["first"]]
    store.gate.release()
    await settle()
    assert store.rounds == [["first"], ["0", "1", "2", "3", "4"]]
    store.gate.release()
    assert all(len(versions) == 1 for versions in await asyncio.gather(*tasks))


async def test_a_round_is_no_larger_than_the_store_wants_it() -> None:
    store = RoundStore(units_per_round=3)
    group = await opened(store)
    await asyncio.gather(*(group.commit([insert(f"{n}")]) for n in range(8)))
    assert [len(names) for names in store.rounds] == [3, 3, 2]


async def test_no_more_rounds_at_once_than_the_store_gains_from() -> None:
    store = RoundStore(units_per_round=1, rounds_in_flight=2, wait=True)
    group = await opened(store)
    tasks = [asyncio.ensure_future(group.commit([insert(f"{n}")])) for n in range(4)]
    await settle()
    assert store.rounds == [["0"], ["1"]]
    for _ in tasks:
        store.gate.release()
    await asyncio.gather(*tasks)
    assert len(store.rounds) == 4


@pytest.mark.parametrize("rounds_in_flight", [1, 2])
async def test_units_of_one_record_never_share_a_round_and_keep_their_order(rounds_in_flight: int) -> None:
    store = RoundStore(rounds_in_flight=rounds_in_flight)
    group = await opened(store)
    units: list[Unit] = [[insert("a")], [Delete("exercises", "a")], [insert("b")], [insert("a", name="again")]]
    answers = await asyncio.gather(*(group.commit(unit) for unit in units))
    assert len(answers) == 4
    (record,) = await store.get("exercises", ["a"])
    assert record is not None
    assert record.fields["name"] == "again"


async def test_an_error_reaches_its_own_unit_only() -> None:
    store = RoundStore()
    group = await opened(store)
    await group.commit([insert("taken")])
    answers = await asyncio.gather(
        group.commit([insert("a")]),
        group.commit([insert("b"), insert("taken")]),
        group.commit([insert("c")]),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [list, PreconditionFailed, list]
    assert await store.get("exercises", ["b"]) == [None]


@pytest.mark.parametrize("wrong", [{"name": "a\x00b"}, {"name": 5}, {"no_such_field": 1}], ids=str)
async def test_what_the_store_refuses_to_write_reaches_its_own_unit_only(wrong: dict[str, Any]) -> None:
    """Given one unit that no store could keep, when it shares a round, then the others are written all the same."""
    store = RoundStore()
    group = await opened(store)
    answers = await asyncio.gather(
        group.commit([insert("a")]),
        group.commit([insert("wrong", **wrong)]),
        group.commit([insert("b")]),
        return_exceptions=True,
    )
    assert [isinstance(answer, list) for answer in answers] == [True, False, True]
    assert isinstance(answers[1], ValueError | TypeError)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), OutcomeUnknown("lost")], ids=lambda e: type(e).__name__)
async def test_an_error_of_a_whole_round_reaches_all_of_it_and_nobody_else(error: StoreError) -> None:
    store = RoundStore()
    group = await opened(store)
    store.fail_next = error
    answers = await asyncio.gather(*(group.commit([insert(f"{n}")]) for n in range(3)), return_exceptions=True)
    assert answers == [error] * 3
    assert isinstance(await group.commit([insert("after")]), list)


async def test_who_no_longer_waits_is_not_sent() -> None:
    store = RoundStore(wait=True)
    group = await opened(store)
    first = asyncio.ensure_future(group.commit([insert("first")]))
    await settle()
    given_up = asyncio.ensure_future(group.commit([insert("given up")]))
    kept = asyncio.ensure_future(group.commit([insert("kept")]))
    await settle()
    given_up.cancel()
    await settle()
    store.gate.release()
    store.gate.release()
    await asyncio.gather(first, kept)
    assert store.rounds == [["first"], ["kept"]]


async def test_who_gives_up_while_its_round_is_on_its_way_spoils_nothing() -> None:
    store = RoundStore(wait=True)
    group = await opened(store)
    one, two = (asyncio.ensure_future(group.commit([insert(name)])) for name in "ab")
    await settle()
    one.cancel()
    store.gate.release()
    store.gate.release()
    assert len(await two) == 1
    store.gate.release()
    assert len(await group.commit([insert("c")])) == 1


UNITS = st.lists(st.lists(st.sampled_from("abcde"), min_size=1, max_size=3, unique=True), max_size=20)


@given(UNITS, st.integers(1, 3))
@settings(max_examples=40, deadline=None)
async def test_whatever_is_sent_is_answered_and_no_round_names_a_record_twice(
    names: list[list[str]], rounds_in_flight: int
) -> None:
    store = RoundStore(units_per_round=4, rounds_in_flight=rounds_in_flight)
    group = await opened(store)
    answers = await asyncio.gather(
        *(group.commit([insert(name) for name in unit]) for unit in names), return_exceptions=True
    )
    assert len(answers) == len(names)
    written = {name for unit, answer in zip(names, answers, strict=True) if isinstance(answer, list) for name in unit}
    found = await store.get("exercises", list("abcde"))
    assert {record.id for record in found if record is not None} == written
    assert all(isinstance(answer, list | PreconditionFailed) for answer in answers)

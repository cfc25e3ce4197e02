"""Which shards a process asks for: its own at once, all the others in turn."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs import Chance
from app.jobs.options import MAX_SHARDS
from app.jobs.shards import WIDE_SECONDS, AskedShards

ALTERNATIVES = 30


def asked(own: int = 1, fraction: float = 0.0) -> AskedShards:
    return AskedShards(own, ALTERNATIVES, Chance(fraction=lambda: fraction))


def looks(shards: AskedShards, count: int, routes: int = 1) -> list[tuple[int, ...]]:
    return [shards.ask(routes, WIDE_SECONDS * number) for number in range(count)]


def test_one_shard_is_asked_alone_but_for_a_wider_look_now_and_then() -> None:
    shards = asked()
    times = [0, 1, WIDE_SECONDS - 1, WIDE_SECONDS, WIDE_SECONDS + 1]
    sizes = [len(shards.ask(1, now)) for now in times]
    assert sizes == [ALTERNATIVES, 1, 1, ALTERNATIVES, 1]
    assert shards.ask(1, WIDE_SECONDS + 2) == (0,)


def test_with_several_the_others_are_asked_wherever_the_own_are_not_enough() -> None:
    shards = asked(own=4)
    first, second, later = shards.ask(1, 0), shards.ask(1, 1), shards.ask(1, WIDE_SECONDS)
    assert first == second == tuple(range(30))
    assert later == (0, 1, 2, 3, *range(30, 56))


@given(
    own=st.integers(1, MAX_SHARDS),
    routes=st.integers(0, 40),
    fraction=st.floats(0, 1, exclude_max=True),
)
def test_every_shard_is_asked_for_in_the_end(own: int, routes: int, fraction: float) -> None:
    pages = looks(asked(own, fraction), MAX_SHARDS, routes)
    assert {shard for page in pages for shard in page} == set(range(MAX_SHARDS))
    for page in pages:
        assert page[:own] == tuple(range(own))
        assert len(set(page)) == len(page)
        # It costs a question more only where the own ones take up all the room already.
        further = len(page) - own
        assert len(page) * routes <= ALTERNATIVES or further * routes <= max(routes, ALTERNATIVES)


@given(own=st.integers(1, MAX_SHARDS), found=st.integers(0, MAX_SHARDS - 1), routes=st.integers(1, 5))
def test_none_is_left_out_when_it_learns_of_more_on_the_way(own: int, found: int, routes: int) -> None:
    shards = asked(own)
    seen = {*shards.ask(routes, 0)}
    shards.found([found])
    for number in range(1, MAX_SHARDS):
        seen |= {*shards.ask(routes, WIDE_SECONDS * number)}
    assert seen == set(range(MAX_SHARDS))


def test_processes_that_live_for_one_claim_ask_for_all_of_them_together() -> None:
    fractions = [number / 100 for number in range(100)]
    assert {shard for fraction in fractions for shard in asked(1, fraction).ask(1, 0)} == set(range(MAX_SHARDS))


@pytest.mark.parametrize(("found", "known"), [([], 2), ([0, 1], 2), ([5, 3], 6), ([MAX_SHARDS - 1], MAX_SHARDS)])
def test_where_a_job_was_found_is_asked_from_then_on(found: Sequence[int], known: int) -> None:
    shards = asked(own=2)
    shards.found(found)
    assert shards.known == known
    assert shards.ask(1, 0)[:known] == tuple(range(known))


def test_of_all_there_can_be_none_is_left_to_look_for() -> None:
    assert looks(asked(own=MAX_SHARDS), 2) == [tuple(range(MAX_SHARDS))] * 2


@given(own=st.integers(1, MAX_SHARDS), found=st.lists(st.integers(0, MAX_SHARDS - 1), max_size=8))
def test_with_one_route_all_are_found_within_minutes(own: int, found: list[int]) -> None:
    shards = asked(own)
    seen = {*shards.ask(1, 0)}
    for number in range(1, 8):
        shards.found(found[number : number + 1])
        seen |= {*shards.ask(1, WIDE_SECONDS * number)}
    assert seen == set(range(MAX_SHARDS))

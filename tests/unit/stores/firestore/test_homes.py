"""Where a claimer lives that has others beside it."""

from __future__ import annotations

from random import Random

import pytest

from app.stores.firestore.homes import Homes

ALL = range(8)


@pytest.fixture
def homes() -> Homes:
    return Homes(Random(1))


def test_it_lives_nowhere_until_it_knows_that_there_is_work(homes: Homes) -> None:
    assert homes.of("priority") is None
    homes.settle("priority", [3])
    assert (homes.of("priority"), homes.of("maintenance")) == (3, None)
    homes.leave("priority")
    homes.leave("priority")
    assert homes.of("priority") is None


def test_claimers_settle_in_different_places() -> None:
    places = set()
    for seed in range(50):
        homes = Homes(Random(seed))
        homes.settle("priority", ALL)
        places.add(homes.of("priority"))
    assert places == set(ALL)


def test_it_looks_at_all_shards_again_after_some_pages(homes: Homes) -> None:
    homes.settle("priority", [3])
    pages = 0
    while homes.of("priority") is not None:
        homes.took_a_page("priority")
        pages += 1
    assert pages == 16
    homes.took_a_page("priority")  # of the same claim
    homes.settle("priority", [3])
    homes.took_a_page("priority")
    assert homes.of("priority") == 3


@pytest.mark.parametrize(("lost", "moves"), [(0, False), (4, False), (5, True), (8, True)])
def test_losing_more_than_half_sends_it_elsewhere(homes: Homes, lost: int, moves: bool) -> None:
    homes.settle("priority", [3])
    assert homes.learn(8, lost, ALL) is moves
    assert (homes.of("priority") != 3) is moves


def test_who_lives_nowhere_or_has_nowhere_to_go_does_not_move(homes: Homes) -> None:
    assert not homes.learn(8, 8, ALL)
    homes.settle("priority", [3])
    assert not homes.learn(8, 8, [3])
    assert homes.of("priority") == 3


def test_where_moving_does_not_help_it_stays(homes: Homes) -> None:
    homes.settle("priority", ALL)
    assert [homes.learn(8, 8, ALL) for _ in range(5)] == [True, True, True, False, False]
    homes.learn(8, 0, ALL)
    assert homes.learn(8, 8, ALL), "and when it went well in between, it moves again"


def test_pages_grow_while_nothing_is_lost_and_are_small_after_a_lost_one(homes: Homes) -> None:
    sizes = []
    for lost in (0, 0, 1, 0, 3, 0, 0, 0, 0, 0):
        homes.learn(4, lost, ALL)
        sizes.append(homes.page)
    assert sizes == [16, 32, 32, 64, 4, 8, 16, 32, 64, 64]

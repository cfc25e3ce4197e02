"""Where a claimer goes that keeps losing to others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from app.stores.base import Record
from app.stores.firestore.crowding import Crowding, place_of

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def record(name: str, seconds: float = 0, priority: int = 2) -> Record:
    return Record("jobs", name, "1.0", {"priority": priority, "ready_at": NOON + seconds * SECOND})


HEAD = place_of(record("head"))


@pytest.fixture
def crowding() -> Crowding:
    return Crowding(Random(1))


def test_alone_it_stays_with_the_best_page(crowding: Crowding) -> None:
    crowding.learn(tried=20, lost=0)
    assert not crowding.is_crowded


@pytest.mark.parametrize(("lost", "crowded"), [(0, False), (10, False), (11, True), (20, True)])
def test_losing_more_than_half_sends_it_away(crowding: Crowding, lost: int, crowded: bool) -> None:
    crowding.learn(tried=20, lost=lost)
    assert crowding.is_crowded is crowded


def test_it_goes_further_the_more_it_loses_and_comes_back_step_by_step(crowding: Crowding) -> None:
    reaches = []
    for lost in (20, 20, 5, 0, 0):
        crowding.learn(tried=20, lost=lost)
        reaches.append(crowding.reach)
    assert reaches == [8, 16, 16, 15, 14]
    for _ in range(14):
        crowding.learn(tried=20, lost=0)
    assert not crowding.is_crowded


def test_it_never_goes_further_than_there_can_be_rivals(crowding: Crowding) -> None:
    for _ in range(50):
        crowding.learn(tried=1, lost=1)
    assert crowding.reach == 128


def test_past_the_end_it_leaves_that_ground_and_comes_nearer(crowding: Crowding) -> None:
    crowding.learn(tried=20, lost=20)
    crowding.ground |= {"priority": HEAD, "maintenance": HEAD}
    crowding.went_past_the_end("priority")
    assert (crowding.reach, crowding.ground) == (4, {"maintenance": HEAD})


def test_it_leaves_ground_where_it_loses(crowding: Crowding) -> None:
    crowding.learn(tried=20, lost=20)
    crowding.ground["priority"] = HEAD
    crowding.learn(tried=20, lost=5)
    assert crowding.ground == {"priority": HEAD}
    crowding.learn(tried=20, lost=15)
    assert crowding.ground == {}


def test_it_leaves_its_ground_when_it_goes_back_to_the_best_page(crowding: Crowding) -> None:
    crowding.learn(tried=20, lost=20)
    crowding.ground["priority"] = HEAD
    for _ in range(8):
        crowding.learn(tried=20, lost=0)
    assert (crowding.is_crowded, crowding.ground) == (False, {})


def test_its_places_are_spread_over_the_pages_within_reach(crowding: Crowding) -> None:
    crowding.see([record(f"{number}", number * 0.1) for number in range(10)])
    crowding.learn(tried=20, lost=20)
    places = [crowding.somewhere(HEAD, page=20) for _ in range(200)]
    farthest = NOON + 8 * 20 * 0.1 * SECOND
    assert all(place.priority == 2 for place in places)
    assert all(NOON <= place.ready_at <= farthest for place in places)
    assert min(place.ready_at for place in places) < NOON + SECOND
    assert max(place.ready_at for place in places) > farthest - SECOND


def test_among_records_of_one_instant_it_takes_a_random_id_like_theirs(crowding: Crowding) -> None:
    crowding.see([record("job-07a"), record("job-07c"), record("job-0f0")])
    crowding.learn(tried=20, lost=20)
    places = {crowding.somewhere(place_of(record("job-07a")), page=20) for _ in range(20)}
    assert {place.ready_at for place in places} == {NOON}
    assert len(places) == 20
    assert all(place.id.startswith("job-0") for place in places)


@pytest.mark.parametrize("page", [[], [record("a")], [record("a", 0, priority=3), record("b", 50, priority=2)]])
def test_a_page_that_tells_nothing_about_one_level_changes_nothing(crowding: Crowding, page: list[Record]) -> None:
    crowding.see([record("a"), record("b", 1)])
    crowding.see(page)
    assert crowding.spacing == SECOND

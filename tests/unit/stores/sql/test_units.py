"""Units made ready: their versions, what they expect, and what is wrong when they do not find it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from app.stores.base import Delete, Insert, Put, Unit, Update, Verify, Write
from app.stores.sql.statements import Statements
from app.stores.sql.tables import Naming, build_tables
from app.stores.sql.units import Planner, Versions, as_expected, batches, judge
from tests.unit.stores.sql.times import NOON


@pytest.fixture(scope="module")
def planner() -> Planner:
    return Planner(Statements(build_tables(Naming(), "sqlite"), sqlite.dialect()))


@given(st.lists(st.integers(-5_000, 5_000), min_size=2, max_size=50), st.integers())
def test_versions_rise_whatever_the_clock_does(steps: Sequence[int], seed: int) -> None:
    moments = iter([1_790_000_000_000_000_000 + step for step in steps])
    versions = Versions(lambda: next(moments), random.Random(seed))
    given_out = [versions.fresh() for _ in steps]
    assert given_out == sorted(set(given_out))
    assert 0 < given_out[-1] < 2**63


def test_a_microsecond_has_room_for_more_updates_than_it_can_hold() -> None:
    versions = Versions(lambda: 1_790_000_000_000_000_000, random.Random(1))
    later = Versions(lambda: 1_790_000_000_000_002_000, random.Random(1))
    assert later.fresh() - versions.fresh() == 2 * 2**11


def test_an_update_moves_the_version_on_by_one(planner: Planner) -> None:
    planned = planner.plan([Update("jobs", "a", {"ready_at": NOON, "name": "n"}, "41"), Verify("jobs", "b", "7")])
    assert planned.versions == ["42", "7"]
    assert planned.writes[0].params == (42, "n", 1_793_620_800_000_000, "a", 41)
    assert planned.writes[1].params == (7, "b", 7)


def test_puts_inserts_and_deletes(planner: Planner) -> None:
    planned = planner.plan(
        [Insert("runs", "a", {"job_id": "j"}), Put("runs", "b", {}), Delete("runs", "c"), Delete("runs", "d", "5")]
    )
    first, second = map(int, planned.versions[:2])
    assert second > first > 1_790_000_000_000_000 << 11
    assert planned.versions[2:] == ["", ""]
    assert [write.params for write in planned.writes] == [("a", first, "j"), ("b", second), ("c",), ("d", 5)]


@pytest.mark.parametrize(
    ("unit", "claimable"),
    [
        ([Insert("jobs", "a", {"ready_at": NOON})], True),
        ([Update("jobs", "a", {"wake_at": NOON, "ready_at": None}, "1")], True),
        ([Put("jobs", "a", {"ready_at": NOON})], True),
        ([Update("jobs", "a", {"ready_at": None}, "1")], False),
        ([Insert("runs", "a", {"ended_at": NOON}), Delete("jobs", "b"), Verify("jobs", "c", "1")], False),
    ],
)
def test_whether_a_unit_makes_a_job_claimable(planner: Planner, unit: Unit, claimable: bool) -> None:
    assert planner.plan(unit).claimable is claimable


@pytest.mark.parametrize(
    ("write", "found", "words"),
    [
        (Insert("jobs", "a", {}), None, None),
        (Insert("jobs", "a", {}), 5, "there is a record with this id already"),
        (Update("jobs", "a", {}, "5"), 5, None),
        (Update("jobs", "a", {}, "5"), 6, "its version is 6, not 5"),
        (Update("jobs", "a", {}, "5"), None, "there is no such record"),
        (Verify("jobs", "a", "5"), 5, None),
        (Verify("jobs", "a", "5"), 4, "its version is 4, not 5"),
        (Delete("jobs", "a", "5"), 5, None),
        (Delete("jobs", "a", "5"), None, "there is no such record"),
        (Delete("jobs", "a"), None, None),
        (Delete("jobs", "a"), 5, None),
        (Put("jobs", "a", {}), None, None),
        (Put("jobs", "a", {}), 5, None),
        (Update("jobs", "a", {}, "not a number"), 5, "one that it never had"),
        (Update("jobs", "a", {}, "9" * 30), 5, "one that it never had"),
        (Update("jobs", "a", {}, str(2**63)), 5, "one that it never had"),
    ],
)
def test_a_unit_is_judged_by_the_versions_that_are_stored(
    planner: Planner, write: Write, found: int | None, words: str | None
) -> None:
    planned = planner.plan([Put("runs", "beside", {}), write])
    error = judge(planned, {} if found is None else {("jobs", "a"): found})
    if words is None:
        assert error is None
    else:
        assert error is not None
        assert (error.collection, error.record_id) == ("jobs", "a")
        assert words in str(error)


def test_writes_of_one_kind_share_a_statement(planner: Planner) -> None:
    units = [
        planner.plan([Update("jobs", f"{n}", {"name": "x"}, "1"), Insert("runs", f"{n}-1", {"job_id": "j"})])
        for n in range(3)
    ]
    units.append(planner.plan([Delete("jobs", "z"), Update("jobs", "y", {"description": "x"}, "1")]))
    groups, expected = batches(write for unit in units for write in unit.writes)
    assert [len(rows) for _, rows in groups] == [3, 3, 1, 1]
    assert expected == [3, 3, None, 1]
    assert as_expected([3, 3, 0, 1], expected)
    assert not as_expected([3, 2, 0, 1], expected)

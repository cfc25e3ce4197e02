"""How units are cut into rounds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from app.stores.base import Delete, Insert, StoreLimits, Unit
from app.stores.firestore.commits import cut
from app.stores.weights import weight

LIMITS = StoreLimits(
    claim_batch=20,
    writes_per_commit=500,
    bytes_per_commit=10**7,
    bytes_per_record=10**6,
    units_per_round=20,
    rounds_in_flight=8,
    poll_seconds=1,
)


def unit(writes: int) -> Unit:
    return [Delete("jobs", f"{number}") for number in range(writes)]


@given(st.lists(st.integers(1, 12)), st.integers(1, 5), st.integers(12, 30))
def test_rounds_keep_the_order_and_the_limits(sizes: list[int], units: int, writes: int) -> None:
    limits = replace(LIMITS, writes_per_commit=writes)
    all_units = [unit(size) for size in sizes]
    rounds = list(cut(all_units, units, limits))
    assert [each for part in rounds for each in part] == all_units
    for part in rounds:
        assert 1 <= len(part) <= units
        assert sum(map(len, part)) <= writes


def test_a_round_is_as_full_as_it_may_be() -> None:
    assert [len(part) for part in cut([unit(1)] * 45, 20, LIMITS)] == [20, 20, 5]


@given(st.lists(st.integers(0, 40)))
def test_parts_by_weight_keep_the_limit_of_bytes(sizes: list[int]) -> None:
    limits = replace(LIMITS, bytes_per_commit=100)
    units: list[Unit] = [[Insert("chunks", f"{place}", {"text": "x" * size})] for place, size in enumerate(sizes)]
    parts = list(cut(units, len(units) or 1, limits, by_weight=True))
    assert [each for part in parts for each in part] == units
    for part in parts:
        writes = [write for each in part for write in each if isinstance(write, Insert)]
        assert sum(weight(write.fields) for write in writes) <= 100

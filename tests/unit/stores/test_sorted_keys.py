"""The sorted set does what a sorted list does, whatever is added and removed, and however its lists are cut."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stores.sorted_keys import Key, SortedKeys

_keys = st.tuples(st.integers(0, 40), st.sampled_from("abc"))


def holding(keys: list[Key]) -> SortedKeys:
    held = SortedKeys()
    for key in keys:
        held.add(key)
    return held


@given(st.lists(_keys, unique=True), st.data())
def test_it_is_sorted_after_any_changes(keys: list[Key], data: st.DataObject) -> None:
    held = holding(keys)
    removed = data.draw(st.lists(st.sampled_from(keys), unique=True)) if keys else []
    for key in removed:
        held.remove(key)
    left = sorted(set(keys) - set(removed))
    assert list(held.ascending()) == left
    assert list(held.descending()) == left[::-1]
    assert len(held) == len(left)


@given(st.lists(_keys, unique=True), _keys | st.tuples(st.integers(-1, 41)))
def test_it_starts_and_ends_where_it_is_told(keys: list[Key], place: Key) -> None:
    held = holding(keys)
    assert list(held.ascending(place)) == [key for key in sorted(keys) if key >= place]
    assert list(held.descending(place)) == [key for key in sorted(keys, reverse=True) if key < place]


def test_thousands_of_keys_in_any_order() -> None:
    chance = random.Random(4)
    keys: list[Key] = [(number,) for number in range(5000)]
    chance.shuffle(keys)
    held = holding(keys)
    assert list(held.ascending()) == sorted(keys)
    chance.shuffle(keys)
    for key in keys[:4900]:
        held.remove(key)
    left = sorted(keys[4900:])
    assert list(held.ascending()) == left
    assert list(held.ascending(left[50])) == left[50:]
    assert list(held.descending(left[50])) == left[:50][::-1]
    for key in left:
        held.remove(key)
    assert (len(held), list(held.ascending()), list(held.descending((1,)))) == (0, [], [])


@pytest.mark.parametrize("keys", [[], [(1,), (3,)]])
def test_removing_what_is_not_there_is_an_error(keys: list[Key]) -> None:
    for missing in [(0,), (2,), (4,)]:
        with pytest.raises(KeyError):
            holding(keys).remove(missing)

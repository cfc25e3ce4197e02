"""Values survive the way into a column and back, on every dialect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stores.base import Kind
from app.stores.sql.values import DECODERS, ENCODERS, from_micros, to_micros, to_naive

TIMES = st.datetimes(timezones=st.just(UTC))


@given(TIMES)
def test_microseconds_hold_every_time_exactly(time: datetime) -> None:
    assert from_micros(to_micros(time)) == time


@given(TIMES, TIMES)
def test_microseconds_sort_as_times_do(one: datetime, other: datetime) -> None:
    assert (to_micros(one) < to_micros(other)) == (one < other)


@pytest.mark.parametrize("dialect", sorted(ENCODERS))
@given(time=TIMES, keys=st.lists(st.text()).map(tuple), flag=st.booleans())
def test_every_kind_comes_back_as_it_went(dialect: str, time: datetime, keys: tuple[str, ...], flag: bool) -> None:
    for kind, value in ((Kind.TIME, time), (Kind.KEYS, keys), (Kind.BOOL, flag)):
        encode = ENCODERS[dialect].get(kind, lambda same: same)
        decode = DECODERS[dialect].get(kind, lambda same: same)
        back = decode(encode(value))
        assert back == value
        assert type(back) is type(value)


def test_a_time_of_another_zone_is_kept_as_the_same_moment() -> None:
    there = datetime(2026, 11, 2, 14, tzinfo=timezone(timedelta(hours=2)))
    assert to_naive(there) == datetime(2026, 11, 2, 12)  # noqa: DTZ001 - MySQL's DATETIME has no zone
    assert from_micros(to_micros(there)) == there

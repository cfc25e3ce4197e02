"""Rates: what a text says, and which times are free."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs import BadInput
from app.jobs.rate import PER_SHARD, Rate, rate_of, reserve
from tests.support.clock import NOON

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "count", "seconds"),
    [("100/m", 100, 60), ("5/s", 5, 1), (" 1 / 30 s ", 1, 30), ("1000/d", 1000, 86400), ("2/2h", 2, 7200)],
)
def test_a_rate_is_read(text: str, count: int, seconds: float) -> None:
    assert rate_of(text) == Rate(count, seconds)


@pytest.mark.parametrize("text", ["", "5", "0/s", "5/0s", "-1/s", "1.5/s", "5/w", "5 per s", "99999/s", "5/s/m"])
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadInput, match=r"100/m|leave it out"):
        rate_of(text)


def test_times_are_even_and_end_at_the_horizon() -> None:
    got = reserve(rate_of("1/10s"), None, NOON, 9, NOON + 35 * SECOND)
    assert got.times == tuple(NOON + seconds * SECOND for seconds in (0, 10, 20, 30))
    assert got.next_at == NOON + 40 * SECOND
    assert reserve(rate_of("1/10s"), got.next_at, NOON, 1, NOON + 35 * SECOND).times == ()
    later = reserve(rate_of("1/10s"), got.next_at, NOON + 100 * SECOND, 1, NOON + 135 * SECOND)
    assert later.times == (NOON + 100 * SECOND,)


def test_what_a_clock_hours_ahead_wrote_stops_nobody() -> None:
    rate, until = rate_of("1/10s"), NOON + 60 * SECOND
    mad = reserve(rate, NOON + timedelta(hours=2), NOON, 3, until)
    assert (mad.times, mad.next_at) == ((until,), until + 10 * SECOND)
    fast = NOON + 130 * SECOND  # by a host a minute ahead, which has its horizon a minute later
    assert reserve(rate, fast, NOON, 3, until).times == ()


def test_a_burst_lets_some_begin_at_once_after_a_quiet_time() -> None:
    got = reserve(rate_of("1/10s", burst=3), None, NOON, 5, NOON + 60 * SECOND)
    assert sum(time <= NOON for time in got.times) == 3
    assert got.times[3:] == (NOON + 10 * SECOND, NOON + 20 * SECOND)


def test_a_high_rate_is_split_so_that_no_record_is_written_too_often() -> None:
    rate = rate_of("1000/s")
    assert rate.count / rate.seconds / rate.shards <= PER_SHARD
    assert rate.interval == timedelta(seconds=rate.shards / 1000)


@given(
    count=st.integers(1, 50),
    seconds=st.integers(1, 600),
    burst=st.integers(1, 5),
    asked=st.lists(st.tuples(st.integers(0, 600), st.integers(1, 8)), max_size=20),
)
def test_no_more_begin_in_any_time_than_the_rate_and_its_burst_allow(
    count: int, seconds: int, burst: int, asked: list[tuple[int, int]]
) -> None:
    rate = Rate(count, float(seconds), burst)
    times: list[datetime] = []
    next_at: datetime | None = None
    now = NOON
    for later, wanted in asked:
        now += later * SECOND
        got = reserve(rate, next_at, now, wanted, now + 60 * SECOND)
        assert len(got.times) <= wanted
        times += [max(now, time) for time in got.times]
        next_at = got.next_at
    if rate.shards > 1:
        return
    times.sort()
    for first in range(len(times)):
        for last in range(first, len(times)):
            allowed = burst + (times[last] - times[first]) / rate.interval
            assert last - first + 1 <= allowed + 1e-6

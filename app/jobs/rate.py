"""How often jobs of a type may begin, and when the next ones may: pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from app.jobs.errors import BadInput

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
MOST_PER_SECOND = 10_000.0
PER_SHARD = 100.0
"""Begins a second that one record is counted on to keep up with; above this the rate is split."""
_TEXT = re.compile(r"\s*(\d{1,9})\s*/\s*(\d{0,6})\s*([smhd])\s*")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many begins in so many seconds, evenly, but for a few at once after a quiet time."""

    count: int
    seconds: float
    burst: int = 1

    @property
    def shards(self) -> int:
        """Over how many records it is split."""
        return max(1, ceil(self.count / self.seconds / PER_SHARD))

    @property
    def interval(self) -> timedelta:
        """Between two begins that one of its records allows."""
        return timedelta(seconds=self.seconds * self.shards / self.count)


FAST_CLOCK = timedelta(minutes=1)
"""So much faster than others a host's clock may go, without its reservations being taken for a fault."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Times at which jobs may begin, and what a record says after they were taken."""

    times: tuple[datetime, ...]
    next_at: datetime
    """When the next one may begin, were there no burst."""


def rate_of(text: str, burst: int = 1) -> Rate:
    """The rate that a text says: "100/m", "5/s", "1/30s".

    Raises:
        BadInput: it says none, or one that is too high.
    """
    found = _TEXT.fullmatch(text)
    count = int(found[1]) if found else 0
    seconds = float(found[2] or 1) * SECONDS[found[3]] if found else 0.0
    if not count or not seconds:
        raise BadInput("rate_limit", f"{text!r} is no rate", 'write it like "100/m", "5/s", "1/30s" or "1000/d"')
    if count / seconds > MOST_PER_SECOND:
        raise BadInput("rate_limit", f"{text!r} is more than {MOST_PER_SECOND:,.0f} a second", "leave it out")
    return Rate(count, seconds, burst)


def reserve(rate: Rate, next_at: datetime | None, now: datetime, count: int, until: datetime) -> Reservation:
    """The next free times, at most `count`, none of them after `until`.

    Args:
        rate: how often.
        next_at: what the record says; None if there is none.
        now: the time.
        count: how many are wanted.
        until: how far ahead.
    """
    interval = rate.interval
    # Over all its records the burst is the rate's own.
    credit = max(0, ceil(rate.burst / rate.shards) - 1)
    earliest = now - credit * interval
    start = earliest if next_at is None or next_at < earliest else next_at
    if start > until + interval + FAST_CLOCK:
        start = until  # nobody reserves so far ahead: it was written by a clock that goes wrong
    room = 0 if start > until else (until - start) // interval + 1
    taken = min(count, room)
    return Reservation(tuple(start + place * interval for place in range(taken)), start + taken * interval)

"""When a schedule's slots are: pure arithmetic over intervals and cron expressions, daylight saving included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from app.jobs.errors import BadInput

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Intervals are counted from here, so that every process has the same slots whenever it began."""
SHORTEST_SECONDS = 1.0
LONGEST_SECONDS = 10 * 366 * 86400.0
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Timetable:
    """The times at which something is to happen. Make one with `timetable_of`, which checks what it is given."""

    kind: Literal["interval", "cron"]
    expression: str
    """Seconds, or a cron expression of five fields (six with seconds first)."""
    timezone: str = "UTC"
    """What a cron expression's fields are read in."""

    def after(self, time: datetime) -> datetime | None:
        """The first slot later than a time; None if there never is one."""
        return next(self._forward(time), None)

    def between(self, after: datetime, until: datetime, limit: int) -> list[datetime]:
        """The first slots later than `after` and not later than `until`, at most so many, oldest first."""
        found: list[datetime] = []
        for slot in islice(self._forward(after), limit):
            if slot > until:
                break
            found.append(slot)
        return found

    def newest(self, after: datetime, until: datetime, limit: int) -> list[datetime]:
        """The last slots later than `after` and not later than `until`, at most so many, oldest first."""
        found: list[datetime] = []
        for slot in islice(self._backward(until), limit):
            if slot <= after:
                break
            found.append(slot)
        return found[::-1]

    def _forward(self, time: datetime) -> Iterator[datetime]:
        if self.kind == "interval":
            step = self._step()
            number = (time - EPOCH) // step + 1
            while True:
                yield EPOCH + number * step
                number += 1
        # Where clocks are put back or forward, a local time without its offset may stand for an earlier or for the
        # same moment as the one before.
        for local in CronSim(self.expression, time.astimezone(_zone(self.timezone))):
            slot = local.astimezone(UTC)
            if slot > time:
                time = slot
                yield slot

    def _backward(self, time: datetime) -> Iterator[datetime]:
        if self.kind == "interval":
            step = self._step()
            number = (time - EPOCH) // step
            while True:
                yield EPOCH + number * step
                number -= 1
        # Reading forwards over growing stretches: where clocks are put back or forward, reading backwards does not
        # find the same slots.
        stretch = timedelta(hours=1)
        end = time
        while stretch < timedelta(days=40 * 366):
            begin = end - stretch
            found: list[datetime] = []
            for slot in self._forward(begin):
                if slot > end:
                    break
                found.append(slot)
            yield from reversed(found)
            end, stretch = begin, stretch * 2

    def _step(self) -> timedelta:
        return timedelta(seconds=float(self.expression))


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def timetable_of(interval_seconds: float | None, cron: str | None, timezone: str) -> Timetable | None:
    """The timetable that options ask for; None if they ask for none.

    Raises:
        BadInput: naming the option that is wrong: both at once, an interval that is too short, a cron expression
            that cannot be read or never comes about, or a time zone that nobody knows.
    """
    try:
        zone = _zone(timezone)
    except (LookupError, ValueError, OSError) as problem:  # what ZoneInfo raises, by the kind of nonsense
        raise BadInput(
            "timezone", f"{timezone!r} is not a time zone", 'write it like "UTC" or "Europe/Berlin"'
        ) from problem
    if interval_seconds is not None and cron is not None:
        raise BadInput("cron", "is given together with interval_seconds", "give one of the two")
    if interval_seconds is not None:
        if not SHORTEST_SECONDS <= interval_seconds <= LONGEST_SECONDS:
            raise BadInput("interval_seconds", f"{interval_seconds!r} is not between a second and ten years", "mend it")
        return Timetable("interval", repr(float(interval_seconds)), timezone)
    if cron is None:
        return None
    expression = " ".join(cron.split())
    try:
        first = next(CronSim(expression, EPOCH.astimezone(zone)), None)
    except (CronSimError, ValueError) as problem:
        remedy = 'write minute, hour, day of month, month and day of week, like "30 2 * * MON-FRI"'
        raise BadInput("cron", f"{cron!r} cannot be read: {problem}", remedy) from problem
    if first is None:
        raise BadInput("cron", f"{cron!r} never comes about", "name a day that its months have")
    return Timetable("cron", expression, timezone)

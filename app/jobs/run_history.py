"""Run history: what happened under every ended lease, and a day of it in figures, without counters.

Closed hours are rolled up into one record each, from the run summaries themselves, so a roll-up may be made
again at any time with the same outcome. A day is its roll-ups and the live tail.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self

from app.jobs.codec import SCHEMA_VERSION
from app.jobs.errors import BadInput
from app.jobs.models import JobQueue, Outcome, RunSummary, is_key
from app.jobs.paging import check_cursor, check_limit
from app.jobs.request import as_utc
from app.jobs.runtime import Runtime
from app.stores.base import Put, Query, Record, Value

HOUR = timedelta(hours=1)
SETTLING = timedelta(minutes=5)
"""How long after its end an hour is still left open, for clocks that differ."""
PAGE = 500
BUCKET_RATIO = 1.1
"""Durations are kept in buckets each a tenth wider than the one before: percentiles are right to 5 %."""
SHORTEST_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which run summaries are wanted."""

    where: dict[str, Value]
    since: datetime | None = None
    until: datetime | None = None

    @classmethod
    def of(
        cls,
        job_id: str | None = None,
        type: str | None = None,
        queue: JobQueue | str | None = None,
        outcome: str | None = None,
        ended_after: datetime | str | None = None,
        ended_before: datetime | str | None = None,
    ) -> Self:
        """A filter from what a caller gave.

        Raises:
            BadInput: naming the filter and what it takes.
        """
        for name, value, known in (("queue", queue, list(JobQueue)), ("outcome", outcome, list(Outcome))):
            if value is not None and value not in known:
                raise BadInput(name, f"{value!r} is not a {name}", f"use one of {', '.join(known)}")
        for name, value in (("job_id", job_id), ("type", type)):
            if value is not None and not is_key(value):
                raise BadInput(name, f"{str(value)[:200]!r} is no {name}", "give a text of 1 to 200 characters")
        given = {"job_id": job_id, "type": type, "queue": queue, "outcome": outcome}
        return cls(
            {name: str(value) for name, value in given.items() if value is not None},
            None if ended_after is None else as_utc(ended_after, "ended_after"),
            None if ended_before is None else as_utc(ended_before, "ended_before"),
        )


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some run summaries, newest first, and where the next page begins."""

    runs: list[RunSummary]
    cursor: str | None


async def run_page(runtime: Runtime, wanted: RunFilter, limit: int, cursor: str | None) -> RunPage:
    """One page of run summaries, newest first.

    Raises:
        BadInput: a limit that is no number of records, or a cursor from elsewhere.
    """
    query = Query(
        "runs.list",
        wanted.where,
        since=wanted.since,
        until=wanted.until,
        reverse=True,
        limit=check_limit(limit),
        cursor=check_cursor(cursor),
    )
    try:
        page = await runtime.store.query(query)
    except ValueError as problem:
        raise BadInput("cursor", str(problem), "use the cursor of the page before, unchanged") from problem
    return RunPage([runtime.codec.run(record) for record in page.records], page.cursor)


# --- figures -----------------------------------------------------------------------------------------


def _bucket(seconds: float) -> int:
    return max(0, math.ceil(math.log(max(seconds, SHORTEST_SECONDS) / SHORTEST_SECONDS, BUCKET_RATIO)))


@dataclass(slots=True)
class Figures:
    """Counts and durations of some runs. Two of them add up."""

    cells: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    """How many runs by (type, queue, outcome, status after)."""
    buckets: Counter[int] = field(default_factory=Counter)
    """How many counted runs lasted up to the bucket's bound."""
    seconds: float = 0.0
    longest: float = 0.0

    def add(self, run: RunSummary) -> None:
        """Count one run. A late outcome is evidence only: its lease was counted when it was lost."""
        if run.is_late:
            return
        self.cells[(run.type, str(run.queue), str(run.outcome), str(run.status))] += 1
        if run.counted:
            self.buckets[_bucket(run.duration_seconds)] += 1
            self.seconds += run.duration_seconds
            self.longest = max(self.longest, run.duration_seconds)

    def join(self, other: Figures) -> None:
        """Add all of another's."""
        self.cells += other.cells
        self.buckets += other.buckets
        self.seconds += other.seconds
        self.longest = max(self.longest, other.longest)

    def text(self) -> str:
        """As one JSON text, always the same for the same figures."""
        return json.dumps(
            {
                "cells": sorted([*key, count] for key, count in self.cells.items()),
                "buckets": sorted(self.buckets.items()),
                "seconds": self.seconds,
                "longest": self.longest,
            }
        )

    @classmethod
    def of_text(cls, text: str) -> Figures:
        """The figures of a JSON text."""
        data = json.loads(text)
        cells = Counter({(kind, queue, outcome, status): n for kind, queue, outcome, status, n in data["cells"]})
        return cls(cells, Counter({int(at): n for at, n in data["buckets"]}), data["seconds"], data["longest"])

    def by(self, place: int) -> dict[str, int]:
        """Counts by one part of the cells' keys."""
        counts: Counter[str] = Counter()
        for key, count in self.cells.items():
            counts[key[place]] += count
        return dict(sorted(counts.items()))

    def percentile(self, share: float) -> float:
        """The duration in seconds that this share of the counted runs did not exceed."""
        total = sum(self.buckets.values())
        if not total:
            return 0.0
        seen = 0
        for bucket, count in sorted(self.buckets.items()):
            seen += count
            if seen >= share * total:
                # The middle of the bucket: its bound would be up to a tenth too long.
                return min(self.longest, SHORTEST_SECONDS * math.pow(BUCKET_RATIO, max(0.0, bucket - 0.5)))
        return self.longest


@dataclass(frozen=True, slots=True)
class DailySummary:
    """One UTC day of runs."""

    day: date
    runs: int
    by_type: dict[str, int]
    by_queue: dict[str, int]
    by_outcome: dict[str, int]
    by_status: dict[str, int]
    success_rate: float | None
    """Part of the runs that ended their job which ended it COMPLETED; None if none did."""
    durations: dict[str, float]
    """Seconds: mean, p50, p90, p99, longest."""
    retries: int
    lost_leases: int

    @classmethod
    def of(cls, day: date, figures: Figures) -> Self:
        """The summary that figures make."""
        outcomes, statuses = figures.by(2), figures.by(3)
        counted = sum(figures.buckets.values())
        ended = sum(statuses.get(status, 0) for status in ("completed", "failed"))
        return cls(
            day=day,
            runs=sum(figures.cells.values()),
            by_type=figures.by(0),
            by_queue=figures.by(1),
            by_outcome=outcomes,
            by_status=statuses,
            success_rate=statuses.get("completed", 0) / ended if ended else None,
            durations={
                "mean": figures.seconds / counted if counted else 0.0,
                "p50": figures.percentile(0.50),
                "p90": figures.percentile(0.90),
                "p99": figures.percentile(0.99),
                "longest": figures.longest,
            },
            retries=outcomes.get(Outcome.RETRIED, 0),
            lost_leases=outcomes.get(Outcome.LEASE_LOST, 0),
        )


async def _figures_between(runtime: Runtime, since: datetime, until: datetime) -> Figures:
    figures = Figures()
    cursor: str | None = None
    while True:
        page = await runtime.store.query(Query("runs.list", since=since, until=until, limit=PAGE, cursor=cursor))
        for record in page.records:
            figures.add(runtime.codec.run(record))
        cursor = page.cursor
        if cursor is None:
            return figures


def _rollup_id(hour: datetime) -> str:
    return hour.strftime("%Y-%m-%dT%H")


def _is_made(record: Record | None, now: datetime) -> bool:
    """Whether an hour has a roll-up to rely on: not one that a clock made which was ahead."""
    made_at = record.fields.get("made_at") if record is not None else None
    return isinstance(made_at, datetime) and made_at <= now + SETTLING


def closed_hours(now: datetime, back: int) -> list[datetime]:
    """The last `back` hours that are over for good, oldest first."""
    newest = (now - SETTLING).replace(minute=0, second=0, microsecond=0)
    return [newest - HOUR * n for n in range(back, 0, -1)]


async def roll_up(runtime: Runtime, hours: Iterable[datetime], *, dry_run: bool = False) -> int:
    """Make the roll-ups of hours that have none. Doing it twice, or at once elsewhere, changes nothing.

    Returns:
        How many were (or would be) made.
    """
    wanted = list(hours)
    there = await runtime.store.get("rollups", [_rollup_id(hour) for hour in wanted])
    now = runtime.clock.now()
    missing = [hour for hour, record in zip(wanted, there, strict=True) if not _is_made(record, now)]
    for hour in missing if not dry_run else ():
        figures = await _figures_between(runtime, hour, hour + HOUR)
        fields: dict[str, Value] = {
            "schema_version": SCHEMA_VERSION,
            "hour": hour,
            "made_at": runtime.clock.now(),
            "counts": figures.text(),
        }
        await runtime.store.commit([Put("rollups", _rollup_id(hour), fields)])
    return len(missing)


async def summary_of_day(runtime: Runtime, day: date | str | None) -> DailySummary:
    """One UTC day: its roll-ups, and what is not rolled up yet.

    Raises:
        BadInput: not a day.
    """
    if isinstance(day, str):
        try:
            day = date.fromisoformat(day)
        except ValueError as problem:
            raise BadInput("day", f"{day!r} is not a day", 'write it like "2026-01-31"') from problem
    chosen = day or runtime.clock.now().date()
    if chosen == date.max:
        raise BadInput("day", f"{chosen.isoformat()} is the last of the calendar and never over", "give an earlier one")
    midnight = datetime(chosen.year, chosen.month, chosen.day, tzinfo=UTC)
    hours = [midnight + HOUR * n for n in range(24)]
    rolled = await runtime.store.get("rollups", [_rollup_id(hour) for hour in hours])
    figures = Figures()
    live_from: datetime | None = None
    for hour, record in zip(hours, rolled, strict=True):
        if record is not None and _is_made(record, runtime.clock.now()):
            if live_from is not None:
                figures.join(await _figures_between(runtime, live_from, hour))
                live_from = None
            figures.join(Figures.of_text(str(record.fields["counts"])))
        elif live_from is None:
            live_from = hour
    if live_from is not None:
        figures.join(await _figures_between(runtime, live_from, midnight + timedelta(days=1)))
    return DailySummary.of(chosen, figures)


def summary_dict(summary: DailySummary) -> dict[str, Any]:
    """A summary as JSON."""
    return {name: getattr(summary, name) for name in DailySummary.__slots__} | {"day": summary.day.isoformat()}

"""Run history: every ended lease is kept, and a day of them in figures without counters."""

from __future__ import annotations

import math
from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.jobs import DailySummary, JobContext, JobStatus, Outcome, RunSummary
from app.jobs.codec import Codec
from app.jobs.errors import BadInput
from app.jobs.models import JobPriority, JobQueue
from app.jobs.run_history import HOUR, Figures, RunFilter, closed_hours, roll_up, summary_dict, summary_of_day
from app.stores.base import Insert
from tests.support.clock import NOON
from tests.support.engine import Engine

DAY = NOON.date()
MIDNIGHT = NOON.replace(hour=0)


def a_run(number: int = 1, **fields: Any) -> RunSummary:
    whole: dict[str, Any] = {
        "id": f"job-{number}-1",
        "job_id": f"job-{number}",
        "type": "it",
        "queue": JobQueue.PRIORITY,
        "priority": JobPriority.NORMAL,
        "attempt": 1,
        "outcome": Outcome.COMPLETED,
        "counted": True,
        "status": JobStatus.COMPLETED,
        "started_at": NOON,
        "ended_at": NOON,
        "duration_seconds": 1.0,
        "waited_seconds": 0.0,
    }
    return RunSummary(**{**whole, **fields})


async def keep(engine: Engine, *runs: RunSummary) -> None:
    codec = Codec()
    for run in runs:
        await engine.store.commit([Insert("runs", run.id, codec.run_fields(run))])


# --- the list ----------------------------------------------------------------------------------------


async def test_every_ended_lease_leaves_one_summary(engine: Engine) -> None:
    @engine.job("it", retry_delay_seconds=60, retry_backoff="fixed")
    async def handler(ctx: JobContext) -> None:
        await engine.clock.sleep(3)
        await ctx.report_progress(1, 2, "half way")
        if ctx.attempt == 1:
            raise ValueError("at first")

    parent = await engine.submitted("it", delay=5000)
    job_id = await engine.submitted("it", queue="maintenance", batch_id="b", parent_id=parent, priority="high")
    engine.clock.jump(2)
    async with engine.working(worker_id="w1"):
        await engine.clock.advance(80)
    first, second = await engine.runs(job_id)
    assert (first.id, first.attempt, first.outcome, first.counted) == (f"{job_id}-1", 1, Outcome.RETRIED, True)
    assert (first.queue, first.priority, first.batch_id, first.parent_id) == ("maintenance", 3, "b", parent)
    assert (first.duration_seconds, first.waited_seconds, first.worker_id) == (3.0, 2.0, "w1")
    assert (first.error and first.error.message, first.message, first.retries_used) == ("at first", "half way", 1)
    assert (second.outcome, second.error, second.status) == (Outcome.COMPLETED, None, JobStatus.COMPLETED)
    assert second.started_at - first.ended_at >= timedelta(seconds=60)


async def test_filters_newest_first_and_paged(engine: Engine) -> None:
    kept = [
        a_run(
            number,
            type="odd" if number % 2 else "even",
            queue=JobQueue.MAINTENANCE if number % 3 else JobQueue.PRIORITY,
            outcome=Outcome.FAILED if number % 5 else Outcome.COMPLETED,
            ended_at=NOON + timedelta(seconds=number),
        )
        for number in range(30)
    ]
    await keep(engine, *kept)
    manager = engine.manager
    assert [run.id for run in await manager.get_run_history()] == [run.id for run in reversed(kept)]
    assert len(await manager.get_run_history(limit=7)) == 7
    found = await manager.get_run_history(type="odd", queue="maintenance", outcome="failed")
    assert {run.id for run in found} == {
        run.id for run in kept if (run.type, run.queue, run.outcome) == ("odd", "maintenance", "failed")
    }
    between = await manager.get_run_history(ended_after=NOON + timedelta(seconds=3), ended_before="2026-11-02T12:00:06")
    assert [run.id for run in between] == ["job-5-1", "job-4-1", "job-3-1"]
    pages, cursor = [], None
    while True:
        page = await manager.get_run_page(RunFilter.of(type="even"), limit=4, cursor=cursor)
        pages.append([run.id for run in page.runs])
        cursor = page.cursor
        if cursor is None:
            break
    assert [name for page_ in pages for name in page_] == [run.id for run in reversed(kept) if run.type == "even"]
    assert {len(page_) for page_ in pages[:-1]} == {4}


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"queue": "fast"}, "queue"),
        ({"outcome": "exploded"}, "outcome"),
        ({"ended_after": "yesterday"}, "ended_after"),
        ({"ended_before": "soon"}, "ended_before"),
        ({"limit": 0}, "limit"),
    ],
)
async def test_a_wrong_filter_is_refused_by_name(engine: Engine, filters: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput, match=rf"^{field}: .*; "):
        await engine.manager.get_run_history(**filters)


async def test_a_cursor_from_elsewhere_is_refused(engine: Engine) -> None:
    with pytest.raises(BadInput, match=r"^cursor: .*; use the cursor of the page before"):
        await engine.manager.get_run_page(RunFilter.of(), cursor="from elsewhere")


# --- figures -----------------------------------------------------------------------------------------

DURATIONS = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=200)


@given(DURATIONS, st.sampled_from([0.01, 0.25, 0.5, 0.9, 0.99, 1.0]))
@settings(max_examples=150, deadline=None)
def test_percentiles_are_right_to_five_percent(durations: list[float], share: float) -> None:
    figures = Figures()
    for seconds in durations:
        figures.add(a_run(duration_seconds=seconds))
    exact = sorted(durations)[math.ceil(share * len(durations)) - 1]
    assert figures.percentile(share) == pytest.approx(exact, rel=0.05)


def test_very_short_durations_are_short() -> None:
    figures = Figures()
    for _ in range(10):
        figures.add(a_run(duration_seconds=0.0))
    assert figures.percentile(0.5) <= 0.001
    assert Figures().percentile(0.5) == 0.0


RUNS = st.builds(
    a_run,
    number=st.integers(1, 10**9),
    type=st.sampled_from(["a", "b", "c\x1f"[:1]]),
    queue=st.sampled_from(JobQueue),
    outcome=st.sampled_from(Outcome),
    status=st.sampled_from(JobStatus),
    counted=st.booleans(),
    duration_seconds=st.floats(0, 1e5),
    ended_at=st.datetimes(MIDNIGHT.replace(tzinfo=None), MIDNIGHT.replace(tzinfo=None) + timedelta(hours=24)).map(
        lambda at: at.replace(tzinfo=NOON.tzinfo)
    ),
)


@given(st.lists(RUNS, max_size=40), st.integers(0, 40))
@settings(max_examples=50, deadline=None)
def test_figures_add_up_and_survive_being_stored(runs: list[RunSummary], cut: int) -> None:
    whole, first, second = Figures(), Figures(), Figures()
    for number, run in enumerate(runs):
        whole.add(run)
        (first if number < cut else second).add(run)
    first.join(Figures.of_text(second.text()))
    assert (first.cells, first.buckets, first.longest) == (whole.cells, whole.buckets, whole.longest)
    assert first.seconds == pytest.approx(whole.seconds)
    assert Figures.of_text(whole.text()) == whole


# --- a day -------------------------------------------------------------------------------------------


def counted_directly(runs: list[RunSummary]) -> dict[str, Any]:
    return {
        "runs": len(runs),
        "by_type": dict(sorted(Counter(run.type for run in runs).items())),
        "by_queue": dict(sorted(Counter(str(run.queue) for run in runs).items())),
        "by_outcome": dict(sorted(Counter(str(run.outcome) for run in runs).items())),
        "by_status": dict(sorted(Counter(str(run.status) for run in runs).items())),
        "retries": sum(run.outcome is Outcome.RETRIED for run in runs),
        "lost_leases": sum(run.outcome is Outcome.LEASE_LOST for run in runs),
    }


@given(st.lists(RUNS, max_size=30, unique_by=lambda run: run.id), st.lists(st.integers(0, 23), max_size=24))
@settings(max_examples=40, deadline=None)
async def test_roll_ups_and_tail_are_what_a_direct_count_gives(runs: list[RunSummary], rolled: list[int]) -> None:
    """Given any hours rolled up, in any order and more than once, then the day is the same as counted directly."""
    engine = Engine()
    await engine.store.open()
    await keep(engine, *runs)
    directly = summary_dict(await summary_of_day(engine.runtime, DAY))
    for hour in rolled:
        await roll_up(engine.runtime, [MIDNIGHT + HOUR * hour])
    summary = summary_dict(await summary_of_day(engine.runtime, DAY))
    durations, direct_durations = summary.pop("durations"), directly.pop("durations")
    assert summary == directly
    assert durations == pytest.approx(direct_durations)
    today = [run for run in runs if run.ended_at < MIDNIGHT + 24 * HOUR]
    assert {name: summary[name] for name in counted_directly([])} == counted_directly(today)


async def test_a_roll_up_made_twice_changes_nothing(engine: Engine) -> None:
    await keep(engine, *(a_run(number, ended_at=NOON + timedelta(minutes=number)) for number in range(100)))
    hours = [NOON, NOON + HOUR]
    assert await roll_up(engine.runtime, hours, dry_run=True) == 2
    assert (await engine.records())["rollups"] == 0
    assert await roll_up(engine.runtime, hours) == 2
    before = await engine.store.get("rollups", ["2026-11-02T12", "2026-11-02T13"])
    assert await roll_up(engine.runtime, hours) == 0
    assert await engine.store.get("rollups", ["2026-11-02T12", "2026-11-02T13"]) == before


async def test_a_day_rolled_up_is_read_from_its_roll_ups(engine: Engine) -> None:
    await keep(engine, *(a_run(number, ended_at=NOON + timedelta(seconds=number)) for number in range(600)))
    await roll_up(engine.runtime, [MIDNIGHT + HOUR * hour for hour in range(24)])
    before = engine.store.usage.reads
    summary = await engine.manager.get_daily_summary(DAY)
    assert (summary.runs, engine.store.usage.reads - before) == (600, 24)


@pytest.mark.parametrize(
    ("now", "newest"),
    [
        (NOON, NOON - 2 * HOUR),
        (NOON + timedelta(minutes=4), NOON - 2 * HOUR),
        (NOON + timedelta(minutes=5), NOON - HOUR),
        (NOON + timedelta(minutes=59), NOON - HOUR),
    ],
)
def test_an_hour_is_closed_when_slow_clocks_have_caught_up(now: datetime, newest: datetime) -> None:
    hours = closed_hours(now, 3)
    assert hours == [newest - 2 * HOUR, newest - HOUR, newest]


async def test_the_figures_of_a_day(engine: Engine) -> None:
    outcomes = [
        (Outcome.COMPLETED, JobStatus.COMPLETED, True),
        (Outcome.COMPLETED, JobStatus.COMPLETED, True),
        (Outcome.SKIPPED, JobStatus.COMPLETED, True),
        (Outcome.FAILED, JobStatus.FAILED, True),
        (Outcome.RETRIED, JobStatus.QUEUED, True),
        (Outcome.LEASE_LOST, JobStatus.QUEUED, True),
        (Outcome.RELEASED, JobStatus.QUEUED, False),
    ]
    await keep(
        engine,
        *(
            a_run(number, outcome=outcome, status=status, counted=counted, duration_seconds=10.0)
            for number, (outcome, status, counted) in enumerate(outcomes)
        ),
    )
    summary = await engine.manager.get_daily_summary()
    assert (summary.day, summary.runs, summary.success_rate) == (DAY, 7, 0.75)
    assert (summary.retries, summary.lost_leases) == (1, 1)
    assert summary.durations["mean"] == 10.0
    assert summary.durations["p50"] == pytest.approx(10.0, rel=0.05)
    assert summary.durations["longest"] == 10.0


async def test_a_late_outcome_is_evidence_and_no_run(engine: Engine) -> None:
    """Given a lost lease and its holder's late outcome, then the figures of the day know one run."""
    await keep(
        engine,
        a_run(1, outcome=Outcome.LEASE_LOST, status=JobStatus.QUEUED),
        a_run(1, id="job-1-1-late", outcome=Outcome.COMPLETED, counted=False),
    )
    summary = await engine.manager.get_daily_summary()
    assert (summary.runs, summary.by_outcome, summary.success_rate) == (1, {"lease_lost": 1}, None)
    assert len(await engine.manager.get_run_history(job_id="job-1")) == 2


async def test_a_day_without_runs(engine: Engine) -> None:
    summary = await engine.manager.get_daily_summary("2020-02-29")
    assert summary == DailySummary(
        day=date(2020, 2, 29),
        runs=0,
        by_type={},
        by_queue={},
        by_outcome={},
        by_status={},
        success_rate=None,
        durations={"mean": 0.0, "p50": 0.0, "p90": 0.0, "p99": 0.0, "longest": 0.0},
        retries=0,
        lost_leases=0,
    )


@pytest.mark.parametrize("day", ["today", "2026-13-01", ""])
async def test_what_is_no_day_is_refused(engine: Engine, day: str) -> None:
    with pytest.raises(BadInput, match=r"^day: .* is not a day; write it like "):
        await engine.manager.get_daily_summary(day)


async def test_the_calendar_has_a_first_and_a_last_day(engine: Engine) -> None:
    for day in ("0001-01-01", "9999-12-30"):
        assert (await engine.manager.get_daily_summary(day)).runs == 0
    for last in ("9999-12-31", date.max):
        with pytest.raises(BadInput, match=r"^day: 9999-12-31 is the last of the calendar"):
            await engine.manager.get_daily_summary(last)


async def test_run_summaries_agree_with_jobs(engine: Engine) -> None:
    """Given jobs that end in every way, then every job's last summary says what the job says."""

    @engine.job("it", max_retries=1, retry_delay_seconds=60)
    async def handler(ctx: JobContext, n: int) -> None:
        if n % 3 == 0:
            raise ValueError("odd")
        if n % 3 == 1:
            ctx.cancel()

    for n in range(30):
        await engine.submitted("it", {"n": n})
    async with engine.working():
        await engine.clock.advance(120)
    for job in await engine.manager.list_jobs():
        runs = await engine.runs(job.id)
        assert [run.attempt for run in runs] == list(range(1, job.attempt + 1))
        assert (runs[-1].status, runs[-1].outcome) == (job.status, job.outcome)
        assert sum(run.duration_seconds for run in runs) == pytest.approx(job.run_seconds)

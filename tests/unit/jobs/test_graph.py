"""Cycles, orders and plans: pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.batch_plan import BatchPlan, Links, check_graph, plan_of
from app.jobs.dependencies import GATE_SIZE
from app.jobs.errors import BadInput, DependencyCycle
from app.jobs.graph import cycle_in, dependents_first
from app.jobs.manifest import pages_of, read_lines, unit_of
from app.jobs.models import Job, JobError, JobResult, JobStatus
from app.jobs.ramp import Ramp
from app.stores.base import Insert, Put, Write
from app.stores.memory import MemoryJobStore
from tests.support.clock import FakeClock

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
GRAPHS = st.integers(1, 12).flatmap(
    lambda size: st.lists(st.lists(st.integers(0, size - 1), max_size=4, unique=True), min_size=size, max_size=size)
)


def closes(parents: list[list[int]]) -> bool:
    """Whether something can be reached from itself."""
    reached = [set(each) for each in parents]
    for _ in parents:
        reached = [each.union(*(reached[parent] for parent in each)) for each in reached]
    return any(number in each for number, each in enumerate(reached))


@given(GRAPHS)
def test_a_graph_has_either_an_order_or_a_cycle(parents: list[list[int]]) -> None:
    order = dependents_first(parents)
    assert (order is None) == closes(parents)
    cycle = cycle_in(parents)
    if order is None:
        assert len(cycle) >= 2
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(parent in parents[child] for child, parent in pairwise(cycle))
        return
    assert cycle == []
    assert sorted(order) == list(range(len(parents)))
    place = {number: position for position, number in enumerate(order)}
    assert all(place[child] < place[parent] for child, each in enumerate(parents) for parent in each)


def test_a_long_chain_is_no_deep_recursion() -> None:
    chain = [[number + 1] for number in range(50_000)]
    assert dependents_first([*chain, []]) == list(range(50_001))
    assert len(cycle_in([*chain, [0]])) == 50_002


@pytest.mark.parametrize("place", [-1, 2, 99])
def test_a_place_that_is_none_is_refused_by_name(place: int) -> None:
    with pytest.raises(BadInput, match=rf"jobs\[1\].dependencies: {place} is no place in this batch; give 0 to 1"):
        check_graph([Links(), Links((place,))], lambda number: f"jobs[{number}]")


def test_a_cycle_is_refused_with_its_path() -> None:
    links = [Links((2,)), Links((0,)), Links((1,))]
    with pytest.raises(DependencyCycle, match=r"jobs\[0\] -> jobs\[2\] -> jobs\[1\] -> jobs\[0\]"):
        check_graph(links, lambda number: f"jobs[{number}]")
    with pytest.raises(DependencyCycle, match=r"jobs\[0\] -> jobs\[0\]"):
        check_graph([Links((0,))], lambda number: f"jobs[{number}]")


# --- plans -------------------------------------------------------------------------------------------


def a_job(job_id: str, status: JobStatus = JobStatus.QUEUED, **fields: object) -> Job:
    times = {"created_at": NOON, "updated_at": NOON}
    if status is JobStatus.QUEUED:
        times |= {"ready_at": NOON, "queued_at": NOON}
    return Job.model_validate({"id": job_id, "type": "t", "status": status, "version": "1", **times, **fields})


def inserted(job: Job) -> list[Write]:
    return [Insert("jobs", job.id, {"created_at": job.created_at, "unmet": job.unmet, "depends_on": job.depends_on})]


def planned(links: list[Links], *outside: Job) -> BatchPlan:
    jobs = [a_job(f"j{number}") for number in range(len(links))]
    order = check_graph(links, str)
    return plan_of(jobs, links, order, {job.id: job for job in outside}, NOON, "batch", inserted)


def test_what_waits_in_a_batch_and_what_does_not() -> None:
    done = a_job("done", JobStatus.COMPLETED, result=JobResult(success=True), finished_at=NOON)
    plan = planned([Links(outside=("done",)), Links((0,), ("open",)), Links((0, 1))], done, a_job("open"))
    assert [(job.status, job.unmet, job.has_dependents) for job in plan.jobs] == [
        (JobStatus.QUEUED, (), True),
        (JobStatus.PENDING, ("j0", "open"), True),
        (JobStatus.PENDING, ("j0", "j1"), False),
    ]
    assert [job.auto_start for job in plan.jobs[1:]] == [True, True]
    assert (plan.outside, [write.id for write in plan.guards]) == (["open"], ["open"])
    assert [write.id for writes in plan.writes for write in writes] == ["j2", "j1", "j0"]


def test_a_job_that_is_cancelled_as_it_is_created_lets_go_of_those_behind_it() -> None:
    failed = a_job("bad", JobStatus.FAILED, error=JobError(code="X", message="x"), finished_at=NOON)
    plan = planned([Links(outside=("bad",)), Links((0,))], failed)
    assert [(job.status, job.release) for job in plan.jobs] == [
        (JobStatus.CANCELLED, "pending"),
        (JobStatus.PENDING, None),
    ]


def test_many_dependencies_have_gates() -> None:
    plan = planned([*(Links() for _ in range(GATE_SIZE + 1)), Links(tuple(range(GATE_SIZE + 1)))])
    waits = plan.jobs[-1]
    assert waits.unmet == (f"{waits.id}-batch-0", f"{waits.id}-batch-1")
    assert len(waits.depends_on) == GATE_SIZE + 1
    assert [write.id for write in plan.writes[0]] == [*waits.unmet, waits.id]


@given(st.integers(1, 40), st.integers(1, 9))
def test_units_hold_whole_jobs_and_no_more_than_a_commit_takes(jobs: int, most: int) -> None:
    plan = planned([Links() for _ in range(jobs)])
    limits = replace(MemoryJobStore().limits(), writes_per_commit=most)
    units = plan.units(limits)
    assert [write for unit in units for write in unit] == [write for writes in plan.writes for write in writes]
    assert all(1 <= len(unit) <= most for unit in units)


async def test_what_is_written_down_comes_back_as_it_was() -> None:
    """Given units with all kinds of values, when they are read from pages of any size, then they are the same."""
    units: list[list[Write]] = [
        [Put("gates", "g", {"unmet": ("a", "b"), "waiting_since": NOON})],
        [
            Insert("jobs", "j", {"payload": '{"a":"\u20ac\\n"}' * 50_000, "priority": 2, "run_seconds": 0.5}),
            Insert("jobs", "k", {"idempotent": True, "created_at": NOON, "name": "line\nbreak \u20ac"}),
        ],
    ]
    store = MemoryJobStore()
    await store.open()
    pages = list(pages_of("b", ["x", "y"], units, NOON))
    assert len(pages) > 1
    await store.commit(pages)
    first, *rest = [line async for line in read_lines(store, "b", len(pages))]
    assert (first, [unit_of(line) for line in rest]) == (["x", "y"], units)


# --- the ramp ----------------------------------------------------------------------------------------


async def test_a_store_is_filled_no_faster_than_it_can_grow() -> None:
    class Hurrying(FakeClock):
        async def sleep(self, seconds: float) -> None:
            self.jump(seconds)

    clock = Hurrying()
    ramp = Ramp(clock, 500.0)
    began = clock.monotonic()
    for _ in range(301):
        await ramp.take(500)
    assert clock.monotonic() - began == pytest.approx(300.0)
    for _ in range(300):
        await ramp.take(750)
    assert clock.monotonic() - began == pytest.approx(600.0, abs=1.5)


async def test_no_ramp_where_none_is_needed() -> None:
    clock = FakeClock()
    for _ in range(10):
        await Ramp(clock, None).take(10_000)

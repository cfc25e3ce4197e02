"""The engine that applies plans, asked directly: all or nothing, once, and only what may be written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from app.catalog.apply import ApplyEngine, ChangeStatus, ChangeUndone, PathRefused, idempotency_key, undo_change
from app.catalog.plans import (
    ChangePlan,
    Operation,
    create_exercise,
    deprecate_exercise,
    make_plan,
    merge_exercise,
    patch_exercises,
    reassign_family,
    rename_exercise,
    touched,
    update_registry,
    upsert_alias,
)
from app.catalog.plans.replay import replay_plan, with_previews
from app.catalog.plans.validate import validate
from app.jobs import JobStatus, PermanentError
from app.stores.base import StoreError, Unit, Version, Write
from app.stores.faults import FaultPlan, FaultyStore
from app.stores.faults import Operation as StoreCall
from tests.support.clock import NOON
from tests.support.planned import CATALOG, TYPE, Planned, result_of
from tests.unit.catalog.exercises import named

FLY = named("Chest Fly", "dumbbell")
CURL = named("Biceps Curl", "barbell")
PRESS = named("Chest Press", "machine")
TWIN = named("Curl for the Biceps", "barbell", id="twin", slug="twin", family_slug="twin")
START = (FLY, CURL, PRESS, TWIN)
CHANGE = "job-1_1"


@pytest.fixture
async def planned() -> AsyncIterator[Planned]:
    world = Planned()
    await world.open(START)
    yield world
    await world.engine.manager.close()


async def nothing(done: int, total: int) -> None:
    """Nobody wants to know."""


def engine_of(planned: Planned, commits: list[Sequence[Write]]) -> ApplyEngine:
    async def commit(writes: Sequence[Write]) -> None:
        commits.append(writes)
        await planned.engine.memory.commit(writes)

    return ApplyEngine(planned.catalog, planned.journal, commit)


def plan_of(*operations: Operation) -> ChangePlan:
    return make_plan("targeted_fix", operations, job_id="job-1", made_at=NOON)


async def test_all_paths_are_checked_before_anything_is_written(planned: Planned) -> None:
    commits: list[Sequence[Write]] = []
    good = rename_exercise(FLY, "Flat Chest Fly")
    bad = patch_exercises([CURL.id], {"created_at": "1999-01-01T00:00:00Z", "level": "beginner"})

    with pytest.raises(PathRefused, match="op-2: created_at"):
        await engine_of(planned, commits).apply(plan_of(good, bad), CHANGE, nothing)

    assert commits == []
    assert issubclass(PathRefused, PermanentError), "trying again can't help"


async def test_what_was_applied_is_not_applied_again(planned: Planned) -> None:
    commits: list[Sequence[Write]] = []
    engine = engine_of(planned, commits)
    plan = plan_of(rename_exercise(FLY, "Flat Chest Fly"), deprecate_exercise(CURL.id))
    first = await engine.apply(plan, CHANGE, nothing)
    written = len(commits)

    again = await engine.apply(plan, CHANGE, nothing)

    assert again == first
    assert len(commits) == written
    assert (first.status, first.applied, first.left) == (ChangeStatus.APPLIED, 2, ())


async def test_a_plan_without_a_time_is_a_mistake(planned: Planned) -> None:
    with pytest.raises(ValueError, match="made_at"):
        await engine_of(planned, []).apply(make_plan("t", []), CHANGE, nothing)


async def test_an_empty_plan_is_a_change_of_nothing(planned: Planned) -> None:
    outcome = await engine_of(planned, []).apply(plan_of(), CHANGE, nothing)

    assert (outcome.status, outcome.applied) == (ChangeStatus.APPLIED, 0)


async def test_the_pauses_tell_how_far_it_is(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.catalog.apply.engine.TOGETHER", 1)
    told: list[tuple[int, int]] = []

    async def pause(done: int, total: int) -> None:
        told.append((done, total))

    await engine_of(planned, []).apply(plan_of(*(deprecate_exercise(each.id) for each in START)), CHANGE, pause)

    assert told == [(number, 4) for number in range(5)]


async def test_what_was_undone_is_not_applied_by_a_job_that_comes_back(planned: Planned) -> None:
    plan = plan_of(deprecate_exercise(CURL.id))
    commits: list[Sequence[Write]] = []
    engine = engine_of(planned, commits)
    await engine.apply(plan, CHANGE, nothing)
    await undo_change(planned.engine.manager, CHANGE, by="ada", dry_run=False)
    before = planned.records()

    with pytest.raises(ChangeUndone, match="run a new job"):
        await engine.apply(plan, CHANGE, nothing)

    assert planned.records() == before


def test_what_makes_an_operation_another_one() -> None:
    one = plan_of(patch_exercises([FLY.id], {"level": "beginner"})).operations[0]
    others = [
        one.changed(patch={"level": "advanced"}),
        one.changed(targets=[f"exercise/{CURL.id}"]),
        one.changed(idempotency_seed="again"),
        one.changed(kind="deprecate_exercise"),
    ]

    keys = {idempotency_key(CHANGE, each) for each in (one, *others)} | {idempotency_key("job-2_1", one)}

    assert len(keys) == len(others) + 2
    told = one.changed(rationale="why", risk="high", after={"exercise/x": None})
    assert idempotency_key(CHANGE, told) == idempotency_key(CHANGE, one), "what is only told is none of it"


def has_lines(planned: Planned) -> bool:
    return bool(planned.records("catalog_lines"))


async def test_a_job_that_is_retried_goes_on_with_its_plan(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that fails in the middle costs a retry, and nothing is done twice."""
    monkeypatch.setattr("app.catalog.apply.engine.TOGETHER", 1)
    faults = FaultPlan()
    world = Planned(store=FaultyStore(planned.engine.memory, faults))
    faults.refuse(StoreCall.GET, when=lambda call: has_lines(planned), times=1)

    job = await world.run(rename_exercise(FLY, "Flat Chest Fly"), deprecate_exercise(CURL.id))

    told = result_of(job)
    assert (job.attempt, job.retries_used, told["applied"]) == (2, 1, 2)
    assert told["change_id"] == f"{job.id}_1"
    assert len(world.snapshots) == 1
    assert [line.number for line in await planned.journal.lines(told["change_id"])] == [1, 2]


async def test_a_job_whose_change_was_undone_fails_for_good_when_it_is_retried(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its recorded plan was made for a catalogue that is not there any more."""
    monkeypatch.setattr("app.catalog.apply.engine.TOGETHER", 1)
    before = planned.records(*CATALOG)

    class Cancelling(FaultyStore):
        async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
            answers = await super().commit_each(units)
            if any(write.collection == "catalog_lines" for unit in units for write in unit):
                (job,) = await planned.engine.manager.list_jobs(type=TYPE)
                await planned.engine.manager.cancel_job(job.id, "enough")
            return answers

    world = Planned(store=Cancelling(planned.engine.memory, FaultPlan()))
    job = await world.run(
        rename_exercise(FLY, "Flat Chest Fly"), deprecate_exercise(CURL.id), deprecate_exercise(PRESS.id)
    )
    assert job.status is JobStatus.CANCELLED
    assert has_lines(planned)
    await undo_change(planned.engine.manager, f"{job.id}_1", by="ada", dry_run=False)

    await planned.engine.manager.retry_job(job.id)
    planned.operations = world.operations
    job = await planned.drained(job.id)

    assert job.error is not None
    assert (job.status, job.error.code) == (JobStatus.FAILED, "CHANGE_UNDONE")
    assert planned.records(*CATALOG) == before


# --- whatever the plan -----------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["Chest Fly", "Flat Fly", "Curl (Barbell)", "Chest Press (Machine)", "Row", "Twin"])
IDS = st.sampled_from([each.id for each in START])
FAMILIES = st.sampled_from(["chest-fly", "twin", "row", "biceps-curl"])
EXERCISES = st.sampled_from(START)
OPERATIONS = st.one_of(
    st.builds(rename_exercise, EXERCISES, NAMES),
    st.builds(
        patch_exercises,
        st.lists(IDS, min_size=1, max_size=3, unique=True),
        st.dictionaries(
            st.sampled_from(["tags", "attributes.tempo", "level"]), st.none() | st.just("beginner"), min_size=1
        ),
    ),
    st.builds(merge_exercise, EXERCISES, EXERCISES),
    st.builds(lambda name, family: create_exercise(name, family, {}), NAMES, FAMILIES),
    st.builds(deprecate_exercise, IDS, st.sampled_from(["deprecated", "archived", "active"])),
    st.builds(lambda slug, target: upsert_alias(slug, exercise_id=target), FAMILIES, IDS),
    st.builds(lambda ids, family: reassign_family([ids], family), IDS, FAMILIES),
    st.builds(lambda slug, title: update_registry(slug, title=title), FAMILIES, NAMES),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(OPERATIONS, min_size=1, max_size=6))
def test_what_is_stored_is_what_was_replayed_and_undo_takes_it_back(operations: list[Operation]) -> None:
    async def check() -> None:
        planned = Planned()
        await planned.open(START)
        before = planned.records(*CATALOG)
        whole = await planned.catalog.everything()
        plan = with_previews(plan_of(*operations), whole, NOON)
        part = await planned.catalog.snapshot(touched(plan))
        # What is read for a plan is enough to judge it: the whole catalogue says nothing else.
        assert validate(plan, part) == validate(plan, whole)
        while wrong := {finding.operation for finding in validate(plan, whole) if finding.is_error}:
            sound = [operation for operation in plan.operations if operation.id not in wrong]
            plan = with_previews(plan.changed(operations=sound), whole, NOON)
        event(f"{len(plan.operations)} sound operations")
        wanted, problems = replay_plan(whole, plan, NOON)
        assert problems == []

        outcome = await engine_of(planned, []).apply(plan, CHANGE, nothing)

        assert outcome.findings == ()
        stored = await planned.catalog.everything()
        assert (stored.exercises, stored.aliases, stored.families) == (
            dict(wanted.exercises),
            dict(wanted.aliases),
            dict(wanted.families),
        )
        await undo_change(planned.engine.manager, CHANGE, by="ada", dry_run=False)
        assert planned.records(*CATALOG) == before
        await planned.engine.manager.close()

    asyncio.run(check())

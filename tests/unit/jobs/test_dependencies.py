"""Jobs that wait for others, on the memory store: what becomes of them in every case."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from app.jobs import (
    BadInput,
    DependencyCycle,
    IllegalTransition,
    Job,
    JobContext,
    JobNotFound,
    JobRequest,
    JobResult,
    JobStatus,
    PermanentError,
    linking,
)
from app.jobs.dependencies import GATE_SIZE, MAX_DEPENDENCIES, guard
from app.jobs.events import Complete, Stop
from app.stores import DatabaseJobStore, MemoryJobStore
from app.stores.base import Delete, NotJoinable, Update
from app.stores.faults import Call, FaultPlan, FaultyStore, Operation
from tests.support.dying_store import DyingStore
from tests.support.engine import Engine

P, Q, R, H, C, F, X = (
    JobStatus.PENDING,
    JobStatus.QUEUED,
    JobStatus.RUNNING,
    JobStatus.PAUSED,
    JobStatus.COMPLETED,
    JobStatus.FAILED,
    JobStatus.CANCELLED,
)
ran: list[str] = []


@pytest.fixture(autouse=True)
def handlers(engine: Engine) -> None:
    """Type `it` notes its name, and ends as its payload says."""
    register(engine)


def register(engine: Engine) -> None:
    ran.clear()

    @engine.job("it")
    async def it(ctx: JobContext, **payload: Any) -> Any:
        ran.append(ctx.job.name)
        if payload.get("fail"):
            raise PermanentError("as told")
        return {"name": ctx.job.name, "saw": await ctx.dependency_results(), "ids": list(ctx.dependencies)}


async def make(engine: Engine, name: str, *parents: Job | str, start: bool = True, **options: Any) -> Job:
    """A job of the test's type."""
    return await engine.manager.create_job("it", name=name, dependencies=parents, auto_start=start, **options)


async def states(engine: Engine, *jobs: Job) -> list[JobStatus]:
    return [(await engine.get(job.id)).status for job in jobs]


# --- waiting and going on ----------------------------------------------------------------------------


async def test_a_diamond_runs_in_order_and_sees_results(engine: Engine) -> None:
    top = await make(engine, "top", start=False)
    left, right = await make(engine, "left", top), await make(engine, "right", top.id)
    bottom = await make(engine, "bottom", left, right)
    assert await states(engine, top, left, right, bottom) == [P] * 4
    await engine.drain()
    assert ran == []
    await engine.manager.start_job(top.id)
    await engine.drain()
    assert (ran[0], set(ran[1:3]), ran[3]) == ("top", {"left", "right"}, "bottom")
    assert await states(engine, top, left, right, bottom) == [C] * 4
    results = await engine.manager.get_job_results(bottom.id)
    assert results is not None
    assert results.result["ids"] == [left.id, right.id]
    assert {job_id: result["name"] for job_id, result in results.result["saw"].items()} == {
        left.id: "left",
        right.id: "right",
    }
    assert [(await engine.get(job.id)).release for job in (top, left, bottom)] == ["done", "done", None]


async def test_a_job_that_nobody_started_is_held_when_nothing_is_unmet_any_more(engine: Engine) -> None:
    parent = await make(engine, "parent")
    child = await make(engine, "child", parent, start=False)
    await engine.drain()
    assert (await states(engine, parent, child), (await engine.get(child.id)).unmet) == ([C, P], ())
    await engine.manager.start_job(child.id)
    await engine.drain()
    assert await states(engine, child) == [C]


async def test_starting_a_waiting_job_lets_it_go_on_by_itself(engine: Engine) -> None:
    parent = await make(engine, "parent", start=False)
    child = await make(engine, "child", parent, start=False)
    for _ in range(2):
        started = await engine.manager.start_job(child.id)
        assert (started.status, started.auto_start) == (P, True)
    await engine.manager.start_job(parent.id)
    await engine.drain()
    assert ran == ["parent", "child"]


async def test_a_delay_is_kept_after_the_dependencies(engine: Engine) -> None:
    parent = await make(engine, "parent")
    child = await make(engine, "child", parent, delay=60)
    await engine.drain()
    assert (await engine.get(child.id)).wake_at == child.start_at == child.created_at + timedelta(seconds=60)
    engine.clock.jump(61)
    await engine.drain()
    assert ran == ["parent", "child"]


async def test_what_is_complete_already_is_no_reason_to_wait(engine: Engine) -> None:
    parent = await make(engine, "parent")
    await engine.drain()
    child = await make(engine, "child", parent)
    assert (child.status, child.depends_on, child.unmet) == (Q, (parent.id,), ())
    assert not (await engine.get(parent.id)).has_dependents


async def test_pausing_and_resuming_a_waiting_job(engine: Engine) -> None:
    parent = await make(engine, "parent")
    child, other = await make(engine, "child", parent), await make(engine, "other", parent)
    await engine.manager.pause_job(child.id)
    await engine.manager.pause_job(other.id)
    assert (await engine.manager.resume_job(other.id)).status is P
    await engine.drain()
    assert ran == ["parent", "other"]
    assert (await states(engine, child), (await engine.get(child.id)).unmet) == ([H], ())
    assert (await engine.manager.resume_job(child.id)).status is Q
    await engine.drain()
    assert ran == ["parent", "other", "child"]


async def test_the_newest_unfinished_job_of_a_type_is_waited_for(engine: Engine) -> None:
    @engine.job("after", dependencies=["it", "never seen"])
    async def after() -> None:
        return None

    assert (await engine.manager.submit("after")).status is Q
    await make(engine, "older", start=False)
    engine.clock.jump(1)
    newer = await make(engine, "newer")
    waits = await engine.manager.submit("after")
    assert (waits.status, waits.depends_on) == (P, (newer.id,))
    await engine.drain()
    assert await states(engine, waits) == [C]


# --- refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["nobody"], "dependencies: there is no job 'nobody'; create it first, or leave it out"),
        ([0], "dependencies: 0 is a place in a batch"),
        (["x"] * 3 + [f"j{n}" for n in range(MAX_DEPENDENCIES + 1)], "are too many"),
    ],
    ids=["unknown", "place", "too many"],
)
async def test_bad_dependencies_are_refused_before_anything_is_written(
    engine: Engine, given: list[Any], message: str
) -> None:
    writes = engine.store.usage.writes
    with pytest.raises(BadInput, match=message):
        await engine.manager.create_job("it", dependencies=given)
    assert engine.store.usage.writes == writes


async def test_one_bad_job_of_several_keeps_the_others_from_being_written(engine: Engine) -> None:
    with pytest.raises(BadInput, match="there is no job"):
        await engine.manager.create_jobs([JobRequest(type="it"), JobRequest(type="it", dependencies=("no",))])
    assert await engine.manager.count_jobs() == 0


async def test_a_transaction_is_no_way_round_the_check(engine: Engine) -> None:
    parent = await make(engine, "parent")
    with pytest.raises(BadInput, match="there is no job"):
        await make(engine, "child", "no", transaction=object())
    with pytest.raises(NotJoinable):
        await make(engine, "child", parent, transaction=object())


async def test_dependencies_in_a_transaction_of_the_callers_own(tmp_path: Path) -> None:
    """Given jobs that wait for one job, created in one transaction, then they are there when that commits."""
    file = tmp_path / "jobs.db"
    engine = Engine(store=DatabaseJobStore(url=f"sqlite:///{file}"))
    await engine.store.open()
    register(engine)
    parent = await make(engine, "parent", start=False)
    requests = [JobRequest(type="it", name=name, dependencies=(parent.id,)) for name in ("one", "two")]
    database = create_engine(f"sqlite:///{file}")
    for commits in (False, True):
        with database.connect() as connection:
            children = await engine.manager.create_jobs(requests, auto_start=True, transaction=connection)
            assert [child.unmet for child in children] == [(parent.id,)] * 2
            (connection.commit if commits else connection.rollback)()
        assert (await engine.get(parent.id)).has_dependents is commits
    database.dispose()
    await engine.manager.start_job(parent.id)
    await engine.drain()
    assert (ran[0], sorted(ran[1:])) == ("parent", ["one", "two"])
    await engine.store.close()


# --- when a dependency fails -------------------------------------------------------------------------


async def test_a_failure_is_passed_down_as_far_as_it_goes(engine: Engine) -> None:
    bad = await make(engine, "bad", payload={"fail": True})
    good = await make(engine, "good", start=False)
    child = await make(engine, "child", bad, good)
    grandchild = await make(engine, "grandchild", child)
    runs_anyway = await make(engine, "runs anyway", grandchild, on_dependency_failure="run")
    await engine.drain()
    assert await states(engine, bad, child, grandchild, runs_anyway) == [F, X, X, C]
    error = (await engine.get(child.id)).error
    assert error is not None
    assert (error.code, error.message) == ("DEPENDENCY_FAILED", f"job {bad.id}, which it depends on, ended failed")
    error = (await engine.get(grandchild.id)).error
    assert error is not None
    assert error.message == f"job {child.id}, which it depends on, ended cancelled"
    assert ran == ["bad", "runs anyway"]


async def test_a_held_job_says_why_and_runs_when_it_is_started(engine: Engine) -> None:
    bad = await make(engine, "bad", payload={"fail": True})
    held = await make(engine, "held", bad, on_dependency_failure="hold")
    await engine.drain()
    job = await engine.get(held.id)
    assert (job.status, job.unmet, job.auto_start) == (P, (), False)
    assert job.error is not None
    assert job.error.message == f"job {bad.id}, which it depends on, ended failed; start it to run it all the same"
    await engine.manager.start_job(held.id)
    await engine.drain()
    assert (await engine.get(held.id)).error is None
    assert ran == ["bad", "held"]


@pytest.mark.parametrize(("policy", "status"), [("cancel", X), ("run", Q), ("hold", P)])
@pytest.mark.parametrize("parents", [1, GATE_SIZE + 5])
async def test_a_dependency_that_has_failed_already_acts_at_creation(
    engine: Engine, policy: str, status: JobStatus, parents: int
) -> None:
    bad = [await make(engine, "bad", payload={"fail": True}) for _ in range(parents)]
    await engine.drain()
    child = await make(engine, "child", *bad, on_dependency_failure=policy)
    assert (child.status, child.unmet, (await engine.get(child.id)).status) == (status, (), status)
    added = await make(engine, "added", start=False, on_dependency_failure=policy)
    added = await engine.manager.add_job_dependency(added.id, bad[0].id)
    assert (added.status, added.unmet) == (X if policy == "cancel" else P, ())


@pytest.mark.parametrize("policy", ["cancel", "run", "hold"])
async def test_a_failure_behind_a_gate(engine: Engine, policy: str) -> None:
    jobs = [await make(engine, f"{n}", payload={"fail": n == 3}) for n in range(2 * GATE_SIZE)]
    child = await make(engine, "child", *jobs, on_dependency_failure=policy)
    assert len(child.unmet) == 2
    await engine.drain()
    assert await states(engine, child) == [{"cancel": X, "run": C, "hold": P}[policy]]
    assert (await engine.records())["gates"] == 0
    assert (await engine.get(child.id)).unmet == ()


# --- edges -------------------------------------------------------------------------------------------


async def test_edges_are_added_and_removed(engine: Engine) -> None:
    parent, other = await make(engine, "parent", start=False), await make(engine, "other", start=False)
    child = await make(engine, "child")
    assert child.status is Q
    waits = await engine.manager.add_job_dependency(child.id, parent.id)
    assert (waits.status, waits.unmet, waits.auto_start) == (P, (parent.id,), True)
    assert await engine.manager.add_job_dependency(child.id, parent.id) == await engine.get(child.id)
    await engine.manager.add_job_dependency(child.id, other.id)
    assert [job.id for job in await engine.manager.get_dependencies(child.id)] == [parent.id, other.id]
    assert [job.id for job in await engine.manager.get_dependent_jobs(parent.id)] == [child.id]
    assert (await engine.manager.remove_job_dependency(child.id, parent.id)).status is P
    assert (await engine.manager.remove_job_dependency(child.id, other.id)).status is Q
    assert (await engine.get(child.id)).depends_on == ()
    assert (await engine.manager.remove_job_dependency(child.id, other.id)).status is Q
    assert await engine.manager.get_dependent_jobs(parent.id) == []


@pytest.mark.parametrize("number", [3, GATE_SIZE - 1, GATE_SIZE])
async def test_an_edge_is_taken_out_of_its_gate(engine: Engine, number: int) -> None:
    jobs = [await make(engine, f"{n}", start=False) for n in range(GATE_SIZE + 1)]
    child = await make(engine, "child", *jobs)
    await engine.manager.remove_job_dependency(child.id, jobs[number].id)
    for job in jobs[:number] + jobs[number + 1 :]:
        await engine.manager.start_job(job.id)
    await engine.drain()
    assert await states(engine, child, jobs[number]) == [C, P]
    assert (await engine.records())["gates"] == 0


async def test_cycles_are_refused_with_their_path(engine: Engine) -> None:
    a = await make(engine, "a", start=False)
    b, bystander = await make(engine, "b", a), await make(engine, "bystander", a)
    c = await make(engine, "c", b, bystander)
    for job_id, path in ((c.id, (a.id, c.id, b.id, a.id)), (b.id, (a.id, b.id, a.id)), (a.id, (a.id, a.id))):
        with pytest.raises(DependencyCycle) as refused:
            await engine.manager.add_job_dependency(a.id, job_id)
        assert refused.value.path == path
        assert " -> ".join(path) in str(refused.value)
    assert (await engine.get(a.id)).depends_on == ()


async def test_no_more_dependencies_are_added_one_by_one_than_can_be_given_at_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking, "MAX_DEPENDENCIES", 2)
    jobs = [await make(engine, f"{n}", start=False) for n in range(3)]
    child = await make(engine, "child", *jobs[:2])
    assert await engine.manager.add_job_dependency(child.id, jobs[0].id) == await engine.get(child.id)
    with pytest.raises(BadInput, match="depends_on_id: 3 are too many; give at most 2"):
        await engine.manager.add_job_dependency(child.id, jobs[2].id)
    assert (await engine.get(child.id)).depends_on == (jobs[0].id, jobs[1].id)


async def test_who_can_take_a_new_dependency(engine: Engine) -> None:
    done, other = await make(engine, "done"), await make(engine, "other", start=False)
    await engine.drain()
    with pytest.raises(IllegalTransition, match="is completed and cannot depend on another job"):
        await engine.manager.add_job_dependency(done.id, other.id)
    running = await make(engine, "running")
    assert await engine.runtime.queue.claim_job("w", running.id) is not None
    with pytest.raises(IllegalTransition, match="is running and cannot depend on another job"):
        await engine.manager.add_job_dependency(running.id, other.id)
    assert (await engine.manager.add_job_dependency(running.id, done.id)).depends_on == ()
    with pytest.raises(JobNotFound):
        await engine.manager.add_job_dependency("nobody", other.id)
    with pytest.raises(BadInput, match="depends_on_id: there is no job 'nobody'"):
        await engine.manager.add_job_dependency(other.id, "nobody")
    for verb in (engine.manager.get_dependencies, engine.manager.get_dependent_jobs):
        with pytest.raises(JobNotFound):
            await verb("nobody")


async def test_a_running_job_gets_a_dependent_and_releases_it(engine: Engine) -> None:
    """Given a job that runs already, when another one begins to wait for it, then its settle knows."""
    created: list[Job] = []

    @engine.job("parent")
    async def parent(ctx: JobContext) -> None:
        created.append(await make(engine, "child", ctx.job_id))
        await ctx.log("going on")

    await engine.submitted("parent")
    await engine.drain()
    assert ran == ["child"]
    assert created[0].status is P


# --- again -------------------------------------------------------------------------------------------


async def test_a_retried_job_never_runs_without_what_it_depends_on(engine: Engine) -> None:
    fails = {"fail": True}
    bad = await make(engine, "bad", payload=fails)
    child = await make(engine, "child", bad)
    await engine.drain()
    waits = await engine.manager.retry_job(child.id)
    assert (waits.status, waits.unmet) == (P, (bad.id,))
    await engine.drain()
    assert ran == ["bad"]
    await engine.manager.retry_job(bad.id, payload={"fail": False})
    await engine.drain()
    assert ran == ["bad", "bad", "child"]
    assert await states(engine, bad, child) == [C, C]
    assert (await engine.manager.get_job(child.id)).unmet == ()


async def test_a_retried_job_that_fails_again_acts_again(engine: Engine) -> None:
    bad = await make(engine, "bad", payload={"fail": True})
    child = await make(engine, "child", bad)
    await engine.drain()
    await engine.manager.retry_job(child.id)
    await engine.manager.retry_job(bad.id)
    await engine.drain()
    assert await states(engine, bad, child) == [F, X]


async def test_a_retried_job_with_many_dependencies_has_gates_again(engine: Engine) -> None:
    jobs = [await make(engine, f"{n}", start=False) for n in range(GATE_SIZE + 2)]
    child = await make(engine, "child", *jobs)
    await engine.manager.cancel_job(child.id)
    again = await engine.manager.retry_job(child.id)
    assert (again.status, len(again.unmet)) == (P, 2)
    for job in jobs:
        await engine.manager.start_job(job.id)
    await engine.drain()
    assert (await states(engine, child), (await engine.records())["gates"]) == ([C], 0)


# --- cancel and delete -------------------------------------------------------------------------------


async def test_cancelling_a_whole_graph_starts_none_of_it(engine: Engine) -> None:
    top = await make(engine, "top")
    left, right = [await make(engine, name, top, on_dependency_failure="run") for name in ("left", "right")]
    bottom = await make(engine, "bottom", left, right, on_dependency_failure="run")
    many = [await make(engine, f"{n}", top, start=False) for n in range(GATE_SIZE + 1)]
    behind_gates = await make(engine, "gated", *many, on_dependency_failure="run")
    bystander = await make(engine, "bystander")
    await engine.manager.cancel_job(top.id, dependents=True)
    assert set(await states(engine, top, left, right, bottom, behind_gates, *many)) == {X}
    await engine.drain()
    assert (ran, await states(engine, bystander)) == (["bystander"], [C])


async def test_nothing_waits_for_a_job_that_is_gone(engine: Engine) -> None:
    parent = await make(engine, "parent", payload={"fail": True}, start=False)
    child = await make(engine, "child", parent)
    with pytest.raises(IllegalTransition, match=r"cannot be deleted while other jobs wait for it; .* it can: cancel"):
        await engine.manager.delete_job(parent.id)
    await engine.manager.start_job(parent.id)
    await engine.drain()
    await engine.manager.retry_job(child.id)
    with pytest.raises(IllegalTransition, match="it can: be retried"):
        await engine.manager.delete_job(parent.id)
    engine.clock.jump(31 * 86400)
    assert (await engine.manager.run_watchdog()).deleted_jobs == 1
    assert await states(engine, child) == [X]
    await engine.manager.delete_job(child.id)
    assert await engine.manager.count_jobs() == 0


def a_delete(call: Call) -> bool:
    """Whether this call deletes a job."""
    return any(isinstance(write, Delete) and write.collection == "jobs" for unit in call.units for write in unit)


async def test_who_begins_to_wait_for_a_job_while_it_is_deleted_keeps_it() -> None:
    """Given a job that somebody waited for once, when another begins to after the delete has seen nobody, it stays."""
    store = FaultyStore(MemoryJobStore(), FaultPlan())
    engine = Engine(store=store)
    parent = await make_held(engine)
    before = await engine.manager.create_job("held", dependencies=[parent])
    await engine.manager.cancel_job(before.id)
    held = store.plan.hold(Operation.COMMIT, when=a_delete)
    deleting = asyncio.ensure_future(engine.manager.delete_job(parent))
    await held.reached()
    child = await engine.manager.create_job("held", dependencies=[parent])
    held.release()
    with pytest.raises(IllegalTransition, match="while other jobs wait for it"):
        await deleting
    assert await states(engine, child) == [P]
    await engine.manager.create_job("held", dependencies=[parent])
    assert not (await engine.get(parent)).deleting
    await engine.manager.cancel_job(parent)
    assert await states(engine, child) == [X]


async def test_who_begins_to_wait_for_an_old_job_while_it_is_cleaned_up_keeps_it() -> None:
    store = FaultyStore(MemoryJobStore(), FaultPlan())
    engine = Engine(store=store)
    parent = await make_held(engine)
    child = await engine.manager.create_job("held", dependencies=[parent])
    await engine.manager.cancel_job(parent)
    assert await states(engine, child) == [X]
    engine.clock.jump(2 * 86400)
    held = store.plan.hold(Operation.COMMIT, when=lambda call: call.touches("jobs", parent) and a_delete(call))
    cleaning = asyncio.ensure_future(engine.manager.cleanup_old_jobs(1))
    await held.reached()
    await engine.manager.retry_job(child.id)
    held.release()
    assert await cleaning == 1, "found again, with who waits for it now"
    assert await states(engine, child) == [X]


async def make_held(engine: Engine) -> str:
    """The id of a job that is not started."""

    @engine.job("held")
    async def handler(ctx: JobContext) -> None: ...

    return (await engine.manager.create_job("held", auto_start=False)).id


@pytest.mark.parametrize("status", [P, R, F])
@pytest.mark.parametrize("has_dependents", [False, True])
async def test_a_guard_changes_a_job_that_is_about_to_be_deleted(status: JobStatus, has_dependents: bool) -> None:
    """Some stores keep the version where an update changes nothing."""
    write = guard(Job(type="t", status=status, has_dependents=has_dependents, deleting=True, version="7"))
    assert isinstance(write, Update)
    assert (write.fields["deleting"], write.fields["has_dependents"], write.version) == (False, True, "7")


# --- crashes -----------------------------------------------------------------------------------------


async def a_graph(engine: Engine) -> list[Job]:
    """A job with children of every kind, with children of their own, that is about to end."""
    top = await make(engine, "top", start=False)
    children = [await make(engine, f"{n}", top) for n in range(3)]
    children.append(await make(engine, "runs", top, on_dependency_failure="run"))
    others = [await make(engine, f"other {n}", start=False) for n in range(GATE_SIZE)]
    gated = await make(engine, "gated", top, *others)
    return [top, *children, gated, await make(engine, "grandchild", *children[:2], gated)]


@pytest.mark.parametrize("fails", [False, True], ids=["complete", "failed"])
async def test_a_release_may_be_cut_off_at_every_call_of_the_store(fails: bool) -> None:
    """Given a process that dies after each number of calls in turn, then the watchdog finishes what it began, once."""
    calls = 0
    while True:
        engine = Engine()
        await engine.store.open()
        register(engine)
        jobs = await a_graph(engine)
        await engine.manager.start_job(jobs[0].id)
        dying = DyingStore(engine.memory, None)
        lease = await Engine(store=dying, clock=engine.clock).runtime.queue.claim_job("w", jobs[0].id)
        assert lease is not None
        await (engine.manager.cancel_job(jobs[0].id) if fails else engine.manager.get_job(jobs[0].id))
        process = Engine(store=dying, clock=engine.clock)
        ended = await lease.settle(Stop("unwanted") if fails else Complete(JobResult(success=True)))
        assert ended.release == "pending"
        dying.made, dying.left = 0, calls
        await process.runtime.settled(ended)
        if dying.made < calls:
            return
        engine.clock.jump(3600)
        for _ in range(3):
            await engine.manager.run_watchdog()
        await engine.drain()
        assert (await engine.get(jobs[0].id)).release == "done", calls
        top, *children, runs, gated, grandchild = await states(engine, *jobs)
        expected = [X, [X] * 3, C, X, X] if fails else [C, [C] * 3, C, P, P]
        assert [top, children, runs, gated, grandchild] == expected, calls
        assert sorted(ran) == (["runs"] if fails else ["0", "1", "2", "runs"]), calls
        calls += 1
        assert calls < 200

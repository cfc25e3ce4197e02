"""A holder that lost its lease can change nothing, whichever verb it tries, whatever became of its job.

The interleaving is forced. The holder's own clock stands still, as for a process that was stopped or a machine that
was suspended, so nothing but the store itself can stop it: for everybody else the lease has run out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import pytest

from app.jobs import JobContext, JobError, JobRequest, JobResult, JobStatus, LeaseLost
from app.jobs.context import StopFlag
from app.jobs.events import AskReview, Complete, Event, Fail, Hold, Release, Retry, Slice, Stop, Suspend
from app.jobs.lease import Lease
from app.jobs.leaving import Leave
from app.stores.base import Put
from tests.support.clock import NOON
from tests.support.site import LEASE_SECONDS, Peer, Site, differences, snapshot

ERROR = JobError(code="BROKEN", message="it broke")


@dataclass(frozen=True, slots=True)
class Holding:
    """One running attempt: its lease, and the context that its handler was given."""

    lease: Lease
    context: JobContext

    @classmethod
    def of(cls, lease: Lease) -> Holding:
        """A handler's view of a lease."""
        return cls(lease, JobContext(lease, StopFlag()))

    @property
    def job_id(self) -> str:
        return self.lease.job.id


Verb = Callable[[Holding], Awaitable[object]]


async def progress(held: Holding) -> None:
    await held.context.report_progress(9, 10, "stale")
    await held.context.flush()


async def log(held: Holding) -> None:
    await held.context.log("stale")
    await held.context.flush()


async def checkpoint(held: Holding) -> None:
    await held.context.save_checkpoint({"from": "stale"})
    await held.context.flush()


async def result(held: Holding) -> None:
    await held.context.save_result("stale")


async def large_result(held: Holding) -> None:
    await held.context.save_result("stale" * 100_000)


async def records_of_the_application(held: Holding) -> None:
    await held.context.commit([Put("exercises", f"of-{held.job_id}", {"name": "stale"})])


async def returned() -> str:
    return "stale"


async def step(held: Holding) -> None:
    await held.context.step("another", returned)


async def large_step(held: Holding) -> None:
    await held.context.step("another", lambda: "stale" * 100_000)


async def once(held: Holding) -> None:
    await held.context.once(f"stale {held.job_id}", returned)


async def sleep(held: Holding) -> None:
    await held.context.sleep(60)


async def wait_for_event(held: Holding) -> None:
    await held.context.wait_for_event("stale", 60)


async def renewal(held: Holding) -> None:
    await held.lease.flush()


async def abandon(held: Holding) -> None:
    await held.lease.abandon(15.0, ERROR)


def settle(event: Event) -> Verb:
    return lambda held: held.lease.settle(event)


SETTLING: Mapping[str, Verb] = {
    "complete": settle(Complete(JobResult(success=True, data="stale"))),
    "fail": settle(Fail(ERROR, JobResult(success=False, error="it broke"))),
    "retry": settle(Retry(ERROR, NOON + timedelta(hours=1))),
    "release": settle(Release()),
    "slice": settle(Slice(NOON + timedelta(hours=1))),
    "suspend": settle(Suspend(NOON + timedelta(hours=1), "event:stale", NOON + timedelta(minutes=1))),
    "hold": settle(Hold()),
    "stop": settle(Stop("stale")),
    "ask for review": settle(AskReview("stale", {"really": True})),
}
VERBS: Mapping[str, Verb] = {
    "progress": progress,
    "log": log,
    "checkpoint": checkpoint,
    "result": result,
    "large result": large_result,
    "records of the application": records_of_the_application,
    "step": step,
    "large step": large_step,
    "once": once,
    "sleep": sleep,
    "wait for an event": wait_for_event,
    "renewal": renewal,
    "abandon": abandon,
    **SETTLING,
}


async def work_a_little(held: Holding, who: str) -> None:
    """Leave records of every kind, and something that is not written yet."""
    await held.context.report_progress(1, 10, who)
    await held.context.log(f"{who} began")
    await held.context.save_checkpoint({"from": who})
    await held.context.save_result(who)
    await held.context.step("begun", returned)
    await held.context.log(f"{who} goes on")
    await held.context.report_progress(2, 10, who)


# --- what becomes of the jobs while their holder stands still ------------------------------------------------


async def taken_back(holder: Peer, others: Peer) -> list[Holding]:
    assert await others.recovered() == len(VERBS)
    return []


async def taken_over(holder: Peer, others: Peer) -> list[Holding]:
    await taken_back(holder, others)
    return [Holding.of(lease) for lease in await others.claimed(len(VERBS))]


async def worked_on(holder: Peer, others: Peer) -> list[Holding]:
    held = await taken_over(holder, others)
    await asyncio.gather(*(work_a_little(each, "others") for each in held))
    return held


async def ended(holder: Peer, others: Peer) -> list[Holding]:
    done = Complete(JobResult(success=True, data="others"))
    await asyncio.gather(*(each.lease.settle(done) for each in await worked_on(holder, others)))
    return []


async def claimed_again_by_the_same_worker(holder: Peer, others: Peer) -> list[Holding]:
    await taken_back(holder, others)
    return [Holding.of(lease) for lease in await holder.claimed(len(VERBS))]


async def cancelled_while_waiting(holder: Peer, others: Peer) -> list[Holding]:
    await taken_back(holder, others)
    for job in await others.manager.list_jobs():
        await others.manager.cancel_job(job.id)
    return []


async def deleted(holder: Peer, others: Peer) -> list[Holding]:
    await ended(holder, others)
    for job in await others.manager.list_jobs():
        await others.manager.delete_job(job.id)
    return []


FATES = (taken_back, taken_over, worked_on, ended, claimed_again_by_the_same_worker, cancelled_while_waiting, deleted)


async def held_jobs(site: Site, holder: Peer) -> dict[str, Holding]:
    """One job for each verb, under the holder's leases, with some work done."""

    @site.job("work")
    async def work(ctx: JobContext) -> None:
        raise AssertionError("these tests hold the leases themselves")

    held = await new_holdings(holder)
    await asyncio.gather(*(work_a_little(each, "holder") for each in held.values()))
    return held


async def new_holdings(holder: Peer) -> dict[str, Holding]:
    """One job for each verb, under the holder's leases."""
    await holder.manager.create_jobs([JobRequest(type="work")] * len(VERBS), auto_start=True)
    leases = await holder.claimed(len(VERBS))
    return {name: Holding.of(lease) for name, lease in zip(VERBS, leases, strict=True)}


async def refusal_of(verb: Verb, held: Holding) -> str:
    """What a verb was answered."""
    try:
        await verb(held)
    except LeaseLost:
        return "LeaseLost"
    except Leave:
        return "nothing"  # what it waits for was recorded, and that ends the attempt
    return "nothing"


@pytest.mark.parametrize("fate", FATES, ids=lambda fate: fate.__name__)
async def test_a_holder_that_lost_its_lease_changes_nothing(
    site: Site, fate: Callable[[Peer, Peer], Awaitable[list[Holding]]]
) -> None:
    holder, others = await site.peer("holder"), await site.peer("others")
    held = await held_jobs(site, holder)
    others.clock.jump(LEASE_SECONDS + 1)
    newer = await fate(holder, others)
    before = await snapshot(others.store)

    answers = await asyncio.gather(*(refusal_of(verb, held[name]) for name, verb in VERBS.items()))

    assert dict(zip(VERBS, answers, strict=True)) == dict.fromkeys(VERBS, "LeaseLost")
    late = {f"runs/{held[name].job_id}-1-late": "made" for name in SETTLING}
    assert differences(before, await snapshot(others.store)) == late
    # Whoever holds the jobs now goes on undisturbed.
    await asyncio.gather(*(each.lease.settle(Complete(JobResult(success=True))) for each in newer))
    for each in newer:
        assert (await others.get(each.job_id)).status is JobStatus.COMPLETED
        assert [run.attempt for run in await others.runs(each.job_id) if not run.id.endswith("late")] == [1, 2]


async def test_a_late_outcome_is_kept_as_evidence_that_counts_for_nothing(site: Site) -> None:
    holder, others = await site.peer("holder"), await site.peer("others")
    held = await held_jobs(site, holder)
    others.clock.jump(LEASE_SECONDS + 1)
    await ended(holder, others)
    for name, verb in SETTLING.items():
        assert await refusal_of(verb, held[name]) == "LeaseLost"

    for name in SETTLING:
        runs = {run.id.removeprefix(f"{held[name].job_id}-"): run for run in await others.runs(held[name].job_id)}
        assert sorted(runs) == ["1", "1-late", "2"], name
        assert (runs["1-late"].attempt, runs["1-late"].counted, runs["1-late"].worker_id) == (1, False, "holder")


async def test_stale_writes_harm_nobody_that_they_share_a_round_with(site: Site) -> None:
    """Everything of one process that is ready together goes to the store together."""
    holder, others = await site.peer("holder"), await site.peer("others")
    held = await held_jobs(site, holder)
    others.clock.jump(LEASE_SECONDS + 1)
    await taken_over(holder, others)
    healthy = await new_holdings(holder)
    stale_ids, healthy_ids = ([each.job_id for each in side.values()] for side in (held, healthy))
    before = await snapshot(others.store)

    answers = await asyncio.gather(
        *(refusal_of(verb, side[name]) for name, verb in VERBS.items() for side in (held, healthy))
    )

    assert list(answers) == ["LeaseLost", "nothing"] * len(VERBS)
    changed = differences(before, await snapshot(others.store))
    assert {key for key in changed if any(job_id in key for job_id in stale_ids)} == {
        f"runs/{held[name].job_id}-1-late" for name in SETTLING
    }
    assert {f"jobs/{job_id}" for job_id in healthy_ids} <= changed.keys()


async def test_a_holder_whose_own_clock_says_so_does_not_even_ask(site: Site) -> None:
    holder = await site.peer("holder")
    held = await held_jobs(site, holder)
    holder.clock.jump(LEASE_SECONDS)
    before, calls = await snapshot(holder.store.inner), holder.plan.calls.copy()

    for name, verb in VERBS.items():
        if name not in SETTLING:
            assert await refusal_of(verb, held[name]) == "LeaseLost", name
    assert holder.plan.calls == calls

    for name, verb in SETTLING.items():
        assert await refusal_of(verb, held[name]) == "LeaseLost", name
    # Nobody else has taken the jobs yet, and still: only the late outcomes are written.
    late = {f"runs/{held[name].job_id}-1-late": "made" for name in SETTLING}
    assert differences(before, await snapshot(holder.store.inner)) == late


async def test_nothing_that_a_lost_holder_had_gathered_is_written_later(site: Site) -> None:
    holder, others = await site.peer("holder"), await site.peer("others")
    held = await held_jobs(site, holder)
    others.clock.jump(LEASE_SECONDS + 1)
    for each in await taken_over(holder, others):
        await each.lease.settle(Complete(JobResult(success=True)))
    for name, verb in VERBS.items():
        assert await refusal_of(verb, held[name]) == "LeaseLost", name
    for each in held.values():
        assert not each.lease.is_dirty
        assert await others.log(each.job_id) == ["holder began"]
        assert (await others.get(each.job_id)).progress.message == "holder"
        # Once lost is lost: the handler hears it at every further verb, without another question to the store.
        calls = holder.plan.calls.copy()
        with pytest.raises(LeaseLost):
            await each.context.log("stale")
        with pytest.raises(LeaseLost):
            await each.context.report_progress(10, 10)
        with pytest.raises(LeaseLost):
            await each.context.save_checkpoint({})
        assert holder.plan.calls == calls

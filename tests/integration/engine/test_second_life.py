"""A job that is deleted and created again under its key leaves the summaries of its earlier life as they are."""

from __future__ import annotations

import pytest

from app.jobs import JobContext, JobError, JobResult, JobStatus, LeaseLost
from app.jobs.events import Complete, Retry
from app.stores.faults import Operation
from tests.support.clock import NOON
from tests.support.executions import APPLIED
from tests.support.site import LEASE_SECONDS, Peer, Site, differences, snapshot

DONE = Complete(JobResult(success=True))


async def reborn(site: Site, peer: Peer) -> str:
    """A job whose first life had two attempts, deleted a minute later and created again."""

    @site.job("work")
    async def work(ctx: JobContext) -> None: ...

    job_id = await peer.submitted("work", idempotency_key="order-7")
    for event in (Retry(JobError(code="BROKEN", message="it broke"), NOON), DONE):
        (lease,) = await peer.claimed()
        await lease.settle(event)
    peer.clock.jump(60)
    await peer.manager.delete_job(job_id)
    assert await peer.submitted("work", idempotency_key="order-7") == job_id
    return job_id


@pytest.mark.parametrize("lost", [None, True, False], ids=["heard", "answer lost", "not applied"])
async def test_a_settle_of_the_second_life_has_a_summary_of_its_own(site: Site, lost: bool | None) -> None:
    peer = await site.peer()
    job_id = await reborn(site, peer)
    before = await snapshot(peer.store)
    (lease,) = await peer.claimed()
    if lost is not None:
        own = f"{job_id}-1-{lease.token}"
        peer.plan.lose(Operation.COMMIT_EACH, applied=lost, when=lambda call: call.touches("runs", own))

    ended = await lease.settle(DONE)

    assert (ended.status, ended.attempt) == (JobStatus.COMPLETED, 1)
    changed = differences(before, await snapshot(peer.store))
    assert {key: how for key, how in changed.items() if key.startswith("runs/")} == {
        f"runs/{job_id}-1-{lease.token}": "made"
    }
    assert sorted(await peer.outcomes(job_id)) == [
        ("1", "retried"),
        (f"1-{lease.token}", "completed"),
        ("2", "completed"),
    ]


@APPLIED
async def test_a_lost_lease_of_the_second_life_is_taken_back(site: Site, applied: bool) -> None:
    holder, others = await site.peer("holder"), await site.peer("others")
    job_id = await reborn(site, holder)
    (lease,) = await holder.claimed()
    others.clock.jump(60 + LEASE_SECONDS + 1)
    own = f"{job_id}-1-{lease.token}"
    others.plan.lose(Operation.COMMIT_EACH, applied=applied, when=lambda call: call.touches("runs", own))

    await others.recovered()
    await others.recovered()

    assert (await others.get(job_id)).lease_losses == 1
    with pytest.raises(LeaseLost):
        await lease.settle(DONE)
    assert (await others.drain()).completed == 1
    outcomes = dict(await others.outcomes(job_id))
    (second,) = [name for name in outcomes if name.startswith("2-")]
    assert outcomes == {
        "1": "retried",
        f"1-{lease.token}": "lease_lost",
        "1-late": "completed",
        "2": "completed",
        second: "completed",
    }


async def test_late_evidence_of_both_lives_is_kept(site: Site) -> None:
    holder, others = await site.peer("holder"), await site.peer("others")
    job_id = await reborn(site, holder)
    others.clock.jump(60)
    for _ in range(2):
        (lease,) = await holder.claimed()
        others.clock.jump(LEASE_SECONDS + 1)
        await others.recovered()
        with pytest.raises(LeaseLost):
            await lease.settle(DONE)
        holder.clock.jump(LEASE_SECONDS + 1)
        await others.manager.cancel_job(job_id)
        await others.manager.delete_job(job_id)
        await holder.submitted("work", idempotency_key="order-7")

    late = [run for run in await others.runs(job_id) if run.is_late]
    assert [(run.attempt, run.counted) for run in late] == [(1, False), (1, False)]
    assert len({run.id for run in late}) == 2

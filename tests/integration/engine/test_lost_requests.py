"""Lost answers to those who hold no lease: who creates a job, changes one by hand, or takes it back."""

from __future__ import annotations

import asyncio

import pytest

from app.jobs import Job, JobStatus
from app.stores.faults import Operation
from tests.support.executions import APPLIED, Executions, assert_ran_once, creates, settles, writes
from tests.support.site import LEASE_SECONDS, Peer, Site


@APPLIED
@pytest.mark.parametrize("key", [None, "order-7"], ids=["without a key", "with a key"])
async def test_the_answer_to_a_create_is_lost(site: Site, applied: bool, key: str | None) -> None:
    peer, executions = await site.peer(), Executions(site)
    peer.plan.lose(Operation.COMMIT_EACH, applied=applied, when=creates)

    job = await peer.manager.submit("work", idempotency_key=key)

    assert [each.id for each in await peer.manager.list_jobs()] == [job.id]
    assert (await peer.drain()).completed == 1
    await assert_ran_once(peer, job.id)
    assert executions.jobs.count(job.id) == 1


@pytest.mark.parametrize("key", [None, "order-7"], ids=["without a key", "with a key"])
async def test_a_create_arrives_late_and_before_its_repetition(site: Site, key: str | None) -> None:
    peer, executions = await site.peer(), Executions(site)
    late = peer.store.delay(Operation.COMMIT_EACH, when=creates)
    repetition = peer.plan.hold(Operation.COMMIT_EACH, when=creates)

    creating = asyncio.create_task(peer.manager.submit("work", idempotency_key=key))
    await repetition.reached()
    await late.arrive()
    repetition.release()

    job = await creating
    assert [each.id for each in await peer.manager.list_jobs()] == [job.id]
    assert (await peer.drain()).completed == 1
    await assert_ran_once(peer, job.id)
    assert executions.jobs.count(job.id) == 1


@APPLIED
async def test_the_answer_to_the_watchdog_is_lost(site: Site, applied: bool) -> None:
    peer, executions = await site.peer(), Executions(site)
    job_id = await peer.submitted("work")
    await peer.claimed()
    peer.clock.jump(LEASE_SECONDS + 1)
    peer.plan.lose(Operation.COMMIT_EACH, applied=applied, when=settles(job_id))

    await peer.recovered()
    await peer.recovered()  # as it does every minute

    assert await peer.outcomes(job_id) == [("1", "lease_lost")]
    assert (await peer.get(job_id)).lease_losses == 1
    assert (await peer.drain()).completed == 1
    assert executions.jobs == [job_id]


async def _held(peer: Peer) -> Job:
    return await peer.manager.create_job("work")


async def _queued(peer: Peer) -> Job:
    return await peer.manager.submit("work")


async def _running(peer: Peer) -> Job:
    await _queued(peer)
    (lease,) = await peer.claimed()
    return lease.job


async def _paused(peer: Peer) -> Job:
    return await peer.manager.pause_job((await _queued(peer)).id)


async def _cancelled(peer: Peer) -> Job:
    return await peer.manager.cancel_job((await _queued(peer)).id)


BY_HAND = {
    "start": (_held, "start_job", JobStatus.QUEUED),
    "cancel what waits": (_queued, "cancel_job", JobStatus.CANCELLED),
    "cancel what runs": (_running, "cancel_job", JobStatus.RUNNING),
    "pause what waits": (_queued, "pause_job", JobStatus.PAUSED),
    "pause what runs": (_running, "pause_job", JobStatus.RUNNING),
    "resume": (_paused, "resume_job", JobStatus.QUEUED),
    "retry": (_cancelled, "retry_job", JobStatus.QUEUED),
}


@APPLIED
async def test_the_answer_to_a_change_by_hand_is_lost(site: Site, applied: bool) -> None:
    peer, _ = await site.peer(), Executions(site)
    heard: dict[str, str] = {}
    for name, (make, verb, _) in BY_HAND.items():
        job = await make(peer)
        peer.plan.lose(Operation.COMMIT_EACH, applied=applied, when=writes(job.id))
        try:
            changed = await getattr(peer.manager, verb)(job.id)
            assert (await peer.get(job.id)).status is changed.status
            heard[name] = str(changed.status)
        except Exception as error:  # noqa: BLE001 - whatever was raised is compared below, for all verbs at once
            heard[name] = repr(error)
        await peer.manager.cleanup_old_jobs(0)
    assert heard == {name: str(status) for name, (_, _, status) in BY_HAND.items()}

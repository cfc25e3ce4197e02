"""`concurrency_key` and `preserve_order`: one at a time, in order, and no key before the others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.jobs import JobPriority, JobRequest, JobResult, JobStatus, Watchdog
from app.jobs.events import Complete
from app.stores.base import Delete, Query
from app.stores.faults import Call, Operation
from tests.support.site import LEASE_SECONDS, Peer, Site, pass_time

DONE = Complete(JobResult(success=True))
TURN = "turn:key:tenant"


class Notes:
    """Handlers that note what ran, and how many of a key ran at once."""

    def __init__(self, site: Site) -> None:
        self.ran: list[str] = []
        self.now: dict[str, int] = {}
        self.most = 0

        @site.job("step", preserve_order=True, max_retries=1, retry_delay_seconds=5, retry_backoff="fixed")
        async def step(name: str, fails: bool = False) -> None:
            self.ran.append(name)
            if fails and self.ran.count(name) == 1:
                raise RuntimeError("once")

        @site.job("keyed")
        async def keyed(key: str, name: str = "") -> None:
            self.now[key] = self.now.get(key, 0) + 1
            self.most = max(self.most, self.now[key])
            await asyncio.sleep(0)
            self.ran.append(name or key)
            self.now[key] -= 1


async def keyed(peer: Peer, key: str, name: str = "", **options: Any) -> str:
    peer.clock.jump(0.001)
    return await peer.submitted("keyed", {"key": key, "name": name}, concurrency_key=key, **options)


async def test_one_at_a_time_for_each_key_and_no_key_before_the_others(site: Site) -> None:
    notes = Notes(site)
    peer = await site.peer()
    for number in range(6):
        await keyed(peer, "large", f"large {number}")
    await keyed(peer, "small")
    await peer.drain(concurrency=2)
    assert notes.most == 1
    assert notes.ran.index("small") <= 1
    assert [name for name in notes.ran if name != "small"] == [f"large {number}" for number in range(6)]


async def test_an_ordered_type_runs_in_the_order_of_creation_whatever_the_priority(site: Site) -> None:
    notes = Notes(site)
    peer, other = await site.peer(), await site.peer("other")
    requests = [
        JobRequest(type="step", payload={"name": f"{number}"}, priority=JobPriority(1 + number % 4))
        for number in range(8)
    ]
    await peer.manager.create_jobs(requests, auto_start=True)
    await asyncio.gather(peer.drain(concurrency=3), other.drain(concurrency=3))
    await peer.drain()
    assert notes.ran == [f"{number}" for number in range(8)]


@pytest.mark.parametrize("way", ["batch", "mixed batch", "one call", "one key", "released"])
async def test_jobs_that_came_together_run_in_the_order_in_which_they_were_asked_for(site: Site, way: str) -> None:
    notes = Notes(site)
    peer = await site.peer()
    names = [f"{number}" for number in range(12)]
    steps: list[dict[str, Any]] = [{"type": "step", "payload": {"name": name}} for name in names]
    others: list[dict[str, Any]] = [{"type": "keyed", "payload": {"key": name, "name": name}} for name in names]
    match way:
        case "batch":
            await peer.manager.create_job_batch(steps)
        case "mixed batch":
            mixed = [each for pair in zip(steps, others, strict=True) for each in pair]
            batch = await peer.manager.create_job_batch(mixed)
            listed = await peer.manager.get_batch_jobs(batch.id)
            assert [job.id for job in listed] == [job.id for job in batch.jobs]
            assert batch.jobs[0].revision == (await peer.get(batch.jobs[0].id)).revision
            for job in batch.jobs[1::2]:
                await peer.manager.cancel_job(job.id)
        case "one call":
            await peer.manager.create_jobs([JobRequest(**each) for each in steps], auto_start=True)
        case "one key":
            await peer.manager.create_job_batch([{**each, "concurrency_key": "tenant"} for each in others])
        case _:
            parent = (await peer.manager.create_job("keyed", {"key": "parent", "name": "parent"})).id
            requests = [JobRequest(**each, dependencies=(parent,)) for each in steps[:8]]
            await peer.manager.create_jobs(requests, auto_start=True)
            await peer.manager.start_job(parent)
            names = ["parent", *names[:8]]
    await peer.drain(concurrency=20)
    assert notes.ran == names
    assert not (await peer.store.query(Query("jobs.parked", limit=1))).records


async def test_a_batch_whose_creator_dies_before_the_turn_is_given_waits_for_the_watchdog(site: Site) -> None:
    notes = Notes(site)
    peer, dying = await site.peer(), await site.peer("dying")

    def gives(call: Call) -> bool:
        return call.touches("limits", "turn:order:step")

    dying.store.plan.refuse(Operation.COMMIT_EACH, when=gives)
    batch = await dying.manager.create_job_batch([{"type": "step", "payload": {"name": name}} for name in "abc"])
    assert [(await peer.get(job.id)).parked_on for job in batch.jobs] == ["turn:order:step"] * 3
    assert (await Watchdog(peer.runtime).run()).unparked == 1
    await peer.drain()
    assert notes.ran == ["a", "b", "c"]


async def test_a_job_that_is_tried_again_keeps_its_turn(site: Site) -> None:
    notes = Notes(site)
    peer = await site.peer()
    await peer.submitted("step", {"name": "first", "fails": True})
    peer.clock.jump(0.001)
    await peer.submitted("step", {"name": "second"})
    draining = asyncio.create_task(peer.drain())
    while not draining.done():
        await pass_time(1, peer)
    peer.clock.jump(10)
    await peer.drain()
    assert notes.ran == ["first", "first", "second"]


@pytest.mark.parametrize("way", ["cancelled", "paused", "deleted", "waits"])
async def test_whoever_leaves_passes_its_turn_on(site: Site, way: str) -> None:
    Notes(site)
    peer = await site.peer()
    first, second = await keyed(peer, "tenant"), await keyed(peer, "tenant")
    assert (await peer.get(second)).parked_on == TURN
    match way:
        case "cancelled":
            await peer.manager.cancel_job(first)
        case "paused":
            await peer.manager.pause_job(first)
        case "waits":
            held = await peer.manager.create_job("keyed", {"key": "other"})
            await peer.manager.add_job_dependency(first, held.id)
        case _:
            await peer.manager.delete_job(first)
    job = await peer.get(second)
    assert (job.holds_turn, job.ready_at is not None) == (True, True)
    if way == "paused":
        await peer.manager.resume_job(first)
        assert (await peer.get(first)).holds_turn is False
        await peer.drain()
        assert [(await peer.get(each)).status for each in (first, second)] == [JobStatus.COMPLETED] * 2
        assert await peer.store.get("limits", [TURN]) == [None]


async def test_delayed_and_later_started_jobs_take_their_turn_when_they_can_run(site: Site) -> None:
    notes = Notes(site)
    peer = await site.peer()
    delayed = await keyed(peer, "tenant", "delayed", delay=5)
    held = (await peer.manager.create_job("keyed", {"key": "tenant", "name": "held"}, concurrency_key="tenant")).id
    await keyed(peer, "tenant", "ready")
    assert (await peer.get(delayed)).holds_turn is False
    await peer.manager.start_job(held)
    peer.clock.jump(6)
    await peer.drain(concurrency=5)
    assert sorted(notes.ran) == ["delayed", "held", "ready"]
    assert notes.most == 1
    assert await peer.store.get("limits", [TURN]) == [None]


async def test_a_job_created_while_the_last_one_gives_its_turn_back_is_not_forgotten(site: Site) -> None:
    """In either order: the new job verifies the turn before it is deleted, or finds that it was."""
    for is_first in (True, False):
        Notes(site) if is_first else None
        ending, creating = await site.peer("ending"), await site.peer("creating")
        await keyed(creating, "tenant")
        (lease,) = await ending.claimed()
        done = await lease.settle(DONE)

        def deletes(call: Call) -> bool:
            return any(isinstance(write, Delete) for unit in call.units for write in unit)

        def creates(call: Call) -> bool:
            return call.touches("limits", TURN)

        if is_first:
            hold = ending.plan.hold(Operation.COMMIT_EACH, when=deletes)
            passing = asyncio.create_task(ending.runtime.settled(done))
            await hold.reached()
            job_id = await keyed(creating, "tenant")
            hold.release()
            await passing
        else:
            hold = creating.plan.hold(Operation.COMMIT_EACH, when=creates)
            making = asyncio.create_task(keyed(creating, "tenant"))
            await hold.reached()
            await ending.runtime.settled(done)
            hold.release()
            job_id = await making
        job = await creating.get(job_id)
        assert (job.holds_turn, job.ready_at is not None) == (True, True), is_first
        await creating.manager.cancel_job(job_id)
        assert await creating.store.get("limits", [TURN]) == [None]


async def test_a_turn_that_a_crash_left_behind_is_passed_on_by_the_watchdog(site: Site) -> None:
    Notes(site)
    peer, crashed = await site.peer(), await site.peer("crashed")
    await keyed(peer, "tenant")
    waiting = await keyed(peer, "tenant")
    (lease,) = await crashed.claimed()
    await lease.settle(DONE)  # and then nothing more
    assert (await peer.get(waiting)).parked_on == TURN
    report = await Watchdog(peer.runtime).run()
    assert report.unparked == 1
    assert (await peer.get(waiting)).holds_turn


async def test_a_lost_lease_keeps_the_turn_and_a_job_run_again_takes_a_new_one(site: Site) -> None:
    notes = Notes(site)
    peer, crashed = await site.peer(), await site.peer("crashed")
    first = await keyed(peer, "tenant", "first")
    second = await keyed(peer, "tenant", "second")
    await crashed.claimed()
    peer.clock.jump(LEASE_SECONDS + 1)
    await Watchdog(peer.runtime).run()
    assert [(await peer.get(each)).holds_turn for each in (first, second)] == [True, False]
    await peer.manager.cancel_job(first)
    await peer.manager.retry_job(first)
    await peer.drain(concurrency=4)
    assert sorted(notes.ran) == ["first", "second"]
    assert notes.most == 1

"""Steps, keys, sleeps, events and reviews on every store, with workers that die at the wrong moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from app.jobs import EngineOptions, JobContext, JobRequest, JobStatus, LeaseLost, SystemClock, Worker
from app.jobs.context import StopFlag
from app.jobs.lease import Lease
from app.jobs.leaving import Leave
from app.stores.base import Query, StoreUnavailable
from app.stores.faults import Call, Operation
from tests.integration.engine.test_control import ends_lease
from tests.support.site import LEASE_SECONDS, Peer, Site

STEPS = {"memory:": 40, "sqlite": 40}
"""How many steps the job of the long test has; elsewhere a few tell as much."""
FEW_STEPS = 8


class Killed(BaseException):
    """A worker's process ends here."""


def context_of(lease: Lease, peer: Peer) -> JobContext:
    """What a handler is given."""
    return JobContext(lease, StopFlag(), manager=peer.manager)


def asks_events(call: Call) -> bool:
    """Chooses the queries for events."""
    return isinstance(call.question, Query) and call.question.shape == "events.sent"


# --- steps -----------------------------------------------------------------------------------------------------


async def test_a_job_that_is_killed_after_each_of_its_steps_in_turn_does_each_once(site: Site) -> None:
    """Given as many jobs as steps, each killed after another step, then every effect happened once."""
    count = next((many for url, many in STEPS.items() if site.url.startswith(url)), FEW_STEPS)
    victim, others = await site.peer("victim"), await site.peer("others")
    effects: Counter[tuple[str, int]] = Counter()

    @site.job("long")
    async def handler(ctx: JobContext, dies_after: int) -> list[int]:
        async def effect(number: int) -> int:
            effects[ctx.job_id, number] += 1
            return number

        found = []
        for number in range(count):
            found.append(await ctx.step(f"step {number}", effect, number))
            if ctx.attempt == 1 and number == dies_after:
                raise Killed
        return found

    await victim.manager.create_jobs(
        [JobRequest(type="long", payload={"dies_after": n}) for n in range(count)], auto_start=True
    )
    leases = await claimed_all(victim, count)
    dead = [killed(handler, context_of(lease, victim)) for lease in leases]
    await asyncio.gather(*dead)
    others.clock.jump(LEASE_SECONDS + 1)
    while await others.recovered():
        pass
    assert (await others.drain(concurrency=20)).completed == count

    assert len(effects) == count * count
    assert set(effects.values()) == {1}
    for lease in leases:
        job = await others.get(lease.job.id)
        assert job.result is not None
        assert (job.result.data, job.steps, job.attempt) == (list(range(count)), count, 2)


async def claimed_all(peer: Peer, count: int) -> list[Lease]:
    """Leases on all of so many jobs."""
    leases: list[Lease] = []
    while len(leases) < count:
        found, _ = await peer.runtime.queue.claim("victim", sorted(peer.site.registry.routes()), count - len(leases))
        leases += found
    return leases


async def killed(handler: Any, context: JobContext) -> None:
    """Run a handler until its process is killed: nobody settles, nobody gives the lease back."""
    await context.manager.runtime.records.resolve([context.job])
    with pytest.raises(Killed):
        await handler(context, **context.payload)


async def test_a_step_whose_answer_is_lost_is_recorded_once(site: Site) -> None:
    peer = await site.peer()
    ran: list[str] = []

    @site.job("it")
    async def handler(ctx: JobContext) -> Any:
        async def effect() -> int:
            ran.append("ran")
            return 7

        return await ctx.step("s", effect)

    job_id = await peer.submitted("it")
    writes_step = lambda call: any(write.collection == "steps" for unit in call.units for write in unit)  # noqa: E731
    peer.plan.lose(Operation.COMMIT_EACH, when=writes_step, applied=True)
    peer.plan.lose(Operation.COMMIT_EACH, when=writes_step, applied=False, skip=1)
    await peer.drain()
    job = await peer.get(job_id)
    assert job.result is not None
    assert (job.status, job.result.data, job.steps, ran) == (JobStatus.COMPLETED, 7, 1, ["ran"])


# --- keys ------------------------------------------------------------------------------------------------------


async def test_a_dead_holders_key_is_taken_over_and_its_outcome_refused(site: Site) -> None:
    zombie, others = await site.peer("zombie"), await site.peer("others")
    site.job("it")(lambda: None)
    first, second = [await zombie.submitted("it") for _ in range(2)]
    leases = {lease.job.id: lease for lease in await zombie.claimed(2)}
    stalled, goes_on = asyncio.Event(), asyncio.Event()

    async def stalls() -> str:
        stalled.set()
        await goes_on.wait()
        return "from the zombie"

    async def quick() -> str:
        return "from the living"

    late = asyncio.create_task(context_of(leases[first], zombie).once("k", stalls))
    await stalled.wait()
    living = context_of(leases[second], others)
    with pytest.raises(Leave):  # while its lease lives, others wait
        await living.once("k", quick)
    others.clock.jump(LEASE_SECONDS + 1)
    await others.recovered()
    leases = {lease.job.id: lease for lease in await others.claimed(2)}
    assert await context_of(leases[second], others).once("k", quick) == "from the living"
    goes_on.set()
    with pytest.raises(Exception, match=r"another job's now|can change nothing") as refused:
        await late
    assert not isinstance(refused.value, AssertionError)
    assert await context_of(leases[first], others).once("k", stalls) == "from the living"


async def test_a_key_whose_holder_works_on_while_its_job_was_not_taken_back_yet(site: Site) -> None:
    """Its lease has run out for others, and not for itself: one outcome is recorded, and both are given that."""
    slow, others = await site.peer("slow"), await site.peer("others")
    site.job("it")(lambda: None)
    await slow.submitted("it")
    (lease,) = await slow.claimed()
    stalled, goes_on = asyncio.Event(), asyncio.Event()

    async def stalls() -> str:
        stalled.set()
        await goes_on.wait()
        return "slow"

    async def quick() -> str:
        return "quick"

    late = asyncio.create_task(context_of(lease, slow).once("k", stalls))
    await stalled.wait()
    others.clock.jump(LEASE_SECONDS + 1)
    await others.submitted("it")
    (other,) = await others.claimed()
    assert await context_of(other, others).once("k", quick) == "quick"
    goes_on.set()
    with pytest.raises(Exception, match="another job's now"):
        await late
    assert await context_of(lease, slow).once("k", stalls) == "quick"


# --- events ----------------------------------------------------------------------------------------------------


class Waiting:
    """A handler that waits for two events, one after the other."""

    def __init__(self, site: Site) -> None:
        @site.job("waits")
        async def waits(ctx: JobContext, timeout: float | None = None) -> list[Any]:
            return [await ctx.wait_for_event("paid", timeout) for _ in range(2)]


@pytest.mark.parametrize("for_one", [True, False], ids=["for the job", "for anybody"])
async def test_events_wake_a_job_that_nobody_holds(site: Site, for_one: bool) -> None:
    worker, person, _ = await site.peer("worker"), await site.peer("person"), Waiting(site)
    job_id = await worker.submitted("waits")
    for number in range(2):
        await worker.drain()
        job = await person.get(job_id)
        assert (job.status, job.parked_on, job.waiting_for) == (JobStatus.QUEUED, "event:paid", "event:paid")
        person.clock.jump(1)
        await person.manager.send_event("paid", number, job_id=job_id if for_one else None)
    await worker.drain()
    job = await person.get(job_id)
    assert job.result is not None
    assert (job.status, job.result.data, job.retries_used) == (JobStatus.COMPLETED, [0, 1], 0)


@pytest.mark.parametrize("for_one", [True, False], ids=["for the job", "for anybody"])
@pytest.mark.parametrize("timeout", [None, 3600.0], ids=["for ever", "for an hour"])
@pytest.mark.parametrize("moment", ["before the suspension", "before the second look"])
async def test_an_event_that_comes_while_its_job_is_being_suspended(
    site: Site, for_one: bool, timeout: float | None, moment: str
) -> None:
    worker, person, _ = await site.peer("worker"), await site.peer("person"), Waiting(site)
    job_id = await worker.submitted("waits", {"timeout": timeout})
    await person.manager.send_event("paid", 0)
    await worker.drain()  # has received the first, and waits for the second
    assert (await person.get(job_id)).waiting_for == "event:paid"
    await person.manager.send_event("other", 0, job_id=job_id)
    await person.manager.pause_job(job_id)
    await person.manager.resume_job(job_id)
    if moment == "before the suspension":
        held = worker.plan.hold(Operation.COMMIT_EACH, when=ends_lease)
    else:
        held = worker.plan.hold(Operation.QUERY, when=second_look(worker))
    draining = asyncio.create_task(worker.drain())
    await held.reached()
    await person.manager.send_event("paid", 1, job_id=job_id if for_one else None)
    held.release()
    await draining
    job = await person.get(job_id)
    assert job.result is not None, (job.status, job.waiting_for, job.parked_on, job.wake_at)
    assert job.result.data == [0, 1]


def second_look(worker: Peer) -> Any:
    """Chooses the queries for events once the worker's newest lease has been settled."""
    settles: list[int] = []
    worker.plan.hold(Operation.COMMIT_EACH, when=lambda call: bool(ends_lease(call) and settles.append(1))).release()
    return lambda call: bool(settles) and asks_events(call)


async def test_a_sender_that_dies_before_it_told_anybody_is_made_up_for(site: Site) -> None:
    worker, person, _ = await site.peer("worker"), await site.peer("person"), Waiting(site)
    job_id = await worker.submitted("waits")
    await worker.drain()
    for number in range(2):
        person.plan.refuse(Operation.QUERY)
        with pytest.raises(StoreUnavailable):
            await person.manager.send_event("paid", number, event_id=f"e{number}")
        await worker.drain()
        assert (await worker.get(job_id)).parked_on == "event:paid"
        worker.clock.jump(11)
        person.clock.jump(11)
        assert (await worker.manager.run_watchdog()).told == 1
        assert (await worker.manager.run_watchdog()).told == 0
        await worker.drain()
    job = await worker.get(job_id)
    assert job.result is not None
    assert job.result.data == [0, 1]


async def test_an_event_whose_answer_is_lost_is_there_once(site: Site) -> None:
    worker, person, _ = await site.peer("worker"), await site.peer("person"), Waiting(site)
    job_id = await worker.submitted("waits")
    await worker.drain()
    person.plan.lose(Operation.COMMIT_EACH, applied=True)
    await person.manager.send_event("paid", 0, job_id=job_id)
    person.clock.jump(1)
    person.plan.lose(Operation.COMMIT_EACH, applied=False)
    await person.manager.send_event("paid", 1, job_id=job_id)
    await worker.drain()
    job = await worker.get(job_id)
    assert job.result is not None
    assert job.result.data == [0, 1]
    assert await person.manager.list_events() == []


# --- time and people -------------------------------------------------------------------------------------------


async def test_a_job_sleeps_and_asks_while_nobody_holds_it(site: Site) -> None:
    worker, person = await site.peer("worker"), await site.peer("person")

    @site.job("careful")
    async def careful(ctx: JobContext) -> list[Any]:
        await ctx.sleep(86400)
        decision = await ctx.request_review("sure?", {"n": 1}, expires_seconds=60)
        return [decision.decision, decision.by, decision.data, ctx.attempt]

    ids = [await worker.submitted("careful") for _ in range(2)]
    await worker.drain()
    worker.clock.jump(86400 - 60)
    assert (await worker.drain()).claimed == 0
    worker.clock.jump(60)
    person.clock.jump(86400)
    await worker.drain()
    assert {each.job_id for each in await person.manager.list_reviews()} == set(ids)
    await person.manager.review(ids[0], "approve", "ann", data=[1])
    person.clock.jump(61)
    assert (await person.manager.run_watchdog()).reviews_expired == 1
    await worker.drain()
    done, expired = [await person.get(each) for each in ids]
    assert done.result is not None
    assert done.result.data == ["approve", "ann", [1], 3]
    assert expired.error is not None
    assert expired.error.code == "REVIEW_EXPIRED"
    assert await person.outcomes(ids[0]) == [("1", "suspended"), ("2", "review"), ("3", "completed")]


async def test_a_zombie_cannot_suspend_a_job_that_others_have(site: Site) -> None:
    zombie, others, _ = await site.peer("zombie"), await site.peer("others"), Waiting(site)
    await zombie.submitted("waits")
    (lease,) = await zombie.claimed()
    with pytest.raises(Leave) as left:
        await context_of(lease, zombie).wait_for_event("paid")
    others.clock.jump(LEASE_SECONDS + 1)
    await others.recovered()
    (newer,) = await others.claimed()
    with pytest.raises(LeaseLost):
        await lease.settle(left.value.event)
    job = await others.get(newer.job.id)
    assert (job.status, job.waiting_for, job.lease_token) == (JobStatus.RUNNING, None, newer.token)


# --- slices ----------------------------------------------------------------------------------------------------


async def test_a_job_completes_in_three_slices_of_real_time(site: Site) -> None:
    peer = await site.peer("sliced", clock=SystemClock(), options=EngineOptions())

    @site.job("long", max_retries=0)
    async def long(ctx: JobContext) -> list[int]:
        done: list[int] = ctx.checkpoint or []
        while len(done) < 2:
            while not ctx.is_stopping:  # noqa: ASYNC110 - nothing tells when time is up
                await asyncio.sleep(0.005)
            done = [*done, ctx.attempt]
            await ctx.save_checkpoint(done)
        return done

    job_id = await peer.submitted("long")
    for _ in range(20):  # on a slow machine the time of a worker is over before it has begun
        job = await peer.get(job_id)
        if job.is_terminal:
            break
        await Worker(peer.runtime).run(max_seconds=0.2 if job.slices < 2 else 20, drain=True)
    assert job.result is not None
    assert (job.status, job.slices) == (JobStatus.COMPLETED, 2)
    assert (job.retries_used, job.lease_losses) == (0, 0)
    # A worker whose time is over between the claim and the handler's start gives the job back.
    ended = [(attempt, outcome) for attempt, outcome in await peer.outcomes(job_id) if outcome != "released"]
    assert [outcome for _, outcome in ended] == ["sliced", "sliced", "completed"]
    assert job.result.data == [int(attempt) for attempt, _ in ended[:2]]

"""Enrichment that is killed, paused, retried or interfered with: every exercise is written once, and counted once.

A killed process is one whose next write never gets through, while another takes its job over. In the end the write is
let through, and must come to nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import pytest

from app.catalog import Exercise
from app.catalog.apply import Journal
from app.catalog.apply.engine import MAX_REFUSED
from app.catalog.plans import Changes, Snapshot
from app.catalog.plans import Operation as CatalogOperation
from app.catalog.plans.replay import replay
from app.catalog.store import CatalogStore
from app.jobs import Job, JobStatus, PermanentError, Worker
from app.stores.base import StoreError, Unit, Version
from app.stores.faults import Call, Hold, Operation
from tests.acceptance.catalog.conftest import Expected, LaterClock, Process, Site, contents, few, says, totals

SHARD = "catalog_enrich_field_shard"


@pytest.fixture(autouse=True)
def _one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each exercise is written by a commit of its own, so that there are many between which to interrupt."""
    monkeypatch.setattr("app.catalog.apply.engine.TOGETHER", 1)


def of_job(job_id: str) -> Callable[[Call], bool]:
    """Calls that write that job's record."""
    return lambda call: call.touches("jobs", job_id)


def of_exercises(call: Call) -> bool:
    """Calls that write exercises."""
    return any(write.collection == "exercises" for unit in call.units for write in unit)


@asynccontextmanager
async def killed(victim: Process, hold: Hold) -> AsyncIterator[None]:
    """Inside, the victim has come to the held call and does nothing any more; afterwards it may try to go on."""
    worker = Worker(victim.runtime, concurrency=4)
    work = asyncio.create_task(worker.run())
    claims: Hold | None = None
    try:
        await asyncio.wait_for(hold.reached(), 60)
        claims = victim.plan.hold(Operation.CLAIM, times=1_000_000)
        yield
    finally:
        worker.stop()
        for each in (hold, claims):
            if each is not None:
                each.release()
        await work


async def taken_over(site: Site) -> Process:
    """Another process, after it has taken back what the first one held."""
    heir = await site.process(clock=LaterClock())
    assert await heir.manager.resume_interrupted_jobs() > 0
    await heir.drain()
    return heir


async def check(heir: Process, parent: str, wanted: Expected) -> None:
    """All is as if nothing had happened."""
    counts, exercises = wanted
    assert totals(await heir.manager.get_job(parent)) == counts
    assert contents(await heir.catalog.all()) == says(exercises)
    taken = [exercise for shard in await heir.shards(parent) for exercise in shard.payload["exercise_ids"]]
    assert len(taken) == len(set(taken)) == len(exercises)


# --- a shard that is killed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("applied", [False, True], ids=["before its write", "before its answer"])
@pytest.mark.parametrize("number", [1, 2, 40])
async def test_a_shard_killed_at_an_exercise(number: int, applied: bool, memory: Site, expected_few: Expected) -> None:
    victim = await memory.catalogued(few())
    parent = await victim.submit("catalog_enrich_field", mode="apply")
    hold = victim.plan.hold(Operation.COMMIT_EACH, when=of_exercises, skip=number - 1, applied=applied)

    async with killed(victim, hold):
        written = {each.exercise.id: each.version for each in await victim.catalog.all() if each.enriched}
        assert len(written) == (number if applied else number - 1)
        heir = await taken_over(memory)
        await check(heir, parent, expected_few)

    # Not even the victim's late write has touched what was written already.
    await check(heir, parent, expected_few)
    journal = Journal(heir.store)
    lines = [line for change in await journal.changes() for line in await journal.lines(change.id)]
    assert len(lines) == len({line.operation.id for line in lines})


async def test_an_enricher_is_not_asked_again(
    memory: Site, expected_few: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = await memory.catalogued(few())
    parent = await victim.submit("catalog_enrich_field", mode="apply")
    hold = victim.plan.hold(Operation.COMMIT_EACH, when=of_exercises, skip=3)

    async with killed(victim, hold):
        monkeypatch.setattr("app.catalog.tasks.shard.make_enricher", None)
        heir = await taken_over(memory)

    await check(heir, parent, expected_few)


async def test_killed_with_several_shards_at_work(site: Site, expected_few: Expected) -> None:
    victim = await site.catalogued(few())
    parent = await victim.submit("catalog_enrich_field", {"shard_size": 15}, mode="apply")
    hold = victim.plan.hold(Operation.COMMIT_EACH, when=of_exercises, skip=1)

    async with killed(victim, hold):
        heir = await taken_over(site)
        await check(heir, parent, expected_few)

    await check(heir, parent, expected_few)


async def test_killed_again_and_again(memory: Site, expected_few: Expected) -> None:
    victim = await memory.catalogued(few())
    parent = await victim.submit("catalog_enrich_field", mode="apply")

    for number in range(3):
        victim = await memory.process()
        hold = victim.plan.hold(Operation.COMMIT_EACH, when=of_exercises, skip=1, applied=number == 1)
        async with killed(victim, hold):
            assert await (await memory.process()).manager.resume_interrupted_jobs() > 0

    heir = await memory.process()
    await heir.manager.resume_interrupted_jobs()
    await heir.drain()
    await check(heir, parent, expected_few)
    (shard,) = await heir.shards(parent)
    assert shard.lease_losses == 3


# --- a shard that is interrupted -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Interrupted:
    """A worker with a shard whose write of one exercise waits, and another process that can write meanwhile."""

    other: Process
    worker: Worker
    parent: str
    shard: Job


@asynccontextmanager
async def interrupted(site: Site, number: int = 2) -> AsyncIterator[Interrupted]:
    """Inside, the write waits; afterwards the worker does what it has come to do, and goes on until nothing is due."""
    process = await site.catalogued(few())
    other = await site.process()
    parent = await process.submit("catalog_enrich_field", mode="apply")
    hold = process.plan.hold(Operation.COMMIT_EACH, when=of_exercises, skip=number - 1)
    worker = Worker(process.runtime, concurrency=4)
    work = asyncio.create_task(worker.run(drain=True))
    try:
        await asyncio.wait_for(hold.reached(), 60)
        (shard,) = await other.shards(parent)
        yield Interrupted(other, worker, parent, shard)
    finally:
        hold.release()
        await work


async def test_a_pause_in_the_middle(memory: Site, expected_few: Expected) -> None:
    async with interrupted(memory) as there:
        await there.other.manager.pause_job(there.shard.id)
        await there.other.manager.pause_job(there.parent)  # or it would look after its shard for ever

    (shard,) = await there.other.shards(there.parent)
    assert shard.status is JobStatus.PAUSED
    assert 0 < len([each for each in await there.other.catalog.all() if each.enriched]) < len(few())

    await there.other.manager.resume_job(shard.id)
    await there.other.manager.resume_job(there.parent)
    await there.other.drain()
    await check(there.other, there.parent, expected_few)


async def test_a_shutdown_in_the_middle(memory: Site, expected_few: Expected) -> None:
    async with interrupted(memory) as there:
        there.worker.stop()

    (left,) = await there.other.shards(there.parent)
    assert (left.status, left.lease_losses, left.retries_used) == (JobStatus.QUEUED, 0, 0)
    await there.other.drain()
    await check(there.other, there.parent, expected_few)


async def test_a_cancel_in_the_middle(memory: Site) -> None:
    async with interrupted(memory, number=3) as there:
        await there.other.manager.cancel_job(there.shard.id, "enough")

    parent = await there.other.manager.get_job(there.parent)
    assert parent.result is not None
    assert parent.result.data["not_completed"] == [there.shard.id]
    enriched = [each for each in await there.other.catalog.all() if each.enriched]
    assert 3 <= len(enriched) < len(few())
    assert totals(parent).enriched == len(enriched)


async def test_an_exercise_that_somebody_else_changes_meanwhile(memory: Site) -> None:
    async with interrupted(memory) as there:
        catalog = there.other.catalog
        name = there.shard.payload["exercise_ids"][5]
        (stored,) = await catalog.get([name])
        assert stored is not None
        changed = stored.exercise.model_copy(update={"description": "Changed by a person.", "split": "lower"})
        await there.other.store.commit([CatalogStore.change(stored, changed)])

    (after,) = await catalog.get([name])
    assert after is not None
    assert after.exercise == changed, "what a person wrote stays as it is"
    assert after.enriched == frozenset()
    counts = totals(await there.other.manager.get_job(there.parent))
    assert counts.exercises == len(few())
    assert counts.dropped["changed"] > 0
    assert counts.enriched == len(few()) - 1
    assert sum(counts.written.values()) == sum(len(each.enriched) for each in await catalog.all())
    (shard,) = await there.other.shards(there.parent)
    assert (shard.status, shard.attempt, shard.retries_used) == (JobStatus.COMPLETED, 1, 0)


async def test_an_exercise_that_is_changed_under_every_try(memory: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left to whoever changes it, and the others are enriched."""
    process = await memory.catalogued(few())
    ids = [exercise.id for exercise in few()]
    commit_each = process.store.commit_each
    tries = 0

    async def interfered(units: Sequence[Unit]) -> list[list[Version] | StoreError]:
        nonlocal tries
        if any(write.collection == "exercises" and write.id == ids[7] for unit in units for write in unit):
            tries += 1
            (stored,) = await process.catalog.get([ids[7]])
            assert stored is not None
            changed = stored.exercise.model_copy(update={"description": f"Changed before try {tries}."})
            await process.store.inner.commit([CatalogStore.change(stored, changed)])
        return await commit_each(units)

    monkeypatch.setattr(process.store, "commit_each", interfered)

    shard = await process.ended(SHARD, {"exercise_ids": ids}, mode="apply")

    assert (shard.status, shard.attempt, shard.retries_used) == (JobStatus.COMPLETED, 1, 0)
    assert shard.result is not None
    assert (shard.result.data["enriched"], shard.result.data["exercises"]) == (len(ids) - 1, len(ids))
    assert [each["analysis"] for each in shard.result.data["repairs"]] == [
        "1 record(s) were changed meanwhile and stay as they are"
    ]
    described = [each.exercise.description for each in await process.catalog.all() if each.exercise.description]
    assert described == [f"Changed before try {MAX_REFUSED}."]


# --- parents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("created", [0, 1, 3, 4], ids=lambda number: f"{number} created")
async def test_a_parent_killed_while_it_creates_its_shards(
    created: int, memory: Site, expected_few: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.catalog.tasks.enrich.CREATED_AT_ONCE", 1)
    victim = await memory.catalogued(few())
    parent = await victim.submit("catalog_enrich_field", {"shard_size": 15}, mode="apply")

    def creates_a_shard(call: Call) -> bool:
        writes = [write for unit in call.units for write in unit]
        return any(getattr(write, "fields", {}).get("parent_id") == parent for write in writes)

    hold = (
        victim.plan.hold(Operation.COMMIT_EACH, when=creates_a_shard, skip=created)
        if created < 4
        # Nothing of its checkpoint has been stored: the second write of its record, after the one before creating.
        else victim.plan.hold(Operation.COMMIT_EACH, when=of_job(parent), skip=1)
    )

    async with killed(victim, hold):
        assert len(await victim.shards(parent)) == created
        heir = await taken_over(memory)
        await check(heir, parent, expected_few)

    await check(heir, parent, expected_few)
    assert len(await heir.shards(parent)) == 4


async def test_a_selection_that_changes_while_the_parent_is_down(memory: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards that are there stay as they are; what is selected now and in none of them gets new ones."""
    monkeypatch.setattr("app.catalog.tasks.enrich.CREATED_AT_ONCE", 1)
    first, later = few()[:40], few()[40:]
    victim = await memory.catalogued(first)
    parent = await victim.submit("catalog_enrich_field", {"shard_size": 9}, mode="apply")
    hold = victim.plan.hold(Operation.COMMIT_EACH, when=of_job(parent), skip=1)

    async with killed(victim, hold):
        await victim.catalog.add_new(later)
        (gone,) = await victim.catalog.get([first[20].id])
        assert gone is not None
        archived = Exercise.model_validate({**gone.exercise.model_dump(), "status": "archived"})
        await victim.store.inner.commit([CatalogStore.change(gone, archived)])
        heir = await taken_over(memory)

    taken = [exercise for shard in await heir.shards(parent) for exercise in shard.payload["exercise_ids"]]
    assert len(taken) == len(set(taken))
    assert set(taken) == {exercise.id for exercise in few()}
    assert totals(await heir.manager.get_job(parent)).exercises == len(few())


async def test_a_retried_parent_takes_its_shards_as_they_are(memory: Site, expected_few: Expected) -> None:
    process = await memory.catalogued(few())
    parent = await process.submit("catalog_enrich_field", {"shard_size": 15}, mode="apply")
    process.plan.refuse(Operation.QUERY, when=lambda call: "parent_id" in getattr(call.question, "where", {}), skip=1)

    await process.drain()  # its first look at the children failed
    await process.manager.cancel_job(parent)
    await process.manager.retry_job(parent, keep_checkpoint=False)
    await process.drain()

    await check(process, parent, expected_few)
    assert len(await process.shards(parent)) == 4


# --- children that fail ----------------------------------------------------------------------------------------------


async def test_a_shard_that_fails_is_named_and_what_it_wrote_is_counted(
    memory: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await memory.catalogued(few())
    parent = await process.submit("catalog_enrich_field", {"shard_size": 40}, mode="apply")
    poison = sorted(few(), key=lambda exercise: exercise.family_slug)[25].id

    def replay_or_fail(snapshot: Snapshot, operation: CatalogOperation, at: datetime) -> Changes:
        if poison in operation.exercise_ids():
            raise PermanentError("this one cannot be done")
        return replay(snapshot, operation, at)

    monkeypatch.setattr("app.catalog.apply.engine.replay", replay_or_fail)
    await process.drain()

    job = await process.manager.get_job(parent)
    shards = {shard.status: shard for shard in await process.shards(parent)}
    assert set(shards) == {JobStatus.COMPLETED, JobStatus.FAILED}
    assert job.result is not None
    assert (job.result.data["shards"], job.result.data["not_completed"]) == (2, [shards[JobStatus.FAILED].id])
    assert job.progress.message == "2 of 2 shards ended, 1 not COMPLETED"
    enriched = [each for each in await process.catalog.all() if each.enriched]
    whole = shards[JobStatus.COMPLETED].result
    assert whole is not None
    assert totals(job).enriched == len(enriched) == whole.data["enriched"] + 25
    assert sum(totals(job).written.values()) == sum(len(each.enriched) for each in enriched)


async def test_shards_that_are_deleted_do_not_hold_up_their_parent(memory: Site) -> None:
    process = await memory.catalogued(few())
    parent = await process.submit("catalog_enrich_field", {"shard_size": 40}, mode="apply")
    hold = process.plan.hold(Operation.COMMIT_EACH, when=of_exercises)

    async with killed(process, hold):
        heir = await memory.process()
        await heir.manager.resume_interrupted_jobs()
        first, second = await heir.shards(parent)
        await heir.manager.delete_job(first.id)
        await heir.drain()

    job = await heir.manager.get_job(parent)
    assert job.result is not None
    assert (job.result.data["shards"], job.result.data["not_completed"]) == (2, [first.id])
    assert totals(job).exercises == len(second.payload["exercise_ids"])

"""A process that applies a plan is killed at every call of its store, each in turn, and another one goes on.

In the end the catalogue and the journal are those of an undisturbed run, to the letter but for what tells the runs
apart: the time of the plan, and the number of the attempt that made it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from typing import Any, TypeAlias
from uuid import uuid4

import pytest

from app.catalog.aliases import Alias
from app.catalog.apply import ChangeStatus
from app.catalog.plans import (
    Operation,
    create_exercise,
    deprecate_exercise,
    deprecate_family,
    merge_exercise,
    patch_exercises,
    reassign_family,
    rename_exercise,
    update_registry,
    upsert_alias,
)
from app.jobs import JobStatus, Worker
from app.stores import FirestoreJobStore, MemoryJobStore
from app.stores.base import Query, Store
from app.stores.faults import Call, FaultPlan, FaultyStore
from app.stores.faults import Operation as StoreCall
from tests.support.clock import NOON, FakeClock
from tests.support.killed_store import KilledStore
from tests.support.planned import TYPE, Planned
from tests.unit.catalog.exercises import NOW, named

PRESS = named("Chest Press", "machine")
FLY = named("Chest Fly", "dumbbell")
CURL = named("Biceps Curl", "barbell")
TWIN = named("Curl for the Biceps", "barbell", id="twin", slug="twin", family_slug="twin")
OLD = Alias(id="old-twin", slug="old-twin", exercise_id="twin", created_at=NOW, updated_at=NOW)

PLANS: dict[str, Sequence[Operation]] = {
    "sound": (
        rename_exercise(FLY, "Flat Chest Fly"),
        merge_exercise(TWIN, CURL, aliases=[OLD], patch={"tags": ["arms"]}),
        create_exercise("Row (Cable)", "row", {"equipment": ["cable"]}),
        reassign_family([PRESS.id], "press"),
        deprecate_family("chest-press", merged_into="press"),
        upsert_alias("chest-press", family_slug="press"),
        update_registry("press", title="Press"),
        patch_exercises([FLY.id, CURL.id], {"level": "beginner"}),
    ),
    "mended": (rename_exercise(FLY, "Chest Fly (Cable)"), deprecate_exercise(CURL.id, "archived")),
}
State: TypeAlias = dict[str, Any]
PATIENCE_SECONDS = 60.0
LATER_SECONDS = 120.0
"""By then every lease of the dead has run out."""


async def state_of(store: Store) -> State:
    """The catalogue and the journal; the time of the plan is T and the change's id C, whatever they are."""
    changes = (await store.query(Query("changes.list"))).records
    found: State = {}
    for shape in ("exercises.list", "aliases.list", "families.list"):
        for record in (await store.query(Query(shape))).records:
            found[f"{record.collection}/{record.id}"] = dict(record.fields)
    for change in changes:
        found["change"] = dict(change.fields)
        lines = (await store.query(Query("catalog_lines.of_change", {"change_id": change.id}))).records
        found["lines"] = [dict(line.fields) for line in lines]
    text = json.dumps(found, default=lambda value: f"{value:%Y-%m-%dT%H:%M:%S.%fZ}", sort_keys=True)
    assert len(changes) <= 1
    for change in changes:
        made = change.fields["made_at"]
        assert isinstance(made, datetime)
        for spelling in (f"{made:%Y-%m-%dT%H:%M:%S.%fZ}", f"{made:%Y-%m-%dT%H:%M:%SZ}"):
            text = text.replace(spelling, "T")
        text = text.replace(change.id, "C")
    told: State = json.loads(text)
    return told


def process(store: Store, number: int, operations: Sequence[Operation], seconds: float = 0.0) -> Planned:
    """One process on a store, with a clock and chances of its own."""
    clock = FakeClock(NOON)
    clock.jump(seconds)
    planned = Planned(store=store, clock=clock)
    planned.engine.chance._tokens = count(number * 1_000_000)
    planned.operations = tuple(operations)
    return planned


async def submitted(store: Store, operations: Sequence[Operation]) -> str:
    """The id of a job that is to apply them, on a new catalogue."""
    first = process(store, 1, operations)
    await first.open([PRESS, FLY, CURL, TWIN], [OLD])
    job_id: str = await first.engine.submitted(TYPE, mode="apply")
    return job_id


async def killed_at(store: Store, calls: int, operations: Sequence[Operation]) -> bool:
    """Whether a process that works on the job is killed at that call; if not, it came to the end before."""
    others = asyncio.all_tasks()
    dying = KilledStore(store, calls)
    victim = process(dying, 2, operations)
    work = asyncio.create_task(Worker(victim.engine.runtime).run(drain=True))
    dead = asyncio.create_task(dying.killed())
    await asyncio.wait([work, dead], return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_SECONDS)
    assert work.done() or dying.is_dead
    # Whoever is killed tidies nothing up: all that the process was at ends here, whatever it makes of that.
    while own := asyncio.all_tasks() - others:
        for task in own:
            task.cancel()
        await asyncio.sleep(0)
    return dying.is_dead


async def recovered(store: Store, job_id: str, operations: Sequence[Operation]) -> State:
    """What it comes to when another process takes over."""
    heir = process(store, 3, operations, LATER_SECONDS)
    await heir.engine.manager.resume_interrupted_jobs()
    await heir.drained(job_id)
    job = await heir.engine.get(job_id)
    assert job.status is JobStatus.COMPLETED, (job.status, job.error)
    assert job.result is not None
    assert job.result.data["applied"] == len(operations)
    change = (await heir.journal.changes())[0]
    assert change.status is ChangeStatus.APPLIED
    return await state_of(store)


async def undisturbed(store: Store, operations: Sequence[Operation]) -> tuple[State, range]:
    """What it comes to when nothing happens, and the numbers of the calls from the first write of the journal on."""
    job_id = await submitted(store, operations)
    counted = KilledStore(store)
    lucky = process(counted, 2, operations)
    job = await lucky.drained(job_id)
    assert job.status is JobStatus.COMPLETED, job.error
    first = next(number for number, written in enumerate(counted.written, start=1) if "catalog_changes" in written)
    return await state_of(store), range(first, counted.made + 1)


NewStore: TypeAlias = Callable[[], Awaitable[Store]]


async def check_every_call(new_store: NewStore, operations: Sequence[Operation], *, planning: bool) -> None:
    """Kill at each call in turn: of applying, and before that of claiming, locking and planning if wanted."""
    wanted, applying = await undisturbed(await new_store(), operations)
    kills = 0
    for call in range(1, applying.stop) if planning else applying:
        store = await new_store()
        job_id = await submitted(store, operations)
        if await killed_at(store, call, operations):
            kills += 1
            assert await recovered(store, job_id, operations) == wanted, f"killed at call {call}"
    assert kills >= 10


@pytest.mark.parametrize(("name", "together"), [("sound", 1), ("sound", 20), ("mended", 20)])
async def test_in_memory(name: str, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With operations in commits of their own, and with as many together as can be."""
    monkeypatch.setattr("app.catalog.apply.engine.TOGETHER", together)

    async def new_store() -> Store:
        store = MemoryJobStore()
        await store.open()
        return store

    await check_every_call(new_store, PLANS[name], planning=True)


@asynccontextmanager
async def emulated(emulator: str) -> AsyncIterator[NewStore]:
    stores: list[Store] = []

    async def new_store() -> Store:
        prefix = f"killed_{uuid4().hex[:8]}_"
        store = FirestoreJobStore(project="torpor-killed", prefix=prefix, emulator=emulator)
        await store.open()
        stores.append(store)
        return store

    try:
        yield new_store
    finally:
        for store in stores:
            await store.close()


async def test_on_firestore(firestore_emulator: str) -> None:
    async with emulated(firestore_emulator) as new_store:
        await check_every_call(new_store, PLANS["sound"][:2], planning=False)


async def test_whoever_comes_back_late_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that stood still before it wrote an operation goes on when another one has done all of it."""
    monkeypatch.setattr("app.catalog.apply.engine.TOGETHER", 1)
    operations = PLANS["sound"]
    for held in range(len(operations)):
        store = MemoryJobStore()
        await store.open()
        job_id = await submitted(store, operations)
        plan = FaultPlan()

        def writes_a_line(call: Call) -> bool:
            return any(write.collection == "catalog_lines" for unit in call.units for write in unit)

        hold = plan.hold(StoreCall.COMMIT_EACH, when=writes_a_line, skip=held)
        victim = process(FaultyStore(store, plan), 2, operations)
        work = asyncio.create_task(Worker(victim.engine.runtime).run(drain=True))
        await asyncio.wait_for(hold.reached(), PATIENCE_SECONDS)
        claims = plan.hold(StoreCall.CLAIM, times=1_000_000)
        after = await recovered(store, job_id, operations)

        for each in (hold, claims):
            each.release()
        await asyncio.wait_for(work, PATIENCE_SECONDS)

        assert await state_of(store) == after
        assert len(after["lines"]) == len(operations)

"""A plan's whole way: planned, judged, mended, shown or applied, decided by a person, taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.catalog.apply import ChangeStatus
from app.catalog.exercise import ExerciseStatus
from app.catalog.plans import (
    create_exercise,
    exercise_target,
    merge_exercise,
    no_change,
    patch_exercises,
    reassign_family,
    rename_exercise,
    update_registry,
    upsert_alias,
)
from app.jobs import JobStatus
from tests.support.planned import CATALOG, Planned, result_of
from tests.unit.catalog.exercises import NOW, named

PRESS = named("Chest Press", "machine")
CABLE = named("Cable Chest Press", "cable")
FLY = named("Chest Fly", "dumbbell")
CURL = named("Biceps Curl", "barbell")


@pytest.fixture
async def planned() -> AsyncIterator[Planned]:
    world = Planned()
    await world.open([PRESS, CABLE, FLY, CURL])
    yield world
    await world.engine.manager.close()


async def test_a_rename_is_applied_with_its_alias_and_its_line(planned: Planned) -> None:
    job = await planned.run(rename_exercise(PRESS, "Chest Press (Machine)"))

    told = result_of(job)
    assert (told["status"], told["applied"], told["change_id"]) == ("applied", 1, f"{job.id}_1")
    after = await planned.exercise("chest-press")
    assert (after.name, after.slug, after.id) == ("Chest Press (Machine)", "chest-press-machine", "chest-press")
    (alias,) = await planned.catalog.aliases()
    assert (alias.slug, alias.exercise_id, alias.reason) == ("chest-press", "chest-press", "rename")
    (line,) = await planned.journal.lines(told["change_id"])
    assert {str(target) for target in line.before} == {"exercise/chest-press", "alias/chest-press"}
    change = (await planned.journal.change(told["change_id"])).change
    assert (change.status, change.operations, change.applied) == (ChangeStatus.APPLIED, 1, 1)

"""What went wrong in earlier systems of this kind, each seen not to happen here.

The others of catalog.md's list have their tests beside what they are about: `test_carrying_out` (a failed apply is no
success, a failed operation is tried again, every target is touched), `test_interruptions` (shards are created once),
`test_planners` (nothing is planned that the path list refuses), `test_curation` (creates and moves are undone).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from app.catalog import Exercise, read_catalog
from app.catalog.locks import lock_name
from app.catalog.reviewer import scan_families
from app.catalog.tasks.plans import PLANNERS
from app.jobs import BadInput, JobContext, JobRegistry, JobStatus, Registry, Worker, job
from tests.acceptance.catalog.conftest import NOW, Process, Site
from tests.unit.catalog.exercises import named

FULL: dict[str, dict[str, Any]] = {
    "maintenance_scan": {"create_jobs": True},
    "duplicate_detection_scan": {"create_jobs": True},
    "alias_invariant_scan": {"create_jobs": True},
    "family_audit": {"family_slug": "row"},
    "family_normalize": {"family_slug": "row"},
    "family_merge": {
        "source_family": "rows",
        "target_family": "row",
        "needs_review": True,
        "evidence": {"names_alike": 0.93, "nested": [[1], [None, "\N{LATIN SMALL LETTER E WITH ACUTE}"]]},
    },
    "family_split": {"family_slug": "row", "into": {"cable": "cable-row", "machine": "machine-row"}},
    "family_rename_slug": {"family_slug": "row", "new_slug": "rowing"},
    "exercise_add": {
        "name": "Seal Row",
        "equipment": ["barbell", "dumbbell"],
        "level": "advanced",
        "primary_muscles": ["upper-back"],
        "secondary_muscles": ["biceps"],
        "description": "Row on a bench.",
        "execution_notes": ["Lie down.", "Pull."],
        "tags": ["bench"],
        "enrich": False,
    },
    "targeted_fix": {
        "exercise_id": "row",
        "action": "patch",
        "patch": {"attributes.tempo": [3, 1, None], "level": None},
        "reason": "asked for",
    },
    "merge_candidate": {"source_id": "a", "target_id": "b", "needs_review": True, "evidence": {"text": None}},
    "alias_repair": {"aliases": ["old", "older"]},
    "schema_cleanup": {"exercise_ids": ["row"], "fields": ["rating"]},
    "catalog_enrich_field": {
        "fields": [{"path": "attributes.home", "output_type": "boolean", "instructions": "At home?"}],
        "threshold": 0.75,
        "overwrite": True,
        "families": ["row"],
        "shard_size": 7,
    },
    "catalog_enrich_field_shard": {"exercise_ids": ["row"], "threshold": 0.9, "overwrite": True},
}
"""A payload of each type, with every field of its own that goes together."""


@pytest.mark.parametrize("job_type", FULL)
async def test_no_field_of_a_payload_is_lost_on_the_way_through_the_store(job_type: str, site: Site) -> None:
    process = await site.process()
    model = JobRegistry.registry.get(job_type).options.payload_model
    assert model is not None
    wanted = model.model_validate(FULL[job_type])

    created = await process.manager.create_job(job_type, FULL[job_type])
    stored = await process.manager.get_job(created.id)

    assert model.model_validate(stored.payload) == wanted
    whole = wanted.model_dump(mode="json")
    assert {name: stored.payload[name] for name in FULL[job_type]} == {name: whole[name] for name in FULL[job_type]}


def test_every_type_of_the_catalogue_is_among_them() -> None:
    shipped = {name for name in JobRegistry.list_jobs() if _origin(name).startswith("app.catalog.")}

    assert set(FULL) == shipped
    assert len(FULL) == 15
    assert set(PLANNERS) < set(FULL)


def _origin(job_type: str) -> str:
    return JobRegistry.registry.get(job_type).origin


@pytest.mark.parametrize(
    ("job_type", "code"), [("family_merge", "MISSING_MERGE_CONFIG"), ("family_split", "MISSING_SPLIT_CONFIG")]
)
async def test_what_a_type_needs_and_lacks_is_refused_when_the_job_is_created(
    job_type: str, code: str, memory: Site
) -> None:
    process = await memory.process()

    with pytest.raises(BadInput, match=code):
        await process.manager.create_job(job_type, {})

    assert await process.manager.list_jobs() == []


def rows_and_squats() -> list[Exercise]:
    return [
        named("Barbell Row", "barbell"),
        named("Cable Row", "cable"),
        named("Barbell Squat", "barbell"),
        named("Machine Squat", "machine"),
    ]


async def test_lock_contention_burns_no_attempt_and_hides_no_other_job(memory: Site) -> None:
    """Ten jobs that wait for one family, and behind them one for another family."""
    process = await memory.catalogued(rows_and_squats())
    registry, held, release = Registry(), asyncio.Event(), asyncio.Event()

    @job("hold", registry=registry)
    async def hold(ctx: JobContext) -> None:
        async with ctx.lock(lock_name("row")):
            held.set()
            await release.wait()

    for definition in (registry.get("hold"), *(JobRegistry.registry.get(name) for name in PLANNERS)):
        registry.add(definition)
    process.runtime.registry = registry
    await process.submit("hold")
    worker = Worker(process.runtime, concurrency=3)
    work = asyncio.create_task(worker.run())
    try:
        await asyncio.wait_for(held.wait(), 60)
        waiting = [await process.submit("family_normalize", {"family_slug": "row"}, mode="apply") for _ in range(10)]
        other = await process.submit("family_normalize", {"family_slug": "squat"}, mode="apply")

        assert (await process.manager.wait(other, 60)).status is JobStatus.COMPLETED

        release.set()
        ended = [await process.manager.wait(job_id, 60) for job_id in waiting]
    finally:
        release.set()
        worker.stop()
        await work
    assert {each.status for each in ended} == {JobStatus.COMPLETED}
    assert {(each.retries_used, each.lease_losses) for each in ended} == {(0, 0)}
    assert sum(each.result.data["applied"] for each in ended if each.result is not None) == 2


@pytest.mark.parametrize("separator", [" ", "-", "_", "/", " - ", "\N{EN DASH}", "  "])
def test_separators_are_the_same_for_every_module(separator: str) -> None:
    """Else a scan that looks families up finds nothing."""
    spelled = [f"Bench{separator}Press", f"Incline{separator}Bench{separator}Press"]
    records = [
        {"id": f"x{number}", "name": name, "equipment": equipment}
        for number, (name, equipment) in enumerate(zip(spelled, ("barbell", "cable"), strict=True))
    ]

    exercises = read_catalog(json.dumps(records), NOW).exercises
    report = scan_families(exercises)

    assert {exercise.family_slug for exercise in exercises} == {"bench-press"}
    assert [finding.exercise_ids[0] for finding in report.findings] == sorted(each.id for each in exercises)
    (normalize,) = report.proposed_jobs
    assert normalize.payload == {"family_slug": "bench-press"}


async def test_what_a_job_renames_the_next_scan_finds_under_its_new_name(memory: Site) -> None:
    process: Process = await memory.catalogued(rows_and_squats())

    for family in ("row", "squat"):
        done = await process.ended("family_normalize", {"family_slug": family}, mode="apply")
        assert done.result is not None
        assert done.result.data["applied"] == 2
    scan = await process.ended("maintenance_scan")
    aliases = await process.ended("alias_invariant_scan")

    assert scan.result is not None
    assert (scan.result.data["multi_equipment_families"], scan.result.data["proposed_jobs"]) == (2, 0)
    assert aliases.result is not None
    assert (aliases.result.data["aliases"], aliases.result.data["proposed_jobs"]) == (4, 0)

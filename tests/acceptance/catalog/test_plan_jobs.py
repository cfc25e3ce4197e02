"""Jobs that plan: what they create, whom they ask, and what they leave when they are refused."""

from __future__ import annotations

from typing import Any

import pytest

from app.catalog import Exercise
from app.catalog.apply import Journal
from app.catalog.plans import ChangePlan, patch_exercises
from app.jobs import Job, JobStatus
from tests.acceptance.catalog.conftest import Process, Site
from tests.unit.catalog.exercises import named


def rows() -> list[Exercise]:
    return [
        named("Barbell Row", "barbell"),
        named("Cable Row", "cable"),
        named("DB Row", "dumbbell", execution_notes=("Pull.",)),
        named("Dumbbell Row", "dumbbell", execution_notes=("Pull.", "Lower.")),
    ]


async def left(process: Process, job_type: str, payload: dict[str, Any], mode: str = "apply") -> Job:
    """A job that was run until it ended, or waits for a person."""
    job_id = await process.submit(job_type, payload, mode=mode)
    await process.drain()
    return await process.manager.get_job(job_id)


async def status_of(process: Process, exercise_id: str) -> str:
    (stored,) = await process.catalog.get([exercise_id])
    assert stored is not None
    return str(stored.exercise.status)


async def test_a_new_exercise_is_enriched_by_a_job_that_its_own_one_queues(memory: Site) -> None:
    process = await memory.catalogued(rows())

    job = await left(process, "exercise_add", {"name": "Machine Row", "primary_muscles": ["upper-back"]})

    assert job.result is not None
    assert job.result.data["exercise_ids"] == ["row-machine"]
    enrichment = await process.manager.get_job(job.result.data["enrichment_job"])
    assert (enrichment.type, enrichment.mode, enrichment.status) == (
        "catalog_enrich_field",
        "apply",
        JobStatus.COMPLETED,
    )
    (stored,) = await process.catalog.get(["row-machine"])
    assert stored is not None
    assert (stored.exercise.name, stored.exercise.muscle_group) == ("Row (Machine)", "back")
    assert "muscle_group" in stored.enriched


@pytest.mark.parametrize(
    ("payload", "mode"),
    [({"name": "Machine Row"}, "dry_run"), ({"name": "Machine Row", "enrich": False}, "apply")],
)
async def test_otherwise_no_enrichment_is_queued(payload: dict[str, Any], mode: str, memory: Site) -> None:
    process = await memory.catalogued(rows())

    job = await left(process, "exercise_add", payload, mode)

    assert job.result is not None
    assert job.result.data["enrichment_job"] is None
    assert [each.type for each in await process.manager.list_jobs()] == ["exercise_add"]


async def test_a_taken_slug_fails_the_job_at_once_and_leaves_nothing(memory: Site) -> None:
    process = await memory.catalogued(rows())

    job = await left(process, "exercise_add", {"name": "Cable Row"})

    assert job.error is not None
    assert (job.status, job.error.code, job.attempt) == (JobStatus.FAILED, "VARIANT_TAKEN", 1)
    assert "'Cable Row' has its equipment and modifiers" in job.error.message
    assert len(await process.catalog.all()) == len(rows())
    assert await Journal(process.store).changes() == []


PAIR = {"source_id": "db-row", "target_id": "dumbbell-row", "needs_review": True, "evidence": {"texts": "alike"}}


@pytest.mark.parametrize(
    ("decision", "job_status", "exercise"),
    [("approve", JobStatus.COMPLETED, "merged"), ("reject", JobStatus.CANCELLED, "active")],
)
async def test_what_is_not_sure_waits_for_a_person_with_everything_in_view(
    decision: str, job_status: JobStatus, exercise: str, site: Site
) -> None:
    process = await site.catalogued(rows())
    job = await left(process, "merge_candidate", PAIR)

    assert job.status is JobStatus.NEEDS_REVIEW
    (asked,) = await process.manager.list_reviews()
    assert asked.question == "is db-row the same exercise as dumbbell-row?"
    request = job.review["request"]
    assert request["evidence"] == {"texts": "alike"}
    assert '      status: "active" -> "merged"' in request["diff"]
    assert await status_of(process, "db-row") == "active"

    await process.manager.review(job.id, decision, "ann")
    await process.drain()

    assert (await process.manager.get_job(job.id)).status is job_status
    assert await status_of(process, "db-row") == exercise


async def test_a_plan_that_a_person_gives_instead_is_the_one_that_is_judged_and_applied(memory: Site) -> None:
    process = await memory.catalogued(rows())
    job = await left(process, "merge_candidate", PAIR)
    other = patch_exercises(["dumbbell-row"], {"execution_notes": ["Pull.", "Lower slowly."]}, rationale="not the same")
    shown = ChangePlan.model_validate(job.review["request"]["plan"])

    await process.manager.review(
        job.id, "approve", "ann", data={"plan": shown.changed(operations=[other]).model_dump(mode="json")}
    )
    await process.drain()

    done = await process.manager.get_job(job.id)
    assert done.result is not None
    assert [each["kind"] for each in done.result.data["plan"]["operations"]] == ["patch_exercise"]
    assert await status_of(process, "db-row") == "active"
    (stored,) = await process.catalog.get(["dumbbell-row"])
    assert stored is not None
    assert stored.exercise.execution_notes == ("Pull.", "Lower slowly.")


async def test_what_is_no_plan_goes_back_to_the_person_who_gave_it(memory: Site) -> None:
    process = await memory.catalogued(rows())
    job = await left(process, "merge_candidate", PAIR)

    await process.manager.review(job.id, "approve", "ann", data={"plan": {"operations": "archive it"}})
    await process.drain()

    asked = await process.manager.get_job(job.id)
    assert asked.status is JobStatus.NEEDS_REVIEW
    assert [each["code"] for each in asked.review["request"]["findings"]] == ["BAD_PLAN"]
    assert await status_of(process, "db-row") == "active"


async def test_nobody_is_asked_in_a_dry_run_or_when_nothing_would_change(memory: Site) -> None:
    process = await memory.catalogued(rows())

    dry = await left(process, "merge_candidate", PAIR, "dry_run")
    await left(process, "merge_candidate", {**PAIR, "needs_review": False})
    again = await left(process, "merge_candidate", PAIR)

    assert (dry.status, again.status) == (JobStatus.COMPLETED, JobStatus.COMPLETED)
    assert again.result is not None
    assert again.result.data["plan"]["assumptions"] == ["they were merged before"]


async def test_a_scan_that_creates_its_jobs_does_so_once_and_in_its_own_mode(memory: Site) -> None:
    process = await memory.catalogued(rows())

    first = await left(process, "maintenance_scan", {"create_jobs": True}, "apply")
    second = await left(process, "maintenance_scan", {"create_jobs": True}, "apply")

    assert first.result is not None
    assert (first.result.data["created_jobs"], first.result.data["known_jobs"]) == (3, 0)
    children = await process.manager.list_jobs(parent_id=first.id)
    assert {(child.type, child.mode, child.status) for child in children} == {
        ("family_normalize", "apply", JobStatus.COMPLETED),
        ("family_audit", "apply", JobStatus.COMPLETED),
    }
    assert second.result is not None
    assert second.result.data["created_jobs"] == 0


async def test_a_scan_creates_no_jobs_that_may_not_apply(memory: Site) -> None:
    await memory.catalogued(rows())
    process = await memory.process(apply_enabled=False)

    refused = await left(process, "maintenance_scan", {"create_jobs": True}, "apply")

    assert refused.error is not None
    assert refused.error.code == "APPLY_DISABLED"
    assert [each.type for each in await process.manager.list_jobs()] == ["maintenance_scan"]


async def test_doubles_are_found_merged_and_found_no_more(memory: Site) -> None:
    notes = ("Bend over with a dumbbell in each hand and a flat back.", "Pull both to your sides, then lower them.")
    pair = [
        named(name, "dumbbell", execution_notes=notes, primary_muscles=("upper-back",))
        for name in ("DB Row", "Dumbbell Row")
    ]
    process = await memory.catalogued([*pair, named("Cable Row", "cable")])

    found = await left(process, "duplicate_detection_scan", {"create_jobs": True})
    again = await left(process, "duplicate_detection_scan", {})

    assert found.result is not None
    assert found.result.data["findings"]["merge"] == 1
    assert again.result is not None
    assert again.result.data["findings"]["merge"] == 0
    assert sorted([await status_of(process, each.id) for each in pair]) == ["active", "merged"]

"""`maintenance_scan`, the import, and what the catalogue's records keep."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any

import pytest

from app.catalog import Exercise
from app.catalog.reviewer import equipment_finder, scan_families, scan_quality
from app.catalog.store import CatalogStore, ImportCount, StoredExercise
from app.catalog.tasks.report import SHOWN
from app.jobs import Job, JobResults, JobStatus
from tests.acceptance.catalog.conftest import NOW, Process, Site, sample


def saved(results: JobResults, part: str) -> list[Any]:
    """All rows of one part of the saved results, in order."""
    pages = [page for page in results.saved if page["part"] == part]
    assert [page["from"] for page in pages] == [sum(len(p["rows"]) for p in pages[:n]) for n in range(len(pages))]
    return [row for page in pages for row in page["rows"]]


async def check_scan(process: Process, job: Job, exercises: tuple[Exercise, ...]) -> None:
    assert job.status is JobStatus.COMPLETED, job.error
    report, quality = scan_families(exercises, equipment_finder(exercises)), scan_quality(exercises)
    results = await process.manager.get_job_results(job.id)
    assert results is not None
    data = results.result
    assert (data["exercises"], data["families"]) == (len(exercises), report.families)
    assert data["multi_equipment_families"] == report.multi_equipment_families
    assert data["findings"] == report.counts()
    assert data["quality"] == {"by_score": quality.by_score, "failed": quality.failed}
    findings = [{**asdict(finding), "exercise_ids": list(finding.exercise_ids)} for finding in report.findings]
    assert saved(results, "findings") == findings
    proposed = json.loads(json.dumps([asdict(proposal) for proposal in report.proposed_jobs]))
    assert saved(results, "proposed_jobs") == proposed
    assert data["proposed_jobs"] == len(report.proposed_jobs)
    assert len(data["first_findings"]) == len(data["first_proposed_jobs"]) == SHOWN
    assert job.progress.percentage == 100


async def test_the_sample_is_scanned(site: Site) -> None:
    process = await site.catalogued(sample())
    before = await process.catalog.all()

    job = await process.ended("maintenance_scan")

    await check_scan(process, job, sample())
    assert await process.catalog.all() == before


async def test_the_real_records_are_scanned(memory: Site, real: tuple[Exercise, ...]) -> None:
    process = await memory.catalogued(real)

    job = await process.ended("maintenance_scan")

    await check_scan(process, job, real)
    # What it proposes is accepted as it is.
    results = await process.manager.get_job_results(job.id)
    assert results is not None
    enrichments = [each for each in saved(results, "proposed_jobs") if each["type"] == "catalog_enrich_field"]
    assert enrichments
    for proposed in enrichments:
        done = await process.ended(proposed["type"], proposed["payload"])
        assert done.result is not None
        assert done.result.data["exercises"] == len(proposed["payload"]["exercise_ids"])


async def test_an_empty_catalogue_is_scanned_too(memory: Site) -> None:
    process = await memory.process()

    job = await process.ended("maintenance_scan")

    assert job.result is not None
    assert (job.result.data["exercises"], job.result.data["proposed_jobs"]) == (0, 0)


# --- the import ------------------------------------------------------------------------------------------------------


async def test_only_what_is_new_is_added(site: Site) -> None:
    process = await site.process()
    catalog = process.catalog

    assert await catalog.add_new(sample()[:50]) == ImportCount(50, 0)
    before = {each.exercise.id: each for each in await catalog.all()}
    assert await catalog.add_new(sample()) == ImportCount(len(sample()) - 50, 50)
    assert await catalog.add_new(sample()) == ImportCount(0, len(sample()))

    after = {each.exercise.id: each for each in await catalog.all()}
    assert set(after) == {exercise.id for exercise in sample()}
    assert before.items() <= after.items()


async def test_two_imports_at_once_add_each_exercise_once(site: Site) -> None:
    first, second = await site.process(), await site.process()

    counts = await asyncio.gather(first.catalog.add_new(sample()), second.catalog.add_new(sample()))

    assert sum(count.added for count in counts) == len(sample())
    assert all(count.added + count.there_already == len(sample()) for count in counts)
    assert len(await first.catalog.all()) == len(sample())


async def test_an_exercise_is_known_again_by_its_source(memory: Site) -> None:
    """A file that has grown may number the slugs of equal names anew."""
    process = await memory.process()
    exercise = sample()[0]
    await process.catalog.add_new([exercise])
    renumbered = exercise.model_copy(update={"id": f"{exercise.id}-2", "slug": f"{exercise.id}-2"})

    assert await process.catalog.add_new([renumbered]) == ImportCount(0, 1)


async def test_all_can_be_limited(memory: Site) -> None:
    process = await memory.catalogued(sample())

    everything = [each.exercise.id for each in await process.catalog.all()]

    for limit in (1, 10, len(everything), len(everything) + 1):
        assert [each.exercise.id for each in await process.catalog.all(limit=limit)] == everything[:limit]
    assert await process.catalog.all("archived") == []


# --- what enrichers wrote, and what was given ------------------------------------------------------------------------


async def stored(process: Process, exercise_id: str) -> StoredExercise:
    (found,) = await process.catalog.get([exercise_id])
    assert found is not None
    return found


@pytest.fixture
async def enriched(memory: Site) -> tuple[Process, StoredExercise]:
    """An exercise of which an enricher wrote the plane, the equipment and the tempo."""
    exercise = sample()[0].model_copy(update={"equipment": (), "plane": None, "attributes": {"grip": "wide"}})
    process = await memory.catalogued([exercise])
    guessed = {"equipment": ("cable",), "plane": "frontal", "attributes": {"grip": "wide", "tempo": 3}}
    after = exercise.model_copy(update={**guessed, "updated_at": NOW})
    before = await stored(process, exercise.id)
    await process.store.commit([CatalogStore.change(before, after, ("equipment", "plane", "attributes.tempo"))])
    return process, await stored(process, exercise.id)


async def test_what_was_given_is_kept_apart_from_guesses(enriched: tuple[Process, StoredExercise]) -> None:
    _, now = enriched

    assert now.enriched == {"equipment", "plane", "attributes.tempo"}
    assert (now.exercise.equipment, now.exercise.plane, now.exercise.attributes["tempo"]) == (("cable",), "frontal", 3)
    assert (now.given.equipment, now.given.plane, now.given.attributes) == ((), None, {"grip": "wide"})
    assert now.given.name == now.exercise.name


async def test_a_value_that_a_person_changes_is_no_guess_any_more(enriched: tuple[Process, StoredExercise]) -> None:
    process, now = enriched
    mended = now.exercise.model_copy(
        update={"equipment": ("barbell",), "attributes": {"grip": "wide", "tempo": 4}, "level": "beginner"}
    )

    await process.store.commit([CatalogStore.change(now, mended)])

    after = await stored(process, now.exercise.id)
    assert after.enriched == {"plane"}
    assert after.given.equipment == ("barbell",)
    assert after.given.attributes == {"grip": "wide", "tempo": 4}


async def test_an_exercise_without_guesses_is_what_was_given(memory: Site) -> None:
    process = await memory.catalogued(sample()[:1])

    only = await stored(process, sample()[0].id)

    assert only.given is only.exercise
    assert only.exercise == sample()[0]

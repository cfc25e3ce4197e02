"""`catalog_enrich_field` and its shards: what is written, what is only counted, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.catalog import Exercise
from app.catalog.tasks.counts import Counts
from app.jobs import BadInput, JobStatus
from tests.acceptance.catalog.conftest import Expected, Site, contents, few, sample, says, totals

FIFTY = {"shard_size": 50}


async def test_the_sample_by_two_workers(site: Site, expected_sample: Expected) -> None:
    first = await site.catalogued(sample())
    second = await site.process()
    parent = await first.submit("catalog_enrich_field", FIFTY, mode="apply")

    await asyncio.gather(first.drain(), second.drain())

    job = await second.manager.get_job(parent)
    counts, exercises = expected_sample
    assert totals(job) == counts
    assert job.result is not None
    assert job.result.data["mode"] == "apply"
    assert (job.result.data["shards"], job.result.data["not_completed"]) == (4, [])
    assert contents(await first.catalog.all()) == says(exercises)
    assert (job.progress.current, job.progress.total) == (len(exercises), len(exercises))
    sizes = sorted(len(shard.payload["exercise_ids"]) for shard in await first.shards(parent))
    assert sizes == [len(exercises) - 150, 50, 50, 50]


async def test_the_real_records_by_two_workers(
    sqlite: Site, real: tuple[Exercise, ...], expected_real: Expected
) -> None:
    first = await sqlite.catalogued(real)
    second = await sqlite.process()
    parent = await first.submit("catalog_enrich_field", mode="apply")

    await asyncio.gather(first.drain(), second.drain())

    counts, exercises = expected_real
    assert totals(await first.manager.get_job(parent)) == counts
    assert contents(await first.catalog.all()) == says(exercises)
    # What was not sure enough the first time is not surer the second time, for all that was written meanwhile.
    again = totals(await second.ended("catalog_enrich_field", {"shard_size": 1000}))
    assert (again.exercises, again.enriched, again.written) == (len(real), 0, {})
    assert again.before == again.after == counts.after


async def test_fields_come_out_the_same_by_themselves(memory: Site, expected_sample: Expected) -> None:
    """No guess leans on another, so it does not matter which are asked for together, or in which order."""
    first = await memory.catalogued(sample())
    second = await memory.process()

    written = {}
    for path in ("split", "muscle_group", "category"):
        parent = await first.submit("catalog_enrich_field", {"fields": [{"path": path}]}, mode="apply")
        await asyncio.gather(first.drain(), second.drain())
        written.update(totals(await first.manager.get_job(parent)).written)

    counts, exercises = expected_sample
    assert written == {path: counts.written[path] for path in written}
    for stored in await first.catalog.all():
        wanted = exercises[stored.exercise.id]
        for path in written:
            assert getattr(stored.exercise, path) == getattr(wanted, path)


async def test_on_servers(remote: Site, expected_sample: Expected) -> None:
    first = await remote.catalogued(sample())
    second = await remote.process()
    scan = await first.submit("maintenance_scan")
    parent = await first.submit("catalog_enrich_field", FIFTY, mode="apply")

    await asyncio.gather(first.drain(), second.drain())

    counts, exercises = expected_sample
    assert (await second.manager.get_job(scan)).status is JobStatus.COMPLETED
    assert totals(await second.manager.get_job(parent)) == counts
    assert contents(await second.catalog.all()) == says(exercises)


@pytest.mark.parametrize("mode", [None, "dry_run"])
async def test_a_dry_run_counts_the_same_and_writes_nothing(
    mode: str | None, memory: Site, expected_few: Expected
) -> None:
    process = await memory.catalogued(few())
    before = await process.catalog.all()

    job = await process.ended("catalog_enrich_field", FIFTY, mode=mode)

    assert totals(job) == expected_few[0]
    assert await process.catalog.all() == before


async def test_without_leave_to_apply_nothing_is_tried(memory: Site) -> None:
    process = await memory.catalogued(few())
    before = await process.catalog.all()
    forbidden = await memory.process(apply_enabled=False)

    job = await forbidden.ended("catalog_enrich_field", mode="apply")

    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == "APPLY_DISABLED"
    assert (job.attempt, job.retries_used) == (1, 0)
    assert await process.shards(job.id) == []
    assert await process.catalog.all() == before


async def test_a_shard_asks_for_leave_as_well(memory: Site) -> None:
    process = await memory.catalogued(few())
    forbidden = await memory.process(apply_enabled=False)

    job = await forbidden.ended("catalog_enrich_field_shard", {"exercise_ids": [few()[0].id]}, mode="apply")

    assert job.error is not None
    assert (job.status, job.error.code, job.attempt) == (JobStatus.FAILED, "APPLY_DISABLED", 1)
    assert contents(await process.catalog.all()) == says({exercise.id: exercise for exercise in few()})


async def test_another_mode_is_no_mode(memory: Site) -> None:
    process = await memory.catalogued(few())

    job = await process.ended("catalog_enrich_field", mode="wet_run")

    assert job.error is not None
    assert (job.status, job.error.code, job.attempt) == (JobStatus.FAILED, "UNKNOWN_MODE", 1)
    assert "dry_run or apply" in job.error.message


async def test_only_what_is_selected(memory: Site) -> None:
    process = await memory.catalogued(few())
    ids = [exercise.id for exercise in few()[:3]]
    family = few()[10].family_slug
    members = [exercise.id for exercise in few() if exercise.family_slug == family]

    by_id = totals(await process.ended("catalog_enrich_field", {"exercise_ids": [*ids, ids[0]]}, mode="apply"))
    by_family = totals(await process.ended("catalog_enrich_field", {"families": [family]}, mode="apply"))

    assert (by_id.exercises, by_family.exercises) == (3, len(members))
    changed = {each.exercise.id for each in await process.catalog.all() if each.enriched}
    assert set(ids) <= changed
    assert changed <= {*ids, *members}


async def test_only_the_fields_that_are_asked_for(memory: Site) -> None:
    process = await memory.catalogued(few())
    fields = [{"path": "split"}, {"path": "plane", "allowed_values": ["frontal"]}]

    counts = totals(await process.ended("catalog_enrich_field", {"fields": fields}, mode="apply"))

    assert set(counts.written) == {"split", "plane"}
    assert {path for each in await process.catalog.all() for path in each.enriched} == {"split", "plane"}
    assert {each.exercise.plane for each in await process.catalog.all()} == {None, "frontal"}


async def test_locked_fields_and_what_is_there_stay(memory: Site) -> None:
    locked = [exercise.model_copy(update={"locked_fields": ("split",), "level": "advanced"}) for exercise in few()]
    process = await memory.catalogued(locked)

    counts = totals(await process.ended("catalog_enrich_field", mode="apply"))

    assert "split" not in counts.written
    assert "level" not in counts.written
    assert all(each.exercise.split is None for each in await process.catalog.all())
    assert all(each.exercise.level == "advanced" for each in await process.catalog.all())


async def test_a_threshold_that_nothing_reaches(memory: Site) -> None:
    process = await memory.catalogued(few())

    counts = totals(await process.ended("catalog_enrich_field", {"threshold": 1.0}, mode="apply"))

    assert counts.written == {}
    assert counts.dropped["low_confidence"] > len(few())


@pytest.mark.parametrize(
    "selection",
    [{}, {"families": ["no-such-family"]}, {"exercise_ids": ["no-such-exercise"]}],
    ids=["empty catalogue", "family", "ids"],
)
async def test_nothing_selected_is_an_error_without_a_retry(selection: dict[str, Any], memory: Site) -> None:
    process = await memory.catalogued(few() if selection else ())

    job = await process.ended("catalog_enrich_field", selection, mode="apply")

    assert job.error is not None
    assert (job.status, job.error.code, job.attempt) == (JobStatus.FAILED, "NOTHING_SELECTED", 1)
    assert await process.shards(job.id) == []


async def test_ids_that_are_not_there_are_counted(memory: Site) -> None:
    process = await memory.catalogued(few())

    counts = totals(await process.ended("catalog_enrich_field", {"exercise_ids": ["nobody", few()[0].id, "no-one"]}))

    assert (counts.exercises, counts.missing) == (1, 2)


@pytest.mark.parametrize(
    ("payload", "field", "says_so"),
    [
        ({"fields": []}, "payload", "MISSING_FIELDS"),
        ({"fields": [{"path": "hue"}]}, "payload.fields.0", "there is no field 'hue'"),
        ({"fields": [{"path": "status"}]}, "payload.fields.0", "there is no field 'status'"),
        ({"fields": [{"path": "level", "output_type": "number"}]}, "payload.fields.0", "holds text"),
        ({"fields": [{"path": "level", "allowed_values": ["expert"]}]}, "payload.fields.0", "no canonical level"),
        ({"fields": [{"path": "attributes."}]}, "payload.fields.0", "attributes.<name>"),
        ({"fields": [{"path": "split"}, {"path": "split"}]}, "payload", "named twice"),
        ({"threshold": -0.1}, "payload.threshold", "greater than or equal to 0"),
        ({"threshold": 1.1}, "payload.threshold", "less than or equal to 1"),
        ({"shard_size": 0}, "payload.shard_size", "greater than or equal to 1"),
        ({"exercise_ids": "back-squat"}, "payload.exercise_ids", "tuple"),
        ({"exercise_ids": ["Back Squat"]}, "payload.exercise_ids.0", "write 'back-squat'"),
        ({"exercise_ids": [""]}, "payload.exercise_ids.0", "at least 1 character"),
        ({"exercise_ids": ["a"], "families": ["b"]}, "payload", "select by one"),
        ({"ids": ["a"]}, "payload.ids", "not permitted"),
    ],
    ids=str,
)
async def test_a_payload_that_does_not_fit_is_refused_at_once(
    payload: dict[str, Any], field: str, says_so: str, memory: Site
) -> None:
    process = await memory.process()

    with pytest.raises(BadInput) as refused:
        await process.manager.submit("catalog_enrich_field", payload)

    assert refused.value.code == "PAYLOAD_INVALID"
    assert refused.value.field == field
    assert says_so in str(refused.value)
    assert await process.manager.list_jobs() == []


def test_counts_add_up() -> None:
    first = Counts(exercises=1, written={"a": 1, "b": 2})
    second = Counts(exercises=2, missing=1, written={"b": 3, "c": 4})

    both = first + second

    assert (both.exercises, both.missing, both.written) == (3, 1, {"a": 1, "b": 5, "c": 4})
    assert first + Counts() == first
    assert first.written == {"a": 1, "b": 2}

"""The scan of families."""

import random

import pytest

from app.catalog.exercise import Exercise
from app.catalog.payloads import EnrichField
from app.catalog.reviewer.maintenance import (
    ENRICH_BATCH,
    FamilyFinding,
    FindingCode,
    propose_jobs,
    scan_families,
)
from tests.unit.catalog.exercises import named


def findings(*exercises: Exercise) -> dict[FindingCode, list[tuple[str, ...]]]:
    found: dict[FindingCode, list[tuple[str, ...]]] = {}
    for finding in scan_families(exercises).findings:
        found.setdefault(finding.code, []).append(finding.exercise_ids)
    return found


def test_a_family_of_one_equipment_needs_no_qualifier() -> None:
    assert findings(named("Bench Press", "barbell"), named("Close-Grip Bench Press", "barbell")) == {}


def test_in_a_family_of_several_every_name_carries_its_own() -> None:
    found = findings(
        named("Bench Press", "barbell"),
        named("Bench Press (Dumbbell)", "dumbbell"),
        named("Machine Bench Press", "machine"),
    )

    assert found == {FindingCode.MISSING_QUALIFIER: [("bench-press",), ("machine-bench-press",)]}


def test_a_missing_qualifier_comes_with_the_name_to_take() -> None:
    report = scan_families([named("Barbell Bench Press", "barbell"), named("Bench Press (Cable)", "cable")])

    (finding,) = report.findings
    assert finding.family_slug == "bench-press"
    assert finding.evidence["proposed_name"] == "Bench Press (Barbell)"
    assert finding.evidence["family_equipment"] == "barbell, cable"


def test_a_name_with_the_qualifier_of_another_equipment_lacks_its_own() -> None:
    found = findings(named("Row (Machine)", "smith-machine"), named("Row (Cable)", "cable"))

    assert found == {FindingCode.MISSING_QUALIFIER: [("row-machine",)]}


def test_equal_base_modifiers_and_equipment_are_doubles() -> None:
    found = findings(
        named("One-Arm Row (Dumbbell)", "dumbbell"),
        named("Single Arm Dumbbell Row", "dumbbell"),
        named("Row (Dumbbell)", "dumbbell"),
    )

    assert found == {FindingCode.DUPLICATE_EQUIPMENT: [("one-arm-row-dumbbell", "single-arm-dumbbell-row")]}


def test_opposite_grips_are_no_doubles_however_alike_the_texts() -> None:
    notes = ("Sit down.", "Bend the wrists.")

    found = findings(
        named("Palms-Up Wrist Curl", "dumbbell", execution_notes=notes),
        named("Palms-Down Wrist Curl", "dumbbell", execution_notes=notes),
    )

    assert found == {}


def test_unknown_equipment_counts_only_in_a_family_of_several() -> None:
    assert findings(named("Sled Row")) == {}
    assert findings(named("Sled Row"), named("Row", "cable")) == {FindingCode.EQUIPMENT_UNKNOWN: [("sled-row",)]}
    assert findings(named("Sled Row"), named("Row")) == {FindingCode.EQUIPMENT_UNKNOWN: [("row",), ("sled-row",)]}


def test_enrichment_is_proposed_only_for_what_it_would_find() -> None:
    family = [named("Cycling (Bike)", "bike"), named("Bicycling"), named("Seated Cycling"), named("Standing Cycling")]
    known = {"Bicycling": ("bike",), "Seated Cycling": ("treadmill",)}

    report = scan_families(family, lambda exercise: known.get(exercise.name, ()))

    evidence = {finding.exercise_ids[0]: finding.evidence for finding in report.findings}
    assert evidence["bicycling"]["double_of"] == "Cycling (Bike)"
    assert [evidence[each]["proposed_equipment"] for each in ("bicycling", "seated-cycling", "standing-cycling")] == [
        "",
        "treadmill",
        "",
    ]
    assert [(job.type, job.payload) for job in report.proposed_jobs] == [
        ("catalog_enrich_field", {"fields": [{"path": "equipment"}], "exercise_ids": ["seated-cycling"]}),
        ("family_normalize", {"family_slug": "cycling"}),
        ("family_audit", {"family_slug": "cycling"}),
    ]


@pytest.mark.parametrize(
    ("text", "proposed"),
    [
        ("Lie down under the Smith machine.", "smith-machine"),
        ("Put the barbell in the Smith machine.", "smith-machine"),
        ("Take the barbell from the rack.", "barbell"),
        ("Lie down.", ""),
    ],
)
def test_of_a_name_and_a_record_the_one_is_right_that_the_text_agrees_with(text: str, proposed: str) -> None:
    shoulder = named("Smith Incline Shoulder Raise", "barbell", execution_notes=(text,))

    report = scan_families([shoulder])

    assert report.findings[0].evidence["proposed_equipment"] == proposed
    fix = {"exercise_id": shoulder.id, "action": "fix_identity", "equipment": [proposed]}
    family = {"family_slug": "shoulder-raise"}
    wanted = [("targeted_fix", fix), ("family_normalize", family)] if proposed else [("family_audit", family)]
    assert [(job.type, job.payload) for job in report.proposed_jobs] == wanted


def test_a_name_that_contradicts_its_record_is_looked_into_and_not_renamed() -> None:
    found = findings(named("Smith Shoulder Raise", "barbell"), named("Shoulder Raise (Dumbbell)", "dumbbell"))

    assert found == {FindingCode.NAME_CONTRADICTS_EQUIPMENT: [("smith-shoulder-raise",)]}


def test_only_active_exercises_count() -> None:
    archived = named("Bench Press", "dumbbell", status="archived")

    report = scan_families([archived, named("Bench Press", "barbell")])

    assert (report.exercises, report.families, report.findings) == (1, 1, ())


def test_the_report_does_not_depend_on_the_order_of_the_catalogue() -> None:
    exercises = [
        named(name, equipment)
        for name in ("Bench Press", "Row", "Squat", "One-Arm Row", "One Arm Row ")
        for equipment in ("barbell", "cable")
    ]
    exercises = [exercise.model_copy(update={"id": f"e{number}"}) for number, exercise in enumerate(exercises)]
    shuffled = random.Random(5).sample(exercises, len(exercises))

    assert scan_families(exercises) == scan_families(shuffled)


def test_jobs_are_proposed_once_for_each_family() -> None:
    report = scan_families(
        [
            named("Bench Press", "barbell"),
            named("Incline Bench Press", "cable"),
            named("Row (Dumbbell)", "dumbbell"),
            named("Dumbbell Row", "dumbbell"),
            named("Sled Row"),
        ]
    )

    assert [(job.type, job.payload) for job in report.proposed_jobs] == [
        ("catalog_enrich_field", {"fields": [{"path": "equipment"}], "exercise_ids": ["sled-row"]}),
        ("family_normalize", {"family_slug": "bench-press"}),
        ("family_normalize", {"family_slug": "row"}),
        ("family_audit", {"family_slug": "row"}),
    ]
    assert report.counts() == {
        "MISSING_QUALIFIER": 2,
        "DUPLICATE_EQUIPMENT": 1,
        "EQUIPMENT_UNKNOWN": 1,
        "NAME_CONTRADICTS_EQUIPMENT": 0,
    }


def test_enrichment_is_proposed_in_batches() -> None:
    ids = [f"e{number}" for number in range(ENRICH_BATCH + 1)]

    jobs = propose_jobs([FamilyFinding(FindingCode.EQUIPMENT_UNKNOWN, "row", (name,), {}) for name in ids])

    assert [job.payload["exercise_ids"] for job in jobs if job.type == "catalog_enrich_field"] == [
        ids[:ENRICH_BATCH],
        ids[ENRICH_BATCH:],
    ]


def test_a_proposed_enrichment_is_one_that_would_be_accepted() -> None:
    proposed, _ = propose_jobs([FamilyFinding(FindingCode.EQUIPMENT_UNKNOWN, "row", ("sled-row",), {})])

    payload = EnrichField.model_validate(proposed.payload)

    assert [spec.path for spec in payload.fields] == ["equipment"]
    assert payload.exercise_ids == ("sled-row",)


def test_a_scan_of_nothing_finds_nothing() -> None:
    report = scan_families([])

    assert (report.exercises, report.families, report.findings, report.proposed_jobs) == (0, 0, (), ())

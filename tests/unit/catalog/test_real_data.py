"""The 873 real records: what is counted there, and what the application makes of it."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.catalog.enrichment.deterministic import DeterministicEnricher
from app.catalog.enrichment.enricher import DEFAULT_THRESHOLD
from app.catalog.enrichment.fields import FieldSpec
from app.catalog.enrichment.reference import ReferenceIndex
from app.catalog.exercise import Exercise
from app.catalog.importer import read_catalog, write_catalog
from app.catalog.names import canonical_name, contrasts, equipment_conflict, family_slug, parse_name
from app.catalog.reviewer.maintenance import FindingCode, scan_families
from app.catalog.reviewer.quality_scanner import scan_quality
from tests.unit.catalog.exercises import NOW

# Written apart from the tables on purpose: every word by which the real names call equipment.
EQUIPMENT_WORDS = frozenset(
    [
        "barbell",
        "barbells",
        "dumbbell",
        "dumbbells",
        "db",
        "kettlebell",
        "kettlebells",
        "ez",
        "cable",
        "cables",
        "machine",
        "smith",
        "leverage",
        "pulley",
        "bodyweight",
        "freehand",
        "band",
        "bands",
        "chain",
        "chains",
        "ball",
        "physioball",
        "bosu",
        "treadmill",
        "elliptical",
        "bike",
        "trap",
        "stairmaster",
        "mill",
        "suspended",
        "straps",
        "parallel",
    ]
)
OPPOSITES = [
    ("Seated Dumbbell Palms-Up Wrist Curl", "Seated Dumbbell Palms-Down Wrist Curl"),
    ("Seated Palm-Up Barbell Wrist Curl", "Seated Palms-Down Barbell Wrist Curl"),
    ("Palms-Up Barbell Wrist Curl Over A Bench", "Palms-Down Wrist Curl Over A Bench"),
    ("Palms-Up Dumbbell Wrist Curl Over A Bench", "Palms-Down Dumbbell Wrist Curl Over A Bench"),
    ("Seated One-Arm Dumbbell Palms-Up Wrist Curl", "Seated One-Arm Dumbbell Palms-Down Wrist Curl"),
    ("External Rotation with Band", "Internal Rotation with Band"),
    ("One Arm Pronated Dumbbell Triceps Extension", "One Arm Supinated Dumbbell Triceps Extension"),
    ("Dumbbell Lying Supination", "Dumbbell Lying Pronation"),
    ("Lying Face Down Plate Neck Resistance", "Lying Face Up Plate Neck Resistance"),
    ("Thigh Abductor", "Thigh Adductor"),
    ("Machine Bicep Curl", "Machine Triceps Extension"),
]


@pytest.fixture(scope="module")
def content(shared_data: Path) -> bytes:
    return (shared_data / "exercises" / "free-exercise-db.json").read_bytes()


@pytest.fixture(scope="module")
def exercises(content: bytes) -> tuple[Exercise, ...]:
    return read_catalog(content, NOW).exercises


def test_all_records_are_imported_with_slugs_of_their_own(exercises: Sequence[Exercise]) -> None:
    assert len(exercises) == 873
    assert len({exercise.slug for exercise in exercises}) == 873


def test_nothing_of_the_content_is_lost(content: bytes, exercises: Sequence[Exercise]) -> None:
    for record, exercise in zip(json.loads(content), exercises, strict=True):
        assert exercise.name == record["name"]
        assert list(exercise.execution_notes) == record["instructions"]
        assert len(exercise.primary_muscles) == len(record["primaryMuscles"])
        assert len(exercise.secondary_muscles) == len(record["secondaryMuscles"])
        assert bool(exercise.mechanic) == bool(record["mechanic"])
        assert bool(exercise.force) == bool(record["force"])
        assert bool(exercise.equipment) == (record["equipment"] not in (None, "other", "foam roll"))
        assert exercise.legacy == {}


def test_the_export_is_read_back_as_it_was(exercises: Sequence[Exercise]) -> None:
    again = read_catalog(write_catalog(exercises), NOW).exercises

    assert sorted(again, key=lambda exercise: exercise.id) == sorted(exercises, key=lambda exercise: exercise.id)


def test_no_family_slug_has_equipment_left_in_it(exercises: Sequence[Exercise]) -> None:
    left = [exercise.name for exercise in exercises if set(exercise.family_slug.split("-")) & EQUIPMENT_WORDS]

    assert left == []


def test_no_word_is_doubled(exercises: Sequence[Exercise]) -> None:
    doubled = []
    for exercise in exercises:
        words = canonical_name(exercise.name, exercise.equipment).lower().replace("(", "").replace(")", "").split()
        parts = [part for word in words for part in word.split("-")]
        if len(set(parts)) < len(parts):
            doubled.append(exercise.name)

    assert doubled == []


def test_a_canonical_name_keeps_family_and_modifiers_and_is_its_own(exercises: Sequence[Exercise]) -> None:
    for exercise in exercises:
        name = canonical_name(exercise.name, exercise.equipment)

        assert canonical_name(name, exercise.equipment) == name
        assert family_slug(name, exercise.equipment) == exercise.family_slug
        assert parse_name(name, exercise.equipment).variant == parse_name(exercise.name, exercise.equipment).variant, (
            exercise.name
        )


def test_families_group_and_do_not_swallow(exercises: Sequence[Exercise]) -> None:
    report = scan_families(exercises)
    sizes = Counter(exercise.family_slug for exercise in exercises)

    assert 420 <= report.families <= 520
    assert report.multi_equipment_families >= 60
    assert max(sizes.values()) <= 40
    assert len({exercise.family_slug for exercise in exercises if "Bench Press" in exercise.name}) <= 4


@pytest.mark.parametrize(("one", "other"), OPPOSITES)
def test_opposite_movements_contrast_and_are_never_doubles(one: str, other: str, exercises: Sequence[Exercise]) -> None:
    by_name = {exercise.name: exercise for exercise in exercises}
    ids = {by_name[one].id, by_name[other].id}
    report = scan_families(exercises)

    assert contrasts(one, other)
    assert not [
        finding
        for finding in report.findings
        if finding.code is FindingCode.DUPLICATE_EQUIPMENT and ids <= set(finding.exercise_ids)
    ]


def test_the_five_records_without_instructions_are_no_doubles(exercises: Sequence[Exercise]) -> None:
    empty = {exercise.id for exercise in exercises if not exercise.execution_notes}
    doubles = [
        finding
        for finding in scan_families(exercises).findings
        if finding.code is FindingCode.DUPLICATE_EQUIPMENT and empty & set(finding.exercise_ids)
    ]

    assert len(empty) == 5
    assert doubles == []


def test_names_contradict_equipment_only_where_they_do(exercises: Sequence[Exercise]) -> None:
    hits = {exercise.name for exercise in exercises if equipment_conflict(exercise.name, exercise.equipment)}

    assert hits == {"Bodyweight Flyes", "Smith Incline Shoulder Raise"}


def test_the_scanner_counts_what_is_known_to_be_wrong(exercises: Sequence[Exercise]) -> None:
    report = scan_quality(exercises)

    assert report.by_score == {"none": 873, "0.70": 0, "0.85": 0}
    assert report.failed["MUSCLE_NAMES"] == 9
    assert report.failed["PRIMARY_MUSCLE"] == 0
    assert report.failed["PLAIN_TEXT"] == 1
    assert report.failed["DESCRIPTION"] == 873


def test_no_mechanic_is_made_up_for_stretches(exercises: Sequence[Exercise]) -> None:
    enricher = DeterministicEnricher(ReferenceIndex(exercises))
    spec = FieldSpec(path="mechanic")

    assert all(enricher.propose(exercise, spec) is None for exercise in exercises if exercise.category == "mobility")


@pytest.mark.parametrize(
    ("field", "accuracy", "coverage"),
    [
        ("equipment", 0.93, 0.75),
        ("mechanic", 0.87, 0.65),
        ("force", 0.94, 0.70),
        ("level", 0.62, 0.20),
        ("primary_muscles", 0.78, 0.60),
    ],
)
def test_masked_values_are_found_again_better_than_by_the_majority(
    field: str, accuracy: float, coverage: float, exercises: Sequence[Exercise]
) -> None:
    spec = FieldSpec(path=field)
    known = [exercise for exercise in exercises if getattr(exercise, field)]
    hidden = random.Random(11).sample(known, len(known) // 6)
    empty: object = () if spec.many else None
    masked = {exercise.id: exercise.model_copy(update={field: empty}) for exercise in hidden}
    enricher = DeterministicEnricher(ReferenceIndex([masked.get(exercise.id, exercise) for exercise in exercises]))

    proposals = [(exercise, enricher.propose(masked[exercise.id], spec)) for exercise in hidden]
    sure = [(exercise, found) for exercise, found in proposals if found and found.confidence >= DEFAULT_THRESHOLD]
    right = sum(1 for exercise, found in sure if found.value == spec.read(exercise))
    majority = Counter(str(getattr(exercise, field)) for exercise in known).most_common(1)[0][1] / len(known)

    assert len(sure) / len(hidden) >= coverage
    assert right / len(sure) >= accuracy > majority

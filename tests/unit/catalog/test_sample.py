"""The project's own sample: it reads, and it has the kinds of defects that it is there for."""

import json
import re
from collections.abc import Callable

import pytest

from app.catalog.exercise import Exercise
from app.catalog.importer import read_catalog, sample_catalog
from app.catalog.names import contrasts, parse_name
from app.catalog.reviewer.maintenance import FindingCode, scan_families
from tests.unit.catalog.exercises import NOW

RECORDS = json.loads(sample_catalog())
EXERCISES = read_catalog(sample_catalog(), NOW).exercises


def test_it_has_about_150_records_without_image_paths() -> None:
    assert 140 <= len(EXERCISES) == len(RECORDS) <= 180
    assert all("images" not in record for record in RECORDS)


@pytest.mark.parametrize(
    ("kind", "at_least", "has"),
    [
        ("no equipment", 8, lambda record: record["equipment"] is None),
        ("equipment other", 8, lambda record: record["equipment"] == "other"),
        ("no mechanic", 8, lambda record: record["mechanic"] is None),
        ("no force", 4, lambda record: record["force"] is None),
        ("with", 8, lambda record: " with " in record["name"].lower()),
        ("a comma", 5, lambda record: "," in record["name"]),
        ("no instructions", 3, lambda record: not record["instructions"]),
        ("a stretch", 6, lambda record: record["category"] == "stretching"),
        ("cardio", 4, lambda record: record["category"] == "cardio"),
        (
            "a muscle both primary and secondary",
            1,
            lambda record: set(record["primaryMuscles"]) & set(record["secondaryMuscles"]),
        ),
        (
            "parentheses without equipment",
            4,
            lambda record: record["name"].endswith(")") and parse_name(record["name"]).qualifier is None,
        ),
        (
            "equipment in front",
            20,
            lambda record: re.match("Barbell|Dumbbell|Cable|Machine|Kettlebell|Smith|Band|EZ", record["name"]),
        ),
    ],
)
def test_it_has_records_with(kind: str, at_least: int, has: Callable[[dict[str, object]], object]) -> None:
    assert sum(1 for record in RECORDS if has(record)) >= at_least, kind


def test_it_has_doubles_by_spelling() -> None:
    doubles = [
        finding for finding in scan_families(EXERCISES).findings if finding.code is FindingCode.DUPLICATE_EQUIPMENT
    ]

    assert len(doubles) >= 4


def test_it_has_opposite_movements_with_nearly_the_same_text() -> None:
    def words(exercise: Exercise) -> set[str]:
        return set(" ".join(exercise.execution_notes).lower().split())

    pairs = [
        (one, other)
        for number, one in enumerate(EXERCISES)
        for other in EXERCISES[:number]
        if words(one) and len(words(one) & words(other)) > 0.8 * len(words(one) | words(other))
    ]
    opposite = [pair for pair in pairs if contrasts(pair[0].name, pair[1].name)]

    assert len(opposite) >= 5
    assert len(pairs) > len(opposite)

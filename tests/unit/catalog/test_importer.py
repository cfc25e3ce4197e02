"""Catalogue files in and out."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from app.catalog.aliases import Alias
from app.catalog.errors import BadCatalogFile
from app.catalog.exercise import Exercise
from app.catalog.families import Family
from app.catalog.importer import MAX_NAME, read_catalog, write_catalog
from tests.unit.catalog.exercises import FLAWLESS, NOW, changed

RECORD = {
    "id": "Smith_Machine_Squat",
    "name": "Smith Machine Squat",
    "force": "push",
    "level": "expert",
    "mechanic": "compound",
    "equipment": "machine",
    "primaryMuscles": ["middle back"],
    "secondaryMuscles": ["abdominals", "gizzard"],
    "instructions": ["Stand.", "Sit."],
    "category": "powerlifting",
    "images": ["Smith_Machine_Squat/0.jpg"],
}


def upstream(**fields: object) -> dict[str, object]:
    return {**RECORD, **fields}


def read(*records: object) -> tuple[Exercise, ...]:
    return read_catalog(json.dumps(records), NOW).exercises


def read_one(**fields: object) -> Exercise:
    (exercise,) = read(upstream(**fields))
    return exercise


def test_an_upstream_record_becomes_an_exercise_in_canonical_values() -> None:
    exercise = read_one()

    assert exercise.id == exercise.slug == "smith-machine-squat"
    assert exercise.family_slug == "squat"
    assert exercise.equipment == ("smith-machine",)
    assert exercise.level == "advanced"
    assert exercise.primary_muscles == ("upper-back",)
    assert exercise.secondary_muscles == ("abs", "gizzard")
    assert exercise.execution_notes == ("Stand.", "Sit.")
    assert exercise.category is None
    assert exercise.tags == ("powerlifting",)
    assert exercise.source is not None
    assert exercise.source.id == "Smith_Machine_Squat"
    assert exercise.created_at == NOW


def test_image_paths_are_dropped_and_other_unknown_fields_kept() -> None:
    assert read_one(images=["a.jpg"], rating=5).legacy == {"rating": 5}


@pytest.mark.parametrize(
    ("fields", "field", "value"),
    [
        ({"equipment": None}, "equipment", ()),
        ({"equipment": "other"}, "equipment", ()),
        ({"equipment": "foam roll"}, "tags", ("powerlifting", "foam-roll")),
        ({"mechanic": None}, "mechanic", None),
        ({"force": None}, "force", None),
        ({"instructions": []}, "execution_notes", ()),
        ({"category": "stretching"}, "category", "mobility"),
        ({"category": "cardio"}, "tags", ()),
        ({"level": "godlike"}, "level", "godlike"),
        ({"primaryMuscles": ["chest"], "secondaryMuscles": ["chest"]}, "secondary_muscles", ("chest",)),
    ],
)
def test_gaps_and_doubts_in_content_are_taken_as_they_are(fields: dict[str, object], field: str, value: object) -> None:
    assert getattr(read_one(**fields), field) == value


def test_names_that_differ_by_spelling_only_are_both_taken_under_slugs_that_do_not_depend_on_order() -> None:
    one, other = upstream(id="a", name="One-Arm Row"), upstream(id="b", name="One Arm Row")

    result = read_catalog(json.dumps([other, one]), NOW)

    assert {exercise.source.id: exercise.slug for exercise in result.exercises if exercise.source} == {
        "a": "one-arm-row",
        "b": "one-arm-row-2",
    }
    assert [(notice.row, notice.field) for notice in result.notices] == [(1, "name")]


@pytest.mark.parametrize(
    ("records", "row", "field", "told"),
    [
        ([upstream(id=7)], 1, "id", "string"),
        ([upstream(), upstream(id="b", name=None)], 2, "name", "string"),
        ([{"id": "a"}], 1, "name", "add it"),
        ([upstream(name="%%%")], 1, "name", "letter or digit"),
        ([upstream(name="x" * (MAX_NAME + 1))], 1, "name", "shorten"),
        ([upstream(primaryMuscles="chest")], 1, "primaryMuscles", "tuple"),
        ([upstream(instructions=["a", 3])], 1, "instructions.1", "string"),
        ([upstream(equipment=["barbell"])], 1, "equipment", "string"),
        ([upstream(), upstream(name="Other")], 2, "id", "record 1"),
        ([upstream(), "squat"], 2, "", "JSON object"),
        ([upstream(name="a\ud800")], 1, "", "surrogate"),
        ([upstream(rating=float("inf"))], 0, "", "JSON"),
    ],
)
def test_a_structurally_wrong_record_refuses_the_file_by_record_and_field(
    records: list[object], row: int, field: str, told: str
) -> None:
    with pytest.raises(BadCatalogFile) as caught:
        read(*records)

    (problem,) = caught.value.problems
    assert (problem.row, problem.field) == (row, field)
    assert told in str(problem)


def test_every_problem_is_named_in_the_order_of_the_file() -> None:
    records = [upstream(id=1), upstream(), "x", upstream(id="c", name=2, category=3)]

    with pytest.raises(BadCatalogFile) as caught:
        read(*records)

    assert [(problem.row, problem.field) for problem in caught.value.problems] == [
        (1, "id"),
        (3, ""),
        (4, "name"),
        (4, "category"),
    ]
    assert "4 problem(s)" in str(caught.value)


def test_a_long_list_of_problems_is_cut_in_the_message_only() -> None:
    with pytest.raises(BadCatalogFile) as caught:
        read(*range(25))

    assert len(caught.value.problems) == 25
    assert "and 15 more" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "not JSON"),
        ("[{]", "line 1 column"),
        (b"\xff\xfe", "UTF-8"),
        ("[NaN]", "NaN"),
        ("[" * 200_000, "not JSON"),
        ("3", "unknown format"),
        ('{"exercises": []}', "unknown format"),
        ('{"format": "torpor-catalog", "version": 9, "exercises": []}', "version 1"),
        ('{"format": "torpor-catalog", "version": 1}', "list of exercises"),
        ('{"format": "torpor-catalog", "version": 1, "exercises": [{"id": "a"}]}', "slug"),
    ],
)
def test_a_file_that_is_no_catalogue_is_refused(content: str | bytes, told: str) -> None:
    with pytest.raises(BadCatalogFile, match=told):
        read_catalog(content, NOW)


def test_an_empty_catalogue_is_a_catalogue() -> None:
    assert read() == ()


@pytest.mark.parametrize("encode", [str.encode, lambda text: b"\xef\xbb\xbf" + text.encode(), str])
def test_the_export_is_read_back_as_it_was(encode: Callable[[str], str | bytes]) -> None:
    later = NOW + timedelta(days=3)
    exercises = (
        changed(locked_fields=("level",), legacy={"rating": [1, None]}, attributes={"reps": 5}, updated_at=later),
        *read(upstream(name="Élan Squat \N{FACE WITH TEARS OF JOY}")),
    )

    result = read_catalog(encode(write_catalog(exercises)), later)

    assert result.exercises == exercises
    assert result.notices == ()


ALIAS = Alias(id="press", slug="press", exercise_id="bench-press-barbell", created_at=NOW, updated_at=NOW)
FAMILY = Family(slug="press", status="deprecated", merged_into="bench-press", created_at=NOW, updated_at=NOW)


def test_aliases_families_and_what_was_guessed_are_exported_too() -> None:
    enriched = {FLAWLESS.id: frozenset({"plane", "level"})}

    result = read_catalog(write_catalog([FLAWLESS], [ALIAS], [FAMILY], enriched), NOW)

    assert (result.aliases, result.families, result.enriched) == ((ALIAS,), (FAMILY,), enriched)
    older = {"format": "torpor-catalog", "version": 1, "exercises": []}
    assert read_catalog(json.dumps(older), NOW).aliases == ()


@pytest.mark.parametrize(
    ("part", "value", "field"),
    [
        ("aliases", {}, "aliases"),
        ("families", "none", "families"),
        ("aliases", [{"id": "x"}], "slug"),
        ("aliases", [ALIAS.model_dump(mode="json")] * 2, "aliases.id"),
        ("enriched", {"row": "level"}, "enriched"),
    ],
)
def test_of_an_export_every_part_is_checked(part: str, value: object, field: str) -> None:
    content = {**json.loads(write_catalog([FLAWLESS])), part: value}

    with pytest.raises(BadCatalogFile) as caught:
        read_catalog(json.dumps(content), NOW)

    assert field in [problem.field for problem in caught.value.problems]


def test_equal_catalogues_export_equal_bytes() -> None:
    exercises = [FLAWLESS, *read(upstream())]

    assert write_catalog(exercises) == write_catalog(reversed(exercises))


@pytest.mark.parametrize("field", ["id", "slug"])
def test_an_export_with_a_doubled_identity_is_refused(field: str) -> None:
    other = {"id": "other", "slug": "other"} | {field: getattr(FLAWLESS, field)}
    content = json.loads(write_catalog([FLAWLESS]))
    content["exercises"].append(changed(**other).model_dump(mode="json"))

    with pytest.raises(BadCatalogFile) as caught:
        read_catalog(json.dumps(content), NOW)

    assert [(problem.row, problem.field) for problem in caught.value.problems] == [(2, field)]

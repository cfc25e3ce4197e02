"""Canonical values, the synonyms that mean them, and slugs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.taxonomy import load_table, slugify, taxonomy


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("Bench Press", "bench-press"),
        ("  Bench   Press  ", "bench-press"),
        ("3/4 Sit-Up", "3-4-sit-up"),
        ("Farmer's Walk", "farmers-walk"),
        ("Child\N{RIGHT SINGLE QUOTATION MARK}s Pose", "childs-pose"),
        ("Pliè Squat", "plie-squat"),
        ("Straße", "strasse"),
        ("Ærobic", "aerobic"),
        ("Bench\N{EN DASH}Press", "bench-press"),
        ("Curl \N{EM DASH} Seated", "curl-seated"),
        ("Curl (EZ-Bar)", "curl-ez-bar"),
        ("one__arm--row", "one-arm-row"),
        ("%%%", ""),
        ("", ""),
    ],
)
def test_slugs_are_folded_lower_case_words_joined_by_hyphens(text: str, slug: str) -> None:
    assert slugify(text) == slug


@given(st.text())
def test_a_slug_is_its_own_slug_and_holds_nothing_but_words_and_single_hyphens(text: str) -> None:
    slug = slugify(text)

    assert slugify(slug) == slug
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert "--" not in slug
    assert slug == slug.strip("-")


@pytest.mark.parametrize(
    ("field", "upstream", "canonical"),
    [
        ("equipment", "barbell", "barbell"),
        ("equipment", "dumbbell", "dumbbell"),
        ("equipment", "body only", "bodyweight"),
        ("equipment", "cable", "cable"),
        ("equipment", "machine", "machine"),
        ("equipment", "kettlebells", "kettlebell"),
        ("equipment", "bands", "resistance-band"),
        ("equipment", "medicine ball", "medicine-ball"),
        ("equipment", "exercise ball", "stability-ball"),
        ("equipment", "e-z curl bar", "ez-bar"),
        ("equipment", "foam roll", None),
        ("equipment", "other", None),
        ("muscle", "abdominals", "abs"),
        ("muscle", "abductors", "abductors"),
        ("muscle", "adductors", "adductors"),
        ("muscle", "biceps", "biceps"),
        ("muscle", "calves", "calves"),
        ("muscle", "chest", "chest"),
        ("muscle", "forearms", "forearms"),
        ("muscle", "glutes", "glutes"),
        ("muscle", "hamstrings", "hamstrings"),
        ("muscle", "lats", "lats"),
        ("muscle", "lower back", "lower-back"),
        ("muscle", "middle back", "upper-back"),
        ("muscle", "neck", "neck"),
        ("muscle", "quadriceps", "quadriceps"),
        ("muscle", "shoulders", "shoulders"),
        ("muscle", "traps", "traps"),
        ("muscle", "triceps", "triceps"),
        ("category", "stretching", "mobility"),
        ("category", "cardio", "cardio"),
        ("category", "strength", None),
        ("category", "powerlifting", None),
        ("category", "plyometrics", None),
        ("category", "olympic weightlifting", None),
        ("category", "strongman", None),
        ("level", "expert", "advanced"),
        ("force", "static", "static"),
        ("mechanic", "isolation", "isolation"),
    ],
)
def test_upstream_values_mean_a_canonical_one_or_none_on_purpose(
    field: str, upstream: str, canonical: str | None
) -> None:
    assert taxonomy().canonical(field, upstream) == canonical


def test_spelling_case_and_separators_do_not_matter() -> None:
    assert taxonomy().canonical("equipment", "  KETTLE_bell ") == "kettlebell"
    assert taxonomy().canonical("split", "Full Body") == "full_body"
    assert taxonomy().canonical("equipment", None) is None


def test_only_the_exact_spelling_is_canonical() -> None:
    assert taxonomy().is_canonical("split", "full_body")
    assert not taxonomy().is_canonical("split", "full body")
    assert not taxonomy().is_canonical("split", None)


def test_a_field_without_canonical_values_is_an_error() -> None:
    with pytest.raises(KeyError):
        taxonomy().canonical("colour", "red")


@pytest.mark.parametrize("field", sorted(load_table("values")["synonyms"]))
def test_every_synonym_means_a_value_that_exists_and_hides_none(field: str) -> None:
    table = load_table("values")
    canonical = table["canonical"][field]

    for spelling, value in table["synonyms"][field].items():
        assert value in canonical
        assert slugify(spelling) == spelling or spelling == "full_body", "synonyms are written folded"
        assert spelling not in canonical or spelling == value


def test_every_muscle_has_a_group_and_every_group_a_split() -> None:
    values = taxonomy().values

    assert set(taxonomy().group_of_muscle) == set(values["muscle"])
    assert set(taxonomy().group_of_muscle.values()) <= set(values["muscle_group"])
    assert set(taxonomy().split_of_group) == set(values["muscle_group"])
    assert set(taxonomy().split_of_group.values()) == set(values["split"])


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        ("barbell", "barbell", True),
        ("machine", "smith-machine", True),
        ("smith-machine", "machine", True),
        ("barbell", "ez-bar", True),
        ("barbell", "dumbbell", False),
        ("barbell", "smith-machine", False),
        ("machine", "cable", False),
    ],
)
def test_equipment_agrees_if_one_covers_the_other(one: str, other: str, agree: bool) -> None:
    assert taxonomy().compatible(one, other) is agree

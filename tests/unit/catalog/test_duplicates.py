"""Which exercises are compared, what a scan for doubles reports, and how that stands to the labelled real pairs."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest

from app.catalog.exercise import Exercise
from app.catalog.importer import read_catalog
from app.catalog.reviewer.blocking import NAME_WINDOW, RARE, TEXT_WINDOW, WORD_WINDOW, candidates
from app.catalog.reviewer.duplicates import DuplicatePair, scan_duplicates
from app.catalog.reviewer.likeness import Profile, Verdict, compare
from tests.unit.catalog.exercises import NOW, changed, named

TEXT = ("Take the weight with both hands and breathe in.", "Bring it towards you until the elbows are level with it.")
SYLLABLES = ("ba", "dor", "fel", "gan", "hul", "jor", "kim", "lor", "mav", "nox")


def curl(name: str, *, notes: Sequence[str] = TEXT, **fields: object) -> Exercise:
    return named(name, "barbell", execution_notes=notes, primary_muscles=("biceps",), **fields)


def made_up(count: int) -> list[Exercise]:
    """Exercises that have nothing to do with each other."""
    words = [f"{one}{two}{three}".title() for one in SYLLABLES for two in SYLLABLES for three in SYLLABLES]
    return [curl(f"{word} Lift", notes=(f"{word} the weight and {word} it back.",)) for word in words[:count]]


# --- what is compared ---------------------------------------------------------------------------------


def test_the_comparisons_of_one_exercise_do_not_grow_with_the_catalogue() -> None:
    most = NAME_WINDOW + WORD_WINDOW + RARE * TEXT_WINDOW
    alike = [curl(f"{word} Curl") for word in ("Zorb", "Blorp")] + made_up(600)

    for size in (50, 600):
        assert len(list(candidates([Profile(each) for each in alike[:size]]))) <= size * most


def test_each_pair_is_compared_once() -> None:
    profiles = [Profile(each) for each in (*made_up(60), curl("Curl"), curl("Curls", id="curls-2", slug="curls-2"))]

    pairs = list(candidates(profiles))

    assert len(set(pairs)) == len(pairs)
    assert all(one < other < len(profiles) for one, other in pairs)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zorb Curl", "Blorp Row"),  # by their texts
        ("Zorb Hang Curl", "Hang Curl Zorb"),  # by their words in another order
        ("Zorb Curls", "Zorb Curl"),  # by what the names mean
    ],
)
def test_what_is_alike_in_any_way_is_compared(one: str, other: str) -> None:
    notes = TEXT if "Blorp" in other else ()
    others = made_up(300)
    profiles = [Profile(each) for each in (curl(one, notes=notes), *others, curl(other, notes=notes))]

    assert (0, len(profiles) - 1) in set(candidates(profiles))


def test_a_catalogue_of_none_or_one_has_no_pairs() -> None:
    assert list(candidates([])) == []
    assert list(candidates([Profile(curl("Curl"))])) == []


# --- what is reported ---------------------------------------------------------------------------------


def test_the_better_described_one_stays() -> None:
    rich = curl("Curl", description="Bends the elbow against a weight.", use_cases=("Strength",))
    poor = curl("Curls")

    (pair,) = scan_duplicates([poor, rich]).pairs

    assert (pair.source_id, pair.target_id, pair.needs_review) == (poor.id, rich.id, False)
    assert pair.evidence["source"] == "Curls"
    assert pair.evidence["text_similarity"] == 1.0
    assert "barbell" in str(pair.evidence["reasons"])


def test_a_likely_double_needs_a_person() -> None:
    (pair,) = scan_duplicates([curl("Zorb"), curl("Blorp")]).pairs

    assert pair.needs_review


def test_only_active_exercises_are_looked_at() -> None:
    archived = curl("Curls", status="archived")

    report = scan_duplicates([curl("Curl"), archived])

    assert (report.exercises, report.pairs) == (1, ())


def test_of_three_equal_ones_two_are_folded_and_one_stays() -> None:
    three = [curl("Curl"), curl("Curls"), curl("Biceps Curl")]

    merges = [pair for pair in scan_duplicates(three).pairs if not pair.needs_review]

    assert len(merges) == 2
    assert len({pair.source_id for pair in merges}) == 2
    assert not {pair.target_id for pair in merges} & {pair.source_id for pair in merges}


def test_the_report_does_not_depend_on_the_order() -> None:
    exercises = [*made_up(40), curl("Curl"), curl("Curls"), curl("Zorb"), curl("Blorp")]

    assert scan_duplicates(exercises) == scan_duplicates(exercises[::-1])


def test_the_counts_have_every_kind() -> None:
    assert scan_duplicates([]).counts() == {"merge": 0, "review": 0, "mergeable_families": 0}
    assert scan_duplicates([curl("Curl"), curl("Curls")]).counts()["merge"] == 1


def test_families_of_likely_doubles_and_of_slips_of_the_pen_may_be_one() -> None:
    slip = [curl("Zorbanito Wave"), curl("Zorbanitto Wave", id="b", slug="b", notes=())]
    twins = [curl("Blorp", notes=("Quite another text, which only these two share with each other.",) * 3)]
    twins.append(curl("Zorb", notes=twins[0].execution_notes))

    families = scan_duplicates([*slip, *twins]).families

    assert {(found.source_family, found.target_family) for found in families} == {
        ("zorbanito-wave", "zorbanitto-wave"),
        ("blorp", "zorb"),
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Zob Row", "Zeb Row"),  # a letter makes another word in short names
        ("Zorbanito Squat", "Zorbanito"),
        ("Internal Zorbanito", "External Zorbanito"),
        ("Zorbanito 1", "Zorbanito 2"),
    ],
)
def test_families_that_are_set_apart_are_not_one(one: str, other: str) -> None:
    assert scan_duplicates([curl(one, notes=()), curl(other, notes=())]).families == ()


# --- the real records ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exercises(shared_data: Path) -> tuple[Exercise, ...]:
    return read_catalog((shared_data / "exercises" / "free-exercise-db.json").read_bytes(), NOW).exercises


def test_nothing_is_lost_by_not_comparing_everything(exercises: Sequence[Exercise]) -> None:
    profiles = [Profile(exercise) for exercise in exercises]
    everything = {
        frozenset((one.exercise.id, other.exercise.id))
        for one, other in combinations(profiles, 2)
        if compare(one, other).verdict is not Verdict.DIFFERENT
    }
    report = scan_duplicates(exercises)

    assert {frozenset((pair.source_id, pair.target_id)) for pair in report.pairs} == everything
    assert report.compared < len(exercises) * 40


def test_the_real_records_have_doubles_and_the_five_without_text_are_none(exercises: Sequence[Exercise]) -> None:
    names = {exercise.id: exercise.name for exercise in exercises}
    silent = {exercise.id for exercise in exercises if not exercise.execution_notes}
    pairs: tuple[DuplicatePair, ...] = scan_duplicates(exercises).pairs
    merges = {frozenset((names[pair.source_id], names[pair.target_id])) for pair in pairs if not pair.needs_review}

    assert len(silent) == 5
    assert not [pair for pair in pairs if {pair.source_id, pair.target_id} & silent]
    assert frozenset(("Decline Smith Press", "Smith Machine Decline Press")) in merges


def test_a_merged_double_is_not_found_again() -> None:
    target, source = curl("Curl"), curl("Curls")
    merged = changed(**{**source.model_dump(), "status": "merged", "merged_into": target.id})

    assert scan_duplicates([target, merged]).pairs == ()


def test_what_goes_the_other_way_round_is_never_merged_without_a_person() -> None:
    one, other = curl("Cable Woodchop High to Low"), curl("Cable Woodchop Low to High")

    assert all(pair.needs_review for pair in scan_duplicates([one, other]).pairs)

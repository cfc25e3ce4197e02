"""What the project has labelled by hand, and what it says about the shipped detector and the check of names."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.catalog.exercise import Exercise
from app.catalog.importer import read_catalog
from app.catalog.reviewer.duplicates import DuplicatePair, scan_duplicates
from bench.catalog.doubles import Judge, Rate, entered_again, find_made
from bench.catalog.labelled import Half, LabelledPairs, Meaning, labelled_names, labelled_pairs, pair_of
from bench.catalog.masking import mask
from bench.catalog.names import alarms, group, naive_grouping
from bench.catalog.synthetic import synthetic_records
from tests.unit.catalog.exercises import NOW, named

LABELS = labelled_pairs()


@pytest.fixture(scope="module")
def exercises(shared_data: Path) -> tuple[Exercise, ...]:
    return read_catalog((shared_data / "exercises" / "free-exercise-db.json").read_bytes(), NOW).exercises


@pytest.fixture(scope="module")
def judge(exercises: Sequence[Exercise]) -> Judge:
    return Judge(exercises, LABELS)


@pytest.fixture(scope="module")
def found(exercises: Sequence[Exercise]) -> tuple[DuplicatePair, ...]:
    return scan_duplicates(exercises).pairs


def test_no_pair_has_two_labels() -> None:
    assert not LABELS.same & LABELS.different
    assert not LABELS.undecided & (LABELS.same | LABELS.different)
    assert LABELS.opposite <= LABELS.different
    assert len(LABELS.opposite) >= 7


def test_both_halves_have_pairs_of_both_kinds() -> None:
    for half in Half:
        assert len([pair for pair in LABELS.same if pair.half is half]) >= 8
        assert len([pair for pair in LABELS.different if pair.half is half]) >= 200


def test_every_labelled_record_is_there(exercises: Sequence[Exercise]) -> None:
    ids = {exercise.source.id for exercise in exercises if exercise.source is not None}
    names = {exercise.name for exercise in exercises}

    for pair in LABELS.same | LABELS.different | LABELS.undecided:
        assert {pair.one, pair.other} <= ids
    assert {label.name for label in labelled_names()} <= names


def test_no_merge_is_proposed_for_what_is_different_or_undecided(judge: Judge, found: Sequence[DuplicatePair]) -> None:
    merges = {judge.pair(pair) for pair in found if not pair.needs_review}

    assert merges
    assert merges <= LABELS.same


def test_opposite_movements_are_not_even_likely(judge: Judge, found: Sequence[DuplicatePair]) -> None:
    assert judge.opposites(found) == 0


def test_every_finding_has_a_label(judge: Judge, found: Sequence[DuplicatePair]) -> None:
    assert judge.unlabelled(found) == []


def test_a_rate_counts_what_was_found_and_what_was_not() -> None:
    labels = LabelledPairs(
        same=frozenset({pair_of("a", "b"), pair_of("c", "d")}),
        opposite=frozenset({pair_of("e", "f")}),
        different=frozenset({pair_of("e", "f"), pair_of("a", "c")}),
        undecided=frozenset({pair_of("b", "c")}),
    )
    sources = [
        named(name.upper(), source={"catalog": "test", "id": name}, id=name, slug=name, family_slug=name)
        for name in "abcdef"
    ]
    judge = Judge(sources, labels)
    pairs = [
        DuplicatePair(one, other, False, 1.0, {}) for one, other in (("b", "a"), ("f", "e"), ("c", "b"), ("a", "f"))
    ]

    assert judge.rate(pairs) == Rate(right=1, wrong=1, missed=1)
    assert (judge.rate(pairs).precision, judge.rate(pairs).recall) == (0.5, 0.5)
    assert judge.opposites(pairs) == 1
    assert judge.unlabelled(pairs) == [pair_of("a", "f")]
    assert (Rate(0, 0, 0).precision, Rate(0, 0, 0).recall) == (1.0, 1.0)


def test_records_that_are_entered_again_are_found(exercises: Sequence[Exercise]) -> None:
    made = find_made(exercises, seed=7)

    assert made.merged >= 0.95 * made.made
    assert made.wrong_merges == 0


def test_entering_again_changes_the_record_and_not_what_it_is(exercises: Sequence[Exercise]) -> None:
    exercise = next(each for each in exercises if each.name == "One-Arm Dumbbell Row")
    again = entered_again(exercise, random.Random(1))

    assert again.name != exercise.name
    assert len(again.execution_notes) == len(exercise.execution_notes) - 1
    assert again.primary_muscles == exercise.primary_muscles


def test_names_raise_no_false_alarm() -> None:
    labels = labelled_names()
    seen = alarms(labels)

    assert seen.names == 100
    assert seen.false_alarms == 0
    assert seen.missed == 0
    assert seen.filled == seen.to_fill == sum(label.meaning is Meaning.FILLS for label in labels)


def test_families_have_no_equipment_and_no_doubled_word(exercises: Sequence[Exercise]) -> None:
    read, naive = group(exercises), naive_grouping(exercises)

    assert (read.equipment_left, read.doubled_words) == (0, 0)
    assert naive.equipment_left > 100
    assert naive.doubled_words > 30


def test_masking_counts_only_what_was_masked(exercises: Sequence[Exercise]) -> None:
    found = mask(exercises, "force", seed=1)
    known = sum(exercise.force is not None for exercise in exercises)

    assert found.masked == round(0.2 * known)
    assert 0 < found.right <= found.proposed <= found.masked
    assert found.right_by_majority_of_proposed <= found.right_by_majority < found.right


def test_made_up_catalogues_are_the_same_for_the_same_size() -> None:
    records = list(synthetic_records(300))

    assert records == list(synthetic_records(300))
    assert len({record["id"] for record in records}) == 300

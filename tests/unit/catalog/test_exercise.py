"""The record: what it refuses, what is locked, how a new one is made."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.catalog.exercise import ALWAYS_LOCKED, Exercise, ExerciseStatus, free_slug, new_exercise
from tests.unit.catalog.exercises import FLAWLESS, NOW, changed


def test_a_new_exercise_takes_slug_and_family_from_its_name() -> None:
    exercise = new_exercise("Close-Grip Bench Press (Barbell)", NOW, equipment=("barbell",))

    assert exercise.id == exercise.slug == "close-grip-bench-press-barbell"
    assert exercise.family_slug == "bench-press"
    assert exercise.primary_equipment == "barbell"
    assert exercise.status is ExerciseStatus.ACTIVE
    assert (exercise.created_at, exercise.updated_at) == (NOW, NOW)


def test_recorded_equipment_decides_what_with_bands_means() -> None:
    added = new_exercise("Curl with Bands", NOW, equipment=("barbell",))
    alone = new_exercise("Curl with Bands", NOW, equipment=("resistance-band",))

    assert added.family_slug == alone.family_slug == "biceps-curl"


def test_a_taken_slug_gets_a_number() -> None:
    assert new_exercise("Push Up", NOW, taken={"push-up"}).slug == "push-up-2"
    assert free_slug("push-up", ["push-up", "push-up-2"]) == "push-up-3"
    assert free_slug("push-up", []) == "push-up"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"slug": "Bench Press"}, "'bench-press'"),
        ({"id": ""}, "at least 1 character"),
        ({"name": ""}, "at least 1 character"),
        ({"name": "x" * 201}, "at most 200"),
        ({"status": "merged"}, "merged_into"),
        ({"merged_into": "squat"}, "merged_into"),
        ({"status": "merged", "merged_into": "bench-press"}, "into itself"),
        ({"updated_at": NOW - timedelta(seconds=1)}, "before created_at"),
        ({"created_at": datetime(2026, 1, 1)}, "timezone"),  # noqa: DTZ001  # a naive time is the bad input here
        ({"colour": "red"}, "not permitted"),
        ({"equipment": "barbell"}, "valid tuple"),
        ({"status": "gone"}, "archived"),
    ],
)
def test_what_no_exercise_can_be_is_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        changed(**fields)


def test_content_may_hold_whatever_was_imported() -> None:
    exercise = changed(category="strength", primary_muscles=("gizzard",), equipment=(), execution_notes=())

    assert exercise.category == "strength"
    assert exercise.primary_equipment is None


def test_times_are_kept_in_utc() -> None:
    exercise = changed(updated_at=NOW.astimezone(timezone(timedelta(hours=5))))

    assert exercise.updated_at == NOW
    assert exercise.updated_at.tzinfo is UTC


@pytest.mark.parametrize("field", sorted(ALWAYS_LOCKED))
def test_identity_status_and_times_are_always_locked(field: str) -> None:
    assert field in Exercise.model_fields
    assert FLAWLESS.is_locked(field)


def test_a_field_may_be_locked_one_by_one() -> None:
    exercise = changed(locked_fields=("level", "attributes", "level"))

    assert exercise.locked_fields == ("attributes", "level")
    assert exercise.is_locked("level")
    assert exercise.is_locked("attributes.tempo")
    assert not exercise.is_locked("category")
    assert not FLAWLESS.is_locked("level")


TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=3).map(tuple)


@given(
    notes=TEXTS,
    muscles=TEXTS,
    description=st.text(st.characters(codec="utf-8")),
    attributes=st.dictionaries(
        st.text(st.characters(codec="utf-8")),
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    ),
)
def test_json_keeps_every_field(
    notes: tuple[str, ...], muscles: tuple[str, ...], description: str, attributes: dict[str, object]
) -> None:
    exercise = changed(execution_notes=notes, primary_muscles=muscles, description=description, attributes=attributes)

    assert Exercise.model_validate_json(exercise.model_dump_json()) == exercise

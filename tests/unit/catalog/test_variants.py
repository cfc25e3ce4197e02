"""The place of an exercise in its family."""

import pytest

from app.catalog.variants import (
    Variant,
    carries_equipment,
    family_equipment,
    lacks_qualifier,
    qualified_name,
    variant_of,
)
from tests.unit.catalog.exercises import named

TWO = frozenset({"barbell", "dumbbell"})


@pytest.mark.parametrize(
    ("name", "equipment", "variant"),
    [
        ("Bench Press", ("barbell",), Variant("barbell", ())),
        ("Close-Grip Barbell Bench Press", ("barbell",), Variant("barbell", ("close-grip",))),
        ("Bench Press (Dumbbell)", ("dumbbell", "barbell"), Variant("dumbbell", ())),
        ("Bench Press", (), None),
        ("Smith Incline Shoulder Raise", ("barbell",), None),
    ],
)
def test_the_place_is_the_equipment_and_the_modifiers(
    name: str, equipment: tuple[str, ...], variant: Variant | None
) -> None:
    assert variant_of(named(name, *equipment)) == variant


@pytest.mark.parametrize(
    ("name", "equipment", "carries", "lacks"),
    [
        ("Bench Press (Barbell)", ("barbell",), True, False),
        ("Barbell Bench Press", ("barbell",), False, True),
        ("Bench Press (Dumbbell)", ("barbell",), False, False),
        ("Bench Press", (), True, False),
    ],
)
def test_a_name_lacks_only_equipment_that_is_known(
    name: str, equipment: tuple[str, ...], carries: bool, lacks: bool
) -> None:
    exercise = named(name, *equipment)

    assert carries_equipment(exercise) is carries
    assert lacks_qualifier(exercise, TWO) is lacks
    assert not lacks_qualifier(exercise, frozenset({"barbell"}))


def test_a_family_has_the_equipment_of_its_active_exercises() -> None:
    family = [named("Row", "barbell"), named("Row", "cable", status="archived"), named("Sled Row")]

    assert family_equipment(family) == {"barbell"}


def test_a_qualified_name_is_its_own() -> None:
    once = qualified_name(named("One Arm DB Row", "dumbbell"))

    assert once == "Single-Arm Row (Dumbbell)"
    assert qualified_name(named(once, "dumbbell")) == once

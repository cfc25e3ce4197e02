"""What sets the exercises of one family apart: equipment and modifiers.

The rule of the taxonomy: one exercise per equipment per family, and where a family has more than one equipment every
name carries its own. Modifiers set variants apart: a close-grip and a wide-grip bench press with a barbell are two
exercises of one family; only equal modifiers and equipment make a double.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.catalog.exercise import Exercise, ExerciseStatus
from app.catalog.names import canonical_name, equipment_conflict, parse_name


@dataclass(frozen=True, slots=True, order=True)
class Variant:
    """One place in a family, which one active exercise may have."""

    equipment: str
    modifiers: tuple[str, ...]


def variant_of(exercise: Exercise) -> Variant | None:
    """The place of an exercise in its family.

    Returns:
        None if its equipment is not known, or its name gives another one than its record: then nothing can be said.
    """
    if exercise.primary_equipment is None or equipment_conflict(exercise.name, exercise.equipment):
        return None
    parsed = parse_name(exercise.name, exercise.equipment)
    return Variant(exercise.primary_equipment, parsed.modifiers)


def family_equipment(exercises: Iterable[Exercise]) -> frozenset[str]:
    """The primary equipment of the active exercises among those given."""
    return frozenset(
        each.primary_equipment
        for each in exercises
        if each.status is ExerciseStatus.ACTIVE and each.primary_equipment is not None
    )


def carries_equipment(exercise: Exercise) -> bool:
    """Whether the name closes with the exercise's own equipment in parentheses."""
    return parse_name(exercise.name, exercise.equipment).qualifier == exercise.primary_equipment


def lacks_qualifier(exercise: Exercise, equipment: frozenset[str]) -> bool:
    """Whether the name has to carry its equipment, and does not.

    Args:
        exercise: one whose equipment is not known, or contradicts the name, has none that it could carry.
        equipment: that of its family.
    """
    return len(equipment) > 1 and variant_of(exercise) is not None and not carries_equipment(exercise)


def qualified_name(exercise: Exercise) -> str:
    """The name as "[Modifier] Base (Equipment)"."""
    return canonical_name(exercise.name, exercise.equipment)


def double_of(changed: Exercise, members: Iterable[Exercise]) -> Exercise | None:
    """Who is in the way of an exercise that gets this equipment.

    Args:
        changed: with the equipment.
        members: the active exercises of its family, as they are.

    Returns:
        One that has its place already; or, if it would bring the family its second kind of equipment, one of two that
        share a place and so could not both get a name that carries their own. None if nobody is in the way.
    """
    others = [each for each in members if each.id != changed.id]
    variant = variant_of(changed)
    seats: dict[Variant, Exercise] = {}
    doubles: list[Exercise] = []
    for each in others:
        seat = variant_of(each)
        if seat is None:
            continue
        if seat == variant:
            return each
        if seat in seats:
            doubles += [seats[seat], each]
        seats.setdefault(seat, each)
    is_second = len(family_equipment(others)) < 2 <= len(family_equipment([*others, changed]))
    unnamed = (each for each in doubles if not carries_equipment(each))
    return next(unnamed, None) if is_second else None

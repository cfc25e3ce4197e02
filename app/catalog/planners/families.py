"""What planners ask about families, and the operations that several of them need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from app.catalog.aliases import alias_id
from app.catalog.exercise import Exercise
from app.catalog.planners.refusal import no_family
from app.catalog.plans import MAX_TARGETS, Operation, Risk, Snapshot, reassign_family, rename_exercise
from app.catalog.taxonomy import slugify
from app.catalog.variants import Variant, family_equipment, lacks_qualifier, qualified_name, variant_of


def moved_to(snapshot: Snapshot, slug: str) -> str | None:
    """The family that the alias of a family leads to; None if it has no alias."""
    alias = snapshot.aliases.get(alias_id(slug, family=True))
    return None if alias is None else alias.family_slug


def members_of(snapshot: Snapshot, slug: str) -> tuple[Exercise, ...]:
    """The active exercises of a family.

    Raises:
        CannotPlan: `FAMILY_NOT_FOUND`, it has none.
    """
    found = snapshot.members(slug)
    if not found:
        raise no_family(slug, moved_to(snapshot, slug))
    return found


def occupied(exercises: Iterable[Exercise]) -> dict[Variant, Exercise]:
    """Who has which place in a family; of doubles, the one with the smallest id."""
    found: dict[Variant, Exercise] = {}
    for exercise in sorted(exercises, key=lambda each: each.id):
        variant = variant_of(exercise)
        if variant is not None:
            found.setdefault(variant, exercise)
    return found


def split_by_room(
    exercises: Iterable[Exercise], target: Iterable[Exercise]
) -> tuple[list[Exercise], list[tuple[Exercise, str]]]:
    """Which exercises a family has room for: those whose equipment, with these modifiers, it lacks.

    Returns:
        Those that can move, and the others each with the reason.
    """
    taken = {variant: exercise.name for variant, exercise in occupied(target).items()}
    fit: list[Exercise] = []
    rest: list[tuple[Exercise, str]] = []
    for exercise in exercises:
        variant = variant_of(exercise)
        if variant is None:
            rest.append((exercise, "its equipment is not known, or its name gives another one than its record"))
        elif variant in taken:
            rest.append((exercise, f"{taken[variant]!r} has its equipment and modifiers"))
        else:
            taken[variant] = exercise.name
            fit.append(exercise)
    return fit, rest


def moves(exercises: Sequence[Exercise], family_slug: str, rationale: str) -> list[Operation]:
    """Operations that bring exercises into a family, at a high risk."""
    ids = iter([exercise.id for exercise in exercises])
    operations = []
    while part := list(islice(ids, MAX_TARGETS)):
        operations.append(reassign_family(part, family_slug, rationale=rationale, risk=Risk.HIGH))
    return operations


def qualifications(
    members: Iterable[Exercise], snapshot: Snapshot, *, rationale: str, equipment: frozenset[str] | None = None
) -> tuple[list[Operation], list[tuple[Exercise, str]]]:
    """Renames after which every name of a family of several kinds of equipment carries its own.

    Args:
        members: the family as it will be.
        snapshot: its aliases tell which slugs were given up.
        rationale: why.
        equipment: that of the whole family, if `members` is not all of it.

    Returns:
        The renames, and the exercises whose new name another one has or would get, each with the reason.
    """
    family = sorted(members, key=lambda each: each.id)
    kinds = family_equipment(family) if equipment is None else equipment
    doubles = _doubles(family)
    names = {slugify(each.name): each for each in family} | {each.slug: each for each in family}
    operations: list[Operation] = []
    rest: list[tuple[Exercise, str]] = []
    for exercise in family:
        if not lacks_qualifier(exercise, kinds):
            continue
        name = qualified_name(exercise)
        owner = names.get(slugify(name), exercise)
        if exercise.id in doubles:
            rest.append(
                (exercise, f"{doubles[exercise.id]!r} has its equipment and modifiers; merge one of them first")
            )
        elif owner.id != exercise.id:
            rest.append((exercise, f"{owner.name!r} has the name {name!r}"))
        else:
            names[slugify(name)] = exercise
            operations.append(rename_exercise(exercise, name, aliases=snapshot.aliases, rationale=rationale))
    return operations, rest


def _doubles(family: Sequence[Exercise]) -> dict[str, str]:
    """For each exercise that has a double, the name of that."""
    seats: dict[Variant, list[Exercise]] = {}
    for exercise in family:
        variant = variant_of(exercise)
        if variant is not None:
            seats.setdefault(variant, []).append(exercise)
    return {
        exercise.id: next(other.name for other in doubles if other.id != exercise.id)
        for doubles in seats.values()
        if len(doubles) > 1
        for exercise in doubles
    }

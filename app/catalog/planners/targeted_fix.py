"""`targeted_fix`: one change of one exercise, as somebody asked for it."""

from __future__ import annotations

from app.catalog.exercise import Exercise
from app.catalog.names import canonical_name, exact_equipment, parse_name
from app.catalog.payloads import FixAction, TargetedFix
from app.catalog.planners.families import moved_to, qualifications
from app.catalog.planners.refusal import no_exercise
from app.catalog.plans import (
    ChangePlan,
    Operation,
    Snapshot,
    Touches,
    deprecate_exercise,
    exercise_target,
    make_plan,
    no_change,
    patch_exercises,
    reassign_family,
    rename_exercise,
)
from app.catalog.taxonomy import slugify
from app.catalog.variants import carries_equipment, family_equipment

TYPE = "targeted_fix"


def needs(payload: TargetedFix, snapshot: Snapshot) -> Touches:
    """The exercise, its family, the one that it would belong to, and whoever has the slug that it would get."""
    wanted = Touches.of(
        exercises=[payload.exercise_id], families_of=[payload.exercise_id], aliases_of=[payload.exercise_id]
    )
    exercise = snapshot.exercises.get(payload.exercise_id)
    if exercise is None or payload.action in (FixAction.ARCHIVE, FixAction.PATCH):
        return wanted
    base = _base(payload, exercise)
    return wanted | Touches.of(
        families=[base, moved_to(snapshot, base) or base],
        slugs=[slugify(_name(payload, exercise, snapshot))],
    )


def build(payload: TargetedFix, snapshot: Snapshot) -> ChangePlan:
    """The operations that make the change; none if it is as asked for already.

    Raises:
        CannotPlan: `EXERCISE_NOT_FOUND`.
    """
    exercise = snapshot.exercises.get(payload.exercise_id)
    if exercise is None:
        raise no_exercise(payload.exercise_id)
    match payload.action:
        case FixAction.ARCHIVE:
            operations = _archive(payload, exercise)
        case FixAction.PATCH:
            operations = [patch_exercises([exercise.id], payload.patch, rationale=_why(payload))]
        case _:
            operations = _identity(payload, exercise, snapshot)
    return make_plan(TYPE, operations, scope=[exercise.family_slug, exercise.id])


def _why(payload: TargetedFix) -> str:
    return payload.reason or f"{payload.action} was asked for"


def _archive(payload: TargetedFix, exercise: Exercise) -> list[Operation]:
    if exercise.status == "archived":
        return []
    return [deprecate_exercise(exercise.id, "archived", rationale=_why(payload))]


def _equipment(payload: TargetedFix, exercise: Exercise) -> tuple[str, ...]:
    if payload.action is FixAction.RENAME:
        return exercise.equipment
    named = parse_name(exercise.name, exercise.equipment).equipment
    return payload.equipment or named or exact_equipment(exercise.name, exercise.equipment)


def _base(payload: TargetedFix, exercise: Exercise) -> str:
    return parse_name(payload.name or exercise.name, _equipment(payload, exercise)).family_slug


def _family(payload: TargetedFix, exercise: Exercise, snapshot: Snapshot) -> str:
    """Where it belongs: its family, unless the change of its name or equipment changes what that is called by."""
    base = _base(payload, exercise)
    if base == parse_name(exercise.name, exercise.equipment).family_slug and payload.action is FixAction.RENAME:
        return exercise.family_slug
    return moved_to(snapshot, base) or base


def _name(payload: TargetedFix, exercise: Exercise, snapshot: Snapshot) -> str:
    if payload.action is FixAction.RENAME:
        return payload.name or exercise.name
    equipment = _equipment(payload, exercise)
    others = [each for each in snapshot.members(_family(payload, exercise, snapshot)) if each.id != exercise.id]
    several = len(family_equipment(others) | set(equipment[:1])) > 1
    return canonical_name(exercise.name, equipment, qualified=several or carries_equipment(exercise))


def _identity(payload: TargetedFix, exercise: Exercise, snapshot: Snapshot) -> list[Operation]:
    why = _why(payload)
    equipment, name = _equipment(payload, exercise), _name(payload, exercise, snapshot)
    family = _family(payload, exercise, snapshot)
    operations: list[Operation] = []
    if equipment != exercise.equipment:
        operations.append(patch_exercises([exercise.id], {"equipment": list(equipment)}, rationale=why))
    if family != exercise.family_slug:
        operations.append(reassign_family([exercise.id], family, rationale=why))
    if name != exercise.name:
        operations.append(rename_exercise(exercise, name, aliases=snapshot.aliases, rationale=why))
    others = [each for each in snapshot.members(family) if each.id != exercise.id]
    kinds = family_equipment(others) | set(equipment[:1])
    if operations and len(kinds) > 1:
        renames, rest = qualifications(
            others, snapshot, rationale=f"with it {family} has {', '.join(sorted(kinds))}", equipment=kinds
        )
        stay = [no_change([exercise_target(each.id)], f"{each.name!r} stays: {reason}") for each, reason in rest]
        operations += [*renames, *stay]
    return operations

"""Rules about families and merges. What was wrong before and stays so is not the plan's fault."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from app.catalog.exercise import Exercise
from app.catalog.families import FamilyStatus
from app.catalog.names import contrasts
from app.catalog.plans.building import rename_exercise
from app.catalog.plans.finding import Finding
from app.catalog.plans.fix import Fix
from app.catalog.plans.operation import OperationKind
from app.catalog.plans.snapshot import Snapshot
from app.catalog.plans.validators.case import Case, Step, adding, error, removing, setting, warning
from app.catalog.taxonomy import slugify
from app.catalog.variants import Variant, family_equipment, lacks_qualifier, qualified_name, variant_of


def check_variants(case: Case) -> Iterator[Finding]:
    """No family gets two exercises of the same equipment and modifiers."""
    for slug in case.touched_families():
        before, after = _variants(case.before, slug), _variants(case.after, slug)
        for variant, ids in after.items():
            if len(ids) < 2 or ids <= before.get(variant, frozenset()):
                continue
            new = ids - before.get(variant, frozenset())
            step = case.last_of(new)
            if step is None:
                continue
            told = ", ".join((variant.equipment, *variant.modifiers))
            message = f"{', '.join(sorted(ids))} would all be the {told} variant of {slug!r}"
            if step.kind is OperationKind.REASSIGN_FAMILY:
                fix: Fix | None = _without(step, new, f"{slug} has that variant")
                remedy = "leave it where it is, or merge the two"
                yield error(step.operation, "MERGE_CONFLICT", "targets", f"{message}; {remedy}", fix)
            else:
                fix = removing(step.operation, "the variant is there")
                remedy = "merge them, or tell them apart by a modifier"
                yield error(step.operation, "DUPLICATE_EQUIPMENT_VARIANT", "patch", f"{message}; {remedy}", fix)


def check_qualifiers(case: Case) -> Iterator[Finding]:
    """Where a family has more than one equipment afterwards, every name carries its own."""
    for slug in case.touched_families():
        lacked = {exercise.id for exercise in _lacking(case.before, slug)}
        for exercise in _lacking(case.after, slug):
            if exercise.id in lacked and case.before.exercises[exercise.id].family_slug == slug:
                continue
            step = case.last_of(each.id for each in case.after.members(slug))
            if step is not None:
                name = qualified_name(exercise)
                message = f"{exercise.name!r} in {slug!r} does not say its equipment; call it {name!r}"
                fix = _renaming(case, step, exercise, name)
                yield error(step.operation, "MISSING_QUALIFIER", "targets", message, fix)


def check_closed_families(case: Case) -> Iterator[Finding]:
    """A family is closed only when it is empty, and nothing is put into a closed one."""
    for step in case.steps:
        if step.kind is OperationKind.DEPRECATE_FAMILY and step.problem is None:
            for slug in step.operation.family_slugs():
                members = case.after.members(slug)
                if members:
                    names = ", ".join(each.id for each in members[:5])
                    message = f"family {slug!r} still has {len(members)} exercise(s): {names}; move them first"
                    yield error(
                        step.operation,
                        "FAMILY_NOT_EMPTY",
                        "targets",
                        message,
                        removing(step.operation, f"{slug} is not empty"),
                    )
        if step.kind not in (OperationKind.REASSIGN_FAMILY, OperationKind.CREATE_EXERCISE):
            continue
        slug = str(step.operation.patch.get("family_slug"))
        entry = case.after.families.get(slug)
        if step.changes and entry is not None and entry.status is FamilyStatus.DEPRECATED:
            message = f"family {slug!r} is closed; take {entry.merged_into or 'another'!r}"
            fix_to = entry.merged_into
            fix = setting(step.operation, {"patch.family_slug": fix_to}, f"{slug} was merged") if fix_to else None
            yield error(step.operation, "FAMILY_CLOSED", "patch.family_slug", message, fix)


def check_merges(case: Case) -> Iterator[Finding]:
    """However alike two texts are, opposite movements are never merged."""
    for step in case.steps:
        if step.kind is not OperationKind.MERGE_EXERCISE or step.problem is not None:
            continue
        ids = step.operation.exercise_ids()
        into = step.before.exercises.get(str(step.operation.patch.get("merged_into")))
        for source in (step.before.exercises.get(each) for each in ids):
            if source is None or into is None or source.id == into.id:
                continue
            opposite = contrasts(source.name, into.name)
            if opposite:
                one, other = opposite[0]
                message = (
                    f"{source.name!r} and {into.name!r} differ in {one} and {other}: opposite movements stay apart"
                )
                yield error(step.operation, "CONTRASTING_NAMES", "targets", message)
            elif source.equipment and into.equipment and source.equipment[0] != into.equipment[0]:
                message = f"{source.id!r} is done with {source.equipment[0]}, {into.id!r} with {into.equipment[0]}"
                yield warning(step.operation, "DIFFERENT_EQUIPMENT", "targets", message)


def _variants(snapshot: Snapshot, slug: str) -> dict[Variant, frozenset[str]]:
    found: dict[Variant, frozenset[str]] = {}
    for exercise in snapshot.members(slug):
        variant = variant_of(exercise)
        if variant is not None:
            found[variant] = found.get(variant, frozenset()) | {exercise.id}
    return found


def _lacking(snapshot: Snapshot, slug: str) -> list[Exercise]:
    members = snapshot.members(slug)
    equipment = family_equipment(members)
    return [exercise for exercise in members if lacks_qualifier(exercise, equipment)]


def _without(step: Step, ids: frozenset[str], reason: str) -> Fix:
    """Leave these exercises where they are."""
    left = [str(target) for target in step.operation.targets if target.id not in ids]
    return setting(step.operation, {"targets": [*left]}, reason) if left else removing(step.operation, reason)


def _renaming(case: Case, step: Step, exercise: Exercise, name: str) -> Fix:
    """Give the exercise the name that it lacks: by the operation that renames it, or by one more."""
    own = next(
        (
            each
            for each in reversed(case.steps)
            if each.kind is OperationKind.RENAME_EXERCISE and exercise.id in each.operation.exercise_ids()
        ),
        None,
    )
    if own is None:
        why = "its family has several kinds of equipment"
        new = rename_exercise(exercise, name, aliases=case.after.aliases, rationale=why)
        return adding(step.operation, new, why)
    before = own.before.exercises[exercise.id]
    right = rename_exercise(before, name, aliases=own.before.aliases)
    values: dict[str, JsonValue] = {
        "patch.name": name,
        "patch.slug": slugify(name),
        "targets": [*map(str, right.targets)],
    }
    return setting(own.operation, values, "its family has several kinds of equipment")

"""Rules about slugs and aliases in the whole catalogue."""

from __future__ import annotations

from collections.abc import Iterator

from app.catalog.aliases import Alias
from app.catalog.exercise import Exercise, ExerciseStatus
from app.catalog.families import FamilyStatus
from app.catalog.plans.building import upsert_alias
from app.catalog.plans.finding import Finding
from app.catalog.plans.fix import Fix
from app.catalog.plans.operation import OperationKind, alias_target
from app.catalog.plans.snapshot import Snapshot
from app.catalog.plans.validators.case import Case, Step, adding, error, removing, setting

_GIVING_SLUGS = (OperationKind.RENAME_EXERCISE, OperationKind.CREATE_EXERCISE)


def check_slugs_are_free(case: Case) -> Iterator[Finding]:
    """No operation gives a slug that something else has, as its slug or as its alias."""
    for step in case.steps:
        if step.kind not in _GIVING_SLUGS:
            continue
        for exercise in step.exercises_after():
            others = [each for each in case.after.with_slug(exercise.slug) if each.id != exercise.id]
            if others:
                message = f"{others[0].id!r} has the slug {exercise.slug!r}; take another, or merge the two"
                yield error(step.operation, "SLUG_TAKEN", "patch.slug", message, _left_out(step))
            alias = case.after.aliases.get(exercise.slug)
            if alias is not None and alias.exercise_id != exercise.id:
                message = (
                    f"{exercise.slug!r} is an alias of {_target(alias)}; take another slug, or the alias away first"
                )
                yield error(step.operation, "ALIAS_TAKEN", "patch.slug", message, _left_out(step))


def check_aliases(case: Case) -> Iterator[Finding]:
    """An alias has one target, which is there, and is taken over from nothing that still stands."""
    for step in case.steps:
        if step.kind is not OperationKind.UPSERT_ALIAS:
            continue
        for alias in step.changes.values():
            if isinstance(alias, Alias):
                yield from _check_alias(case, step, alias)


def check_left_aliases(case: Case) -> Iterator[Finding]:
    """No alias that the plan leaves alone leads to a family that it empties."""
    changed = {target for step in case.steps for target in step.changes}
    for alias in case.after.aliases.values():
        slug = alias.family_slug or ""
        if alias_target(alias.id) in changed or not stands(alias, case.before) or stands(alias, case.after):
            continue
        step = _emptying(case, slug)
        if step is not None:
            entry = case.after.families.get(slug)
            into = entry.merged_into if entry is not None else None
            message = f"the alias {alias.id!r} leads to family {slug!r}, which the plan empties; let it lead on"
            why = f"{slug} is empty then"
            new = upsert_alias(alias.slug, family_slug=into, reason=alias.reason, rationale=why) if into else None
            fix = adding(case.steps[-1].operation, new, why) if new is not None else None
            yield error(step.operation, "ORPHANED_ALIAS", f"targets of {alias.id}", message, fix)


def _emptying(case: Case, family_slug: str) -> Step | None:
    """The last step that takes exercises out of a family, or closes it."""
    gone = [each.id for each in case.before.members(family_slug)]
    closing = (step for step in reversed(case.steps) if family_slug in step.operation.family_slugs())
    return next(closing, None) or case.last_of(gone)


def _check_alias(case: Case, step: Step, alias: Alias) -> Iterator[Finding]:
    operation = step.operation
    if not stands(alias, case.after):
        into = case.after.exercises.get(alias.exercise_id or "")
        message = f"the alias {alias.id!r} would lead to {_target(alias)}, which is not there or was merged"
        fix = (
            setting(operation, {"patch.exercise_id": into.merged_into}, f"{into.id} was merged")
            if into is not None and into.merged_into is not None
            else removing(operation, "it leads nowhere")
        )
        yield error(operation, "ALIAS_TARGET_MISSING", "patch", message, fix)
    holder = _holder(case.after, alias)
    if holder is not None:
        message = f"the alias {alias.id!r} is the slug of {holder}, which is in use; leave it out"
        yield error(operation, "ALIAS_COLLISION", "targets", message, removing(operation, f"{holder} has that slug"))
    old = step.before.aliases.get(alias.id)
    if old is not None and _target(old) != _target(alias) and stands(old, case.after):
        message = f"the alias {alias.id!r} leads to {_target(old)}; delete it first if that is wrong"
        fix = removing(operation, f"it leads to {_target(old)}")
        yield error(operation, "ALIAS_TAKEN", "targets", message, fix)


def stands(alias: Alias, snapshot: Snapshot) -> bool:
    """Whether an alias has one target, and that is there. A family is there if it has exercises, or an active entry."""
    if (alias.exercise_id is None) == (alias.family_slug is None):
        return False
    if alias.exercise_id is not None:
        exercise = snapshot.exercises.get(alias.exercise_id)
        return exercise is not None and exercise.status is not ExerciseStatus.MERGED
    entry = snapshot.families.get(alias.family_slug or "")
    is_open = entry is not None and entry.status is FamilyStatus.ACTIVE
    return is_open or bool(snapshot.members(alias.family_slug or ""))


def _holder(snapshot: Snapshot, alias: Alias) -> str | None:
    """Who is called by the alias's slug, and in use."""
    if alias.space == "family":
        return f"family/{alias.slug}" if snapshot.members(alias.slug) else None
    held = (each for each in snapshot.with_slug(alias.slug) if each.status is not ExerciseStatus.MERGED)
    first: Exercise | None = next(held, None)
    return None if first is None else f"exercise/{first.id}"


def _target(alias: Alias) -> str:
    parts = [f"exercise/{alias.exercise_id}" if alias.exercise_id else "", f"family/{alias.family_slug}"]
    return " and ".join(part for part in parts if part and not part.endswith("/None")) or "nothing"


def _left_out(step: Step) -> Fix | None:
    """A rename can wait until the slug is free; nothing can be created instead of what was asked for."""
    if step.kind is not OperationKind.RENAME_EXERCISE:
        return None
    return removing(step.operation, "the slug is not free")

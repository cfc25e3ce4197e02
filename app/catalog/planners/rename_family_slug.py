"""`family_rename_slug`: all exercises of a family move under another slug, and the old one leads there."""

from __future__ import annotations

from app.catalog.aliases import alias_id
from app.catalog.exercise import Exercise
from app.catalog.payloads import FamilyRenameSlug
from app.catalog.planners.closing import close_family
from app.catalog.planners.families import moved_to, moves
from app.catalog.planners.refusal import CannotPlan, no_family
from app.catalog.plans import ChangePlan, Operation, Snapshot, Touches, delete_alias, make_plan, update_registry

TYPE = "family_rename_slug"


def needs(payload: FamilyRenameSlug, snapshot: Snapshot) -> Touches:
    """Both slugs, whatever leads to the old one, and what the new one leads to."""
    return Touches.of(families=[payload.family_slug, payload.new_slug])


def build(payload: FamilyRenameSlug, snapshot: Snapshot) -> ChangePlan:
    """Moves of every exercise of the family, archived ones too, and an alias.

    Raises:
        CannotPlan: `FAMILY_NOT_FOUND`; `FAMILY_SLUG_TAKEN`, the new slug is that of a family, or an old one of another.
    """
    old, new = payload.family_slug, payload.new_slug
    there = [each for each in snapshot.exercises.values() if each.family_slug == old]
    leaving = sorted(there, key=lambda each: each.id)
    if not leaving and moved_to(snapshot, old) == new:
        return make_plan(TYPE, [], scope=[old, new], assumptions=[f"{old!r} is called {new!r} already"])
    if not leaving:
        raise no_family(old, moved_to(snapshot, old))
    taken = [each for each in snapshot.exercises.values() if each.family_slug == new]
    if taken:
        raise CannotPlan("FAMILY_SLUG_TAKEN", f"{new!r} is a family already; merge {old!r} into it instead")
    operations = [*_free(snapshot, old, new), *_entry(snapshot, old, new), *_moves(leaving, old, new)]
    operations += close_family(snapshot, old, new, rationale=f"the family is called {new} now")
    return make_plan(TYPE, operations, scope=[old, new])


def _free(snapshot: Snapshot, old: str, new: str) -> list[Operation]:
    """The new slug may be one that this family had before: then its alias goes."""
    leads_to = moved_to(snapshot, new)
    if leads_to is None:
        return []
    if leads_to != old:
        raise CannotPlan("FAMILY_SLUG_TAKEN", f"{new!r} is an old slug of the family {leads_to!r}; take another")
    return [delete_alias(alias_id(new, family=True), rationale=f"{new} is the family's own slug again")]


def _entry(snapshot: Snapshot, old: str, new: str) -> list[Operation]:
    entry, before = snapshot.families.get(old), snapshot.families.get(new)
    if entry is None and before is None:
        return []
    title = entry.title if entry is not None and entry.title else None
    notes = entry.notes if entry is not None and entry.notes else None
    return [update_registry(new, title=title, notes=notes, rationale="the family's entry goes with it")]


def _moves(leaving: list[Exercise], old: str, new: str) -> list[Operation]:
    return moves(leaving, new, f"the family {old} is called {new} now")

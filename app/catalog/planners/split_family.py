"""`family_split`: exercises move to families of their own, by their primary equipment."""

from __future__ import annotations

from app.catalog.payloads import FamilySplit
from app.catalog.planners.families import members_of, moved_to, moves, qualifications, split_by_room
from app.catalog.planners.refusal import CannotPlan
from app.catalog.plans import (
    ChangePlan,
    Operation,
    Risk,
    Snapshot,
    Touches,
    exercise_target,
    make_plan,
    no_change,
    update_registry,
)

TYPE = "family_split"


def needs(payload: FamilySplit, snapshot: Snapshot) -> Touches:
    """The family, those that it is split into, and whether one of these is an old name of another."""
    return Touches.of(families=[payload.family_slug, *payload.into.values()])


def build(payload: FamilySplit, snapshot: Snapshot) -> ChangePlan:
    """Moves at a high risk, and the names that follow.

    Raises:
        CannotPlan: `FAMILY_NOT_FOUND`; `FAMILY_SLUG_TAKEN`, a target is the old slug of another family;
            `NOTHING_TO_SPLIT`, no exercise has such equipment; `NOTHING_LEFT`, all of them would go.
    """
    slug = payload.family_slug
    members = members_of(snapshot, slug)
    for target in payload.into.values():
        if (other := moved_to(snapshot, target)) is not None:
            raise CannotPlan("FAMILY_SLUG_TAKEN", f"{target!r} is an old slug of the family {other!r}; take another")
    goes = {
        each.id: payload.into[each.equipment[0]]
        for each in members
        if each.equipment and each.equipment[0] in payload.into
    }
    if not goes:
        already = [each for target in payload.into.values() for each in snapshot.members(target)]
        if already:
            return make_plan(TYPE, [], scope=[slug], assumptions=["what would move has moved already"])
        raise CannotPlan("NOTHING_TO_SPLIT", f"no exercise of {slug!r} has {' or '.join(payload.into)} first")
    if len(goes) == len(members):
        raise CannotPlan("NOTHING_LEFT", f"every exercise of {slug!r} would go; rename or merge the family instead")
    operations: list[Operation] = []
    renames: list[Operation] = []
    for target in sorted(set(payload.into.values())):
        leaving = [each for each in members if goes.get(each.id) == target]
        there = snapshot.members(target)
        fit, rest = split_by_room(leaving, there)
        if fit and not there:
            operations.append(update_registry(target, notes=f"split from {slug}", rationale="the new family's entry"))
        operations += moves(fit, target, f"{slug} is split by equipment")
        moved = [each.model_copy(update={"family_slug": target}) for each in fit]
        named, unnamed = qualifications(
            (*there, *moved), snapshot, rationale=f"each name of {target} carries its equipment"
        )
        renames += named
        operations += [
            no_change([exercise_target(each.id)], f"{each.name!r} stays as it is: {why}", risk=Risk.MEDIUM)
            for each, why in (*rest, *unnamed)
        ]
    return make_plan(TYPE, [*operations, *renames], scope=[slug, *sorted(set(payload.into.values()))])

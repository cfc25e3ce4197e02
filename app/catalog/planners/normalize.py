"""`family_normalize`: in a family of several kinds of equipment every name becomes "[Modifier] Base (Equipment)"."""

from __future__ import annotations

from app.catalog.payloads import FamilyNormalize
from app.catalog.planners.families import members_of, moved_to, qualifications
from app.catalog.plans import ChangePlan, Snapshot, Touches, exercise_target, make_plan, no_change
from app.catalog.variants import family_equipment

TYPE = "family_normalize"


def needs(payload: FamilyNormalize, snapshot: Snapshot) -> Touches:
    """The family, and with it its alias if it has been renamed meanwhile."""
    return Touches.of(families=[payload.family_slug])


def build(payload: FamilyNormalize, snapshot: Snapshot) -> ChangePlan:
    """Renames of the exercises whose names lack their equipment; the old slugs become aliases.

    Raises:
        CannotPlan: `FAMILY_NOT_FOUND`, and it was not renamed either.
    """
    slug = payload.family_slug
    target = moved_to(snapshot, slug)
    if target is not None and not snapshot.members(slug):
        return make_plan(TYPE, [], scope=[slug], assumptions=[f"its exercises are in the family {target!r} now"])
    members = members_of(snapshot, slug)
    equipment = sorted(family_equipment(members))
    if len(equipment) < 2:
        names = f"it has one kind of equipment ({', '.join(equipment) or 'none is known'}), which names need not carry"
        return make_plan(TYPE, [], scope=[slug], assumptions=[names])
    rationale = f"the family has {', '.join(equipment)}, so that each name carries its own"
    operations, rest = qualifications(members, snapshot, rationale=rationale)
    operations += [no_change([exercise_target(each.id)], f"{each.name!r} stays: {why}") for each, why in rest]
    return make_plan(TYPE, operations, scope=[slug], assumptions=[f"the family's equipment is {', '.join(equipment)}"])

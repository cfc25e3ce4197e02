"""`family_merge`: exercises whose equipment the target lacks move there; the others are listed for a person."""

from __future__ import annotations

from app.catalog.payloads import FamilyMerge
from app.catalog.planners.closing import close_family
from app.catalog.planners.families import members_of, moved_to, moves, qualifications, split_by_room
from app.catalog.plans import ChangePlan, Risk, Snapshot, Touches, exercise_target, make_plan, no_change

TYPE = "family_merge"


def needs(payload: FamilyMerge, snapshot: Snapshot) -> Touches:
    """Both families, and with them whatever leads to the one that would be closed."""
    return Touches.of(families=[payload.source_family, payload.target_family])


def build(payload: FamilyMerge, snapshot: Snapshot) -> ChangePlan:
    """Moves at a high risk, and the names that follow; a source that is empty then is closed, with an alias.

    Raises:
        CannotPlan: `FAMILY_NOT_FOUND`.
    """
    source, target = payload.source_family, payload.target_family
    scope = [source, target]
    if moved_to(snapshot, source) == target and not snapshot.members(source):
        return make_plan(TYPE, [], scope=scope, assumptions=[f"{source!r} leads to {target!r} already"])
    leaving, there = members_of(snapshot, source), members_of(snapshot, target)
    fit, rest = split_by_room(leaving, there)
    rationale = f"{source} and {target} are one family"
    operations = moves(fit, target, rationale)
    renames, unnamed = qualifications(
        (*there, *(each.model_copy(update={"family_slug": target}) for each in fit)),
        snapshot,
        rationale=f"the family {target} has several kinds of equipment, so that each name carries its own",
    )
    operations += renames if fit else []
    operations += [
        no_change([exercise_target(each.id)], f"{each.name!r} stays as it is: {why}", risk=Risk.MEDIUM)
        for each, why in (*rest, *(unnamed if fit else ()))
    ]
    if not rest:
        operations += close_family(snapshot, source, target, rationale=rationale)
    assumption = f"{len(fit)} of {len(leaving)} exercises have equipment that {target} lacks"
    return make_plan(TYPE, operations, scope=scope, assumptions=[assumption])

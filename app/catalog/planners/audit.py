"""`family_audit`: what is wrong with one family, said about the exercises that it is about, and nothing changed."""

from __future__ import annotations

from app.catalog.payloads import FamilyAudit
from app.catalog.planners.families import members_of
from app.catalog.plans import ChangePlan, Snapshot, Touches, exercise_target, make_plan, no_change
from app.catalog.reviewer.maintenance import FamilyFinding, scan_family
from app.catalog.variants import family_equipment

TYPE = "family_audit"


def needs(payload: FamilyAudit, snapshot: Snapshot) -> Touches:
    """The family."""
    return Touches.of(families=[payload.family_slug])


def build(payload: FamilyAudit, snapshot: Snapshot) -> ChangePlan:
    """One operation without a change for each finding.

    Raises:
        CannotPlan: `FAMILY_NOT_FOUND`.
    """
    slug = payload.family_slug
    members = members_of(snapshot, slug)
    operations = [
        no_change([exercise_target(each) for each in finding.exercise_ids], _words(finding))
        for finding in scan_family(slug, members)
    ]
    equipment = ", ".join(sorted(family_equipment(members))) or "not known"
    return make_plan(
        TYPE, operations, scope=[slug], assumptions=[f"{len(members)} active exercises; equipment: {equipment}"]
    )


def _words(finding: FamilyFinding) -> str:
    evidence = "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in finding.evidence.items() if value)
    return f"{finding.code}: {evidence}"

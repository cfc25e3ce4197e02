"""`alias_repair`: what the alias scan found is mended, as far as it is sure what an alias means."""

from __future__ import annotations

from app.catalog.aliases import FAMILY_PREFIX
from app.catalog.payloads import AliasRepair
from app.catalog.plans import (
    ChangePlan,
    Operation,
    Snapshot,
    Touches,
    alias_target,
    delete_alias,
    make_plan,
    no_change,
    upsert_alias,
)
from app.catalog.reviewer.aliases import AliasFinding, Known, Mend, find_faults

TYPE = "alias_repair"


def needs(payload: AliasRepair, snapshot: Snapshot) -> Touches:
    """The aliases, whoever has their slugs, what they lead to, and where that went."""
    aliases = [each for name in payload.aliases if (each := snapshot.aliases.get(name)) is not None]
    exercises = {each.exercise_id for each in aliases} | set(snapshot.exercises)
    exercises |= {each.merged_into for each in snapshot.exercises.values()}
    families = {each.family_slug for each in aliases} | {each.merged_into for each in snapshot.families.values()}
    slugs = {name.removeprefix(FAMILY_PREFIX) for name in payload.aliases} | {each.slug for each in aliases}
    family_slugs = {name.removeprefix(FAMILY_PREFIX) for name in payload.aliases if name.startswith(FAMILY_PREFIX)}
    return Touches.of(
        # An id is the slug that an exercise was created with, so a missing alias is named like its exercise.
        exercises=[*slugs, *(each for each in exercises if each is not None)],
        families=[*family_slugs, *(each for each in families if each is not None)],
        aliases=payload.aliases,
        slugs=slugs,
    )


def build(payload: AliasRepair, snapshot: Snapshot) -> ChangePlan:
    """One operation for each of the aliases that has something wrong with it."""
    known = Known(snapshot.exercises, snapshot.aliases, snapshot.families)
    asked = set(payload.aliases)
    findings = [finding for finding in find_faults(known) if finding.alias in asked]
    sound = len(asked) - len(findings)
    assumptions = [f"{sound} of {len(asked)} aliases have nothing wrong with them"] if sound else []
    return make_plan(TYPE, [_operation(each) for each in findings], scope=payload.aliases, assumptions=assumptions)


def _operation(finding: AliasFinding) -> Operation:
    slug = finding.evidence["slug"]
    why = f"{finding.code}: {slug} leads to {finding.evidence.get('leads_to', 'nothing')}"
    if finding.mend is None:
        return no_change([alias_target(finding.alias)], f"{why}; somebody has to say what it means")
    if finding.mend is Mend.DELETE:
        return delete_alias(finding.alias, rationale=why)
    if finding.alias.startswith(FAMILY_PREFIX):
        return upsert_alias(slug, family_slug=finding.target, reason="repair", rationale=why)
    return upsert_alias(slug, exercise_id=finding.target, reason="repair", rationale=why)

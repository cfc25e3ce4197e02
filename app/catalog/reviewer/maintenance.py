"""What is wrong with families: one pass that groups exercises, and a look at each group by itself.

The rule is that of `app.catalog.variants`. Nothing is compared pairwise across the catalogue, so the time per exercise
does not grow with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from app.catalog.exercise import Exercise, ExerciseStatus
from app.catalog.names import equipment_conflict, mentioned_equipment
from app.catalog.reviewer.proposals import ProposedJob, in_order, state_of
from app.catalog.variants import (
    Variant,
    double_of,
    family_equipment,
    lacks_qualifier,
    qualified_name,
    variant_of,
)

ENRICH_BATCH = 200
"""Ids in one proposed enrichment job, the default size of a shard."""
EquipmentFinder = Callable[[Exercise], tuple[str, ...]]
"""What enrichment would write as an exercise's equipment; empty if it is not sure enough."""


class FindingCode(StrEnum):
    """What can be wrong with a family."""

    MISSING_QUALIFIER = "MISSING_QUALIFIER"
    """The family has more than one equipment, and a name does not carry its own."""
    DUPLICATE_EQUIPMENT = "DUPLICATE_EQUIPMENT"
    """Two or more exercises have the same base, modifiers and equipment."""
    EQUIPMENT_UNKNOWN = "EQUIPMENT_UNKNOWN"
    """The family has other exercises, and one has no equipment to be told apart by."""
    NAME_CONTRADICTS_EQUIPMENT = "NAME_CONTRADICTS_EQUIPMENT"
    """A name gives equipment outright that the record contradicts; a person or a fix has to say which is right."""


@dataclass(frozen=True, slots=True)
class FamilyFinding:
    """One thing that is wrong, with what it was seen by."""

    code: FindingCode
    family_slug: str
    exercise_ids: tuple[str, ...]
    evidence: dict[str, str]
    """Plain texts for people: what was found under what name."""


@dataclass(frozen=True, slots=True)
class FamilyReport:
    """The result of one scan."""

    exercises: int
    """Active exercises looked at; the others belong to no family's variants."""
    families: int
    multi_equipment_families: int
    findings: tuple[FamilyFinding, ...]
    """Ordered by family, then code."""
    proposed_jobs: tuple[ProposedJob, ...]

    def counts(self) -> dict[str, int]:
        """Findings by code; every code is a key."""
        return {code.value: sum(1 for finding in self.findings if finding.code is code) for code in FindingCode}


@dataclass(slots=True)
class _Family:
    slug: str
    exercises: list[Exercise] = field(default_factory=list)

    @property
    def equipment(self) -> frozenset[str]:
        return family_equipment(self.exercises)


def scan_families(exercises: Iterable[Exercise], find_equipment: EquipmentFinder | None = None) -> FamilyReport:
    """Look through all families.

    Args:
        exercises: the catalogue, in any order; the report does not depend on it.
        find_equipment: tells for which exercises enrichment would help. Without it, it is proposed for all that have
            no equipment.
    """
    families = _group(exercises)
    findings = [
        finding for family in families for finding in scan_family(family.slug, family.exercises, find_equipment)
    ]
    return FamilyReport(
        exercises=sum(len(family.exercises) for family in families),
        families=len(families),
        multi_equipment_families=sum(1 for family in families if len(family.equipment) > 1),
        findings=tuple(findings),
        proposed_jobs=tuple(propose_jobs(findings)),
    )


def scan_family(
    slug: str, exercises: Sequence[Exercise], find_equipment: EquipmentFinder | None = None
) -> list[FamilyFinding]:
    """The findings for one family, given its active exercises."""
    family = _Family(slug, sorted(exercises, key=lambda exercise: exercise.id))
    return [
        *_missing_qualifiers(family),
        *_duplicates(family),
        *_unknown_equipment(family, find_equipment),
        *_contradictions(family),
    ]


def propose_jobs(findings: Iterable[FamilyFinding]) -> list[ProposedJob]:
    """Jobs for `findings`, in the order in which they should run.

    At most one of a type for each family, but for fixes, which are one for an exercise, and audits, one for each kind
    of finding; enrichment in batches of `ENRICH_BATCH`. What no job is sure about is left to a person: its family is
    audited.
    """
    findings = list(findings)
    doubles = {name for each in findings if each.code is FindingCode.DUPLICATE_EQUIPMENT for name in each.exercise_ids}
    normalize: dict[tuple[str, bool], list[FamilyFinding]] = {}
    audit: dict[tuple[str, FindingCode], list[FamilyFinding]] = {}
    enrich: list[FamilyFinding] = []
    jobs: list[ProposedJob] = []
    for finding in findings:
        found = finding.evidence.get("proposed_equipment")
        if finding.code is FindingCode.MISSING_QUALIFIER:
            # Doubles get their names when one of them is merged; until then the others' do not make them look new.
            is_double = not doubles.isdisjoint(finding.exercise_ids)
            normalize.setdefault((finding.family_slug, is_double), []).append(finding)
        elif finding.code is FindingCode.EQUIPMENT_UNKNOWN and found != "":
            enrich.append(finding)
            normalize.setdefault((finding.family_slug, False), [])  # it may turn out to have more than one equipment
        elif finding.code is FindingCode.NAME_CONTRADICTS_EQUIPMENT and found:
            jobs.append(_fix(finding, found))
            normalize.setdefault((finding.family_slug, False), [])
        else:
            audit.setdefault((finding.family_slug, finding.code), []).append(finding)
    jobs.extend(_enrich(enrich[start : start + ENRICH_BATCH]) for start in range(0, len(enrich), ENRICH_BATCH))
    jobs.extend(
        _normalize(slug, lacking) for (slug, _), lacking in sorted(normalize.items(), key=lambda entry: entry[0])
    )
    jobs.extend(_audit(slug, code, seen) for (slug, code), seen in audit.items())
    return in_order(jobs)


def _fix(finding: FamilyFinding, equipment: str) -> ProposedJob:
    (exercise_id,) = finding.exercise_ids
    payload: dict[str, object] = {"exercise_id": exercise_id, "action": "fix_identity", "equipment": [equipment]}
    reason = f"its text speaks for {equipment}: {finding.evidence['name']}"
    return ProposedJob("targeted_fix", payload, reason, (finding.family_slug,))


def _enrich(findings: Sequence[FamilyFinding]) -> ProposedJob:
    ids = [exercise_id for finding in findings for exercise_id in finding.exercise_ids]
    payload: dict[str, object] = {"fields": [{"path": "equipment"}], "exercise_ids": ids}
    families = tuple(dict.fromkeys(finding.family_slug for finding in findings))
    return ProposedJob("catalog_enrich_field", payload, f"{len(ids)} exercise(s) have no known equipment", families)


def _normalize(slug: str, findings: Sequence[FamilyFinding]) -> ProposedJob:
    state = state_of(f"{finding.exercise_ids} {finding.evidence['proposed_name']}" for finding in findings)
    reason = (
        f"{len(findings)} name(s) lack their equipment" if findings else "it may be about to get a second equipment"
    )
    return ProposedJob("family_normalize", {"family_slug": slug}, reason, (slug,), state)


def _audit(slug: str, code: FindingCode, findings: Sequence[FamilyFinding]) -> ProposedJob:
    # One for each code, so that what is mended of the one does not make the other look new.
    state = state_of((code, *(finding.exercise_ids for finding in findings)))
    reason = (
        f"{code}: {' | '.join(finding.evidence.get('name', '') or finding.evidence['names'] for finding in findings)}"
    )
    return ProposedJob("family_audit", {"family_slug": slug}, reason, (slug,), state)


def _group(exercises: Iterable[Exercise]) -> list[_Family]:
    families: dict[str, _Family] = {}
    for exercise in exercises:
        if exercise.status is ExerciseStatus.ACTIVE:
            families.setdefault(exercise.family_slug, _Family(exercise.family_slug)).exercises.append(exercise)
    return [families[slug] for slug in sorted(families)]


def _missing_qualifiers(family: _Family) -> Iterable[FamilyFinding]:
    equipment = family.equipment
    for exercise in family.exercises:
        if not lacks_qualifier(exercise, equipment):
            continue
        evidence = {
            "name": exercise.name,
            "proposed_name": qualified_name(exercise),
            "family_equipment": ", ".join(sorted(equipment)),
        }
        yield FamilyFinding(FindingCode.MISSING_QUALIFIER, family.slug, (exercise.id,), evidence)


def _duplicates(family: _Family) -> Iterable[FamilyFinding]:
    variants: dict[Variant, list[Exercise]] = {}
    for exercise in family.exercises:
        if (variant := variant_of(exercise)) is not None:
            variants.setdefault(variant, []).append(exercise)
    for variant, doubles in sorted(variants.items()):
        if len(doubles) > 1:
            evidence = {
                "equipment": variant.equipment,
                "modifiers": ", ".join(variant.modifiers),
                "names": " | ".join(exercise.name for exercise in doubles),
            }
            ids = tuple(exercise.id for exercise in doubles)
            yield FamilyFinding(FindingCode.DUPLICATE_EQUIPMENT, family.slug, ids, evidence)


def _unknown_equipment(family: _Family, find_equipment: EquipmentFinder | None) -> Iterable[FamilyFinding]:
    if len(family.exercises) < 2:
        return
    members = {each.id: each for each in family.exercises}
    for exercise in family.exercises:
        if exercise.equipment:
            continue
        evidence = {"name": exercise.name, "family_equipment": ", ".join(sorted(family.equipment))}
        if find_equipment is not None:
            changed = exercise.model_copy(update={"equipment": find_equipment(exercise)})
            variant, other = variant_of(changed), double_of(changed, members.values())
            evidence["proposed_equipment"] = "" if variant is None or other is not None else variant.equipment
            if variant is not None and other is not None:
                evidence["double_of"] = other.name
            elif variant is not None:
                members[exercise.id] = changed
        yield FamilyFinding(FindingCode.EQUIPMENT_UNKNOWN, family.slug, (exercise.id,), evidence)


def _contradictions(family: _Family) -> Iterable[FamilyFinding]:
    for exercise in family.exercises:
        named = equipment_conflict(exercise.name, exercise.equipment)
        if named:
            evidence = {
                "name": exercise.name,
                "named_equipment": ", ".join(named),
                "recorded_equipment": ", ".join(exercise.equipment),
                "proposed_equipment": _spoken_for(exercise, named[0]),
            }
            yield FamilyFinding(FindingCode.NAME_CONTRADICTS_EQUIPMENT, family.slug, (exercise.id,), evidence)


def _spoken_for(exercise: Exercise, named: str) -> str:
    """Which of two the text agrees with: what the name says, else what the record says; "" if it mentions neither."""
    mentioned = mentioned_equipment(" ".join((*exercise.execution_notes, exercise.description)))
    return next((item for item in (named, exercise.equipment[0]) if item in mentioned), "")

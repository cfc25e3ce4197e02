"""What is wrong with families: one pass that groups exercises, and a look at each group by itself.

The rule is that of `app.catalog.variants`. Nothing is compared pairwise across the catalogue, so the time per exercise
does not grow with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from app.catalog.exercise import Exercise, ExerciseStatus
from app.catalog.names import equipment_conflict
from app.catalog.variants import Variant, family_equipment, lacks_qualifier, qualified_name, variant_of

ENRICH_BATCH = 200
"""Ids in one proposed enrichment job, the default size of a shard."""


class FindingCode(StrEnum):
    """What can be wrong with a family."""

    MISSING_QUALIFIER = "MISSING_QUALIFIER"
    """The family has more than one equipment, and a name does not carry its own."""
    DUPLICATE_EQUIPMENT = "DUPLICATE_EQUIPMENT"
    """Two or more exercises have the same base, modifiers and equipment."""
    EQUIPMENT_UNKNOWN = "EQUIPMENT_UNKNOWN"
    """The family has known equipment, and an exercise has none to be told apart by."""
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
class ProposedJob:
    """A job that would mend or look into findings. Nothing is created by proposing it."""

    type: str
    payload: dict[str, object]
    reason: str


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


def scan_families(exercises: Iterable[Exercise]) -> FamilyReport:
    """Look through all families.

    Args:
        exercises: the catalogue, in any order; the report does not depend on it.
    """
    families = _group(exercises)
    findings = [finding for family in families for finding in scan_family(family.slug, family.exercises)]
    return FamilyReport(
        exercises=sum(len(family.exercises) for family in families),
        families=len(families),
        multi_equipment_families=sum(1 for family in families if len(family.equipment) > 1),
        findings=tuple(findings),
        proposed_jobs=tuple(propose_jobs(findings)),
    )


def scan_family(slug: str, exercises: Sequence[Exercise]) -> list[FamilyFinding]:
    """The findings for one family, given its active exercises."""
    family = _Family(slug, sorted(exercises, key=lambda exercise: exercise.id))
    return [
        *_missing_qualifiers(family),
        *_duplicates(family),
        *_unknown_equipment(family),
        *_contradictions(family),
    ]


def propose_jobs(findings: Iterable[FamilyFinding]) -> list[ProposedJob]:
    """Jobs for `findings`: at most one of a type for each family, and enrichment in batches of `ENRICH_BATCH`."""
    normalize: dict[str, int] = {}
    audit: dict[str, set[str]] = {}
    unknown: list[str] = []
    for finding in findings:
        if finding.code is FindingCode.MISSING_QUALIFIER:
            normalize[finding.family_slug] = normalize.get(finding.family_slug, 0) + len(finding.exercise_ids)
        elif finding.code is FindingCode.EQUIPMENT_UNKNOWN:
            unknown.extend(finding.exercise_ids)
        else:
            audit.setdefault(finding.family_slug, set()).add(finding.code.value)
    jobs = [
        ProposedJob("family_normalize", {"family_slug": slug}, f"{count} name(s) lack their equipment")
        for slug, count in normalize.items()
    ]
    jobs.extend(
        ProposedJob("family_audit", {"family_slug": slug}, ", ".join(sorted(codes))) for slug, codes in audit.items()
    )
    for start in range(0, len(unknown), ENRICH_BATCH):
        ids = unknown[start : start + ENRICH_BATCH]
        payload: dict[str, object] = {"fields": [{"path": "equipment"}], "exercise_ids": ids}
        jobs.append(ProposedJob("catalog_enrich_field", payload, f"{len(ids)} exercise(s) have no known equipment"))
    return jobs


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


def _unknown_equipment(family: _Family) -> Iterable[FamilyFinding]:
    if not family.equipment:
        return
    for exercise in family.exercises:
        if not exercise.equipment:
            evidence = {"name": exercise.name, "family_equipment": ", ".join(sorted(family.equipment))}
            yield FamilyFinding(FindingCode.EQUIPMENT_UNKNOWN, family.slug, (exercise.id,), evidence)


def _contradictions(family: _Family) -> Iterable[FamilyFinding]:
    for exercise in family.exercises:
        named = equipment_conflict(exercise.name, exercise.equipment)
        if named:
            evidence = {
                "name": exercise.name,
                "named_equipment": ", ".join(named),
                "recorded_equipment": ", ".join(exercise.equipment),
            }
            yield FamilyFinding(FindingCode.NAME_CONTRADICTS_EQUIPMENT, family.slug, (exercise.id,), evidence)

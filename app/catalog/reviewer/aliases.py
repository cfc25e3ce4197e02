"""What is wrong with aliases: an alias has exactly one existing target, and an old slug that is out there has an alias.

Each alias is looked at by itself, with what its slug and its target are; so a repair of some reads only those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from app.catalog.aliases import Alias, alias_id
from app.catalog.exercise import Exercise, ExerciseStatus
from app.catalog.families import Family, FamilyStatus
from app.catalog.reviewer.proposals import ProposedJob

REPAIR_BATCH = 200
"""Aliases in one proposed repair."""
_LONGEST_CHAIN = 50
"""Merges that are followed from an exercise or a family to the one that stayed."""


class AliasCode(StrEnum):
    """What can be wrong with an alias."""

    ORPHANED = "ALIAS_ORPHANED"
    """Its target is not there, or was merged into another one."""
    MISSING = "ALIAS_MISSING"
    """An exercise or a family had this slug before, and nothing leads from it."""
    DOUBLED = "ALIAS_DOUBLED"
    """The slug already stands for something: an exercise has it as its own, or another record is its alias."""
    TWO_TARGETS = "ALIAS_TWO_TARGETS"
    """It leads to an exercise and to a family."""
    NO_TARGET = "ALIAS_NO_TARGET"
    """It leads to nothing."""


class Mend(StrEnum):
    """What would repair it."""

    LEAD = "lead"
    """Let it lead to `target`, which makes it if it is missing."""
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class AliasFinding:
    """One thing that is wrong with one alias."""

    code: AliasCode
    alias: str
    """The record's id, as `alias_id` makes it."""
    mend: Mend | None
    """None if only a person can say what the alias means."""
    target: str
    """What it should lead to: the id of an exercise, or the slug of a family; empty to delete it."""
    family: str
    """The family that it is about; empty if there is none."""
    evidence: dict[str, str]


@dataclass(frozen=True, slots=True)
class AliasReport:
    """The result of one scan."""

    aliases: int
    findings: tuple[AliasFinding, ...]
    """Ordered by alias."""
    proposed_jobs: tuple[ProposedJob, ...]

    def counts(self) -> dict[str, int]:
        """Findings by code; every code is a key."""
        return {code.value: sum(1 for finding in self.findings if finding.code is code) for code in AliasCode}


@dataclass(frozen=True, slots=True)
class Known:
    """What aliases are judged by: all of the catalogue, or as much of it as the aliases in question touch."""

    exercises: Mapping[str, Exercise]
    aliases: Mapping[str, Alias]
    families: Mapping[str, Family]

    @property
    def used_families(self) -> frozenset[str]:
        """Families that an active exercise is in."""
        return frozenset(each.family_slug for each in self.exercises.values() if each.status is ExerciseStatus.ACTIVE)


def scan_aliases(
    exercises: Iterable[Exercise], aliases: Iterable[Alias], families: Iterable[Family] = ()
) -> AliasReport:
    """Look through all aliases, and for those that ought to be there.

    Args:
        exercises: of every status, in any order.
        aliases: all of them.
        families: the registry's entries.
    """
    known = Known(
        {each.id: each for each in exercises},
        {each.id: each for each in aliases},
        {each.slug: each for each in families},
    )
    findings = find_faults(known)
    return AliasReport(len(known.aliases), tuple(findings), tuple(propose_repairs(findings)))


def find_faults(known: Known) -> list[AliasFinding]:
    """What is wrong with the aliases of `known`, and which ones it lacks; ordered by alias, each once."""
    owners = {each.slug: each for each in known.exercises.values() if each.status is not ExerciseStatus.MERGED}
    used = known.used_families
    found: dict[str, AliasFinding] = {}
    for alias in known.aliases.values():
        fault = _fault(alias, known, owners, used)
        if fault is not None:
            found[alias.id] = fault
    for fault in _missing(known, owners, used):
        found.setdefault(fault.alias, fault)
    return [found[name] for name in sorted(found)]


def propose_repairs(findings: Iterable[AliasFinding]) -> list[ProposedJob]:
    """Repairs of what can be repaired, in batches of `REPAIR_BATCH`."""
    sure = [finding for finding in findings if finding.mend is not None]
    jobs = []
    for start in range(0, len(sure), REPAIR_BATCH):
        part = sure[start : start + REPAIR_BATCH]
        families = tuple(sorted({finding.family for finding in part if finding.family}))
        reason = ", ".join(sorted({finding.code.value for finding in part}))
        jobs.append(ProposedJob("alias_repair", {"aliases": [finding.alias for finding in part]}, reason, families))
    return jobs


def survivor(exercise_id: str | None, exercises: Mapping[str, Exercise]) -> Exercise | None:
    """The exercise that stayed when this one was merged, or itself if it was not; None if it is not there."""
    exercise = exercises.get(exercise_id or "")
    for _ in range(_LONGEST_CHAIN):
        if exercise is None or exercise.merged_into is None:
            return exercise
        exercise = exercises.get(exercise.merged_into)
    return None


def _living_family(slug: str | None, families: Mapping[str, Family], used: frozenset[str]) -> str | None:
    """The family that took over, or itself if it is in use; None if nothing is left of it."""
    for _ in range(_LONGEST_CHAIN):
        entry = families.get(slug or "")
        if entry is None or entry.status is FamilyStatus.ACTIVE:
            return slug if slug in used or entry is not None else None
        if entry.merged_into is None:
            return None
        slug = entry.merged_into
    return None


def _fault(alias: Alias, known: Known, owners: Mapping[str, Exercise], used: frozenset[str]) -> AliasFinding | None:
    is_family = alias.space == "family"
    proper = alias_id(alias.slug, family=is_family)
    owner = None if is_family else owners.get(alias.slug)
    exercise = survivor(alias.exercise_id, known.exercises)
    family = _living_family(alias.family_slug, known.families, used)
    target = family if is_family else exercise.id if exercise is not None else None
    about = family or (exercise.family_slug if exercise is not None else "")
    evidence = {
        "leads_to": " and ".join(item for item in (alias.exercise_id, alias.family_slug) if item) or "nothing",
        "slug": alias.slug,
    }

    def finding(code: AliasCode, mend: Mend | None, leads_to: str | None = None, **more: str) -> AliasFinding:
        return AliasFinding(code, alias.id, mend, leads_to or "", about, {**evidence, **more})

    if owner is not None:
        return finding(AliasCode.DOUBLED, Mend.DELETE, owner=owner.name)
    if is_family and alias.slug in used:
        return finding(AliasCode.DOUBLED, Mend.DELETE, owner=f"the family {alias.slug}")
    if alias.id != proper:
        # The record that its slug asks for is the one that is found, so this one only could mislead.
        other = proper in known.aliases
        return finding(AliasCode.DOUBLED, Mend.DELETE if other else None, owner=proper)
    if alias.exercise_id is None and alias.family_slug is None:
        return finding(AliasCode.NO_TARGET, Mend.DELETE)
    if alias.exercise_id is not None and alias.family_slug is not None:
        return finding(AliasCode.TWO_TARGETS, Mend.DELETE if target is None else Mend.LEAD, target)
    if target is None:
        return finding(AliasCode.ORPHANED, Mend.DELETE)
    if target != (alias.family_slug if is_family else alias.exercise_id):
        return finding(AliasCode.ORPHANED, Mend.LEAD, target, stayed=target)
    return None


def _missing(known: Known, owners: Mapping[str, Exercise], used: frozenset[str]) -> Iterable[AliasFinding]:
    for exercise in known.exercises.values():
        stayed = survivor(exercise.id, known.exercises)
        if stayed is None:
            continue
        # An id is the slug that the exercise was created with; a merged one has given its last slug up as well.
        for slug in {exercise.id, exercise.slug}:
            if (slug != stayed.slug and slug not in owners) and alias_id(slug) not in known.aliases:
                evidence = {"slug": slug, "exercise": exercise.name}
                yield AliasFinding(AliasCode.MISSING, slug, Mend.LEAD, stayed.id, stayed.family_slug, evidence)
    for family in known.families.values():
        name = alias_id(family.slug, family=True)
        living = _living_family(family.slug, known.families, used)
        if living not in (None, family.slug) and family.slug not in used and name not in known.aliases:
            evidence = {"slug": family.slug, "family": family.title or family.slug}
            yield AliasFinding(AliasCode.MISSING, name, Mend.LEAD, living or "", living or "", evidence)

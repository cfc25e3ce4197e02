"""Jobs for what the scan of doubles found: sure ones are merged, the others wait for a person."""

from __future__ import annotations

from collections.abc import Iterable

from app.catalog.exercise import Exercise
from app.catalog.reviewer.duplicates import DuplicatePair, DuplicateReport, MergeableFamilies
from app.catalog.reviewer.proposals import ProposedJob


def propose_merges(report: DuplicateReport, exercises: Iterable[Exercise]) -> list[ProposedJob]:
    """Merges of exercises and of families.

    Args:
        report: what was found.
        exercises: the catalogue that it was found in: a merge waits for what else is done to the families of its pair.
    """
    family_of = {exercise.id: exercise.family_slug for exercise in exercises}
    jobs = [_pair(pair, family_of[pair.source_id], family_of[pair.target_id]) for pair in report.pairs]
    return [*jobs, *(_families(found) for found in report.families)]


def _pair(pair: DuplicatePair, *families: str) -> ProposedJob:
    payload: dict[str, object] = {"source_id": pair.source_id, "target_id": pair.target_id}
    if pair.needs_review:
        payload["needs_review"] = True
    payload["evidence"] = dict(pair.evidence)
    return ProposedJob(
        type="merge_candidate",
        payload=payload,
        reason=str(pair.evidence.get("reasons", "")),
        families=tuple(dict.fromkeys(families)),
        identity=tuple(sorted((pair.source_id, pair.target_id))),
    )


def _families(found: MergeableFamilies) -> ProposedJob:
    return ProposedJob(
        type="family_merge",
        payload={
            "source_family": found.source_family,
            "target_family": found.target_family,
            "needs_review": True,
            "evidence": dict(found.evidence),
        },
        reason="; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in found.evidence.items()),
        families=(found.source_family, found.target_family),
        identity=tuple(sorted((found.source_family, found.target_family))),
    )

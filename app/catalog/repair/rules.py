"""The repairer without a model: it does what the validators suggest, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.catalog.plans.finding import Finding
from app.catalog.plans.fix import BadFix, Fix, apply_fixes
from app.catalog.plans.operation import OperationKind
from app.catalog.plans.plan import ChangePlan
from app.jobs import Repair, RepairableError

CONFIDENCE = 1.0
"""A rule either knows or says nothing."""


class RuleBasedRepairer:
    """Makes the fixes that the findings suggest, if every error has one and something of the plan is left."""

    async def repair(self, work: ChangePlan | None, error: RepairableError, repairs_left: int) -> Repair[ChangePlan]:
        """A mended plan.

        Args:
            work: the plan that failed; None to take the one in the error.
            error: with the findings as JSON.
            repairs_left: how many more tries there are; a rule does not care.
        """
        plan = work if work is not None else ChangePlan.model_validate(error.work)
        errors = [finding for finding in findings_of(error) if finding.is_error]
        unknown = sorted({finding.code for finding in errors if finding.suggestion is None})
        if unknown:
            return not_repairable(f"no rule knows how to mend {', '.join(unknown)}")
        fixes = [finding.suggestion for finding in errors if finding.suggestion is not None]
        if not fixes:
            return not_repairable("nothing is said to be wrong with the plan")
        told = "; ".join(f"{finding.code}: {finding.suggestion.reason}" for finding in errors if finding.suggestion)
        return repaired(plan, fixes, told, CONFIDENCE)


def findings_of(error: RepairableError) -> list[Finding]:
    """The findings in an error of the repair loop."""
    return [Finding.model_validate(each) for each in error.findings]


def not_repairable(analysis: str) -> Repair[ChangePlan]:
    """The answer of a repairer that has nothing to propose."""
    return Repair(can_repair=False, analysis=analysis, confidence=CONFIDENCE)


def repaired(plan: ChangePlan, fixes: Sequence[Fix], analysis: str, confidence: float) -> Repair[ChangePlan]:
    """The answer of a repairer that proposes these fixes.

    Fixes that do not fit the plan are no answer. Neither are fixes that leave nothing of what the plan wanted to
    change: a job must not end as if it had done what it was asked for.

    Args:
        plan: the one that failed.
        fixes: what to do with it.
        analysis: why, for people.
        confidence: from 0 to 1.
    """
    try:
        mended = apply_fixes(plan, fixes)
    except BadFix as problem:
        return not_repairable(f"{analysis}; but {problem}")
    if _changing(plan) and not _changing(mended):
        return not_repairable(f"{analysis}; but then nothing is left of the plan")
    told = [fix.model_dump(mode="json", exclude_defaults=True) for fix in fixes]
    return Repair(can_repair=True, analysis=analysis, work=mended, fixes=told, confidence=confidence)


def _changing(plan: ChangePlan) -> int:
    return _count(each.kind for each in plan.operations)


def _count(kinds: Iterable[OperationKind]) -> int:
    return sum(kind is not OperationKind.NO_CHANGE for kind in kinds)

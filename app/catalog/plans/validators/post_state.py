"""Rules about the catalogue as the plan would leave it."""

from __future__ import annotations

from collections.abc import Iterator

from app.catalog.plans.checks import check_finding
from app.catalog.plans.finding import Finding
from app.catalog.plans.fix import Fix
from app.catalog.plans.operation import Operation
from app.catalog.plans.replay import CannotReplay
from app.catalog.plans.validators.case import Case, error, removing, setting

_LEFT_OUT = frozenset({"UNKNOWN_TARGET", "NOT_ACTIVE", "ALIAS_NO_TARGET", "ALIAS_TAKEN"})
"""What can't be done because of how the catalogue is: the plan may do without."""


def check_replay(case: Case) -> Iterator[Finding]:
    """Every operation can be done."""
    for step in case.steps:
        if step.problem is not None:
            problem = step.problem
            fix = _mended(step.operation, problem)
            yield error(step.operation, problem.code, problem.field, problem.message, fix)


def check_own(case: Case) -> Iterator[Finding]:
    """What the plan says must be true afterwards is."""
    for check in case.plan.post_checks:
        finding = check_finding(check, case.after.get(check.target))
        if finding is not None:
            yield finding


def _mended(operation: Operation, problem: CannotReplay) -> Fix | None:
    if problem.code in _LEFT_OUT:
        return removing(operation, problem.message)
    if problem.code == "ALIAS_BOTH_TARGETS":
        is_family = any(":" in each for each in operation.alias_ids())
        path = "patch.exercise_id" if is_family else "patch.family_slug"
        return setting(operation, {path: None}, "its id says which of both it is")
    return None

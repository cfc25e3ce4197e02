"""A plan before its judges: the plan, the catalogue before and after it, and every step between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from pydantic import JsonValue

from app.catalog.exercise import Exercise
from app.catalog.plans.finding import Finding, Severity
from app.catalog.plans.fix import Fix, FixAction
from app.catalog.plans.operation import Operation, OperationKind, TargetKind
from app.catalog.plans.plan import ChangePlan
from app.catalog.plans.replay import CannotReplay, replay
from app.catalog.plans.snapshot import Changes, Snapshot


@dataclass(frozen=True, slots=True)
class Step:
    """One operation, the catalogue before it, and what it makes of it."""

    operation: Operation
    before: Snapshot
    changes: Changes
    problem: CannotReplay | None = None
    """Why it can't be done; then it changes nothing."""

    @property
    def kind(self) -> OperationKind:
        """The operation's."""
        return self.operation.kind

    def exercises_after(self) -> Iterator[Exercise]:
        """The exercises that it changes or makes, as they will be."""
        for item in self.changes.values():
            if isinstance(item, Exercise):
                yield item


@dataclass(frozen=True, slots=True)
class Case:
    """All that a rule looks at."""

    plan: ChangePlan
    before: Snapshot
    after: Snapshot
    steps: tuple[Step, ...]

    def last_of(self, exercise_ids: Iterable[str]) -> Step | None:
        """The last step that changes one of these exercises."""
        wanted = set(exercise_ids)
        return next(
            (
                step
                for step in reversed(self.steps)
                if any(target.kind is TargetKind.EXERCISE and target.id in wanted for target in step.changes)
            ),
            None,
        )

    def touched_families(self) -> tuple[str, ...]:
        """The families that the plan changes and that were read as a whole, sorted."""
        found: set[str] = set()
        for step in self.steps:
            for target, item in step.changes.items():
                for each in (step.before.get(target), item):
                    if isinstance(each, Exercise):
                        found.add(each.family_slug)
        return tuple(sorted(slug for slug in found if self.before.is_whole(slug)))


Rule: TypeAlias = Callable[[Case], Iterable[Finding]]


def case_of(plan: ChangePlan, snapshot: Snapshot, at: datetime) -> Case:
    """Replay a plan for its judges."""
    steps: list[Step] = []
    state = snapshot
    for operation in plan.operations:
        try:
            changes = replay(state, operation, at)
        except CannotReplay as problem:
            steps.append(Step(operation, state, {}, problem))
            continue
        steps.append(Step(operation, state, changes))
        state = state.after(changes)
    return Case(plan, snapshot, state, tuple(steps))


def error(operation: Operation, code: str, field: str, message: str, fix: Fix | None = None) -> Finding:
    """A finding that holds the plan up."""
    return Finding(code=code, operation=operation.id, field=field, message=message, suggestion=fix)


def warning(operation: Operation, code: str, field: str, message: str) -> Finding:
    """A finding that is told and nothing else."""
    return Finding(code=code, severity=Severity.WARNING, operation=operation.id, field=field, message=message)


def removing(operation: Operation, reason: str) -> Fix:
    """The fix that leaves the operation out."""
    return Fix(action=FixAction.REMOVE, operation=operation.id, reason=reason)


def setting(operation: Operation, values: dict[str, JsonValue], reason: str) -> Fix:
    """The fix that sets these paths."""
    return Fix(action=FixAction.MODIFY, operation=operation.id, set=values, reason=reason)


def adding(operation: Operation, new: Operation, reason: str) -> Fix:
    """The fix that puts another operation behind this one."""
    return Fix(action=FixAction.ADD, operation=operation.id, add=new, reason=reason)

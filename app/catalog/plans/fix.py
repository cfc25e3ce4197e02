"""One mend of a plan: what validators suggest and repairers answer."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from app.catalog.errors import CatalogError
from app.catalog.plans.operation import Operation
from app.catalog.plans.plan import ChangePlan


class FixAction(StrEnum):
    """What a fix does with an operation."""

    REMOVE = "remove"
    MODIFY = "modify"
    ADD = "add"


class BadFix(CatalogError):
    """A fix that does not fit the plan; nothing of its set was done."""

    def __init__(self, fix: Fix, problem: str) -> None:
        self.fix = fix
        super().__init__(f"cannot {fix.action} {fix.operation or 'an operation'}: {problem}")


class Fix(BaseModel):
    """Remove an operation, change fields of it, or add one."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    action: FixAction
    operation: str = ""
    """The id of the operation to remove or modify; for `add`, the one to put the new one behind, or empty."""
    set: dict[str, JsonValue] = Field(default_factory=dict)
    """For `modify`: new values by path: `patch.slug`, `risk`, `rationale`, `targets`. Null takes a patch's path out."""
    add: Operation | None = None
    """For `add`: the new operation."""
    reason: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.action is FixAction.ADD) != (self.add is not None):
            raise ValueError("add is given when, and only when, the action is add")
        if (self.action is FixAction.MODIFY) != bool(self.set):
            raise ValueError("set is given when, and only when, the action is modify")
        if self.action is not FixAction.ADD and not self.operation:
            raise ValueError("name the operation")
        return self


_FIELDS = frozenset({"kind", "targets", "rationale", "risk", "idempotency_seed", "id"})


def apply_fixes(plan: ChangePlan, fixes: Iterable[Fix]) -> ChangePlan:
    """The plan with the fixes made, as its next version.

    Previews (`before`, `after`) of modified operations are dropped: they are made anew when the plan is judged.
    Fixes that say the same twice count once, and a removed operation needs no further ones.

    Raises:
        BadFix: a fix names an operation that is not there or a field that it has not, or makes it invalid.
    """
    operations = list(plan.operations)
    removed: set[str] = set()
    for fix in _once(fixes):
        place = next((number for number, each in enumerate(operations) if each.id == fix.operation), None)
        if fix.action is FixAction.ADD and fix.add is not None:
            if fix.operation and place is None:
                raise BadFix(fix, "the plan has no such operation to put it behind")
            operations.insert(len(operations) if place is None else place + 1, fix.add)
        elif place is None:
            if fix.operation not in removed:
                raise BadFix(fix, f"the plan has no such operation; it has {', '.join(each.id for each in operations)}")
        elif fix.action is FixAction.REMOVE:
            removed.add(operations.pop(place).id)
        else:
            operations[place] = _modified(operations[place], fix)
    return plan.changed(operations=operations, version=plan.version + 1)


def _once(fixes: Iterable[Fix]) -> list[Fix]:
    kept: list[Fix] = []
    for fix in fixes:
        # Of two operations with one id, one removal takes one away; only equal changes and additions are doubles.
        if fix.action is FixAction.REMOVE or not any(_says_the_same(fix, other) for other in kept):
            kept.append(fix)
    return kept


def _says_the_same(one: Fix, other: Fix) -> bool:
    return (one.action, one.operation, one.set, one.add) == (other.action, other.operation, other.set, other.add)


def _modified(operation: Operation, fix: Fix) -> Operation:
    patch = dict(operation.patch)
    fields: dict[str, Any] = {}
    for path, value in fix.set.items():
        if path.startswith("patch."):
            name = path.removeprefix("patch.")
            if value is None:
                patch.pop(name, None)
            else:
                patch[name] = value
        elif path in _FIELDS:
            fields[path] = value
        else:
            raise BadFix(fix, f"an operation has no {path!r} to set; use patch.<path>, {', '.join(sorted(_FIELDS))}")
    try:
        return operation.changed(**{**fields, "patch": patch, "before": {}, "after": {}})
    except ValueError as problem:
        raise BadFix(fix, str(problem)) from problem

"""A plan: every operation that a job would like to do, to be judged, mended, shown to people and applied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.catalog.exercise import UtcTime
from app.catalog.plans.operation import Operation, Risk, Target


class PostCheck(BaseModel):
    """What must be true when the plan is applied: checked on the replay before, and on what is stored after."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    target: Target
    path: str = ""
    """A field of the record; empty asks for the record itself."""
    equals: JsonValue = None
    """The value of that field. Without a path: False if there is to be no such record, anything else if there is."""


class ChangePlan(BaseModel):
    """What a job would like to change. Make one with `make_plan`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: int = 1
    job_id: str = ""
    """The job that plans it; filled in by `carry_out`."""
    type: str
    """The job's type."""
    scope: tuple[str, ...] = ()
    """What it is about, for people: families or exercises."""
    assumptions: tuple[str, ...] = ()
    """What was taken for granted, for people."""
    operations: tuple[Operation, ...] = ()
    """In the order in which they are applied."""
    post_checks: tuple[PostCheck, ...] = ()
    version: int = Field(default=1, ge=1)
    """1 as it was planned, one more for each repair and each edit by a person."""
    made_at: UtcTime | None = None
    """When; becomes `updated_at` of what is changed. Filled in by `carry_out`."""

    @property
    def risk(self) -> Risk:
        """The highest risk of its operations."""
        return max((operation.risk for operation in self.operations), key=lambda risk: risk.rank, default=Risk.LOW)

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every target of every operation, each once, in the order of the operations."""
        return tuple(dict.fromkeys(target for operation in self.operations for target in operation.targets))

    def operation(self, operation_id: str) -> Operation | None:
        """The first operation of that id."""
        return next((each for each in self.operations if each.id == operation_id), None)

    def changed(self, **fields: Any) -> ChangePlan:
        """This plan with other fields, its operations numbered where they have no id."""
        given = {name: getattr(self, name) for name in ChangePlan.model_fields}
        given.update(fields)
        return ChangePlan(**{**given, "operations": numbered(given["operations"])})


def make_plan(
    type: str,
    operations: Iterable[Operation],
    *,
    scope: Sequence[str] = (),
    assumptions: Sequence[str] = (),
    post_checks: Sequence[PostCheck] = (),
    job_id: str = "",
    made_at: datetime | None = None,
) -> ChangePlan:
    """A plan of these operations; those without an id get one.

    Args:
        type: the job's type.
        operations: in the order in which they are to be applied.
        scope: what it is about, for people.
        assumptions: what was taken for granted, for people.
        post_checks: what must be true afterwards.
        job_id: the job; `carry_out` knows it too.
        made_at: the time; `carry_out` knows it too.
    """
    return ChangePlan(
        job_id=job_id,
        type=type,
        scope=tuple(scope),
        assumptions=tuple(assumptions),
        operations=numbered(operations),
        post_checks=tuple(post_checks),
        made_at=made_at,
    )


def numbered(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """The operations, each with an id and a seed: the next free `op-N` where there is none."""
    given = tuple(operations)
    taken = {operation.id for operation in given}
    number = 0
    found = []
    for operation in given:
        name = operation.id
        while not name:
            number += 1
            name = "" if f"op-{number}" in taken else f"op-{number}"
        seed = operation.idempotency_seed or name
        found.append(operation.model_copy(update={"id": name, "idempotency_seed": seed}))
    return tuple(found)

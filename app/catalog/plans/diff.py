"""What a plan changes, to be read by people and by programs."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import JsonValue

from app.catalog.plans.operation import Operation
from app.catalog.plans.plan import ChangePlan

MAX_VALUE = 100
"""Characters of one value that are shown."""


def diff_lines(plan: ChangePlan) -> list[str]:
    """A plan as lines for people: an operation, then each record and field that it changes, from what to what.

    The plan needs its previews; an operation without one shows what it would write.
    """
    return [line for operation in plan.operations for line in operation_lines(operation)]


def operation_lines(operation: Operation) -> Iterator[str]:
    """One operation as lines for people."""
    why = f"  # {operation.rationale}" if operation.rationale else ""
    yield f"{operation.id} {operation.kind} [{operation.risk}]{why}"
    if not operation.after:
        for target in operation.targets:
            yield f"  = {target}"
        for path, value in operation.patch.items():
            yield f"      {path}: {_shown(value)}"
    order = {str(target): number for number, target in enumerate(operation.targets)}
    for name in sorted(operation.after, key=lambda name: order.get(name, len(order))):
        before, after = operation.before.get(name), operation.after[name]
        sign = "+" if before is None else "-" if after is None else "~"
        yield f"  {sign} {name}"
        for path in sorted({**(before or {}), **(after or {})}):
            yield f"      {path}: {_change(path, before, after)}"


def changed_fields(plan: ChangePlan) -> list[dict[str, JsonValue]]:
    """A plan as rows for programs: operation, kind, target, field, before and after."""
    return [
        {
            "operation": operation.id,
            "kind": str(operation.kind),
            "target": name,
            "field": path,
            "before": (operation.before.get(name) or {}).get(path),
            "after": (after or {}).get(path),
        }
        for operation in plan.operations
        for name, after in operation.after.items()
        for path in {**(operation.before.get(name) or {}), **(after or {})}
    ]


def _change(path: str, before: dict[str, JsonValue] | None, after: dict[str, JsonValue] | None) -> str:
    if before is None:
        return _shown((after or {}).get(path))
    if after is None:
        return _shown(before.get(path))
    return f"{_shown(before.get(path))} -> {_shown(after.get(path))}"


def _shown(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_VALUE else f"{text[: MAX_VALUE - 1]}…"

"""Rules about the plan and its operations as such."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydantic import JsonValue

from app.catalog.names import family_slug
from app.catalog.plans.finding import Finding
from app.catalog.plans.fix import Fix
from app.catalog.plans.operation import LEAST_RISK, MAX_TARGETS, Operation, OperationKind, Risk
from app.catalog.plans.paths import is_writable, missing_paths, refused_paths
from app.catalog.plans.validators.case import Case, error, removing, setting, warning
from app.catalog.taxonomy import slugify


def check_ids(case: Case) -> Iterator[Finding]:
    """Operations have ids of their own, and none is there twice."""
    counts = Counter(operation.id for operation in case.plan.operations)
    for name, count in counts.items():
        for number in range(2, count + 1):
            operation = next(each for each in case.plan.operations if each.id == name)
            free = next(each for each in (f"{name}-{n}" for n in range(number, number + count)) if each not in counts)
            message = f"{count} operations are called {name!r}; give each an id of its own"
            fix = setting(operation, {"id": free}, "an id of its own")
            yield error(operation, "DOUBLE_OPERATION_ID", "id", message, fix)
    seen: dict[str, str] = {}
    for operation in case.plan.operations:
        told = operation.model_dump_json(include={"kind", "targets", "patch", "idempotency_seed"})
        if told in seen and operation.id != seen[told]:
            message = f"it is the same as {seen[told]}, so that it would count as applied; leave one of them out"
            yield error(operation, "DOUBLE_OPERATION", "", message, removing(operation, f"the same as {seen[told]}"))
        seen.setdefault(told, operation.id)


def check_targets(case: Case) -> Iterator[Finding]:
    """Operations name all records that they change, and no more than one commit takes."""
    for step in case.steps:
        operation = step.operation
        if len(operation.targets) > MAX_TARGETS:
            message = f"it names {len(operation.targets)} records, over the limit of {MAX_TARGETS}; split it"
            yield error(operation, "TOO_MANY_TARGETS", "targets", message)
        unnamed = [str(target) for target in step.changes if target not in operation.targets]
        if unnamed:
            message = f"it changes {', '.join(unnamed)} and does not name it; add it to the targets"
            targets: list[JsonValue] = [*map(str, operation.targets), *unnamed]
            fix = setting(operation, {"targets": targets}, f"name {', '.join(unnamed)}")
            yield error(operation, "UNNAMED_TARGET", "targets", message, fix)
        if not step.changes and step.problem is None and step.kind is not OperationKind.NO_CHANGE:
            yield warning(operation, "NOTHING_CHANGES", "patch", "everything is so already; it could be left out")


def check_fields(case: Case) -> Iterator[Finding]:
    """Operations have the paths that their kind needs, and a risk that fits it."""
    for operation in case.plan.operations:
        for path in missing_paths(operation):
            message = f"{operation.kind} needs {path!r}; give it"
            yield error(operation, "MISSING_FIELD", f"patch.{path}", message, _filled_in(operation, path))
        least = LEAST_RISK.get(operation.kind, Risk.LOW)
        if operation.risk.rank < least.rank:
            message = f"{operation.kind} is {least} at least, and this one says {operation.risk}"
            fix = setting(operation, {"risk": str(least)}, f"{operation.kind} is {least} at least")
            yield error(operation, "RISK_TOO_LOW", "risk", message, fix)


def check_paths(case: Case) -> Iterator[Finding]:
    """Operations write only what their kind may write."""
    for operation in case.plan.operations:
        refused = refused_paths(operation)
        for path in refused:
            message = f"{operation.kind} may not write {path!r}; leave it out, or use the kind that writes it"
            rest = [each for each in operation.patch if is_writable(operation.kind, each)]
            fix: Fix = (
                setting(operation, {f"patch.{path}": None}, f"{path} is not written by {operation.kind}")
                if rest
                else removing(operation, f"it writes nothing but {', '.join(refused)}")
            )
            yield error(operation, "PATH_NOT_WRITABLE", f"patch.{path}", message, fix)


def _filled_in(operation: Operation, path: str) -> Fix | None:
    """What follows from the name."""
    name = operation.patch.get("name")
    if not isinstance(name, str) or path not in ("slug", "family_slug"):
        return None
    value = slugify(name) if path == "slug" else family_slug(name)
    return setting(operation, {f"patch.{path}": value}, "as the name says") if value else None

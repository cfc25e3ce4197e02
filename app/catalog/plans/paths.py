"""Which paths each kind of operation may write: the one list for planners, validators and applying."""

from __future__ import annotations

from collections.abc import Mapping

from app.catalog.enrichment.fields import ATTRIBUTES
from app.catalog.exercise import ALWAYS_LOCKED, Exercise
from app.catalog.plans.operation import Operation, OperationKind

LEGACY = "legacy."

CONTENT_PATHS = frozenset(Exercise.model_fields) - ALWAYS_LOCKED - {"attributes"}
"""What an exercise says of itself; `attributes.<name>` comes on top."""

_CONTENT = CONTENT_PATHS | {ATTRIBUTES}

WRITABLE: Mapping[OperationKind, frozenset[str]] = {
    OperationKind.RENAME_EXERCISE: frozenset({"name", "slug"}),
    OperationKind.PATCH_EXERCISE: _CONTENT | {LEGACY, "locked_fields"},
    OperationKind.MERGE_EXERCISE: _CONTENT | {"merged_into"},
    OperationKind.CREATE_EXERCISE: _CONTENT | {"name", "slug", "family_slug", "source", "locked_fields"},
    OperationKind.DEPRECATE_EXERCISE: frozenset({"status"}),
    OperationKind.UPSERT_ALIAS: frozenset({"exercise_id", "family_slug", "reason"}),
    OperationKind.DELETE_ALIAS: frozenset(),
    OperationKind.REASSIGN_FAMILY: frozenset({"family_slug"}),
    OperationKind.DEPRECATE_FAMILY: frozenset({"merged_into"}),
    OperationKind.UPDATE_REGISTRY: frozenset({"title", "notes"}),
    OperationKind.NO_CHANGE: frozenset(),
}
"""By kind. A path that ends in a dot stands for all that begin like it."""

REQUIRED: Mapping[OperationKind, frozenset[str]] = {
    OperationKind.RENAME_EXERCISE: frozenset({"name"}),
    OperationKind.MERGE_EXERCISE: frozenset({"merged_into"}),
    OperationKind.CREATE_EXERCISE: frozenset({"name", "slug", "family_slug"}),
    OperationKind.DEPRECATE_EXERCISE: frozenset({"status"}),
    OperationKind.REASSIGN_FAMILY: frozenset({"family_slug"}),
}
"""Paths that a kind needs."""


def is_writable(kind: OperationKind, path: str) -> bool:
    """Whether an operation of that kind may write the path."""
    allowed = WRITABLE[kind]
    stem, dot, name = path.partition(".")
    return path in allowed if not dot else bool(name) and f"{stem}." in allowed


def refused_paths(operation: Operation) -> tuple[str, ...]:
    """The paths of an operation's patch that its kind may not write, sorted."""
    return tuple(sorted(path for path in operation.patch if not is_writable(operation.kind, path)))


def missing_paths(operation: Operation) -> tuple[str, ...]:
    """The paths that its kind needs and its patch lacks, sorted."""
    needed = REQUIRED.get(operation.kind, frozenset())
    return tuple(sorted(path for path in needed if operation.patch.get(path) is None))

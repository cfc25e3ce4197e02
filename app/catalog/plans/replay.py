"""What an operation makes of the records that it is about: pure, and the same for validators and for applying."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from pydantic import JsonValue, ValidationError

from app.catalog.aliases import FAMILY_PREFIX, Alias
from app.catalog.enrichment.fields import ATTRIBUTES
from app.catalog.errors import CatalogError
from app.catalog.exercise import Exercise, ExerciseStatus
from app.catalog.families import Family, FamilyStatus
from app.catalog.plans.operation import (
    Operation,
    OperationKind,
    Preview,
    Target,
    TargetKind,
    alias_target,
    exercise_target,
    family_target,
)
from app.catalog.plans.paths import LEGACY, is_writable
from app.catalog.plans.plan import ChangePlan
from app.catalog.plans.snapshot import Changes, Item, Snapshot

_TIMES = frozenset({"created_at", "updated_at", "schema_version"})
"""What a preview does not show: it follows from the change."""


class CannotReplay(CatalogError):
    """An operation cannot be done to these records."""

    def __init__(self, operation: Operation, code: str, field: str, message: str) -> None:
        self.operation = operation
        self.code = code
        self.field = field
        self.message = message
        super().__init__(f"{operation.id or operation.kind}: {message}")


def replay(snapshot: Snapshot, operation: Operation, at: datetime) -> Changes:
    """The new states of all records that an operation changes; none for those that it leaves as they are.

    Whether the result is sensible is the validators' business; whether it can be done at all is decided here.

    Args:
        snapshot: has at least what `touched_by(operation)` names.
        operation: what to do.
        at: the time of the change.

    Raises:
        CannotReplay: a record is missing or there already, a path is not writable, or a value does not fit.
    """
    refused = [path for path in operation.patch if not is_writable(operation.kind, path)]
    if refused:
        message = f"{operation.kind} can't write {', '.join(map(repr, refused))}; leave it out"
        raise CannotReplay(operation, "PATH_NOT_WRITABLE", f"patch.{refused[0]}", message)
    try:
        found = _REPLAYS[operation.kind](snapshot, operation, at)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in detail["loc"]) or "record"
        message = f"{detail['input']!r:.100} does not fit: {detail['msg']}"
        raise CannotReplay(operation, "BAD_VALUE", f"patch.{field}", message) from error
    return {target: item for target, item in found.items() if not _is_same(snapshot.get(target), item)}


def replay_plan(snapshot: Snapshot, plan: ChangePlan, at: datetime) -> tuple[Snapshot, list[CannotReplay]]:
    """The snapshot after every operation that can be done, and why the others can't."""
    problems: list[CannotReplay] = []
    for operation in plan.operations:
        try:
            snapshot = snapshot.after(replay(snapshot, operation, at))
        except CannotReplay as problem:
            problems.append(problem)
    return snapshot, problems


def with_previews(plan: ChangePlan, snapshot: Snapshot, at: datetime) -> ChangePlan:
    """The plan, each operation saying which fields it changes: from what, and to what."""
    shown: list[Operation] = []
    for operation in plan.operations:
        try:
            changes = replay(snapshot, operation, at)
        except CannotReplay:
            shown.append(operation.model_copy(update={"before": {}, "after": {}}))
            continue
        before, after = preview(snapshot, changes)
        shown.append(operation.model_copy(update={"before": before, "after": after}))
        snapshot = snapshot.after(changes)
    return plan.model_copy(update={"operations": tuple(shown)})


def preview(snapshot: Snapshot, changes: Changes) -> tuple[Preview, Preview]:
    """The fields that changes concern, as they were and as they will be."""
    before: Preview = {}
    after: Preview = {}
    for target, item in changes.items():
        was, will = shown_fields(snapshot.get(target)), shown_fields(item)
        names = [name for name in {**(was or {}), **(will or {})} if (was or {}).get(name) != (will or {}).get(name)]
        before[str(target)] = None if was is None else {name: was.get(name) for name in names}
        after[str(target)] = None if will is None else {name: will.get(name) for name in names}
    return before, after


def shown_fields(item: Item | None) -> dict[str, JsonValue] | None:
    """A record's fields as JSON, attributes and legacy fields each by its path, without times and what is empty."""
    if item is None:
        return None
    fields: dict[str, Any] = item.model_dump(mode="json")
    for stem in (ATTRIBUTES, LEGACY):
        inner = fields.pop(stem.removesuffix("."), None) or {}
        fields.update({f"{stem}{name}": value for name, value in inner.items()})
    return {name: value for name, value in fields.items() if name not in _TIMES and value not in (None, [], "")}


# --- one function a kind ---------------------------------------------------------------------------------------------


def _is_same(one: Item | None, other: Item | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.model_copy(update={"updated_at": other.updated_at}) == other


def _exercise(snapshot: Snapshot, operation: Operation, exercise_id: str) -> Exercise:
    found = snapshot.exercises.get(exercise_id)
    if found is None:
        message = f"there is no exercise {exercise_id!r}; leave the operation out, or name another"
        raise CannotReplay(operation, "UNKNOWN_TARGET", "targets", message)
    return found


def _only(operation: Operation, ids: tuple[str, ...], what: str) -> str:
    if len(ids) != 1:
        message = f"{operation.kind} takes one {what} as target, not {len(ids)}"
        raise CannotReplay(operation, "MISSING_TARGET", "targets", message)
    return ids[0]


def _some(operation: Operation, ids: tuple[str, ...], what: str) -> tuple[str, ...]:
    if not ids:
        raise CannotReplay(operation, "MISSING_TARGET", "targets", f"{operation.kind} names no {what}; name it")
    return ids


def _needed(operation: Operation, path: str) -> str:
    value = operation.patch.get(path)
    if value is None or value == "":
        raise CannotReplay(operation, "MISSING_FIELD", f"patch.{path}", f"{operation.kind} needs {path!r}; give it")
    if not isinstance(value, str):
        message = f"{path!r} is {value!r:.100}, and has to be a text"
        raise CannotReplay(operation, "BAD_VALUE", f"patch.{path}", message)
    return value


def _with(exercise: Exercise, at: datetime, fields: Mapping[str, Any]) -> Exercise:
    times = {"updated_at": max(at, exercise.updated_at)}
    return Exercise.model_validate({**exercise.model_dump(), **fields, **times})


def _patched(exercise: Exercise, at: datetime, patch: Mapping[str, JsonValue]) -> Exercise:
    """The exercise with a patch by paths."""
    fields: dict[str, Any] = {}
    parts = {"attributes": dict(exercise.attributes), "legacy": dict(exercise.legacy)}
    for path, value in patch.items():
        stem, dot, name = path.partition(".")
        if dot:
            if value is None:
                parts[stem].pop(name, None)
            else:
                parts[stem][name] = value
        else:
            # Null empties a field: what that is differs between texts and lists.
            fields[path] = Exercise.model_fields[path].get_default() if value is None else value
    return _with(exercise, at, {**fields, **parts})


def _alias(
    snapshot: Snapshot, record_id: str, at: datetime, reason: str, *, exercise_id: str | None, family: str | None
) -> Alias:
    before = snapshot.aliases.get(record_id)
    return Alias(
        id=record_id,
        slug=record_id.removeprefix(FAMILY_PREFIX),
        exercise_id=exercise_id,
        family_slug=family,
        reason=reason,
        created_at=at if before is None else before.created_at,
        updated_at=at if before is None else max(at, before.updated_at),
    )


def _rename(snapshot: Snapshot, operation: Operation, at: datetime) -> Changes:
    before = _exercise(snapshot, operation, _only(operation, operation.exercise_ids(), "exercise"))
    slug = _needed(operation, "slug") if "slug" in operation.patch else before.slug
    after = _with(before, at, {"name": _needed(operation, "name"), "slug": slug})
    changes: dict[Target, Item | None] = {exercise_target(before.id): after}
    if slug == before.slug:
        return changes
    old = snapshot.aliases.get(before.slug)
    if old is not None and old.exercise_id != before.id:
        message = f"the old slug {before.slug!r} is an alias of another record already; repair that alias first"
        raise CannotReplay(operation, "ALIAS_TAKEN", "targets", message)
    changes[alias_target(before.slug)] = old or _alias(
        snapshot, before.slug, at, "rename", exercise_id=before.id, family=None
    )
    own = snapshot.aliases.get(slug)
    if own is not None and own.exercise_id == before.id:
        changes[alias_target(slug)] = None  # it takes a name again that it had before
    return changes


def _patch(snapshot: Snapshot, operation: Operation, at: datetime) -> Changes:
    ids = _some(operation, operation.exercise_ids(), "exercise")
    if not operation.patch:
        raise CannotReplay(
            operation, "MISSING_FIELD", "patch", "a patch that writes nothing; say what, or leave it out"
        )
    return {exercise_target(each): _patched(_exercise(snapshot, operation, each), at, operation.patch) for each in ids}


def _merge(snapshot: Snapshot, operation: Operation, at: datetime) -> Changes:
    into_id = _needed(operation, "merged_into")
    others = tuple(each for each in operation.exercise_ids() if each != into_id)
    source = _exercise(snapshot, operation, _only(operation, others, "exercise beside the one that it is merged into"))
    into = _exercise(snapshot, operation, into_id)
    for exercise, field in ((source, "targets"), (into, "patch.merged_into")):
        if exercise.status is not ExerciseStatus.ACTIVE:
            message = f"{exercise.id!r} is {exercise.status}; only active exercises are merged"
            raise CannotReplay(operation, "NOT_ACTIVE", field, message)
    old = snapshot.aliases.get(source.slug)
    if old is not None and old.exercise_id not in (source.id, into.id):
        message = f"the slug {source.slug!r} is an alias of another record already; repair that alias first"
        raise CannotReplay(operation, "ALIAS_TAKEN", "targets", message)
    changes: dict[Target, Item | None] = {
        exercise_target(source.id): _with(source, at, {"status": ExerciseStatus.MERGED, "merged_into": into.id})
    }
    content = {path: value for path, value in operation.patch.items() if path != "merged_into"}
    if content:
        changes[exercise_target(into.id)] = _patched(into, at, content)
    for alias in (*snapshot.aliases_of(source.id), None):
        record_id = source.slug if alias is None else alias.id
        moved = _alias(
            snapshot, record_id, at, "merge" if alias is None else alias.reason, exercise_id=into.id, family=None
        )
        changes[alias_target(record_id)] = moved
    return changes


def _create(snapshot: Snapshot, operation: Operation, at: datetime) -> Changes:
    new = _only(operation, operation.exercise_ids(), "exercise")
    if new in snapshot.exercises:
        raise CannotReplay(
            operation, "TARGET_EXISTS", "targets", f"there is an exercise {new!r} already; take another slug"
        )
    slug = _needed(operation, "slug")
    if slug != new:
        message = f"the slug {slug!r} is not the target's id {new!r}; a new exercise has its slug as id"
        raise CannotReplay(operation, "BAD_VALUE", "patch.slug", message)
    name, family = _needed(operation, "name"), _needed(operation, "family_slug")
    bare = Exercise(id=new, slug=slug, name=name, family_slug=family, created_at=at, updated_at=at)
    rest = {path: value for path, value in operation.patch.items() if path not in ("slug", "name", "family_slug")}
    return {exercise_target(new): _patched(bare, at, rest)}


def _deprecate(snapshot: Snapshot, operation: Operation, at: datetime) -> Changes:
    before = _exercise(snapshot, operation, _only(operation, operation.exercise_ids(), "exercise"))
    status = _needed(operation, "status")
    if status == ExerciseStatus.MERGED or before.status is ExerciseStatus.MERGED:
        message = f"{before.id!r} is {before.status} and would be {status}; merging has its own operation"
        raise CannotReplay(operation, "BAD_STATUS", "patch.status", message)
    return {exercise_target(before.id): _with(before, at, {"status": status})}


def _upsert_alias(snapshot: Snapshot, operation: Operation, at: datetime) -> Changes:
    record_id = _only(operation, operation.alias_ids(), "alias")
    exercise_id, family = (operation.patch.get(name) for name in ("exercise_id", "family_slug"))
    if exercise_id is not None and family is not None:
        message = f"the alias {record_id!r} would lead to an exercise and a family; give one of them"
        raise CannotReplay(operation, "ALIAS_BOTH_TARGETS", "patch", message)
    if exercise_id is None and family is None:
        message = f"the alias {record_id!r} would lead nowhere; give exercise_id or family_slug"
        raise CannotReplay(operation, "ALIAS_NO_TARGET", "patch", message)
    if (family is not None) != record_id.startswith(FAMILY_PREFIX):
        message = (
            f"{record_id!r} is no id for such an alias: that of a family begins with {FAMILY_PREFIX!r}, others don't"
        )
        raise CannotReplay(operation, "BAD_VALUE", "targets", message)
    named = _needed(operation, "exercise_id" if family is None else "family_slug")
    reason = operation.patch.get("reason")
    where = {"exercise_id": named, "family": None} if family is None else {"exercise_id": None, "family": named}
    alias = _alias(snapshot, record_id, at, reason if isinstance(reason, str) else "", **where)
    return {alias_target(record_id): alias}


def _delete_alias(snapshot: Snapshot, operation: Operation, at: datetime) -> Changes:
    ids = _some(operation, operation.alias_ids(), "alias")
    for each in ids:
        if each not in snapshot.aliases:
            raise CannotReplay(operation, "UNKNOWN_TARGET", "targets", f"there is no alias {each!r}; leave it out")
    return {alias_target(each): None for each in ids}


def _reassign(snapshot: Snapshot, operation: Operation, at: datetime) -> Changes:
    ids = _some(operation, operation.exercise_ids(), "exercise")
    fields = {"family_slug": _needed(operation, "family_slug")}
    return {exercise_target(each): _with(_exercise(snapshot, operation, each), at, fields) for each in ids}


def _family(snapshot: Snapshot, slug: str, at: datetime, fields: Mapping[str, Any]) -> Changes:
    before = snapshot.families.get(slug) or Family(slug=slug, created_at=at, updated_at=at)
    times = {"updated_at": max(at, before.updated_at)}
    return {family_target(slug): Family.model_validate({**before.model_dump(), **fields, **times})}


def _deprecate_family(snapshot: Snapshot, operation: Operation, at: datetime) -> Changes:
    slug = _only(operation, operation.family_slugs(), "family")
    fields = {"status": FamilyStatus.DEPRECATED, "merged_into": operation.patch.get("merged_into")}
    return _family(snapshot, slug, at, fields)


def _update_registry(snapshot: Snapshot, operation: Operation, at: datetime) -> Changes:
    slug = _only(operation, operation.family_slugs(), "family")
    given = {name: value or "" for name, value in operation.patch.items()}
    return _family(snapshot, slug, at, {**given, "status": FamilyStatus.ACTIVE, "merged_into": None})


def _no_change(snapshot: Snapshot, operation: Operation, at: datetime) -> Changes:
    for target in operation.targets:
        if target.kind is TargetKind.EXERCISE:
            _exercise(snapshot, operation, target.id)
    return {}


_REPLAYS: Mapping[OperationKind, Callable[[Snapshot, Operation, datetime], Changes]] = {
    OperationKind.RENAME_EXERCISE: _rename,
    OperationKind.PATCH_EXERCISE: _patch,
    OperationKind.MERGE_EXERCISE: _merge,
    OperationKind.CREATE_EXERCISE: _create,
    OperationKind.DEPRECATE_EXERCISE: _deprecate,
    OperationKind.UPSERT_ALIAS: _upsert_alias,
    OperationKind.DELETE_ALIAS: _delete_alias,
    OperationKind.REASSIGN_FAMILY: _reassign,
    OperationKind.DEPRECATE_FAMILY: _deprecate_family,
    OperationKind.UPDATE_REGISTRY: _update_registry,
    OperationKind.NO_CHANGE: _no_change,
}

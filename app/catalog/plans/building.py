"""Operations as planners make them: each names all its targets, what follows from it included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from app.catalog.aliases import Alias, alias_id
from app.catalog.exercise import Exercise
from app.catalog.plans.operation import (
    LEAST_RISK,
    Operation,
    OperationKind,
    Risk,
    Target,
    alias_target,
    exercise_target,
    family_target,
)
from app.catalog.taxonomy import slugify

Patch = Mapping[str, JsonValue]


def _operation(
    kind: OperationKind, targets: Iterable[Target], patch: Patch, rationale: str, risk: Risk | None
) -> Operation:
    return Operation(
        kind=kind,
        targets=tuple(dict.fromkeys(targets)),
        patch=dict(patch),
        rationale=rationale,
        risk=risk or LEAST_RISK.get(kind, Risk.LOW),
    )


def rename_exercise(
    exercise: Exercise,
    name: str,
    *,
    slug: str | None = None,
    aliases: Iterable[str] = (),
    rationale: str = "",
    risk: Risk | None = None,
) -> Operation:
    """Give an exercise another name; its old slug becomes an alias.

    Args:
        exercise: as it is.
        name: the new one.
        slug: by default that of the name.
        aliases: the ids of aliases that the snapshot has. One that is the new slug is named as a target: it leads to
            this exercise and is taken away, or the plan is refused.
        rationale: why, for people.
        risk: by default the least of the kind.
    """
    new = slugify(name) if slug is None else slug
    targets = [exercise_target(exercise.id)]
    if new != exercise.slug:
        targets.append(alias_target(alias_id(exercise.slug)))
        if new in aliases:
            targets.append(alias_target(alias_id(new)))
    patch: Patch = {"name": name, "slug": new} if new != exercise.slug else {"name": name}
    return _operation(OperationKind.RENAME_EXERCISE, targets, patch, rationale, risk)


def patch_exercises(
    exercise_ids: Sequence[str],
    patch: Patch,
    *,
    enriched: Iterable[str] = (),
    rationale: str = "",
    risk: Risk | None = None,
) -> Operation:
    """Write the same fields of one exercise or several. Null takes an attribute or a legacy field away.

    Args:
        exercise_ids: which; at most `MAX_TARGETS`.
        patch: values by path, such as `equipment`, `attributes.tempo` or `legacy.old_field`.
        enriched: the paths whose values an enricher found.
        rationale: why, for people.
        risk: by default the least of the kind.
    """
    targets = [exercise_target(each) for each in exercise_ids]
    operation = _operation(OperationKind.PATCH_EXERCISE, targets, patch, rationale, risk)
    return operation.model_copy(update={"enriched": tuple(sorted(enriched))})


def merge_exercise(
    source: Exercise,
    into: Exercise,
    *,
    aliases: Iterable[Alias] = (),
    patch: Patch | None = None,
    rationale: str = "",
    risk: Risk | None = None,
) -> Operation:
    """Fold an exercise into another: it becomes merged, and its slug and its aliases lead to the other.

    Args:
        source: what is folded.
        into: what stays.
        aliases: every alias that leads to `source`, as `Snapshot.aliases_of` gives them.
        patch: what the one that stays takes over, by path.
        rationale: why, for people.
        risk: by default the least of the kind.
    """
    targets = [exercise_target(source.id), exercise_target(into.id), alias_target(alias_id(source.slug))]
    targets += [alias_target(alias.id) for alias in aliases]
    return _operation(OperationKind.MERGE_EXERCISE, targets, {"merged_into": into.id, **(patch or {})}, rationale, risk)


def create_exercise(
    name: str,
    family_slug: str,
    content: Patch,
    *,
    slug: str | None = None,
    rationale: str = "",
    risk: Risk | None = None,
) -> Operation:
    """Add an exercise. Its id is its slug.

    Args:
        name: as "[Modifier] Base (Equipment)".
        family_slug: its family.
        content: further fields by path.
        slug: by default that of the name.
        rationale: why, for people.
        risk: by default the least of the kind.
    """
    new = slugify(name) if slug is None else slug
    patch = {"name": name, "slug": new, "family_slug": family_slug, **content}
    return _operation(OperationKind.CREATE_EXERCISE, [exercise_target(new)], patch, rationale, risk)


def deprecate_exercise(
    exercise_id: str, status: str = "deprecated", *, rationale: str = "", risk: Risk | None = None
) -> Operation:
    """Take an exercise out of use: `deprecated`, `archived`, or back to `active`."""
    return _operation(
        OperationKind.DEPRECATE_EXERCISE, [exercise_target(exercise_id)], {"status": status}, rationale, risk
    )


def upsert_alias(
    slug: str,
    *,
    exercise_id: str | None = None,
    family_slug: str | None = None,
    reason: str = "",
    rationale: str = "",
    risk: Risk | None = None,
) -> Operation:
    """Let an old slug lead to an exercise, or to a family.

    Args:
        slug: the old one.
        exercise_id: the exercise; or else
        family_slug: the family.
        reason: where the alias comes from, kept in it.
        rationale: why, for people.
        risk: by default the least of the kind.
    """
    patch: dict[str, JsonValue] = {"exercise_id": exercise_id, "family_slug": family_slug, "reason": reason or None}
    target = alias_target(alias_id(slug, family=family_slug is not None))
    given = {path: value for path, value in patch.items() if value is not None}
    return _operation(OperationKind.UPSERT_ALIAS, [target], given, rationale, risk)


def delete_alias(record_id: str, *, rationale: str = "", risk: Risk | None = None) -> Operation:
    """Take an alias away, by its record's id."""
    return _operation(OperationKind.DELETE_ALIAS, [alias_target(record_id)], {}, rationale, risk)


def reassign_family(
    exercise_ids: Sequence[str], family_slug: str, *, rationale: str = "", risk: Risk | None = None
) -> Operation:
    """Move exercises to a family; at most `MAX_TARGETS` in one operation."""
    targets = [exercise_target(each) for each in exercise_ids]
    return _operation(OperationKind.REASSIGN_FAMILY, targets, {"family_slug": family_slug}, rationale, risk)


def deprecate_family(
    slug: str, *, merged_into: str | None = None, rationale: str = "", risk: Risk | None = None
) -> Operation:
    """Close a family that has no active exercise any more. Its alias is an operation of its own."""
    patch: Patch = {} if merged_into is None else {"merged_into": merged_into}
    return _operation(OperationKind.DEPRECATE_FAMILY, [family_target(slug)], patch, rationale, risk)


def update_registry(
    slug: str,
    *,
    title: str | None = None,
    notes: str | None = None,
    rationale: str = "",
    risk: Risk | None = None,
) -> Operation:
    """Write a family's entry; there is one, and it is active, afterwards."""
    patch: dict[str, JsonValue] = {"title": title, "notes": notes}
    given = {path: value for path, value in patch.items() if value is not None}
    return _operation(OperationKind.UPDATE_REGISTRY, [family_target(slug)], given, rationale, risk)


def no_change(targets: Iterable[Target], rationale: str, *, risk: Risk | None = None) -> Operation:
    """Say something about records and leave them as they are: findings of an audit, or what a person has to see."""
    return _operation(OperationKind.NO_CHANGE, targets, {}, rationale, risk)

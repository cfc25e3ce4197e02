"""`schema_cleanup`: deprecated fields go, and older fields whose replacement has content."""

from __future__ import annotations

from app.catalog.payloads import SchemaCleanup
from app.catalog.planners.refusal import no_exercise
from app.catalog.plans import MAX_TARGETS, ChangePlan, Operation, Snapshot, Touches, make_plan, patch_exercises
from app.catalog.reviewer.legacy import legacy_fields, removable

TYPE = "schema_cleanup"


def needs(payload: SchemaCleanup, snapshot: Snapshot) -> Touches:
    """The exercises."""
    return Touches.of(exercises=payload.exercise_ids)


def build(payload: SchemaCleanup, snapshot: Snapshot) -> ChangePlan:
    """Exercises with the same fields to remove share an operation; one that has none is left out.

    Raises:
        CannotPlan: `EXERCISE_NOT_FOUND`.
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    kept: set[str] = set()
    for exercise_id in payload.exercise_ids:
        exercise = snapshot.exercises.get(exercise_id)
        if exercise is None:
            raise no_exercise(exercise_id)
        fields = [name for name in removable(exercise) if not payload.fields or name in payload.fields]
        kept.update(legacy_fields().replaced.keys() & exercise.legacy.keys() - set(removable(exercise)))
        if fields:
            alike.setdefault(tuple(fields), []).append(exercise_id)
    operations: list[Operation] = []
    for fields_, ids in sorted(alike.items()):
        patch = dict.fromkeys(f"legacy.{name}" for name in fields_)
        for start in range(0, len(ids), MAX_TARGETS):
            part = ids[start : start + MAX_TARGETS]
            operations.append(patch_exercises(part, patch, rationale=f"not needed any more: {', '.join(fields_)}"))
    assumptions = [f"{name} stays where nothing has taken its place" for name in sorted(kept)]
    return make_plan(TYPE, operations, scope=payload.exercise_ids[:MAX_TARGETS], assumptions=assumptions)

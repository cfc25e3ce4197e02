"""`merge_candidate`: one exercise is folded into another that is the same."""

from __future__ import annotations

from pydantic import JsonValue

from app.catalog.exercise import Exercise, ExerciseStatus
from app.catalog.names import contrasts
from app.catalog.payloads import MergeCandidate
from app.catalog.planners.refusal import CannotPlan, no_exercise
from app.catalog.plans import (
    CONTENT_PATHS,
    ChangePlan,
    Snapshot,
    Touches,
    make_plan,
    merge_exercise,
)

TYPE = "merge_candidate"
_OWN = frozenset({"equipment"})
"""What the one that stays never takes over: names and families go by it."""


def needs(payload: MergeCandidate, snapshot: Snapshot) -> Touches:
    """Both exercises with their families, and every alias that leads to the one that is folded."""
    pair = [payload.source_id, payload.target_id]
    stayed = _stayed(payload, snapshot)
    pair += [stayed] if stayed is not None else []
    return Touches.of(exercises=pair, families_of=pair, aliases_of=[payload.source_id])


def _stayed(payload: MergeCandidate, snapshot: Snapshot) -> str | None:
    """Where the target went if it was merged meanwhile: of three equal ones the third may be merged first.

    None if it was not, or if a person was asked about these two and no others.
    """
    name = payload.target_id
    seen: set[str] = set()
    while (exercise := snapshot.exercises.get(name)) is not None and exercise.merged_into not in {None, *seen}:
        seen.add(name)
        name = str(exercise.merged_into)
    return None if name in (payload.target_id, payload.source_id) or payload.needs_review else name


def build(payload: MergeCandidate, snapshot: Snapshot) -> ChangePlan:
    """The merge: status, `merged_into`, aliases, and what the one that stays lacks and the other has.

    One of several doubles may have been merged since the scan. A target that was leads to what stayed; otherwise
    nothing is done.

    Raises:
        CannotPlan: `EXERCISE_NOT_FOUND`; `NOT_ACTIVE`, one of them is out of use; `CONTRAST`, the names say opposite or
            different movements, and no likeness of texts outweighs that.
    """
    source = _exercise(snapshot, payload.source_id)
    target = _exercise(snapshot, _stayed(payload, snapshot) or payload.target_id)
    if source.merged_into == target.id:
        return make_plan(TYPE, [], scope=[source.id, target.id], assumptions=["they were merged before"])
    for each in (source, target):
        if each.merged_into is not None:
            told = f"{each.name!r} was merged into {each.merged_into!r} meanwhile"
            return make_plan(TYPE, [], scope=[source.id, target.id], assumptions=[told])
        if each.status is not ExerciseStatus.ACTIVE:
            raise CannotPlan("NOT_ACTIVE", f"{each.name!r} is {each.status}; name two exercises that are in use")
    if found := contrasts(source.name, target.name):
        words = " and ".join(f"{one!r} against {other!r}" for one, other in found)
        says = (
            f"{source.name!r} and {target.name!r} are different movements, by {words}; mend a name that is wrong first"
        )
        raise CannotPlan("CONTRAST", says)
    patch = _missing_content(source, target)
    why = f"{source.name!r} is the same exercise as {target.name!r}"
    if payload.evidence.get("reasons"):
        why = f"{why}: {payload.evidence['reasons']}"
    operation = merge_exercise(source, target, aliases=snapshot.aliases_of(source.id), patch=patch, rationale=why)
    return make_plan(TYPE, [operation], scope=[source.family_slug, source.id, target.id])


def _exercise(snapshot: Snapshot, exercise_id: str) -> Exercise:
    found = snapshot.exercises.get(exercise_id)
    if found is None:
        raise no_exercise(exercise_id)
    return found


def _missing_content(source: Exercise, target: Exercise) -> dict[str, JsonValue]:
    """What the one that stays lacks and the other has."""
    has, lacks = source.model_dump(mode="json"), target.model_dump(mode="json")
    return {path: has[path] for path in sorted(CONTENT_PATHS - _OWN) if has[path] and not lacks[path]}

"""What enrichment of some exercises comes to: from proposals to a plan, and to what is counted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue, TypeAdapter

from app.catalog.enrichment import DropReason, EnrichmentOutcome, FieldProposal, apply_proposals
from app.catalog.exercise import Exercise
from app.catalog.payloads import EnrichmentChoice
from app.catalog.planners.families import qualifications
from app.catalog.plans import ChangePlan, Operation, OperationKind, Snapshot, Touches, make_plan, patch_exercises
from app.catalog.tasks.counts import Counts
from app.catalog.variants import double_of, family_equipment, lacks_qualifier

EQUIPMENT = "equipment"
Proposals = Mapping[str, Sequence[FieldProposal]]
"""By exercise."""
_PROPOSALS: TypeAdapter[dict[str, list[FieldProposal]]] = TypeAdapter(dict[str, list[FieldProposal]])


def proposals_as_json(proposals: Proposals) -> dict[str, Any]:
    """For a recorded step."""
    dumped: dict[str, Any] = _PROPOSALS.dump_python({key: list(value) for key, value in proposals.items()}, mode="json")
    return dumped


def proposals_of_json(told: Mapping[str, Any]) -> dict[str, list[FieldProposal]]:
    """From a recorded step."""
    return _PROPOSALS.validate_python(told)


@dataclass(frozen=True, slots=True)
class Decided:
    """What is to be written of one exercise, and how it is counted with it and without it."""

    exercise_id: str
    patch: dict[str, JsonValue]
    why: str
    written: Counts
    left: Counts
    """If somebody else changes the exercise before it is written."""

    def as_json(self) -> dict[str, Any]:
        """For a recorded step."""
        counts = {"written": self.written.model_dump(), "left": self.left.model_dump()}
        return {"exercise_id": self.exercise_id, "patch": self.patch, "why": self.why, **counts}

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Decided:
        """From a recorded step."""
        written, left = Counts.model_validate(told["written"]), Counts.model_validate(told["left"])
        return cls(told["exercise_id"], told["patch"], told["why"], written, left)


def decide(
    exercises: Iterable[Exercise], families: Snapshot, proposals: Proposals, choice: EnrichmentChoice, at: datetime
) -> list[Decided]:
    """Which of the proposals are written.

    Args:
        exercises: as they are stored.
        families: has the families of those that equipment is proposed for, whole.
        proposals: what an enricher found.
        choice: fields, threshold and whether values may be replaced.
        at: the time.
    """
    members: dict[str, dict[str, Exercise]] = {}
    decided: list[Decided] = []
    for exercise in exercises:
        found = list(proposals.get(exercise.id, ()))
        outcome = _outcome(exercise, found, choice, at)
        doubled = 0
        if any(proposal.path == EQUIPMENT for proposal in outcome.written):
            slug = exercise.family_slug
            family = members.setdefault(slug, {each.id: each for each in families.members(slug)})
            if double_of(outcome.exercise, family.values()) is not None:
                doubled = sum(proposal.path == EQUIPMENT for proposal in found)
                outcome = _outcome(exercise, [each for each in found if each.path != EQUIPMENT], choice, at)
            else:
                family[exercise.id] = outcome.exercise
        decided.append(_decided(exercise, outcome, doubled))
    return decided


def _outcome(
    exercise: Exercise, proposals: Sequence[FieldProposal], choice: EnrichmentChoice, at: datetime
) -> EnrichmentOutcome:
    return apply_proposals(
        exercise, proposals, choice.fields, at, threshold=choice.threshold, overwrite=choice.overwrite
    )


def _decided(exercise: Exercise, outcome: EnrichmentOutcome, doubled: int) -> Decided:
    dropped = dict(outcome.dropped)
    if doubled:
        dropped[DropReason.DOUBLE] = doubled
    written = Counts.of(exercise, EnrichmentOutcome(outcome.exercise, outcome.written, dropped))
    if not outcome.written:
        return Decided(exercise.id, {}, "", written, written)
    dropped[DropReason.CHANGED] = len(outcome.written)
    return Decided(
        exercise_id=exercise.id,
        patch={proposal.path: proposal.value for proposal in outcome.written},
        why="; ".join(f"{each.path}: {each.reason} ({each.confidence:.2f})" for each in outcome.written)[:4_000],
        written=written,
        left=Counts.of(exercise, EnrichmentOutcome(exercise, (), dropped)),
    )


def touches_of(decided: Iterable[Decided]) -> Touches:
    """What a plan of these looks at: a new equipment may make a family one of several kinds."""
    changing = [each for each in decided if each.patch]
    return Touches.of(
        exercises=[each.exercise_id for each in changing],
        families_of=[each.exercise_id for each in changing if EQUIPMENT in each.patch],
    )


def plan_of(job_type: str, decided: Iterable[Decided], snapshot: Snapshot) -> ChangePlan:
    """One patch for each exercise, and the names that new equipment makes the others of its family carry."""
    operations: list[Operation] = []
    after: dict[str, dict[str, Exercise]] = {}
    for each in decided:
        exercise = snapshot.exercises.get(each.exercise_id)
        if exercise is None or not each.patch:
            continue
        operations.append(patch_exercises([each.exercise_id], each.patch, enriched=each.patch, rationale=each.why))
        if EQUIPMENT in each.patch:
            changed = Exercise.model_validate({**exercise.model_dump(), EQUIPMENT: each.patch[EQUIPMENT]})
            members = {member.id: member for member in snapshot.members(exercise.family_slug)}
            after.setdefault(exercise.family_slug, members)[exercise.id] = changed
    for slug, family in sorted(after.items()):
        operations += _renames(slug, list(family.values()), snapshot)
    return make_plan(job_type, operations, scope=sorted(after))


def _renames(slug: str, members: Sequence[Exercise], snapshot: Snapshot) -> list[Operation]:
    """The new names of those who did not lack their equipment before. The others are another job's business."""
    before, equipment = family_equipment(snapshot.members(slug)), family_equipment(members)
    lacked = {each.id for each in snapshot.members(slug) if lacks_qualifier(each, before)}
    why = f"the family {slug} has {', '.join(sorted(equipment))} now, so that each name carries its own"
    operations, _ = qualifications(members, snapshot, rationale=why)
    return [each for each in operations if lacked.isdisjoint(each.exercise_ids())]


def patched_by(operations: Iterable[Operation]) -> frozenset[str]:
    """The exercises that some of the operations patch."""
    return frozenset(
        exercise_id
        for operation in operations
        if operation.kind is OperationKind.PATCH_EXERCISE
        for exercise_id in operation.exercise_ids()
    )


def counted(decided: Iterable[Decided], patched: Collection[str]) -> Counts:
    """The counts of all of them.

    Args:
        decided: of each exercise.
        patched: those that were written, or in a dry run would be; the others were left as they are.
    """
    totals = Counts()
    for each in decided:
        totals += each.written if not each.patch or each.exercise_id in patched else each.left
    return totals

"""The interface of enrichers, and what is done with their proposals.

An enricher only proposes. What is written is decided here, the same for all of them: locked fields are never touched,
invalid values are dropped and counted, and a value needs a confidence above the threshold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydantic import JsonValue

from app.catalog.enrichment.fields import ATTRIBUTES, FieldSpec
from app.catalog.exercise import Exercise
from app.catalog.spending import Spending

DEFAULT_THRESHOLD = 0.6


@dataclass(frozen=True, slots=True)
class FieldProposal:
    """A value that an enricher proposes for one field."""

    path: str
    value: JsonValue
    confidence: float
    """From 0 to 1."""
    reason: str
    """What it was seen by, for people."""


class Enricher(Protocol):
    """Finds out values. Implementations must not change the exercise, and may leave any field out."""

    @property
    def name(self) -> str:
        """What journals and reports call it."""
        ...

    @property
    def spent(self) -> Spending:
        """What its answers have cost until now."""
        ...

    async def enrich(self, exercise: Exercise, fields: Sequence[FieldSpec]) -> list[FieldProposal]:
        """Propose values for some of `fields`."""
        ...


class DropReason(StrEnum):
    """Why a proposal was not written."""

    NOT_ASKED = "not_asked"
    LOCKED = "locked"
    HAS_VALUE = "has_value"
    INVALID = "invalid"
    LOW_CONFIDENCE = "low_confidence"
    UNCHANGED = "unchanged"
    DOUBLE = "double"
    """Equipment that the exercise's family has no room for: another one has it already, or two others share a place and
    could not both carry theirs in their names."""
    CHANGED = "changed"
    """Somebody else changed the exercise before it could be written."""


@dataclass(frozen=True, slots=True)
class EnrichmentOutcome:
    """What became of one exercise."""

    exercise: Exercise
    """With the written values; the very same object if nothing was written."""
    written: tuple[FieldProposal, ...]
    dropped: Mapping[DropReason, int]
    """Proposals that were not written, counted by reason; reasons that did not occur are left out."""


def fields_to_ask(exercise: Exercise, specs: Iterable[FieldSpec], *, overwrite: bool = False) -> list[FieldSpec]:
    """The fields worth asking for: not locked, and without a valid value unless `overwrite`."""
    return [
        spec
        for spec in specs
        if not exercise.is_locked(spec.path) and (overwrite or not spec.is_valid(spec.read(exercise)))
    ]


async def enrich_exercise(
    exercise: Exercise,
    enricher: Enricher,
    specs: Sequence[FieldSpec],
    now: datetime,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    overwrite: bool = False,
) -> EnrichmentOutcome:
    """Ask `enricher` for what `exercise` lacks and take what may be written. See `apply_proposals`."""
    wanted = fields_to_ask(exercise, specs, overwrite=overwrite)
    if not wanted:
        return EnrichmentOutcome(exercise, (), {})
    proposals = await enricher.enrich(exercise, wanted)
    return apply_proposals(exercise, proposals, specs, now, threshold=threshold, overwrite=overwrite)


def apply_proposals(
    exercise: Exercise,
    proposals: Iterable[FieldProposal],
    specs: Sequence[FieldSpec],
    now: datetime,
    *,
    threshold: float = DEFAULT_THRESHOLD,
    overwrite: bool = False,
) -> EnrichmentOutcome:
    """Write the proposals that may be written into a copy of `exercise`.

    Args:
        specs: the fields that were asked for; proposals for others are dropped.
        now: becomes `updated_at` if anything is written.
        threshold: the least confidence, from 0 to 1, that a value is written with.
        overwrite: whether a valid value may be replaced; an invalid or missing one always may.
    """
    by_path = {spec.path: spec for spec in specs}
    dropped: Counter[DropReason] = Counter()
    written: dict[str, FieldProposal] = {}
    # The surest proposal for a field comes first, and the others find its value there already.
    for proposal in sorted(proposals, key=lambda entry: -entry.confidence):
        spec = by_path.get(proposal.path)
        reason = _refusal(exercise, proposal, spec, threshold=threshold, overwrite=overwrite)
        if reason is None and proposal.path in written:
            reason = DropReason.HAS_VALUE
        if reason is None:
            written[proposal.path] = proposal
        else:
            dropped[reason] += 1
    if not written:
        return EnrichmentOutcome(exercise, (), dict(dropped))
    return EnrichmentOutcome(_write(exercise, written.values(), now), tuple(written.values()), dict(dropped))


def _refusal(
    exercise: Exercise, proposal: FieldProposal, spec: FieldSpec | None, *, threshold: float, overwrite: bool
) -> DropReason | None:
    if exercise.is_locked(proposal.path):
        return DropReason.LOCKED
    if spec is None:
        return DropReason.NOT_ASKED
    if not spec.is_valid(proposal.value):
        return DropReason.INVALID
    present = spec.read(exercise)
    if present == proposal.value:
        return DropReason.UNCHANGED
    if not overwrite and spec.is_valid(present):
        return DropReason.HAS_VALUE
    # Written this way so that a confidence that is not a number is too low as well.
    if not proposal.confidence >= threshold:
        return DropReason.LOW_CONFIDENCE
    return None


def _write(exercise: Exercise, proposals: Iterable[FieldProposal], now: datetime) -> Exercise:
    changes: dict[str, object] = {"updated_at": max(now, exercise.created_at)}
    attributes = dict(exercise.attributes)
    for proposal in proposals:
        if proposal.path.startswith(ATTRIBUTES):
            attributes[proposal.path.removeprefix(ATTRIBUTES)] = proposal.value
            changes["attributes"] = attributes
        else:
            changes[proposal.path] = proposal.value
    return Exercise.model_validate({**exercise.model_dump(), **changes})

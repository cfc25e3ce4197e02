"""Which equipment enrichment would write, asked without writing it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.catalog.enrichment import DEFAULT_THRESHOLD, DeterministicEnricher, FieldSpec, ReferenceIndex
from app.catalog.exercise import Exercise
from app.catalog.reviewer.maintenance import EquipmentFinder

_SPEC = FieldSpec(path="equipment")


def equipment_finder(given: Iterable[Exercise], threshold: float = DEFAULT_THRESHOLD) -> EquipmentFinder:
    """What the deterministic enricher would write as an exercise's equipment.

    Args:
        given: the catalogue without what enrichers wrote, in the order of its creation: what enrichment learns from.
        threshold: the least confidence, from 0 to 1, that counts.
    """
    known: Mapping[str, Exercise] = {each.id: each for each in given}
    enricher = DeterministicEnricher(ReferenceIndex(known.values()))

    def find(exercise: Exercise) -> tuple[str, ...]:
        proposal = enricher.propose(known.get(exercise.id, exercise), _SPEC)
        if proposal is None or proposal.confidence < threshold or not isinstance(proposal.value, list):
            return ()
        return tuple(str(item) for item in proposal.value)

    return find

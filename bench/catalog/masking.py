"""How well values are found out: known ones are masked, proposed again, and compared."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from app.catalog import Exercise
from app.catalog.enrichment import DEFAULT_THRESHOLD, DeterministicEnricher, FieldSpec, ReferenceIndex

FIELDS = ("equipment", "mechanic", "force", "level", "primary_muscles")
SEEDS = (1, 2, 3, 4, 5)
SHARE = 0.2
"""Of the known values of a field that are masked at once."""


@dataclass(frozen=True, slots=True)
class Masked:
    """What came of masking one field with one seed."""

    field: str
    masked: int
    proposed: int
    """With a confidence that is enough to be written."""
    right: int
    right_by_majority: int
    """Masked values that are the one that most others have."""
    right_by_majority_of_proposed: int
    """The same among those for which a value was proposed."""
    seconds: float

    @property
    def accuracy(self) -> float:
        """Share of the proposed values that are right."""
        return self.right / self.proposed if self.proposed else 0.0

    @property
    def coverage(self) -> float:
        """Share of the masked values for which one was proposed."""
        return self.proposed / self.masked

    @property
    def majority(self) -> float:
        """Accuracy of always saying the most frequent value."""
        return self.right_by_majority / self.masked

    @property
    def majority_of_proposed(self) -> float:
        """The same, only where a value was proposed: the comparison that leaves out what is hard for both."""
        return self.right_by_majority_of_proposed / self.proposed if self.proposed else 0.0


def mask(exercises: Sequence[Exercise], field: str, seed: int, threshold: float = DEFAULT_THRESHOLD) -> Masked:
    """Mask some values of `field`, and propose them from all that is left.

    Args:
        exercises: the real records.
        seed: which values are masked.
        threshold: the least confidence of a proposal that counts.
    """
    spec = FieldSpec(path=field)
    known = [exercise for exercise in exercises if getattr(exercise, field)]
    hidden = random.Random(seed).sample(known, round(len(known) * SHARE))
    empty: object = () if spec.many else None
    masked = {exercise.id: exercise.model_copy(update={field: empty}) for exercise in hidden}
    # The majority is that of the values that were left, as the enricher's neighbours are.
    left = Counter(_value(exercise, field) for exercise in known if exercise.id not in masked)
    usual = min(left, key=lambda value: (-left[value], value))
    began = time.perf_counter()
    enricher = DeterministicEnricher(ReferenceIndex([masked.get(exercise.id, exercise) for exercise in exercises]))
    proposed = right = right_by_majority = right_of_proposed = 0
    for exercise in hidden:
        found = enricher.propose(masked[exercise.id], spec)
        is_usual = _value(exercise, field) == usual
        right_by_majority += is_usual
        if found is not None and found.confidence >= threshold:
            proposed += 1
            right += found.value == spec.read(exercise)
            right_of_proposed += is_usual
    seconds = time.perf_counter() - began
    return Masked(field, len(hidden), proposed, right, right_by_majority, right_of_proposed, seconds)


def _value(exercise: Exercise, field: str) -> str:
    value = getattr(exercise, field)
    return value if isinstance(value, str) else value[0]

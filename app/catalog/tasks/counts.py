"""What enrichment did to exercises, in numbers that can be added up."""

from __future__ import annotations

from collections import Counter
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from app.catalog.enrichment import EnrichmentOutcome
from app.catalog.exercise import Exercise
from app.catalog.reviewer import QualityScore, heuristic_score_exercise

Numbers = dict[str, int]


class Counts(BaseModel):
    """Numbers of exercises, and of what happened to them by field, reason, score or rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exercises: int = 0
    """Looked at."""
    enriched: int = 0
    """Of these, the ones that got a value; in a dry run, would have got."""
    missing: int = 0
    """Selected, and not there."""
    written: Numbers = Field(default_factory=dict)
    """Values by field."""
    dropped: Numbers = Field(default_factory=dict)
    """Proposals by the reason why they were not written."""
    before: Numbers = Field(default_factory=dict)
    """Exercises by the scanner's score. It is observed, and holds up nothing."""
    after: Numbers = Field(default_factory=dict)
    failed_before: Numbers = Field(default_factory=dict)
    """Exercises by each of the scanner's rules that they failed."""
    failed_after: Numbers = Field(default_factory=dict)
    spent: Numbers = Field(default_factory=dict)
    """What asking a model has cost: calls, tokens, millionths of a US$; empty without one."""

    @classmethod
    def of(cls, before: Exercise, outcome: EnrichmentOutcome) -> Self:
        """The counts of one exercise."""
        was = heuristic_score_exercise(before)
        now = heuristic_score_exercise(outcome.exercise) if outcome.written else was
        return cls(
            exercises=1,
            enriched=int(bool(outcome.written)),
            written=Counter(proposal.path for proposal in outcome.written),
            dropped={str(reason): number for reason, number in outcome.dropped.items()},
            before={was.label: 1},
            after={now.label: 1},
            failed_before=_failed(was),
            failed_after=_failed(now),
        )

    def __add__(self, other: Counts) -> Counts:
        sums = {name: _sum(getattr(self, name), getattr(other, name)) for name in Counts.model_fields}
        return Counts.model_validate(sums)


def _failed(score: QualityScore) -> Numbers:
    return dict.fromkeys((*score.failed_gates, *score.failed_content), 1)


def _sum(first: int | Numbers, second: int | Numbers) -> int | Numbers:
    if isinstance(first, dict) and isinstance(second, dict):
        return {key: first.get(key, 0) + second.get(key, 0) for key in (*first, *(second.keys() - first.keys()))}
    if isinstance(first, dict) or isinstance(second, dict):
        raise TypeError(f"{first!r} and {second!r} do not add up; add two numbers, or two sets of numbers")
    return first + second

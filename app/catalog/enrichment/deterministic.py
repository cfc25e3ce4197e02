"""The enricher that needs no network: the name, the text, the other fields, and the nearest well-described exercises.

Each source that has an opinion gives evidence for a value with a strength; evidence for the same value adds up, and
evidence for another one takes away. The keyword tables are `data/keywords.toml`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from app.catalog.enrichment.enricher import FieldProposal
from app.catalog.enrichment.fields import FieldSpec
from app.catalog.enrichment.reference import ReferenceIndex
from app.catalog.exercise import Exercise
from app.catalog.names import mentioned_equipment, parse_name
from app.catalog.phrases import Phrases
from app.catalog.spending import Spending
from app.catalog.taxonomy import load_table, taxonomy

# Strengths, from 0 to 1, by source: judged by hand, not fitted. Masking known values of real records is their test.
SAID_OUTRIGHT = 0.97
DERIVED = 0.9
KEYWORD = 0.7
ONLY_MENTION = 0.75
FIRST_MENTION = 0.5
GUESS = 0.4
NEIGHBOURS = 0.85
FULL_SIMILARITY = 0.4
"""The similarity from which neighbours count in full. Half the words of two records in common is very much alike."""


DETERMINISTIC = "deterministic"
"""What requests call it."""
VOTES = 3
"""Values of the neighbours that are listened to."""


@dataclass(frozen=True, slots=True)
class _Evidence:
    value: str
    strength: float
    reason: str


class DeterministicEnricher:
    """Proposes values for the fields of the taxonomy. The same input gives the same proposals.

    Args:
        reference: the exercises to learn from; an empty index leaves the other sources.
    """

    name = DETERMINISTIC
    spent = Spending()

    def __init__(self, reference: ReferenceIndex) -> None:
        self._reference = reference
        self._sources: dict[str, Callable[[Exercise], Iterator[_Evidence]]] = {
            "equipment": _equipment,
            "category": _category,
            "split": _split,
            "muscle_group": _muscle_group,
            "movement_type": _movement_type,
            "plane": _plane,
            "mechanic": _mechanic,
            "force": _force,
            "level": _no_other_source,
            "primary_muscles": _no_other_source,
        }

    async def enrich(self, exercise: Exercise, fields: Sequence[FieldSpec]) -> list[FieldProposal]:
        """Propose a value for each of `fields` that there is any evidence for."""
        proposals = (self.propose(exercise, spec) for spec in fields)
        return [proposal for proposal in proposals if proposal is not None]

    def propose(self, exercise: Exercise, spec: FieldSpec) -> FieldProposal | None:
        """The best supported value for one field, or None without any evidence."""
        if spec.path not in self._sources or _is_rightly_empty(exercise, spec.path):
            return None
        evidence = [entry for entry in self._evidence(exercise, spec.path) if entry.value in spec.allowed_values]
        if not evidence:
            return None
        doubt: dict[str, float] = {}
        for entry in evidence:
            doubt[entry.value] = doubt.get(entry.value, 1.0) * (1.0 - entry.strength)
        value = min(doubt, key=lambda candidate: (doubt[candidate], candidate))
        against = max((1.0 - left for other, left in doubt.items() if other != value), default=0.0)
        confidence = (1.0 - doubt[value]) * (1.0 - against / 2)
        reason = "; ".join(entry.reason for entry in evidence if entry.value == value)
        return FieldProposal(spec.path, [value] if spec.many else value, round(confidence, 3), reason)

    def _evidence(self, exercise: Exercise, field: str) -> Iterator[_Evidence]:
        own = list(self._sources[field](exercise))
        yield from own
        if any(entry.strength >= DERIVED for entry in own):
            return  # what the record says by itself is not put in doubt by what others say
        keyword = _keyword(exercise, field)
        if keyword is not None:
            yield _Evidence(keyword, KEYWORD, "a word of the name")
        for vote in self._reference.votes(exercise, field)[:VOTES]:
            strength = NEIGHBOURS * vote.share * min(1.0, vote.similarity / FULL_SIMILARITY)
            yield _Evidence(vote.value, strength, f"like {vote.neighbour!r}")


@cache
def _keywords(field: str) -> Phrases:
    return Phrases(load_table("keywords").get(field, {}))


def _keyword(exercise: Exercise, field: str) -> str | None:
    """What the last telling phrase of the name says: English names end in what the exercise is."""
    parsed = parse_name(exercise.name, exercise.equipment)
    found = _keywords(field).find((*parsed.modifiers, *parsed.base.split()))
    return found[-1] if found else None


def _is_rightly_empty(exercise: Exercise, field: str) -> bool:
    """Stretches and cardio have no mechanic: neither word means anything for them."""
    return field == "mechanic" and exercise.category in ("mobility", "cardio")


def _no_other_source(exercise: Exercise) -> Iterator[_Evidence]:
    yield from ()


def _equipment(exercise: Exercise) -> Iterator[_Evidence]:
    named = parse_name(exercise.name).equipment
    if named:
        yield _Evidence(named[0], SAID_OUTRIGHT, "the name says so")
        return
    mentioned = mentioned_equipment(" ".join(exercise.execution_notes))
    if mentioned:
        strength = ONLY_MENTION if len(mentioned) == 1 else FIRST_MENTION
        yield _Evidence(mentioned[0], strength, "the notes mention it")
    elif exercise.category == "mobility":
        yield _Evidence("bodyweight", ONLY_MENTION, "a stretch whose notes mention no equipment")
    elif exercise.execution_notes and _keyword(exercise, "equipment") is None:
        yield _Evidence("bodyweight", GUESS, "the notes mention no equipment")


def _category(exercise: Exercise) -> Iterator[_Evidence]:
    if _group(exercise) == "core":
        yield _Evidence("core", DERIVED, "its primary muscle belongs to the core")
    elif exercise.mechanic is not None:
        yield _Evidence(exercise.mechanic, DERIVED, "its mechanic")


def _mechanic(exercise: Exercise) -> Iterator[_Evidence]:
    if exercise.category in ("compound", "isolation"):
        yield _Evidence(exercise.category, DERIVED, "its category")


def _group(exercise: Exercise) -> str | None:
    groups = taxonomy().group_of_muscle
    return next((groups[muscle] for muscle in exercise.primary_muscles if muscle in groups), None)


def _muscle_group(exercise: Exercise) -> Iterator[_Evidence]:
    group = _group(exercise)
    if group is not None:
        yield _Evidence(group, SAID_OUTRIGHT, "its primary muscle")


def _split(exercise: Exercise) -> Iterator[_Evidence]:
    # A name that says full body outweighs the one muscle that is recorded as primary.
    split = taxonomy().split_of_group.get(exercise.muscle_group or _group(exercise) or "")
    if split is not None and _keyword(exercise, "split") is None:
        yield _Evidence(split, DERIVED, "its muscle group")


def _movement_type(exercise: Exercise) -> Iterator[_Evidence]:
    if exercise.category in ("mobility", "cardio"):
        yield _Evidence("other", DERIVED, f"its category {exercise.category}")
    elif exercise.force is not None and _keyword(exercise, "movement_type") is None:
        value = "other" if exercise.force == "static" else exercise.force
        yield _Evidence(value, GUESS, "its force")


def _plane(exercise: Exercise) -> Iterator[_Evidence]:
    if _keyword(exercise, "plane") is None:
        yield _Evidence("sagittal", GUESS, "most movements are")


def _force(exercise: Exercise) -> Iterator[_Evidence]:
    if exercise.movement_type in ("push", "pull"):
        yield _Evidence(exercise.movement_type, GUESS, "its movement type")

"""The nearest well-described exercises, found through an inverted index.

Words and known values of an exercise are its tokens. A query reads the lists of its rarest tokens first and stops when
a fixed amount is read, so the time per query does not grow with the catalogue, and nothing is compared pairwise.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from itertools import pairwise

from app.catalog.exercise import Exercise, ExerciseStatus
from app.catalog.names import parse_name
from app.catalog.taxonomy import fold

MAX_EXERCISES = 2_000
"""Enough to learn from; further exercises are left out of the index. Every shard reads and indexes them, so they are
most of what a record of a large catalogue costs."""
MAX_READ = 1000
"""Entries of token lists that one query reads. On the 873 real records, four times as many find nothing better."""
MIN_NOTES = 2
_LEARNED_FROM = (ExerciseStatus.ACTIVE, ExerciseStatus.MERGED)
NEIGHBOURS = 9

_WORDS = re.compile(r"[a-z]{3,}")
_NAME_WEIGHT = 3.0
_VALUE_WEIGHT = 2.0
_TEXT_WEIGHT = 1.0
# Fields whose known values are tokens, so that a query can leave out the one that it is about.
_VALUE_FIELDS = ("equipment", "category", "level", "force", "mechanic", "primary_muscles", "secondary_muscles", "tags")


@dataclass(frozen=True, slots=True)
class Vote:
    """What the neighbours say about a field."""

    value: str
    share: float
    """Of the neighbours' votes, weighted by similarity, from 0 to 1."""
    similarity: float
    """Of the nearest neighbour that has this value, from 0 to 1."""
    neighbour: str
    """That neighbour's name."""


@dataclass(frozen=True, slots=True)
class _Entry:
    exercise: Exercise
    length: float


class ReferenceIndex:
    """An index over the well-described exercises among those given.

    Args:
        exercises: active and merged ones with two execution notes or more are taken, at most `max_exercises`, in their
            order. Merged ones say as much as before: that doubles are folded must not change what is concluded.
        max_exercises: the most that the index holds, which bounds its memory and the time to make it.
    """

    def __init__(self, exercises: Iterable[Exercise], max_exercises: int = MAX_EXERCISES) -> None:
        taken: list[tuple[Exercise, dict[str, float]]] = []
        for exercise in exercises:
            if len(taken) == max_exercises:
                break
            if exercise.status in _LEARNED_FROM and len(exercise.execution_notes) >= MIN_NOTES:
                taken.append((exercise, _tokens(exercise)))
        frequency = Counter(token for _, tokens in taken for token in tokens)
        self._rarity = {token: math.log(1 + len(taken) / count) for token, count in frequency.items()}
        self._entries: list[_Entry] = []
        self._lists: dict[str, list[tuple[int, float]]] = {token: [] for token in frequency}
        for number, (exercise, tokens) in enumerate(taken):
            weights = {token: weight * self._rarity[token] for token, weight in tokens.items()}
            self._entries.append(_Entry(exercise, _length(weights)))
            for token, weight in weights.items():
                self._lists[token].append((number, weight))

    def __len__(self) -> int:
        return len(self._entries)

    def nearest(self, exercise: Exercise, field: str, count: int = NEIGHBOURS) -> list[tuple[Exercise, float]]:
        """The exercises most like `exercise` and their similarity from 0 to 1, the most alike first.

        Args:
            exercise: never its own neighbour.
            field: the field that is asked about: its own value says nothing, and neighbours without one are left out.
            count: the most that are returned.
        """
        tokens = {
            token: weight * self._rarity[token]
            for token, weight in _tokens(exercise, without=field).items()
            if token in self._rarity
        }
        products: dict[int, float] = {}
        left = MAX_READ
        for token in sorted(tokens, key=lambda token: (len(self._lists[token]), token)):
            entries = self._lists[token]
            if len(entries) > left:
                break
            left -= len(entries)
            for number, weight in entries:
                products[number] = products.get(number, 0.0) + weight * tokens[token]
        length = _length(tokens)
        found = [
            (entry.exercise, product / (entry.length * length))
            for number, product in products.items()
            if (entry := self._entries[number]).exercise.id != exercise.id and getattr(entry.exercise, field)
        ]
        return nsmallest(count, found, key=lambda pair: (-pair[1], pair[0].id))

    def votes(self, exercise: Exercise, field: str) -> list[Vote]:
        """What the neighbours of `exercise` have in `field` (the first value of a list), the most voted first."""
        weights: dict[str, float] = {}
        best: dict[str, tuple[float, str]] = {}
        for neighbour, similarity in self.nearest(exercise, field):
            held = getattr(neighbour, field)
            value = held if isinstance(held, str) else held[0]
            weights[value] = weights.get(value, 0.0) + similarity * similarity
            best.setdefault(value, (similarity, neighbour.name))
        total = sum(weights.values())
        votes = [Vote(value, weight / total, *best[value]) for value, weight in weights.items()] if total else []
        return sorted(votes, key=lambda vote: (-vote.share, vote.value))


def _tokens(exercise: Exercise, without: str | None = None) -> dict[str, float]:
    """Tokens of an exercise with their weights. Words of the name say the most."""
    tokens: dict[str, float] = {}
    for note in exercise.execution_notes:
        for word in _WORDS.findall(fold(note)):
            tokens[f"text:{word}"] = _TEXT_WEIGHT
    for field in _VALUE_FIELDS:
        if field != without:
            held = getattr(exercise, field)
            for value in (held,) if isinstance(held, str) else held or ():
                tokens[f"{field}:{value}"] = _VALUE_WEIGHT
    parsed = parse_name(exercise.name)
    words = parsed.base.split()
    for word in (*words, *parsed.modifiers):
        tokens[f"name:{word}"] = _NAME_WEIGHT
    for first, second in pairwise(words):
        tokens[f"name:{first} {second}"] = _NAME_WEIGHT
    tokens[f"base:{parsed.base}"] = _NAME_WEIGHT
    return tokens


def _length(weights: Mapping[str, float]) -> float:
    return math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0

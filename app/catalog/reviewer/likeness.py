"""How alike two exercises are, and what sets them apart: a comparison of two, without a look at any third.

Similar texts prove nothing by themselves: the texts for palms up and palms down differ in two words. So names decide,
as they are read by `app.catalog.names`: another equipment, another modifier, a contrasting word, a word that names a
kind of movement, or another part of the body sets two exercises apart, however alike their texts are. What one name
gives and the other leaves out is looked for in the other's text. The words are data, `data/duplicates.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from app.catalog.exercise import Exercise
from app.catalog.names import contrasting, equipment_conflict, mentioned_equipment, name_words, parse_name
from app.catalog.taxonomy import fold, load_table

MIN_TEXT = 40
"""Characters that a text needs to be compared; shorter ones, and none at all, say nothing."""
OPENING = 450
"""Characters of a text in which a position is looked for: it is taken before anything is moved."""
MERGE_TEXT = 0.5
"""Similarity of texts from which equal names are surely the same exercise."""
REVIEW_TEXT = 0.93
"""Similarity of texts from which a person should look at exercises with different names."""
# Both chosen on the development half of the labelled pairs; docs/results.md has the figures of the other half.

BODYWEIGHT = "bodyweight"
_WORD = re.compile(r"[a-z0-9]+")


class Verdict(StrEnum):
    """What two exercises are to each other."""

    SAME = "same"
    """Surely the same exercise: to be merged."""
    LIKELY = "likely"
    """Alike enough for a person to look at."""
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Likeness:
    """The comparison of two exercises."""

    verdict: Verdict
    score: float
    """From 0 to 1, to list the likeliest first."""
    reasons: tuple[str, ...]
    """What speaks for the verdict, in plain words."""
    text: float | None
    """Similarity of the texts from 0 to 1; None if either has none, or they were not compared."""


@dataclass(frozen=True, slots=True)
class _Rules:
    usual: frozenset[str]
    kinds: frozenset[str]
    body: frozenset[str]
    exclusive: tuple[frozenset[str], ...]
    equal: Mapping[str, str]
    movements: Mapping[str, str]
    same_equipment: Mapping[str, str]
    told: Mapping[str, tuple[str, ...]]
    positions: frozenset[str]


@cache
def _rules() -> _Rules:
    table = load_table("duplicates")
    return _Rules(
        usual=frozenset(table["usual"]),
        kinds=frozenset(table["kinds"]),
        body=frozenset(table["body"]),
        exclusive=tuple(frozenset(group["words"]) for group in table["exclusive"]),
        equal=table["equal"],
        movements=table["movements"],
        same_equipment=table["same_equipment"],
        told={name: tuple(f" {phrase} " for phrase in phrases) for name, phrases in table["told"].items()},
        positions=frozenset(table["positions"]["values"]),
    )


class Profile:
    """What is compared of an exercise, worked out once."""

    __slots__ = (
        "_mentioned",
        "base",
        "equipment",
        "exercise",
        "family",
        "modifiers",
        "movement",
        "name",
        "text",
        "words",
    )

    def __init__(self, exercise: Exercise) -> None:
        rules = _rules()
        parsed = parse_name(exercise.name, exercise.equipment)
        self.exercise = exercise
        self.family = parsed.family_slug
        """By the name, so that exercises that were put into a wrong family are compared as well."""
        self.words = name_words(exercise.name)
        self.name = parsed.base
        """The base in the order of its words: high to low is not low to high."""
        self.base = frozenset(parsed.base.split())
        meant = frozenset(rules.movements.get(parsed.base, parsed.base).split())
        self.movement = meant - rules.positions
        """The base by its usual name; a position that is part of a name counts as one."""
        given = (*(meant & rules.positions), *parsed.modifiers)
        self.modifiers = frozenset(rules.equal.get(each, each) for each in given if each not in rules.usual)
        contradicted = equipment_conflict(exercise.name, exercise.equipment)
        equipment = next(iter((*contradicted, *exercise.equipment, *parsed.equipment)), None)
        self.equipment = None if equipment is None else rules.same_equipment.get(equipment, equipment)
        """As the name has it where it contradicts the record; None if neither says anything."""
        self.text = " ".join(_WORD.findall(fold(" ".join(exercise.execution_notes))))
        self._mentioned: tuple[str, ...] | None = None

    def tells(self, modifier: str) -> bool:
        """Whether the opening of the text says what this modifier means."""
        phrases = _rules().told.get(modifier, ())
        opening = f" {self.text[:OPENING]} "
        return f" {modifier.replace('-', ' ')} " in opening or any(phrase in opening for phrase in phrases)

    def may_use(self, equipment: str) -> bool:
        """Whether the text, where nothing else gives equipment, speaks of this one."""
        if self._mentioned is None:
            self._mentioned = mentioned_equipment(self.text)
        return equipment in self._mentioned or (equipment == BODYWEIGHT and not self._mentioned)


def compare(one: Profile, other: Profile) -> Likeness:
    """Compare two exercises; which of them comes first does not matter to the verdict."""
    apart = _set_apart(one, other)
    if apart is not None:
        return Likeness(Verdict.DIFFERENT, 0.0, (apart,), None)
    text = _text_similarity(one, other)
    same_name = one.name == other.name
    known = one.equipment is not None and other.equipment is not None
    muscle = one.exercise.primary_muscles[:1] == other.exercise.primary_muscles[:1]
    # A position that is told by the text is one; other words of a text may speak of a way in which it is done too.
    told = one.modifiers ^ other.modifiers <= _rules().told.keys()
    surely = same_name and known and muscle and told and text is not None and text >= MERGE_TEXT
    if surely:
        verdict = Verdict.SAME
    elif one.movement == other.movement or (text is not None and text >= REVIEW_TEXT):
        verdict = Verdict.LIKELY
    else:
        verdict = Verdict.DIFFERENT
    score = round((text or 0.0) / 2 + 0.3 * same_name + 0.1 * known + 0.1 * muscle, 3)
    return Likeness(verdict, score, tuple(_reasons(one, other, text)), text)


def bases_apart(one: frozenset[str], other: frozenset[str]) -> str | None:
    """What says that two bases, as sets of words, name different movements; None if nothing does."""
    rules = _rules()
    only_one, only_other = one - other, other - one
    # A part of the body is no name of its own: a hammer curl is to a biceps curl what it is to a curl.
    renamed = only_one - rules.body and only_other - rules.body
    telling = frozenset[str]() if renamed else rules.kinds
    kinds = [word for word in sorted(only_one | only_other) if word in telling or any(map(str.isdigit, word))]
    if kinds:
        return f"{' '.join(kinds)} makes it a movement of its own"
    for group in (*rules.exclusive, rules.body):
        first, second = only_one & group, only_other & group
        if first and second:
            return f"{_words(first)} against {_words(second)}"
    return None


def _set_apart(one: Profile, other: Profile) -> str | None:
    """Why the two can't be the same exercise, None if they can."""
    if one.equipment != other.equipment:
        for silent, given in ((one, other.equipment), (other, one.equipment)):
            if silent.equipment is None and given is not None and not silent.may_use(given):
                return f"only one is done with {given}"
        if one.equipment and other.equipment:
            return f"equipment {one.equipment} against {other.equipment}"
    opposed = contrasting(one.words, other.words)
    if opposed:
        return "; ".join(f"{first} against {second}" for first, second in opposed)
    only_one, only_other = one.modifiers - other.modifiers, other.modifiers - one.modifiers
    if only_one & _rules().positions and only_other & _rules().positions:
        return f"{_words(only_one)} against {_words(only_other)}"
    for extra, silent in ((only_one, other), (only_other, one)):
        untold = [modifier for modifier in sorted(extra) if not silent.tells(modifier)]
        if untold:
            return f"only one is {', '.join(untold)}"
    return bases_apart(one.movement, other.movement)


def _reasons(one: Profile, other: Profile, text: float | None) -> list[str]:
    """What there is to say about two that nothing sets apart."""
    reasons = ["the names say the same movement"]
    if one.base != other.base:
        differ = f"{_words(one.base - other.base)} and {_words(other.base - one.base)}"
        reasons = [f"the names {'are two for one movement' if one.movement == other.movement else 'differ'}: {differ}"]
    for modifier in sorted(one.modifiers ^ other.modifiers):
        silent = other if modifier in one.modifiers else one
        reasons.append(f"the text of {silent.exercise.name!r} says {modifier}")
    if one.equipment == other.equipment:
        reasons.append(f"equipment: {one.equipment or 'not known of either'}")
    else:
        reasons.append(f"equipment: {one.equipment or other.equipment}, of one of them by its text only")
    muscles = [next(iter(each.exercise.primary_muscles), "none") for each in (one, other)]
    reasons.append(f"primary muscle: {' and '.join(sorted(set(muscles)))}")
    reasons.append("no text to compare" if text is None else f"texts {text:.0%} alike")
    return reasons


def _text_similarity(one: Profile, other: Profile) -> float | None:
    if len(one.text) < MIN_TEXT or len(other.text) < MIN_TEXT:
        return None
    from rapidfuzz import fuzz  # a worker that never scans starts without it

    return round(fuzz.ratio(one.text, other.text) / 100, 3)


def _words(words: frozenset[str]) -> str:
    return " ".join(sorted(words)) or "nothing"

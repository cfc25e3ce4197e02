"""A catalogue of any size: made-up exercises with the defects of the real ones, the same for the same number.

Families, texts and mistakes grow with the catalogue, as they would if it were real: a family has about two members
whatever the size, one family of seven has more than one equipment, three records of a hundred are there twice.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

_MADE_UP = (
    "ba",
    "dor",
    "fel",
    "gan",
    "hul",
    "jor",
    "kim",
    "lor",
    "mav",
    "nox",
    "pel",
    "quin",
    "ras",
    "sol",
    "tam",
    "vir",
)
_MOVEMENTS = (
    ("Press", "push", "compound"),
    ("Row", "pull", "compound"),
    ("Curl", "pull", "isolation"),
    ("Raise", "push", "isolation"),
    ("Squat", "push", "compound"),
    ("Extension", "push", "isolation"),
    ("Stretch", "static", None),
)
_POSITIONS = ("", "", "Seated", "Standing", "Kneeling", "Lying", "Incline", "Decline", "Bent-Over")
_LIMBS = ("", "", "One-Arm", "Alternating")
_GRIPS = ("", "", "Close-Grip", "Wide-Grip", "Reverse-Grip")
_EQUIPMENT = ("barbell", "dumbbell", "cable", "machine", "kettlebells", "bands", "body only", "medicine ball")
_NONE = (None, "other")
_MUSCLES = ("chest", "lats", "quadriceps", "hamstrings", "shoulders", "biceps", "triceps", "abdominals", "calves")
_LEVELS = ("beginner", "beginner", "intermediate", "expert")
_OPENINGS = (
    "Stand with the {part} {way}.",
    "Sit on the bench with the {part} {way}.",
    "Lie down with the {part} {way}.",
)
_SENTENCES = (
    "Move the {part} {way} until the {other} is {way2}.",
    "Keep the {other} {way} while the {part} goes {way2}.",
    "Hold for {number} seconds and bring the {part} back {way}.",
    "Breathe out as the {other} comes {way2}.",
    "Repeat {number} times with the {part} {way}.",
)
_PARTS = ("elbow", "knee", "wrist", "shoulder", "hip", "back", "chest", "heel", "forearm", "head")
_WAYS = ("close", "straight", "level", "forward", "upward", "apart", "still", "relaxed", "slowly", "in line", "inward")
_TWICE = 0.03
_OTHER_EQUIPMENT = 0.15
_NO_EQUIPMENT = 0.08


def synthetic_records(count: int) -> Iterator[dict[str, Any]]:
    """Records in the upstream format."""
    chance = random.Random(count)
    earlier: list[dict[str, Any]] = []
    for number in range(count):
        if earlier and chance.random() < _TWICE:
            yield _again(chance.choice(earlier), number)
            continue
        record = _record(chance, number, families=max(1, count // 2))
        if len(earlier) < 1_000:
            earlier.append(record)
        yield record


def _record(chance: random.Random, number: int, families: int) -> dict[str, Any]:
    family = random.Random(chance.randrange(families))
    base = "".join(family.choice(_MADE_UP) for _ in range(4)).title()
    movement, force, mechanic = family.choice(_MOVEMENTS)
    muscle = family.choice(_MUSCLES)
    usual = family.choice(_EQUIPMENT)
    equipment: str | None = chance.choice(_EQUIPMENT) if chance.random() < _OTHER_EQUIPMENT else usual
    if chance.random() < _NO_EQUIPMENT:
        equipment = chance.choice(_NONE)
    words = [*map(chance.choice, (_POSITIONS, _LIMBS, _GRIPS)), base, movement]
    if equipment in ("barbell", "dumbbell", "cable") and chance.random() < 0.6:
        words.insert(chance.choice((0, 3)), equipment.title())
    return {
        "id": f"record-{number}",
        "name": " ".join(word for word in words if word),
        "force": force,
        "level": chance.choice(_LEVELS),
        "mechanic": mechanic,
        "equipment": equipment,
        "primaryMuscles": [muscle],
        "secondaryMuscles": [each for each in chance.sample(_MUSCLES, 2) if each != muscle],
        "instructions": _text(chance),
        "category": "stretching" if mechanic is None else "strength",
    }


def _text(chance: random.Random) -> list[str]:
    sentences = [chance.choice(_OPENINGS), *chance.sample(_SENTENCES, 4)]
    return [
        sentence.format(
            part=chance.choice(_PARTS),
            other=chance.choice(_PARTS),
            way=chance.choice(_WAYS),
            way2=chance.choice(_WAYS),
            number=chance.randrange(2, 30),
        )
        for sentence in sentences
    ]


def _again(record: dict[str, Any], number: int) -> dict[str, Any]:
    """The same exercise, typed in a second time."""
    return {**record, "id": f"record-{number}", "name": record["name"].lower().replace("-", " ")}

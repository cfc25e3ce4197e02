"""How names are read: families, and false alarms about equipment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.catalog import Exercise, canonical_name, equipment_conflict, parse_name, taxonomy
from app.catalog.reviewer import scan_families
from bench.catalog.labelled import Meaning, NameLabel

# Every word by which the upstream names call equipment. Written apart from the application's tables on purpose: a
# table that misses a word would miss it here as well.
EQUIPMENT_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        ball band bands barbell barbells bike bodyweight bosu cable cables chain chains db dumbbell dumbbells elliptical
        ez freehand kettlebell kettlebells leverage machine mill parallel physioball pulley smith stairmaster straps
        suspended trap treadmill
        """,
    )
)
_PARTS = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Grouping:
    """What families came of the names."""

    exercises: int
    families: int
    multi_equipment: int
    largest: int
    equipment_left: int
    """Family slugs with a word for equipment in them; to be 0."""
    doubled_words: int
    """Canonical names in which a word stands twice; to be 0."""


@dataclass(frozen=True, slots=True)
class Alarms:
    """What the check of names against equipment said about the labelled names."""

    names: int
    alarms: int
    false_alarms: int
    missed: int
    filled: int
    """Names that give equipment to a record without any, read rightly."""
    filled_wrongly: int
    to_fill: int


def group(exercises: Sequence[Exercise]) -> Grouping:
    """Count families, and what went wrong with their slugs and names."""
    report = scan_families(exercises)
    sizes: dict[str, int] = {}
    for exercise in exercises:
        sizes[exercise.family_slug] = sizes.get(exercise.family_slug, 0) + 1
    names = [canonical_name(exercise.name, exercise.equipment).lower() for exercise in exercises]
    return Grouping(
        exercises=len(exercises),
        families=report.families,
        multi_equipment=report.multi_equipment_families,
        largest=max(sizes.values(), default=0),
        equipment_left=sum(bool(set(slug.split("-")) & EQUIPMENT_WORDS) for slug in sizes),
        doubled_words=sum(len(parts) > len(set(parts)) for parts in map(_PARTS.findall, names)),
    )


def naive_grouping(exercises: Sequence[Exercise]) -> Grouping:
    """The same for the naive rule: one leading word for equipment is dropped from the name, the rest is the family."""
    slugs: dict[str, set[str]] = {}
    sizes: dict[str, int] = {}
    doubled = 0
    for exercise in exercises:
        words = _PARTS.findall(exercise.name.lower())
        rest = words[1:] if words[0] in EQUIPMENT_WORDS else words
        slug = "-".join(rest)
        sizes[slug] = sizes.get(slug, 0) + 1
        slugs.setdefault(slug, set()).update(exercise.equipment[:1])
        shown = [*rest, *(exercise.equipment[0].split("-") if exercise.equipment else ())]
        doubled += len(shown) > len(set(shown))
    return Grouping(
        exercises=len(exercises),
        families=len(slugs),
        multi_equipment=sum(len(equipment) > 1 for equipment in slugs.values()),
        largest=max(sizes.values(), default=0),
        equipment_left=sum(bool(set(slug.split("-")) & EQUIPMENT_WORDS) for slug in slugs),
        doubled_words=doubled,
    )


def alarms(labels: Sequence[NameLabel]) -> Alarms:
    """Check the labelled names."""
    seen = {label: bool(equipment_conflict(label.name, _canonical(label.recorded))) for label in labels}
    to_fill = [label for label in labels if label.meaning is Meaning.FILLS]
    read = [next(iter(parse_name(label.name).equipment), None) == label.equipment for label in to_fill]
    return Alarms(
        names=len(labels),
        alarms=sum(seen.values()),
        false_alarms=sum(alarm and label.meaning is not Meaning.CONTRADICTS for label, alarm in seen.items()),
        missed=sum(not alarm and label.meaning is Meaning.CONTRADICTS for label, alarm in seen.items()),
        filled=sum(read),
        filled_wrongly=len(read) - sum(read),
        to_fill=len(to_fill),
    )


def _canonical(recorded: str) -> tuple[str, ...]:
    equipment = taxonomy().canonical("equipment", recorded) if recorded else None
    return () if equipment is None else (equipment,)

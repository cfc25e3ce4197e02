"""The invariants of a whole catalogue, checked apart from the validators: own words, own labels, own loops.

Only how names are read (`parse_name`) is shared, because what a modifier is, is data.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from app.catalog import Exercise, parse_name
from app.catalog.plans import Snapshot

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
CLOSING = re.compile(r"\(([^()]*)\)$")
LABELS = {
    "barbell": "Barbell",
    "dumbbell": "Dumbbell",
    "kettlebell": "Kettlebell",
    "ez-bar": "EZ-Bar",
    "trap-bar": "Trap Bar",
    "machine": "Machine",
    "cable": "Cable",
    "smith-machine": "Smith Machine",
    "bodyweight": "Bodyweight",
    "pull-up-bar": "Overhead Bar",
    "dip-station": "Parallel Bars",
    "suspension-trainer": "Suspension Trainer",
    "resistance-band": "Resistance Band",
    "medicine-ball": "Medicine Ball",
    "stability-ball": "Stability Ball",
    "treadmill": "Treadmill",
    "rowing-machine": "Ergometer",
    "bike": "Bike",
    "elliptical": "Elliptical",
}
"""How a name closes that carries this equipment."""


def broken(catalog: Snapshot) -> list[str]:
    """Everything that is not as it should be, in words; nothing if all is well."""
    active = [each for each in catalog.exercises.values() if each.status == "active"]
    return [
        *_slugs(catalog),
        *_families(catalog, active),
        *_aliases(catalog, active),
        *_old_slugs(catalog),
        *_merged(catalog),
    ]


def _slugs(catalog: Snapshot) -> Iterator[str]:
    for exercise in catalog.exercises.values():
        for slug in (exercise.id, exercise.slug, exercise.family_slug):
            if not SLUG.fullmatch(slug):
                yield f"{slug!r} of {exercise.id} is no slug"
    for slug, count in Counter(each.slug for each in catalog.exercises.values()).items():
        if count > 1:
            yield f"{count} exercises have the slug {slug!r}"


def _families(catalog: Snapshot, active: list[Exercise]) -> Iterator[str]:
    members: dict[str, list[Exercise]] = defaultdict(list)
    for exercise in active:
        members[exercise.family_slug].append(exercise)
    for slug, family in members.items():
        entry = catalog.families.get(slug)
        if entry is not None and entry.status != "active":
            yield f"family {slug} is closed and has exercises"
        if f"family:{slug}" in catalog.aliases:
            yield f"family {slug} has exercises and is an alias"
        known = [exercise for exercise in family if exercise.equipment]
        if len({exercise.equipment[0] for exercise in known}) > 1:
            for exercise in known:
                closing = CLOSING.search(exercise.name)
                if closing is None or closing[1] != LABELS[exercise.equipment[0]]:
                    yield f"{exercise.name!r} in {slug} does not carry {exercise.equipment[0]}"
        seats = Counter(
            (each.equipment[0], frozenset(parse_name(each.name, each.equipment).modifiers)) for each in known
        )
        for (equipment, modifiers), count in seats.items():
            if count > 1:
                yield f"{count} exercises of {slug} are done with {equipment}, {sorted(modifiers)}"


def _aliases(catalog: Snapshot, active: list[Exercise]) -> Iterator[str]:
    in_use = {each.slug for each in catalog.exercises.values() if each.status != "merged"}
    families = {each.family_slug for each in active}
    for name, alias in catalog.aliases.items():
        if (alias.exercise_id is None) == (alias.family_slug is None):
            yield f"alias {name} has not exactly one target"
        elif alias.exercise_id is not None:
            target = catalog.exercises.get(alias.exercise_id)
            if target is None or target.status == "merged":
                yield f"alias {name} leads to {alias.exercise_id}, which is not there"
            if name != alias.slug or name in in_use:
                yield f"alias {name} is the slug of something"
        elif alias.family_slug not in families or name != f"family:{alias.slug}":
            yield f"alias {name} leads to the family {alias.family_slug}, which is not there"


def _old_slugs(catalog: Snapshot) -> Iterator[str]:
    """Whoever knows an exercise by the slug that it was created with still finds it."""
    for exercise in catalog.exercises.values():
        last = exercise
        while last.merged_into is not None:
            last = catalog.exercises[last.merged_into]
        for slug in {exercise.id, exercise.slug} - {last.slug}:
            alias = catalog.aliases.get(slug)
            if alias is None or alias.exercise_id != last.id:
                yield f"the old slug {slug} of {exercise.id} does not lead to {last.id}"


def _merged(catalog: Snapshot) -> Iterator[str]:
    for exercise in catalog.exercises.values():
        if (exercise.status == "merged") != (exercise.merged_into is not None):
            yield f"{exercise.id} is {exercise.status} and merged into {exercise.merged_into}"
        if exercise.merged_into is not None and exercise.merged_into not in catalog.exercises:
            yield f"{exercise.id} is merged into {exercise.merged_into}, which is not there"

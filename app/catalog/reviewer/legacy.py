"""Fields that imported records brought along and nobody needs any more. Which ones is data: `data/legacy.toml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from app.catalog.exercise import Exercise
from app.catalog.reviewer.proposals import ProposedJob
from app.catalog.taxonomy import load_table

CLEANUP_BATCH = 200
"""Exercises in one proposed cleanup."""


@dataclass(frozen=True, slots=True)
class LegacyFields:
    """What is known of fields that the catalogue has no place for."""

    deprecated: frozenset[str]
    """Removed wherever they are."""
    replaced: Mapping[str, str]
    """By old field, the one that must have content before the old one goes."""


@cache
def legacy_fields() -> LegacyFields:
    """The shipped table, read once."""
    table = load_table("legacy")
    return LegacyFields(frozenset(table["deprecated"]["fields"]), table["replaced"])


def removable(exercise: Exercise) -> tuple[str, ...]:
    """The legacy fields of an exercise that may go, sorted: deprecated ones, and those that were really replaced."""
    table = legacy_fields()
    found = [
        name
        for name in exercise.legacy
        if name in table.deprecated or (name in table.replaced and getattr(exercise, table.replaced[name]))
    ]
    return tuple(sorted(found))


def propose_cleanups(exercises: Iterable[Exercise]) -> list[ProposedJob]:
    """Cleanups of all exercises that have something to remove, in batches of `CLEANUP_BATCH`."""
    found = sorted(exercise.id for exercise in exercises if removable(exercise))
    jobs = []
    for start in range(0, len(found), CLEANUP_BATCH):
        ids = found[start : start + CLEANUP_BATCH]
        reason = f"{len(ids)} exercise(s) have deprecated fields"
        jobs.append(ProposedJob("schema_cleanup", {"exercise_ids": ids}, reason))
    return jobs

"""The catalogue's records in the engine's store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.catalog.enrichment.fields import ATTRIBUTES
from app.catalog.exercise import Exercise
from app.stores.base import Insert, PreconditionFailed, Query, Record, Store, StoreError, Update, Value, Write

COLLECTION = "exercises"
PAGE = 200


@dataclass(frozen=True, slots=True)
class StoredExercise:
    """An exercise and the stored state that it was read from."""

    exercise: Exercise
    version: str
    enriched: frozenset[str] = frozenset()
    """Paths whose values an enricher wrote. They are guesses, from which nothing more may be concluded."""

    @property
    def given(self) -> Exercise:
        """The exercise without what enrichers wrote: what people and files say."""
        if not self.enriched:
            return self.exercise
        attributes = {
            name: value
            for name, value in self.exercise.attributes.items()
            if f"{ATTRIBUTES}{name}" not in self.enriched
        }
        empty: dict[str, Any] = {
            path: Exercise.model_fields[path].get_default() for path in self.enriched if not path.startswith(ATTRIBUTES)
        }
        return self.exercise.model_copy(update={**empty, "attributes": attributes})


@dataclass(frozen=True, slots=True)
class ImportCount:
    """What an import did."""

    added: int
    there_already: int


def _fields(exercise: Exercise, enriched: Iterable[str] = ()) -> dict[str, Value]:
    document = {**exercise.model_dump(mode="json"), "enriched": sorted(enriched)}
    return {
        "schema_version": exercise.schema_version,
        "family": exercise.family_slug,
        "status": str(exercise.status),
        "name": exercise.name,
        "equipment": tuple(exercise.equipment),
        "document": json.dumps(document, ensure_ascii=True, sort_keys=True),
        "created_at": exercise.created_at,
        "updated_at": exercise.updated_at,
    }


def _stored(record: Record) -> StoredExercise:
    document = json.loads(str(record.fields["document"]))
    enriched = frozenset(document.pop("enriched", ()))
    return StoredExercise(Exercise.model_validate(document), record.version, enriched)


class CatalogStore:
    """Reads exercises, and prepares the writes that change them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def all(self, status: str | None = None, limit: int | None = None) -> list[StoredExercise]:
        """Exercises in the order of their creation.

        Args:
            status: only those of this status.
            limit: at most so many; None for all.
        """
        where: dict[str, Value] = {} if status is None else {"status": status}
        found: list[StoredExercise] = []
        cursor: str | None = None
        while True:
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            page = await self._store.query(Query("exercises.list", where, limit=size, cursor=cursor))
            found.extend(_stored(record) for record in page.records)
            cursor = page.cursor
            if cursor is None or len(found) == limit:
                return found

    async def get(self, ids: Sequence[str]) -> list[StoredExercise | None]:
        """Exercises by id, None where there is none."""
        return [None if record is None else _stored(record) for record in await self._store.get(COLLECTION, ids)]

    async def add_new(self, exercises: Iterable[Exercise]) -> ImportCount:
        """Store the exercises that are not there yet, known by source or id; the others stay as they are.

        Raises:
            StoreError: the store refused a write; running it again adds the rest.
        """
        wanted = list(exercises)
        stored = [each.exercise for each in await self.all()]
        ids = {exercise.id for exercise in stored}
        # Records whose names give the same slug are numbered by their place in the file, so a file that has
        # grown may number them anew: the source knows them again.
        sources = {exercise.source for exercise in stored if exercise.source is not None}
        new = [each for each in wanted if each.source not in sources and each.id not in ids]
        added = 0
        for start in range(0, len(new), PAGE):
            units = [[Insert(COLLECTION, each.id, _fields(each))] for each in new[start : start + PAGE]]
            for answer in await self._store.commit_each(units):
                if not isinstance(answer, StoreError):
                    added += 1
                elif not isinstance(answer, PreconditionFailed):  # else another import was faster
                    raise answer
        return ImportCount(added, len(wanted) - added)

    @staticmethod
    def change(before: StoredExercise, after: Exercise, enriched: Iterable[str] = ()) -> Write:
        """The write that brings an exercise from the state that was read to another.

        Args:
            before: the state that was read; the write is refused if it is not the stored one any more.
            after: the exercise to be.
            enriched: paths whose values in `after` an enricher wrote.
        """
        still = {path for path in before.enriched if _value(before.exercise, path) == _value(after, path)}
        return Update(COLLECTION, after.id, _fields(after, still.union(enriched)), before.version)


def _value(exercise: Exercise, path: str) -> object:
    if path.startswith(ATTRIBUTES):
        return exercise.attributes.get(path.removeprefix(ATTRIBUTES))
    return getattr(exercise, path)

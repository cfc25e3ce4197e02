"""The catalogue's records in the engine's store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.catalog.aliases import Alias, alias_id
from app.catalog.documents import COLLECTIONS, Document, document_of, fields_of, text_of
from app.catalog.enrichment.fields import ATTRIBUTES
from app.catalog.exercise import Exercise
from app.catalog.families import Family
from app.catalog.plans.operation import Target, TargetKind
from app.catalog.plans.snapshot import Snapshot, Touches
from app.stores.base import (
    Insert,
    PreconditionFailed,
    Query,
    Record,
    RecordKey,
    Store,
    StoreError,
    Update,
    Value,
    Write,
)

COLLECTION = COLLECTIONS[TargetKind.EXERCISE]
PAGE = 200
MAX_ID = 200
"""Characters of a record's id; the alias of a family whose slug is nearly as long has none."""


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
    return fields_of(exercise, text_of(exercise, enriched))


def _stored(record: Record) -> StoredExercise:
    document = document_of(record)
    if not isinstance(document.item, Exercise):
        raise TypeError(f"{record.collection}/{record.id} is no exercise; ask for it by its own collection")
    return StoredExercise(document.item, document.version, document.enriched)


class CatalogStore:
    """Reads the catalogue, and prepares the writes that change it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def all(self, status: str | None = None, limit: int | None = None) -> list[StoredExercise]:
        """Exercises in the order of their creation.

        Args:
            status: only those of this status.
            limit: at most so many; None for all.
        """
        where: dict[str, Value] = {} if status is None else {"status": status}
        return [_stored(record) for record in await self._found("exercises.list", where, limit)]

    async def get(self, ids: Sequence[str]) -> list[StoredExercise | None]:
        """Exercises by id, None where there is none."""
        return [None if record is None else _stored(record) for record in await self._store.get(COLLECTION, ids)]

    async def aliases(self) -> list[Alias]:
        """Every alias, in the order of their creation."""
        found = [document_of(record).item for record in await self._found("aliases.list", {})]
        return [item for item in found if isinstance(item, Alias)]

    async def families(self) -> list[Family]:
        """Every family's entry, in the order of their creation."""
        found = [document_of(record).item for record in await self._found("families.list", {})]
        return [item for item in found if isinstance(item, Family)]

    async def everything(self) -> Snapshot:
        """The whole catalogue. Not read at one instant: what is changed meanwhile may be in it or not."""
        exercises, aliases, families = await asyncio.gather(self.all(), self.aliases(), self.families())
        return Snapshot(
            {each.exercise.id: each.exercise for each in exercises},
            {alias.id: alias for alias in aliases},
            {family.slug: family for family in families},
            {each.exercise.id: each.enriched for each in exercises if each.enriched},
        )

    async def read(self, targets: Iterable[Target]) -> dict[Target, Document]:
        """Records by kind and id, as far as they are there; each once, in as few round trips as can be."""
        keys: list[RecordKey] = [(COLLECTIONS[each.kind], each.id) for each in dict.fromkeys(targets)]
        found: list[Record | None] = []
        for start in range(0, len(keys), PAGE):
            (collection, first), *rest = keys[start : start + PAGE]
            found.extend(await self._store.get(collection, [first], rest))
        documents = [document_of(record) for record in found if record is not None]
        return {document.target: document for document in documents}

    async def aliases_to(self, target: Target) -> dict[Target, Document]:
        """Every alias that leads to an exercise or a family."""
        found = [document_of(record) for record in await self._found("aliases.list", {"target": str(target)})]
        return {document.target: document for document in found}

    async def with_slug(self, slug: str) -> dict[Target, Document]:
        """Every exercise that has this slug, of any status."""
        found = [document_of(record) for record in await self._found("exercises.by_slug", {"slug": slug})]
        # A record that was written before slugs were kept apart has never been renamed: its slug is its id.
        by_id = await self.read([Target(kind=TargetKind.EXERCISE, id=slug)])
        found += [each for each in by_id.values() if isinstance(each.item, Exercise) and each.item.slug == slug]
        return {document.target: document for document in found}

    async def snapshot(self, touches: Touches) -> Snapshot:
        """The part of the catalogue that a plan touches, and no more.

        Raises:
            StoreError: the store could not be asked.
        """
        wanted = [
            *(Target(kind=TargetKind.EXERCISE, id=each) for each in sorted(touches.exercises | touches.families_of)),
            *(Target(kind=TargetKind.ALIAS, id=each) for each in sorted(touches.aliases | touches.slugs)),
        ]
        found = await self.read(wanted)
        moving = (found.get(Target(kind=TargetKind.EXERCISE, id=each)) for each in touches.families_of)
        whole = touches.families | {
            each.item.family_slug for each in moving if each is not None and isinstance(each.item, Exercise)
        }
        families = sorted(whole)
        parts = await asyncio.gather(
            *(self._members(slug) for slug in families),
            *(self.with_slug(slug) for slug in sorted(touches.slugs)),
            *(self.aliases_to(Target(kind=TargetKind.EXERCISE, id=each)) for each in sorted(touches.aliases_of)),
            *(self.aliases_to(Target(kind=TargetKind.FAMILY, id=each)) for each in families),
        )
        for part in parts:
            found |= part
        members = (each.item for each in found.values() if isinstance(each.item, Exercise))
        slugs = sorted(exercise.slug for exercise in members if exercise.family_slug in whole)
        related = [
            *(Target(kind=TargetKind.FAMILY, id=each) for each in families),
            *(Target(kind=TargetKind.ALIAS, id=each) for each in map(_family_alias, families) if len(each) <= MAX_ID),
            *(Target(kind=TargetKind.ALIAS, id=each) for each in slugs),
        ]
        found |= await self.read(each for each in related if each not in found)
        return snapshot_of(found.values(), frozenset(whole))

    async def add_new(
        self, exercises: Iterable[Exercise], enriched: Mapping[str, Iterable[str]] | None = None
    ) -> ImportCount:
        """Store the exercises that are not there yet, known by source or id; the others stay as they are.

        Args:
            exercises: which.
            enriched: by id, the paths whose values an enricher wrote.

        Raises:
            StoreError: the store refused a write; running it again adds the rest.
        """
        wanted, guessed = list(exercises), enriched or {}
        stored = [each.exercise for each in await self.all()]
        ids = {exercise.id for exercise in stored}
        # Records whose names give the same slug are numbered by their place in the file, so a file that has
        # grown may number them anew: the source knows them again.
        sources = {exercise.source for exercise in stored if exercise.source is not None}
        new = [each for each in wanted if each.source not in sources and each.id not in ids]
        added = await self._inserted(
            [Insert(COLLECTION, each.id, _fields(each, guessed.get(each.id, ()))) for each in new]
        )
        return ImportCount(added, len(wanted) - added)

    async def add_related(self, items: Iterable[Alias | Family]) -> int:
        """Store the aliases and families' entries that are not there yet; answers how many were added.

        Raises:
            StoreError: the store refused a write; running it again adds the rest.
        """
        inserts = [Insert(COLLECTIONS[_kind_of(item)], item.id, fields_of(item, text_of(item))) for item in items]
        return await self._inserted(inserts)

    @staticmethod
    def change(before: StoredExercise, after: Exercise, enriched: Iterable[str] = ()) -> Write:
        """The write that brings an exercise from the state that was read to another.

        Args:
            before: the state that was read; the write is refused if it is not the stored one any more.
            after: the exercise to be.
            enriched: paths whose values in `after` an enricher wrote.
        """
        kept = still_enriched(before.exercise, before.enriched, after).union(enriched)
        return Update(COLLECTION, after.id, _fields(after, kept), before.version)

    async def _inserted(self, inserts: Sequence[Insert]) -> int:
        added = 0
        for start in range(0, len(inserts), PAGE):
            for answer in await self._store.commit_each([[each] for each in inserts[start : start + PAGE]]):
                if not isinstance(answer, StoreError):
                    added += 1
                elif not isinstance(answer, PreconditionFailed):  # else another import was faster
                    raise answer
        return added

    async def _members(self, family_slug: str) -> dict[Target, Document]:
        found = [document_of(record) for record in await self._found("exercises.list", {"family": family_slug})]
        return {document.target: document for document in found}

    async def _found(self, shape: str, where: dict[str, Value], limit: int | None = None) -> list[Record]:
        found: list[Record] = []
        cursor: str | None = None
        while True:
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            page = await self._store.query(Query(shape, where, limit=size, cursor=cursor))
            found.extend(page.records)
            cursor = page.cursor
            if cursor is None or len(found) == limit:
                return found


def still_enriched(before: Exercise, enriched: frozenset[str], after: Exercise) -> frozenset[str]:
    """The paths whose values are still an enricher's after a change of the exercise."""
    return frozenset(path for path in enriched if _value(before, path) == _value(after, path))


def _value(exercise: Exercise, path: str) -> object:
    if path.startswith(ATTRIBUTES):
        return exercise.attributes.get(path.removeprefix(ATTRIBUTES))
    return getattr(exercise, path)


def _family_alias(slug: str) -> str:
    return alias_id(slug, family=True)


def _kind_of(item: Alias | Family) -> TargetKind:
    return TargetKind.ALIAS if isinstance(item, Alias) else TargetKind.FAMILY


def snapshot_of(documents: Iterable[Document], whole: frozenset[str] | None = None) -> Snapshot:
    """A snapshot of these records; `whole` are the families that are all there, None for every family."""
    exercises: dict[str, Exercise] = {}
    aliases: dict[str, Alias] = {}
    families: dict[str, Family] = {}
    enriched: dict[str, frozenset[str]] = {}
    for document in documents:
        match document.item:
            case Exercise() as exercise:
                exercises[exercise.id] = exercise
                if document.enriched:
                    enriched[exercise.id] = document.enriched
            case Alias() as alias:
                aliases[alias.id] = alias
            case Family() as family:
                families[family.slug] = family
    return Snapshot(exercises, aliases, families, enriched, whole)

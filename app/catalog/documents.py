"""How records of the catalogue are kept: one canonical JSON text each, and the fields that are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.catalog.aliases import Alias
from app.catalog.exercise import Exercise
from app.catalog.families import Family
from app.catalog.plans.operation import Target, TargetKind
from app.catalog.plans.snapshot import Item
from app.stores.base import Delete, Insert, Record, Update, Value, Write

COLLECTIONS = {
    TargetKind.EXERCISE: "exercises",
    TargetKind.ALIAS: "exercise_aliases",
    TargetKind.FAMILY: "exercise_families",
}
KIND_OF = {collection: kind for kind, collection in COLLECTIONS.items()}
_MODELS: dict[TargetKind, type[Exercise] | type[Alias] | type[Family]] = {
    TargetKind.EXERCISE: Exercise,
    TargetKind.ALIAS: Alias,
    TargetKind.FAMILY: Family,
}


@dataclass(frozen=True, slots=True)
class Document:
    """One record of the catalogue and the stored state that it was read from."""

    target: Target
    item: Item
    text: str
    """The record as it is kept."""
    version: str
    enriched: frozenset[str] = frozenset()
    """Paths whose values an enricher wrote; exercises only."""


def text_of(item: Item, enriched: Iterable[str] = ()) -> str:
    """The text that a record is kept as. Equal records have equal texts."""
    document: dict[str, Any] = item.model_dump(mode="json")
    if isinstance(item, Exercise):
        document["enriched"] = sorted(enriched)
    return json.dumps(document, ensure_ascii=True, sort_keys=True)


def read_text(kind: TargetKind, text: str) -> tuple[Item, frozenset[str]]:
    """The record that a text is of, and the paths that an enricher wrote."""
    document = json.loads(text)
    enriched = frozenset(document.pop("enriched", ()))
    return _MODELS[kind].model_validate(document), enriched


def document_of(record: Record) -> Document:
    """What a stored record says."""
    kind, text = KIND_OF[record.collection], str(record.fields["document"])
    item, enriched = read_text(kind, text)
    return Document(Target(kind=kind, id=record.id), item, text, record.version, enriched)


def fields_of(item: Item, text: str) -> dict[str, Value]:
    """The fields of the record that keeps `text`, which is `item`'s."""
    fields: dict[str, Value] = {"schema_version": item.schema_version, "document": text, "created_at": item.created_at}
    if isinstance(item, Exercise):
        fields |= {
            "slug": item.slug,
            "family": item.family_slug,
            "status": str(item.status),
            "name": item.name,
            "equipment": tuple(item.equipment),
            "updated_at": item.updated_at,
        }
    elif isinstance(item, Alias):
        fields["target"] = leading_to(item)
    return fields


def leading_to(alias: Alias) -> str | None:
    """What an alias leads to, as it is asked for; one that leads to two things is found by the exercise."""
    if alias.exercise_id is not None:
        return f"{TargetKind.EXERCISE}/{alias.exercise_id}"
    return None if alias.family_slug is None else f"{TargetKind.FAMILY}/{alias.family_slug}"


def write_of(target: Target, before: Document | None, text: str | None) -> Write:
    """The write that brings a record from the state that was read to the one that `text` says.

    Args:
        target: the record.
        before: the state that was read, None if there was none; the write is refused if it is not the stored one.
        text: the new state, None to take it away; one of both is given.
    """
    collection = COLLECTIONS[target.kind]
    if text is None:
        return Delete(collection, target.id, None if before is None else before.version)
    fields = fields_of(read_text(target.kind, text)[0], text)
    if before is None:
        return Insert(collection, target.id, fields)
    return Update(collection, target.id, fields, before.version)

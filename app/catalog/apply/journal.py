"""The journal: one record for each plan that was applied, and one line for each of its operations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from app.catalog.documents import read_text
from app.catalog.errors import CatalogError
from app.catalog.exercise import UtcTime
from app.catalog.plans.operation import Operation, Risk, Target
from app.catalog.plans.snapshot import Item
from app.stores.base import Insert, Query, Record, Store, Update, Value, Version, Write

CHANGES = "catalog_changes"
LINES = "catalog_lines"
PAGE = 200
SCHEMA_VERSION = 1


class UnknownChange(CatalogError):
    """There is no change of that id."""

    def __init__(self, change_id: str) -> None:
        super().__init__(f"there is no change {change_id!r}; `torpor catalog changes` lists them")


class ChangeStatus(StrEnum):
    """How far a change is."""

    APPLYING = "applying"
    """Under way, or left by a job that ended before it was through."""
    APPLIED = "applied"
    NEEDS_REPAIR = "needs_repair"
    """An operation failed, or what was read back is not what was written. What was applied stays until it is undone."""
    UNDONE = "undone"


class Change(BaseModel):
    """One plan that was applied, by `{job}_{attempt}`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: str
    job_id: str
    type: str
    """The job's type."""
    status: ChangeStatus = ChangeStatus.APPLYING
    scope: tuple[str, ...] = ()
    risk: Risk = Risk.LOW
    plan_version: int = 1
    """The newest version of the plan that was applied."""
    operations: int = 0
    """How many it has."""
    applied: int = 0
    """How many lines the journal has; written when applying ends."""
    problem: str = ""
    """Why it needs repair."""
    made_at: UtcTime
    """When the plan was made; `updated_at` of what it changed."""
    undone_at: UtcTime | None = None
    undone_by: str = ""


@dataclass(frozen=True, slots=True)
class StoredChange:
    """A change and the stored state that it was read from."""

    change: Change
    version: Version


@dataclass(frozen=True, slots=True)
class Line:
    """One operation that was applied, with every record before and after it, each as the text that is kept."""

    key: str
    """Its idempotency key."""
    change_id: str
    number: int
    operation: Operation
    before: Mapping[Target, str | None]
    """None where there was no such record."""
    after: Mapping[Target, str | None]
    undone_at: datetime | None = None
    version: Version = ""

    def item_after(self, target: Target) -> Item | None:
        """The record as the operation left it."""
        text = self.after[target]
        return None if text is None else read_text(target.kind, text)[0]

    def item_before(self, target: Target) -> Item | None:
        """The record as the operation found it."""
        text = self.before[target]
        return None if text is None else read_text(target.kind, text)[0]


def change_id_of(job_id: str, attempt: int) -> str:
    """The id of the change that a job makes whose plan was made in that attempt."""
    return f"{job_id}_{attempt}"


class Journal:
    """Reads the journal, and prepares what is written to it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, change_id: str) -> StoredChange | None:
        """A change, or None."""
        (record,) = await self._store.get(CHANGES, [change_id])
        return None if record is None else _stored(record)

    async def change(self, change_id: str) -> StoredChange:
        """A change.

        Raises:
            UnknownChange: there is none of that id.
        """
        found = await self.find(change_id)
        if found is None:
            raise UnknownChange(change_id)
        return found

    async def changes(
        self, *, since: datetime | None = None, until: datetime | None = None, limit: int = 50, reverse: bool = True
    ) -> list[Change]:
        """Changes by the time of their plans.

        Args:
            since: not earlier than this.
            until: earlier than this.
            limit: at most so many.
            reverse: the newest first.
        """
        found: list[Change] = []
        cursor: str | None = None
        while len(found) < limit:
            size = min(PAGE, limit - len(found))
            query = Query("changes.list", since=since, until=until, reverse=reverse, limit=size, cursor=cursor)
            page = await self._store.query(query)
            found.extend(_stored(record).change for record in page.records)
            cursor = page.cursor
            if cursor is None:
                break
        return found

    async def lines(self, change_id: str) -> list[Line]:
        """The lines of a change, in the order in which they were applied."""
        found: list[Line] = []
        cursor: str | None = None
        while True:
            query = Query("catalog_lines.of_change", {"change_id": change_id}, limit=PAGE, cursor=cursor)
            page = await self._store.query(query)
            found.extend(_line(record) for record in page.records)
            cursor = page.cursor
            if cursor is None:
                return found

    async def line(self, key: str) -> Line | None:
        """One line, or None."""
        (record,) = await self._store.get(LINES, [key])
        return None if record is None else _line(record)

    @staticmethod
    def begun(change: Change) -> Write:
        """The write that begins a change."""
        return Insert(CHANGES, change.id, _change_fields(change))

    @staticmethod
    def moved_on(before: StoredChange, after: Change) -> Write:
        """The write that brings a change to another state."""
        return Update(CHANGES, after.id, _change_fields(after), before.version)

    @staticmethod
    def written(line: Line) -> Write:
        """The write that adds a line; refused if it is there."""
        document = {
            "operation": line.operation.model_dump(mode="json"),
            "before": {str(target): text for target, text in line.before.items()},
            "after": {str(target): text for target, text in line.after.items()},
        }
        fields: dict[str, Value] = {
            "schema_version": SCHEMA_VERSION,
            "change_id": line.change_id,
            "number": line.number,
            "document": json.dumps(document, sort_keys=True),
        }
        return Insert(LINES, line.key, fields)

    @staticmethod
    def undone(line: Line, at: datetime) -> Write:
        """The write that marks a line as undone."""
        return Update(LINES, line.key, {"undone_at": at}, line.version)


def _change_fields(change: Change) -> dict[str, Value]:
    text = json.dumps(change.model_dump(mode="json"), sort_keys=True)
    return {"schema_version": SCHEMA_VERSION, "document": text, "made_at": change.made_at}


def _stored(record: Record) -> StoredChange:
    return StoredChange(Change.model_validate_json(str(record.fields["document"])), record.version)


def _line(record: Record) -> Line:
    document: dict[str, Any] = json.loads(str(record.fields["document"]))
    number, undone = record.fields["number"], record.fields.get("undone_at")
    return Line(
        key=record.id,
        change_id=str(record.fields["change_id"]),
        number=number if isinstance(number, int) else 0,
        operation=Operation.model_validate(document["operation"]),
        before=_texts(document["before"]),
        after=_texts(document["after"]),
        undone_at=undone if isinstance(undone, datetime) else None,
        version=record.version,
    )


def _texts(told: Mapping[str, str | None]) -> dict[Target, str | None]:
    return {Target.model_validate(name): text for name, text in told.items()}

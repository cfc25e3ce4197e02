"""Schedules to and from their records."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from app.jobs.codec import SCHEMA_VERSION, Codec
from app.jobs.errors import ScheduleNotFound, TooLarge
from app.jobs.models import is_key
from app.jobs.records import RECORD_SHARE, DataLimits
from app.jobs.schedules import Schedule, schedule_id
from app.stores.base import Delete, Insert, Query, Record, Store, Update, Value

logger = logging.getLogger(__name__)

COLLECTION = "schedules"
PAGE = 100


def _state(schedule: Schedule) -> dict[str, Value]:
    state = schedule.model_dump(mode="json", exclude={"definition", "created_at", "next_at"})
    return {"state": json.dumps(state, sort_keys=True), "next_at": schedule.next_at}


class ScheduleRecords:
    """Reads schedules and prepares their writes; it never writes itself."""

    def __init__(self, store: Store, codec: Codec, limits: DataLimits) -> None:
        self._store = store
        self._codec = codec
        # Of this size a payload never needs chunk records, so that the job of a slot is one record.
        self._most_bytes = min(limits.inline_bytes, store.limits().bytes_per_record // RECORD_SHARE)

    def _definition(self, schedule: Schedule) -> str:
        definition = self._codec.encode_text(schedule.definition.model_dump(mode="json"), "payload")
        if len(definition) > self._most_bytes:
            raise TooLarge("payload", len(definition), self._most_bytes)
        return definition

    def insert(self, schedule: Schedule) -> Insert:
        """The write that creates a schedule.

        Raises:
            TooLarge: its payload is.
        """
        fields = {"schema_version": SCHEMA_VERSION, "created_at": schedule.created_at, **_state(schedule)}
        filled = {name: value for name, value in fields.items() if value is not None}
        return Insert(COLLECTION, schedule_id(schedule.name), filled | {"definition": self._definition(schedule)})

    def update(self, before: Schedule, after: Schedule) -> Update:
        """The write that brings a schedule from the state that was read to another.

        Raises:
            TooLarge: its payload is.
        """
        old = _state(before)
        changes = {name: value for name, value in _state(after).items() if value != old[name]}
        if after.definition != before.definition:
            changes["definition"] = self._definition(after)
        return Update(COLLECTION, schedule_id(before.name), changes, before.version)

    def delete(self, schedule: Schedule) -> Delete:
        """The write that removes a schedule."""
        return Delete(COLLECTION, schedule_id(schedule.name), schedule.version)

    def decode(self, record: Record) -> Schedule:
        """The schedule that a record holds."""
        fields = record.fields
        state: dict[str, Any] = json.loads(str(fields["state"]))
        state |= {"created_at": fields["created_at"], "next_at": fields.get("next_at"), "version": record.version}
        state["definition"] = self._codec.decode_text(str(fields["definition"]))
        return Schedule.model_validate(state)

    async def find(self, name: str) -> Schedule | None:
        """The schedule of a name, or None."""
        if not is_key(name):
            return None  # no schedule can have that name
        (record,) = await self._store.get(COLLECTION, [schedule_id(name)])
        return None if record is None else self.decode(record)

    async def get(self, name: str) -> Schedule:
        """The schedule of a name.

        Raises:
            ScheduleNotFound: there is none.
        """
        found = await self.find(name)
        if found is None:
            raise ScheduleNotFound(name)
        return found

    async def pages(self, query: Query) -> AsyncIterator[list[Schedule]]:
        """The schedules that a query finds, page by page; one that cannot be read is told in the log and left out."""
        while True:
            page = await self._store.query(query)
            yield [schedule for record in page.records if (schedule := self._readable(record)) is not None]
            if page.cursor is None:
                return
            query = replace(query, cursor=page.cursor)

    def _readable(self, record: Record) -> Schedule | None:
        try:
            return self.decode(record)
        except Exception:  # whatever a user's codec raises; one schedule that cannot be read must not stop the others
            logger.exception("schedule %s cannot be read by this version and is left alone", record.id)
            return None

    async def all(self) -> list[Schedule]:
        """Every schedule, oldest first."""
        query = Query("schedules.list", limit=PAGE)
        return [schedule async for page in self.pages(query) for schedule in page]

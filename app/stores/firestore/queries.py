"""Questions as Firestore's structured queries. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from app.stores.base import Order, Record, Shape, Value
from app.stores.evaluate import READY_STATUS, Question
from app.stores.firestore.names import Names, id_of
from app.stores.firestore.values import Message, read_fields, set_value, version_of
from app.stores.firestore.wire import StructuredQuery
from app.stores.schema import SHAPE_BY_NAME

MAX_DISJUNCTIONS = 30
"""Alternatives of one query, all its `in` filters multiplied (https://cloud.google.com/firestore/quotas)."""

READY: Shape = SHAPE_BY_NAME["jobs.ready"]
DUE: Shape = SHAPE_BY_NAME["jobs.due"]

_NAME_FIELD = "__name__"
_ASCENDING, _DESCENDING = 1, 2
_LESS, _LESS_OR_EQUAL, _AT_LEAST, _EQUAL, _CONTAINS, _IN = 1, 2, 4, 5, 7, 8
_AND = 1


@dataclass(frozen=True, slots=True)
class Place:
    """A position in the order of `jobs.ready`: right behind this record, whether it exists or not."""

    priority: int
    ready_at: datetime
    id: str


class Queries:
    """Builds the structured queries of one environment."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def ask(self, asked: Question, *, limit: int | None, offset: int = 0) -> Message:
        """A question as far as Firestore can answer it: of several keys to be held only one is asked for."""
        shape = asked.shape
        builder = _Builder(shape, self._names)
        for name, value in asked.where.items():
            builder.filter(name, _EQUAL, value)
        if shape.contains and asked.holding:
            builder.filter_array(shape.contains, min(asked.holding))
        if asked.since is not None:
            builder.filter(shape.range_field, _AT_LEAST, asked.since)
        if asked.until is not None:
            builder.filter(shape.range_field, _LESS, asked.until)
        builder.order(shape.order, turned=asked.reverse)
        return builder.done(limit, offset)

    def after(self, structured: Message, shape: Shape, values: Sequence[Value], record_id: str) -> None:
        """Let a query begin right behind the record with these order values."""
        _set_cursor(structured.start_at, shape, values, self._names.document(shape.collection, record_id))

    def ready(
        self,
        queue: str,
        routes: Sequence[str],
        shards: Sequence[int],
        limit: int,
        *,
        after: Place | None = None,
        level: int | None = None,
    ) -> Message:
        """The best ready records of a queue, from a place on, or of one level of priority only.

        Routes times shards must be at most `MAX_DISJUNCTIONS`.
        """
        builder = _Builder(READY, self._names)
        builder.filter("status", _EQUAL, READY_STATUS)
        builder.filter("queue", _EQUAL, queue)
        builder.filter_within("route", routes)
        builder.filter_within("shard", shards)
        builder.order(READY.order, turned=False)
        structured = builder.done(limit, 0)
        if after is not None:
            self.after(structured, READY, (after.priority, after.ready_at), after.id)
        if level is not None:
            set_value(structured.end_at.values.add(), READY.collection, "priority", level)
        return structured

    def due(self, now: datetime, limit: int) -> Message:
        """The records whose time to wake has come, earliest first."""
        builder = _Builder(DUE, self._names)
        builder.filter("wake_at", _LESS_OR_EQUAL, now)
        builder.order(DUE.order, turned=False)
        return builder.done(limit, 0)

    def newest_ready(self) -> Message:
        """The record that became ready last, whatever its queue and route."""
        builder = _Builder(READY, self._names)
        builder.order((Order("ready_at", descending=True),), turned=False)
        return builder.done(1, 0)


def record_of(document: Message, collection: str) -> Record:
    """A document as a record."""
    return Record(
        collection, id_of(document.name), version_of(document.update_time), read_fields(document.fields, collection)
    )


class _Builder:
    """One structured query, put together filter by filter."""

    def __init__(self, shape: Shape, names: Names) -> None:
        self._collection = shape.collection
        self._query = StructuredQuery()
        self._query.from_.add().collection_id = names.collections[shape.collection]
        self._all = self._query.where.composite_filter

    def filter(self, field: str, operator: int, value: Value) -> None:
        set_value(self._operand(field, operator), self._collection, field, value)

    def filter_array(self, field: str, key: str) -> None:
        self._operand(field, _CONTAINS).string_value = key

    def filter_within(self, field: str, values: Sequence[Value]) -> None:
        if len(values) == 1:
            self.filter(field, _EQUAL, values[0])
            return
        alternatives = self._operand(field, _IN).array_value.values
        for value in values:
            set_value(alternatives.add(), self._collection, field, value)

    def order(self, orders: Sequence[Order], *, turned: bool) -> None:
        direction = _ASCENDING
        for each in orders:
            direction = _DESCENDING if each.descending != turned else _ASCENDING
            self._query.order_by.add(direction=direction).field.field_path = each.field
        self._query.order_by.add(direction=direction).field.field_path = _NAME_FIELD

    def done(self, limit: int | None, offset: int) -> Message:
        count = len(self._all.filters)
        if count == 0:
            self._query.ClearField("where")
        elif count == 1:
            only = type(self._all.filters[0])()
            only.CopyFrom(self._all.filters[0])
            self._query.where.CopyFrom(only)
        else:
            self._all.op = _AND
        if limit is not None:
            self._query.limit.value = limit
        self._query.offset = offset
        return self._query

    def _operand(self, field: str, operator: int) -> Message:
        comparison = self._all.filters.add().field_filter
        comparison.field.field_path = field
        comparison.op = operator
        return comparison.value


def _set_cursor(target: Message, shape: Shape, values: Sequence[Value], document: str) -> None:
    for each, value in zip(shape.order, values, strict=True):
        set_value(target.values.add(), shape.collection, each.field, value)
    target.values.add().reference_value = document
    target.before = False

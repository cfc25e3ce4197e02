"""Pure answers about records: does one match a question, where does it sort, which of them make the page.

The stores that keep their records in memory ask these functions; the conformance suite holds every other
store to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from operator import itemgetter
from typing import Any

from app.stores import cursor
from app.stores.base import MOST_ASKED, Fields, Kind, Order, Page, Query, Record, Shape, Value
from app.stores.schema import BY_NAME, shape_of
from app.stores.sorted_keys import Key

READY_STATUS = "queued"
"""The `status` of the records that `claim` looks for in shape `jobs.ready`: what the engine calls QUEUED."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PYTHON_TYPES = {Kind.INT: int, Kind.FLOAT: float, Kind.BOOL: bool, Kind.TIME: datetime}


@dataclass(frozen=True, slots=True)
class Question:
    """A query that was checked against its shape and made ready to be put to records."""

    shape: Shape
    where: Fields
    """The filters by equality that were given."""
    holding: frozenset[str]
    """Keys that the shape's `contains` field must all hold."""
    since: Any
    until: Any
    reverse: bool
    limit: int
    offset: int
    after: Key | None
    """The sort key of the record that ended the page before."""

    def admits(self, fields: Fields) -> bool:
        """Whether a record with these fields belongs to the answer, on whichever page."""
        for name, value in self.where.items():
            if fields.get(name) != value:
                return False
        if self.holding and not self.holding.issubset(_keys(fields.get(self.shape.contains or ""))):
            return False
        for order in self.shape.order:
            if order.field not in fields:
                return False
        bounded: Any = fields[self.shape.range_field]
        return (self.since is None or bounded >= self.since) and (self.until is None or bounded < self.until)


def question(query: Query) -> Question:
    """Check a query and make it ready.

    Raises:
        UnknownShape: as `shape_of`.
        ValueError: a limit below 1, an offset below 0, either above `MOST_ASKED`, or a cursor from elsewhere.
        TypeError: a bound that is not of the range field's kind.
    """
    shape = shape_of(query)
    if query.limit < 1 or query.offset < 0:
        raise ValueError(f"limit {query.limit} and offset {query.offset}: take at least 1, and skip no less than 0")
    if max(query.limit, query.offset) > MOST_ASKED:
        raise ValueError(f"limit {query.limit} and offset {query.offset}: at most {MOST_ASKED:,} each")
    for bound in (query.since, query.until):
        _check_kind(shape, shape.range_field, bound)
    holding = query.where.get(shape.contains) if shape.contains else None
    return Question(
        shape=shape,
        where={name: value for name, value in query.where.items() if value is not None and name != shape.contains},
        holding=frozenset(_keys(holding)),
        since=query.since,
        until=query.until,
        reverse=query.reverse,
        limit=query.limit,
        offset=query.offset,
        after=None if query.cursor is None else _key_of_cursor(shape, query.cursor),
    )


def sort_key(shape: Shape) -> Callable[[Fields, str], Key | None]:
    """What sorts records by a shape in its own direction: a key of its order values and the record's id.

    The key is None for a record that lacks one of them, which the shape never finds.
    """
    names = [order.field for order in shape.order]
    turned = any(order.descending for order in shape.order)
    if shape.order[-1].descending:
        raise ValueError(f"shape {shape.name!r}: the last order must ascend; declare it the other way round")
    if len(names) == 1:
        name = names[0]
        return lambda fields, record_id: (fields[name], record_id) if name in fields else None
    pick = itemgetter(*names)

    def key(fields: Fields, record_id: str) -> Key | None:
        for name in names:
            if name not in fields:
                return None
        values = pick(fields)
        return (*(_directed(shape, values) if turned else values), record_id)

    return key


def bounds(asked: Question) -> tuple[Key | None, Key | None]:
    """A part of the shape's order that holds the whole answer: from the first key on, and before the second."""
    if asked.shape.order[0].descending:
        start: Key | None = None
        end: Key | None = None
    else:
        start = None if asked.since is None else (asked.since,)
        end = None if asked.until is None else (asked.until,)
    if asked.after is not None:
        if asked.reverse:
            end = asked.after if end is None else min(end, asked.after)
        else:
            start = asked.after if start is None else max(start, asked.after)
    return start, end


def page(asked: Question, found: Iterable[Record]) -> Page:
    """The page that starts a sequence of admitted records, which are in order and begin after the cursor."""
    records = list(islice(found, asked.offset, asked.offset + asked.limit + 1))
    if len(records) <= asked.limit:
        return Page(records, None)
    del records[asked.limit :]
    return Page(records, cursor_of(asked.shape, records[-1]))


def cursor_of(shape: Shape, record: Record) -> str:
    """Where a page ends whose last record this is."""
    return cursor.encode([record.fields[order.field] for order in shape.order], record.id)


def ordered(asked: Question, records: Iterable[Record]) -> Iterator[Record]:
    """The admitted ones of any records, sorted as asked, those up to the cursor left out."""
    key = sort_key(asked.shape)
    keyed = [(key(record.fields, record.id) or (), record) for record in records if asked.admits(record.fields)]
    if asked.after is not None:
        after = asked.after
        keyed = [pair for pair in keyed if (pair[0] < after if asked.reverse else pair[0] > after)]
    keyed.sort(key=itemgetter(0), reverse=asked.reverse)
    return (record for _, record in keyed)


def answer(query: Query, records: Iterable[Record]) -> Page:
    """The page that a query finds in any records of its collection.

    Raises:
        UnknownShape: as `question`; so are ValueError and TypeError.
    """
    asked = question(query)
    return page(asked, ordered(asked, records))


def _keys(value: Value) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, tuple):
        raise TypeError(f"a tuple of keys is needed, not {value!r}")
    return value


def _directed(shape: Shape, values: Iterable[Value]) -> Iterator[Value]:
    return (_turned(value) if order.descending else value for order, value in zip(shape.order, values, strict=True))


def _turned(value: Value) -> int | float:
    """A number that sorts the other way round."""
    if isinstance(value, datetime):
        return -((value - _EPOCH) // _MICROSECOND)
    if isinstance(value, (int, float)):
        return -value
    raise TypeError(f"nothing is ordered downwards by {value!r}; only numbers and times are")


def _key_of_cursor(shape: Shape, text: str) -> Key:
    values, record_id = cursor.decode(text)
    if len(values) != len(shape.order):
        raise ValueError(f"{text[:60]!r} is no cursor of shape {shape.name!r}; start again without one")
    for order, value in zip(shape.order, values, strict=True):
        if type(value) is not _kind_type(shape, order) or (isinstance(value, int) and not -(2**63) <= value < 2**63):
            raise ValueError(f"{text[:60]!r} is no cursor of shape {shape.name!r}; start again without one")
    return (*_directed(shape, values), record_id)


def _kind_type(shape: Shape, order: Order) -> type:
    return _PYTHON_TYPES.get(BY_NAME[shape.collection].fields[order.field], str)


def _check_kind(shape: Shape, name: str, value: Value) -> None:
    needed = _PYTHON_TYPES.get(BY_NAME[shape.collection].fields[name], str)
    if value is not None and type(value) is not needed:
        raise TypeError(f"shape {shape.name!r} is bounded by {name}, a {needed.__name__}, not by {value!r}")
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError(f"shape {shape.name!r} is bounded by aware times in UTC, not by the naive {value!r}")

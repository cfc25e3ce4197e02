"""Which indexes a structured query needs on production Firestore; the emulator has none and never misses one. Pure.

The rules, from https://firebase.google.com/docs/firestore/query-data/index-overview:

* an index serves a query if its fields are those of the equality filters, in any order, and then those of the sort
  order, in the same directions; `in` filters count as equality, and at most one field is an array that is searched;
* several indexes serve it together, merged, if each ends in the whole sort order and their other fields together are
  the fields of the equality filters;
* an index can't be read backwards, and an index of one field is one that Firestore makes by itself unless the field is
  exempt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from app.stores.firestore.values import Message

_NAME_FIELD = "__name__"
_DESCENDING = 2
_EQUALITY = frozenset({5, 8})
_CONTAINS = frozenset({7, 9})


class Mode(StrEnum):
    """How an index keeps one field."""

    ASCENDING = "ASCENDING"
    DESCENDING = "DESCENDING"
    CONTAINS = "CONTAINS"


@dataclass(frozen=True, slots=True, order=True)
class IndexField:
    """One field of an index."""

    path: str
    mode: Mode


@dataclass(frozen=True, slots=True, order=True)
class Index:
    """An index of one collection. One of a single field is made by Firestore itself, unless the field is exempt."""

    collection: str
    fields: tuple[IndexField, ...]

    def __str__(self) -> str:
        return f"{self.collection}: {', '.join(f'{each.path} {each.mode}' for each in self.fields)}"


@dataclass(frozen=True, slots=True)
class Need:
    """What a query asks of the indexes: two queries with the same need are served by the same ones."""

    collection: str
    filters: frozenset[IndexField]
    """The fields compared for equality or searched as arrays."""
    order: tuple[IndexField, ...]
    """The fields sorted or bounded by."""

    @property
    def index(self) -> Index:
        """The one index that serves it alone."""
        return Index(self.collection, (*sorted(self.filters), *self.order))

    def served_by(self, indexes: Iterable[Index]) -> frozenset[Index] | None:
        """The fewest of these indexes that serve it, or None if they don't."""
        useful = sorted(index for index in indexes if self._is_served_in_part_by(index))
        if not self.filters:
            return frozenset(useful[:1]) or None
        for count in range(1, len(self.filters) + 1):
            for some in combinations(useful, count):
                if {field for index in some for field in self._filters_of(index)} == self.filters:
                    return frozenset(some)
        return None

    def _is_served_in_part_by(self, index: Index) -> bool:
        ends_right = index.fields[len(index.fields) - len(self.order) :] == self.order
        starts_right = self.filters.issuperset(self._filters_of(index))
        has_filters = len(index.fields) > len(self.order) or not self.filters
        return index.collection == self.collection and ends_right and starts_right and has_filters

    def _filters_of(self, index: Index) -> tuple[IndexField, ...]:
        return index.fields[: len(index.fields) - len(self.order)]


def need_of(structured: Message) -> Need:
    """What a structured query asks of the indexes."""
    filters: set[IndexField] = set()
    bounded: list[str] = []
    for comparison in _comparisons(structured.where):
        path = comparison.field.field_path
        if comparison.op in _EQUALITY:
            filters.add(IndexField(path, Mode.ASCENDING))
        elif comparison.op in _CONTAINS:
            filters.add(IndexField(path, Mode.CONTAINS))
        elif path not in bounded:
            bounded.append(path)
    order = [
        IndexField(each.field.field_path, Mode.DESCENDING if each.direction == _DESCENDING else Mode.ASCENDING)
        for each in structured.order_by
    ]
    if len(order) > 1 and order[-1].path == _NAME_FIELD and order[-1].mode is order[-2].mode:
        # Every index ends like this by itself.
        order.pop()
    sorted_by = {each.path for each in order}
    order += [IndexField(path, Mode.ASCENDING) for path in bounded if path not in sorted_by]
    return Need(structured.from_[0].collection_id, frozenset(filters), tuple(order))


def _comparisons(where: Message) -> Iterator[Message]:
    if where.HasField("composite_filter"):
        for each in where.composite_filter.filters:
            yield from _comparisons(each)
    elif where.HasField("field_filter"):
        yield where.field_filter

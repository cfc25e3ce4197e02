"""Sorted and grouped views of the records of one collection, kept up to date change by change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from itertools import product

from app.stores.base import Fields, Record, Shape, Value
from app.stores.evaluate import Question, bounds, ordered, sort_key
from app.stores.schema import SHAPES
from app.stores.sorted_keys import Key, SortedKeys

_FEW = 8
"""A filter whose records are this many times fewer than all of them is worth sorting them for each question."""


class CollectionIndexes:
    """Every index that the declared shapes of one collection need."""

    def __init__(self, collection: str, records: Mapping[str, Record]) -> None:
        self._records = records
        shapes = [shape for shape in SHAPES if shape.collection == collection]
        # Shapes that sort and group alike are one index under several names.
        kinds: dict[object, ShapeIndex] = {}
        for shape in shapes:
            kinds.setdefault((shape.equal, shape.within, shape.order), ShapeIndex(shape))
        self._indexes = tuple(kinds.values())
        self._by_shape = {shape.name: kinds[shape.equal, shape.within, shape.order] for shape in shapes}
        filters = {name for shape in shapes for name in (*shape.optional, shape.contains) if name is not None}
        self._holders: dict[str, dict[Value, set[str]]] = {name: {} for name in sorted(filters)}
        watched = {name for index in self._indexes for name in index.watched}
        self._watched = tuple(sorted(watched | filters))

    def move(self, before: Record | None, after: Record | None) -> None:
        """Follow one record from one state to the next; None is where there is no record."""
        record = after or before
        if record is None:
            return
        old: Fields = before.fields if before else {}
        new: Fields = after.fields if after else {}
        changed = {name for name in self._watched if old.get(name) != new.get(name)}
        if not changed:
            return
        for index in self._indexes:
            if not changed.isdisjoint(index.watched):
                index.move(record.id, old, new)
        for name, holders in self._holders.items():
            if name in changed:
                _move_holder(holders, record.id, old.get(name), new.get(name))

    def head(self, shape: str, groups: Iterable[tuple[Value, ...]], limit: int) -> list[str]:
        """Ids of the first records, in order, of some groups of a shape (values of `equal`, then `within`)."""
        return self._by_shape[shape].head(groups, limit)

    def before(self, shape: str, bound: Value, limit: int) -> list[str]:
        """Ids of the first records, in order, of an ungrouped shape whose order values are not over the bound."""
        return self._by_shape[shape].up_to(bound, limit)

    def find(self, asked: Question) -> Iterator[Record]:
        """Every record of the answer after the cursor, in order, as far as it is iterated."""
        few = self._fewest(asked)
        if few is not None and len(few) * _FEW <= len(self._records):
            return ordered(asked, (self._records[record_id] for record_id in few))
        return self._walk(asked)

    def count(self, asked: Question) -> int:
        """How many records the answer has in all."""
        index = self._by_shape[asked.shape.name]
        sets = self._sets(asked)
        if asked.since is None and asked.until is None and len(sets) <= 1:
            held = index.size(asked.where)
            if not sets:
                return held
            if held == len(self._records):
                # No record lacks an order field, so the one filter alone decides.
                return len(sets[0])
        few = min(sets, key=len, default=None)
        if few is not None:
            return sum(asked.admits(self._records[record_id].fields) for record_id in few)
        return sum(1 for _ in self._walk(asked))

    def _fewest(self, asked: Question) -> set[str] | None:
        """The smallest set of records known to hold the whole answer, None where no filter has one."""
        return min(self._sets(asked), key=len, default=None)

    def _sets(self, asked: Question) -> list[set[str]]:
        """For each filter and key that is kept track of, the records that have it."""
        values = [(name, value) for name, value in asked.where.items() if name in self._holders]
        values += [(asked.shape.contains or "", key) for key in asked.holding]
        return [self._holders[name].get(value, set()) for name, value in values]

    def _walk(self, asked: Question) -> Iterator[Record]:
        for record_id in self._by_shape[asked.shape.name].walk(asked):
            record = self._records[record_id]
            if asked.admits(record.fields):
                yield record


class ShapeIndex:
    """The records of one shape, sorted, in one group for each combination of its `equal` and `within` fields."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._grouping = (*shape.equal, *shape.within)
        self.watched = frozenset((*self._grouping, *(order.field for order in shape.order)))
        self._key = sort_key(shape)
        self._groups: dict[tuple[Value, ...], SortedKeys] = {}

    def move(self, record_id: str, old: Fields, new: Fields) -> None:
        """Take a record out of its old place and into its new one."""
        key = self._key(old, record_id)
        if key is not None and (group := self._group(old)) is not None:
            keys = self._groups[group]
            keys.remove(key)
            if not keys:
                del self._groups[group]
        key = self._key(new, record_id)
        if key is not None and (group := self._group(new)) is not None:
            here = self._groups.get(group)
            if here is None:
                here = self._groups[group] = SortedKeys()
            here.add(key)

    def size(self, where: Fields) -> int:
        """How many records are in the groups that have these values."""
        return sum(map(len, self._asked(where)))

    def head(self, groups: Iterable[tuple[Value, ...]], limit: int) -> list[str]:
        """Ids of the first records of some groups together."""
        present = [keys for group in groups if (keys := self._groups.get(group)) is not None]
        found: list[str] = []
        for key in merge(*(keys.ascending() for keys in present)) if len(present) > 1 else _only(present):
            if len(found) == limit:
                break
            found.append(key[-1])
        return found

    def up_to(self, bound: Value, limit: int) -> list[str]:
        """Ids of the first records of an ungrouped shape whose first order value is not over the bound."""
        found: list[str] = []
        for key in _only([keys for keys in (self._groups.get(()),) if keys is not None]):
            if len(found) == limit or key[0] > bound:
                break
            found.append(key[-1])
        return found

    def walk(self, asked: Question) -> Iterator[str]:
        """Ids in the order asked of a part of the shape that holds the whole answer after the cursor."""
        start, end = bounds(asked)
        present = self._asked(asked.where)
        if asked.reverse:
            runs = [keys.descending(end) for keys in present]
        else:
            runs = [keys.ascending(start) for keys in present]
        for key in merge(*runs, reverse=asked.reverse) if len(runs) > 1 else (key for run in runs for key in run):
            if asked.reverse:
                if start is not None and key < start:
                    return
            elif end is not None and key >= end:
                return
            if key != asked.after:
                yield key[-1]

    def _group(self, fields: Fields) -> tuple[Value, ...] | None:
        values = tuple([fields.get(name) for name in self._grouping])
        return None if None in values else values

    def _asked(self, where: Fields) -> list[SortedKeys]:
        group = self._group(where)
        if group is not None:
            keys = self._groups.get(group)
            return [] if keys is None else [keys]
        # Only a question that leaves out a `within` field comes here, and those have few groups.
        return [
            keys
            for group, keys in self._groups.items()
            if all(where.get(name, value) == value for name, value in zip(self._grouping, group, strict=True))
        ]


def combinations(fixed: tuple[Value, ...], *alternatives: Iterable[Value]) -> Iterator[tuple[Value, ...]]:
    """The groups with these fixed values and each combination of the alternatives."""
    return ((*fixed, *chosen) for chosen in product(*(dict.fromkeys(values) for values in alternatives)))


def _only(present: list[SortedKeys]) -> Iterator[Key]:
    return present[0].ascending() if present else iter(())


def _move_holder(holders: dict[Value, set[str]], record_id: str, old: Value, new: Value) -> None:
    for value in _each(old):
        ids = holders.get(value)
        if ids is not None:
            ids.discard(record_id)
            if not ids:
                del holders[value]
    for value in _each(new):
        holders.setdefault(value, set()).add(record_id)


def _each(value: Value) -> Iterable[Value]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)

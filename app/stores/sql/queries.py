"""Questions of the declared shapes as SQL, compiled once for each combination of filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, bindparam, func, or_, select

from app.stores import cursor
from app.stores.base import Query, Value
from app.stores.evaluate import Question
from app.stores.schema import BY_NAME, SHAPE_BY_NAME
from app.stores.sql.drivers import Driver
from app.stores.sql.rows import whole_row
from app.stores.sql.statements import Compiled, Lookup, Statements, among, numbered
from app.stores.sql.values import ENCODERS, to_json

_KEPT = 512


@dataclass(frozen=True, slots=True)
class _Form:
    """All of a question but its values."""

    shape: str
    filters: tuple[str, ...] = ()
    holding: bool = False
    since: bool = False
    until: bool = False
    after: bool = False
    reverse: bool = False
    counting: bool = False


class Questions:
    """Texts for one dialect and one set of tables. Safe to use from several threads."""

    def __init__(self, statements: Statements, driver: Driver) -> None:
        self._statements = statements
        self._driver = driver
        self._encoders = ENCODERS[statements.dialect]
        self._compiled = lru_cache(_KEPT)(self._compile)
        self._records = lru_cache(_KEPT)(self._compile_records)

    def page(self, asked: Question, query: Query) -> Lookup:
        """The records of one page and one more, which tells whether there is a next page; whole rows."""
        values = self._values(asked)
        values |= {"most": asked.limit + 1, "skipped": asked.offset}
        if query.cursor is not None:
            ends, record_id = cursor.decode(query.cursor)
            names = [order.field for order in asked.shape.order]
            values |= {f"after_{name}": self._encoded(asked, name, end) for name, end in zip(names, ends, strict=True)}
            values["after_id"] = record_id
        return self._compiled(self._form(asked, counting=False)).filled(values)

    def count(self, asked: Question) -> Lookup:
        """How many records match; one row of one number."""
        return self._compiled(self._form(asked, counting=True)).filled(self._values(asked))

    def records(self, collection: str, ids: Sequence[str]) -> Lookup:
        """The records with these ids, in no order; whole rows."""
        padded = among(ids)
        return self._records(collection, len(padded)), padded

    def _form(self, asked: Question, *, counting: bool) -> _Form:
        return _Form(
            shape=asked.shape.name,
            filters=tuple(sorted(asked.where)),
            holding=bool(asked.holding),
            since=asked.since is not None,
            until=asked.until is not None,
            after=asked.after is not None,
            reverse=asked.reverse,
            counting=counting,
        )

    def _values(self, asked: Question) -> dict[str, Any]:
        values = {f"is_{name}": self._encoded(asked, name, value) for name, value in asked.where.items()}
        bounded = asked.shape.range_field
        values["since"] = self._encoded(asked, bounded, asked.since)
        values["until"] = self._encoded(asked, bounded, asked.until)
        values["holding"] = to_json(tuple(sorted(asked.holding)))
        return values

    def _encoded(self, asked: Question, name: str, value: Value) -> Any:
        encode = self._encoders.get(BY_NAME[asked.shape.collection].fields[name])
        return value if value is None or encode is None else encode(value)

    def _compile(self, form: _Form) -> Compiled:
        table = self._statements.tables[SHAPE_BY_NAME[form.shape].collection]
        conditions = _conditions(form, table, self._driver)
        if form.counting:
            return self._statements.compiled(select(func.count()).select_from(table).where(*conditions))
        found: Select[Any] = select(*whole_row(table, SHAPE_BY_NAME[form.shape].collection)).where(*conditions)
        order = [column.desc() if downwards else column.asc() for column, downwards in _places(form, table)]
        return self._statements.compiled(found.order_by(*order).limit(bindparam("most")).offset(bindparam("skipped")))

    def _compile_records(self, collection: str, count: int) -> str:
        table = self._statements.tables[collection]
        found = select(*whole_row(table, collection)).where(table.c.id.in_(numbered(count)))
        return self._statements.compiled(found).text


def _conditions(form: _Form, table: Table, driver: Driver) -> list[ColumnElement[bool]]:
    shape = SHAPE_BY_NAME[form.shape]
    # That the order's fields are there is what makes the partial indexes usable.
    conditions: list[ColumnElement[bool]] = [table.c[order.field].is_not(None) for order in shape.order]
    conditions += [table.c[name] == bindparam(f"is_{name}") for name in form.filters]
    if form.holding and shape.contains is not None:
        conditions.append(driver.holds_all(table.c[shape.contains], "holding"))
    bounded = table.c[shape.range_field]
    if form.since:
        conditions.append(bounded >= bindparam("since"))
    if form.until:
        conditions.append(bounded < bindparam("until"))
    if form.after:
        conditions.append(_after(form, table))
    return conditions


def _places(form: _Form, table: Table) -> list[tuple[ColumnElement[Any], bool]]:
    """The columns that sort, and whether each counts down; the id goes with the last."""
    orders = SHAPE_BY_NAME[form.shape].order
    places = [(table.c[order.field], order.descending != form.reverse) for order in orders]
    return [*places, (table.c.id, places[-1][1])]


def _after(form: _Form, table: Table) -> ColumnElement[bool]:
    """The condition of a place behind the cursor: behind its first value, or level with it and behind the second, …"""
    places = _places(form, table)
    ends = {column.name: bindparam(f"after_{column.name}", type_=column.type) for column, _ in places}
    alternatives: list[ColumnElement[bool]] = []
    for number, (column, downwards) in enumerate(places):
        level = [before == ends[before.name] for before, _ in places[:number]]
        end = ends[column.name]
        alternatives.append(and_(*level, column < end if downwards else column > end))
    first, downwards = places[0]
    # Says nothing that the rest does not say, but this an index can be entered with.
    entry = first <= ends[first.name] if downwards else first >= ends[first.name]
    return and_(entry, or_(*alternatives))

"""The driver's text of every write and hot read, compiled by SQLAlchemy once for each table and set of columns.

Executing SQLAlchemy's constructs costs some 100 µs a call, which is as much as SQLite takes for a whole job; so
the hot path hands these texts to the driver itself, with parameters put in order by a `Statement`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Delete,
    Dialect,
    Insert,
    Table,
    Update,
    bindparam,
    delete,
    insert,
    update,
)
from sqlalchemy.sql import ClauseElement

from app.stores.base import Fields
from app.stores.schema import BY_NAME
from app.stores.sql.values import ENCODERS, Convert

Params: TypeAlias = tuple[Any, ...]
Lookup: TypeAlias = tuple[str, Params]
"""The text of a read and its parameters."""

_KEPT = 512
"""Compiled statements kept; the engine uses a few dozen sets of columns."""


class Statement:
    """One text and how to fill it. Equal only to itself, so that writes are grouped by it quickly."""

    __slots__ = ("_conversions", "_names", "exact", "text")

    def __init__(self, text: str, names: tuple[str, ...], encoders: Mapping[str, Convert], *, exact: bool) -> None:
        self.text = text
        self.exact = exact
        """Whether each execution must touch exactly one row, or else the unit fails."""
        self._names = names
        self._conversions = tuple((i, encoders[name]) for i, name in enumerate(names) if name in encoders)

    def encode(self, fields: Fields) -> list[Any]:
        """The driver's values of the fields, in the order of the text."""
        values: list[Any] = [fields[name] for name in self._names]
        for place, convert in self._conversions:
            value = values[place]
            if value is not None:
                values[place] = convert(value)
        return values


class Compiled(NamedTuple):
    """A construct in the driver's text."""

    text: str
    places: tuple[str, ...]
    """The names of its parameters, in order."""
    given: Mapping[str, Any]
    """Values of the parameters that came with the construct."""

    def filled(self, values: Mapping[str, Any]) -> Lookup:
        """The text and the parameters for it."""
        return self.text, tuple([values[place] if place in values else self.given[place] for place in self.places])


class Statements:
    """Texts for one dialect and one set of tables. Safe to use from several threads."""

    def __init__(self, tables: Mapping[str, Table], dialect: Dialect) -> None:
        self.tables = tables
        self.dialect = dialect.name
        self._compiler = dialect
        kinds = ENCODERS[dialect.name]
        self._encoders = {
            name: {field: kinds[kind] for field, kind in BY_NAME[name].fields.items() if kind in kinds}
            for name in tables
        }
        self.insert = lru_cache(_KEPT)(self._insert)
        self.put = lru_cache(_KEPT)(self._put)
        self.update = lru_cache(_KEPT)(self._update)
        self.delete = lru_cache(_KEPT)(self._delete)

    def compiled(self, element: ClauseElement) -> Compiled:
        """A construct in the driver's text, the names of its parameters in order, and values that it brings."""
        compiled = element.compile(dialect=self._compiler)
        # Both attributes are there for every compiled SQL statement, but not in the type of the base class.
        places = getattr(compiled, "positiontup", None) or ()
        return Compiled(str(compiled), tuple(places), dict(compiled.params or {}))

    def _insert(self, collection: str, names: tuple[str, ...]) -> Statement:
        """Parameters: id, version, the fields."""
        return self._filled(collection, build_insert(self.tables[collection], names), names, exact=True)

    def _put(self, collection: str, names: tuple[str, ...]) -> Statement:
        """Parameters: id, version, the fields."""
        return self._filled(collection, build_put(self.tables[collection], names, self.dialect), names, exact=False)

    def _update(self, collection: str, names: tuple[str, ...]) -> Statement:
        """Parameters: the new version, the fields, the id, the version that is replaced."""
        return self._filled(collection, build_update(self.tables[collection], names), names, exact=True)

    def _delete(self, collection: str, guarded: bool) -> Statement:
        """Parameters: the id and, if guarded, the version."""
        return self._filled(collection, build_delete(self.tables[collection], guarded=guarded), (), exact=guarded)

    def _filled(self, collection: str, element: ClauseElement, names: tuple[str, ...], *, exact: bool) -> Statement:
        compiled = self.compiled(element)
        wanted = set(names)
        ordered = tuple(place for place in compiled.places if place in wanted)
        return Statement(compiled.text, ordered, self._encoders[collection], exact=exact)


def among(ids: Iterable[str]) -> tuple[str, ...]:
    """Ids as parameters of an IN: sorted, and some of them doubled, so that only few lengths are ever compiled."""
    wanted = sorted(ids)
    room = 1 << (len(wanted) - 1).bit_length() if wanted else 0
    return (*wanted, *wanted[-1:] * (room - len(wanted)))


def numbered(count: int) -> list[ColumnElement[str]]:
    """So many parameters of an IN."""
    return [bindparam(f"id{number}") for number in range(count)]


def build_insert(table: Table, names: tuple[str, ...]) -> Insert:
    """Create a row; a row with its id is the driver's integrity error."""
    return insert(table).values({name: bindparam(name) for name in ("id", "version", *names)})


def build_put(table: Table, names: tuple[str, ...], dialect: str) -> Insert:
    """Create or replace a row; columns that are not named become NULL."""
    values: dict[str, BindParameter[Any]] = {name: bindparam(name) for name in ("id", "version", *names)}
    changed = [column.name for column in table.columns if not column.primary_key and column.computed is None]
    if dialect == "mysql":
        from sqlalchemy.dialects import mysql

        upsert = mysql.insert(table).values(values)
        return upsert.on_duplicate_key_update({name: upsert.inserted[name] for name in changed})
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        replacing = postgresql.insert(table).values(values)
        return replacing.on_conflict_do_update(
            index_elements=["id"], set_={name: replacing.excluded[name] for name in changed}
        )
    from sqlalchemy.dialects import sqlite

    putting = sqlite.insert(table).values(values)
    return putting.on_conflict_do_update(index_elements=["id"], set_={name: putting.excluded[name] for name in changed})


def build_update(table: Table, names: tuple[str, ...]) -> Update:
    """Change a row that still has its version; without names only the version moves on."""
    matches = (table.c.id == bindparam("at_id"), table.c.version == bindparam("at_version"))
    return update(table).where(*matches).values({name: bindparam(name) for name in ("version", *names)})


def build_delete(table: Table, *, guarded: bool) -> Delete:
    """Remove a row; if guarded only in one version."""
    removing = delete(table).where(table.c.id == bindparam("at_id"))
    return removing.where(table.c.version == bindparam("at_version")) if guarded else removing

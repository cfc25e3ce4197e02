"""Rows as records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Table

from app.stores.base import Kind, Record
from app.stores.schema import BY_NAME
from app.stores.sql.drivers import Row
from app.stores.sql.values import DECODERS, Convert


class RowReader:
    """Turns one collection's rows, as the driver gives them, into records."""

    __slots__ = ("_collection", "_decoders", "_names")

    def __init__(self, collection: str, dialect: str) -> None:
        kinds = BY_NAME[collection].fields
        converts: Mapping[Kind, Convert] = DECODERS[dialect]
        self._collection = collection
        self._names = tuple(kinds)
        self._decoders = tuple((name, converts[kind]) for name, kind in kinds.items() if kind in converts)

    def record(self, row: Row) -> Record:
        """The record of a row of `whole_row`."""
        fields = {name: value for name, value in zip(self._names, row[2:], strict=True) if value is not None}
        for name, decode in self._decoders:
            value = fields.get(name)
            if value is not None:
                fields[name] = decode(value)
        return Record(self._collection, row[0], str(row[1]), fields)


def whole_row(table: Table, collection: str) -> list[ColumnElement[Any]]:
    """The columns that a record is read from, in the order of its declaration."""
    return [table.c.id, table.c.version, *(table.c[name] for name in BY_NAME[collection].fields)]

"""Units made ready to execute: each write with its text and parameters, and what it expects to find. No I/O."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.stores.base import (
    Delete,
    Fields,
    Insert,
    PreconditionFailed,
    Put,
    Record,
    Unit,
    Update,
    Verify,
    Version,
    Write,
)
from app.stores.sql.drivers import Batch
from app.stores.sql.statements import Params, Statement, Statements

Name = tuple[str, str]
"""A collection and an id."""

_RANDOM_BITS = 11
_MOST_DIGITS = 19
_LAST = 2**63 - 1
_ABSENT = -1
_NEVER = -2
_CLAIMABLE = ("ready_at", "wake_at")


class Versions:
    """Version numbers that are never given out twice for one id, not even after it was deleted.

    A row starts with the microsecond of its creation and 11 random bits, and counts up by one with each write.
    A later row of the same id starts higher, because no row is written 2,048 times a microsecond; the random bits
    keep two machines apart whose clocks differ.
    """

    def __init__(self, clock: Callable[[], int] = time.time_ns, chance: random.Random | None = None) -> None:
        self._clock = clock
        self._chance = chance or random.Random()
        self._last = 0

    def fresh(self) -> int:
        """A version to start from, higher than all that this object gave before."""
        now = (self._clock() // 1000 << _RANDOM_BITS) | self._chance.getrandbits(_RANDOM_BITS)
        self._last = max(self._last + 1, now)
        return self._last


class PlannedWrite(NamedTuple):
    """One write, ready to execute."""

    statement: Statement
    params: Params
    collection: str
    id: str
    expects: int | None
    """The version that must be there; None if anything may, and a negative number if nothing may or can."""


@dataclass(slots=True)
class PlannedUnit:
    """One unit, ready to execute."""

    writes: list[PlannedWrite]
    versions: list[Version]
    """What the writes answer with if the unit is applied."""
    claimable: bool
    """Whether it makes a job claimable, so that waiting workers are told."""


class Planner:
    """Makes checked units ready."""

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self._versions = Versions()

    def plan(self, unit: Unit) -> PlannedUnit:
        """One unit, ready to execute."""
        writes: list[PlannedWrite] = []
        versions: list[Version] = []
        claimable = False
        for write in unit:
            planned, version = self._write(write)
            writes.append(planned)
            versions.append(version)
            if not isinstance(write, (Delete, Verify)) and makes_claimable(write):
                claimable = True
        return PlannedUnit(writes, versions, claimable)

    def change(self, record: Record, patch: Fields) -> tuple[PlannedWrite, Version]:
        """A guarded change of a record as it was read, with checked fields, and the version it leads to."""
        return self._write(Update(record.collection, record.id, patch, record.version))

    def _write(self, write: Write) -> tuple[PlannedWrite, Version]:
        statements = self._statements
        collection, record_id = write.collection, write.id
        if isinstance(write, Update):
            found = _number(write.version)
            statement = statements.update(collection, tuple(write.fields))
            params = (found + 1, *statement.encode(write.fields), record_id, found)
            return PlannedWrite(statement, params, collection, record_id, found), str(found + 1)
        if isinstance(write, (Insert, Put)):
            made = self._versions.fresh()
            names = tuple(write.fields)
            absent = isinstance(write, Insert)
            statement = statements.insert(collection, names) if absent else statements.put(collection, names)
            params = (record_id, made, *statement.encode(write.fields))
            return PlannedWrite(statement, params, collection, record_id, _ABSENT if absent else None), str(made)
        if isinstance(write, Verify):
            found = _number(write.version)
            statement = statements.update(collection, ())
            return PlannedWrite(statement, (found, record_id, found), collection, record_id, found), write.version
        if write.version is None:
            return PlannedWrite(statements.delete(collection, False), (record_id,), collection, record_id, None), ""
        found = _number(write.version)
        statement = statements.delete(collection, True)
        return PlannedWrite(statement, (record_id, found), collection, record_id, found), ""


def makes_claimable(write: Insert | Update | Put) -> bool:
    """Whether a write of a job names a time from which it may be claimed."""
    fields = write.fields
    return write.collection == "jobs" and any(fields.get(name) is not None for name in _CLAIMABLE)


def batches(writes: Iterable[PlannedWrite]) -> tuple[list[Batch], list[int | None]]:
    """Writes grouped by their text, and how many rows each group must touch (None: any number)."""
    groups: dict[Statement, list[Params]] = {}
    for write in writes:
        rows = groups.get(write.statement)
        if rows is None:
            groups[write.statement] = [write.params]
        else:
            rows.append(write.params)
    expected = [len(rows) if statement.exact else None for statement, rows in groups.items()]
    return [(statement.text, rows) for statement, rows in groups.items()], expected


def as_expected(counts: Sequence[int], expected: Sequence[int | None]) -> bool:
    """Whether every group touched the rows that it must."""
    return all(wanted is None or count == wanted for count, wanted in zip(counts, expected, strict=True))


def judge(unit: PlannedUnit, stored: Mapping[Name, int]) -> PreconditionFailed | None:
    """Why a unit cannot be applied to these versions, if it cannot; a name that is missing has no record."""
    for write in unit.writes:
        if write.expects is None:
            continue
        found = stored.get((write.collection, write.id))
        if write.expects == _ABSENT:
            if found is not None:
                return PreconditionFailed(write.collection, write.id, "there is a record with this id already")
        elif found is None:
            return PreconditionFailed(write.collection, write.id, "there is no such record")
        elif found != write.expects:
            wanted = "one that it never had" if write.expects == _NEVER else write.expects
            return PreconditionFailed(write.collection, write.id, f"its version is {found}, not {wanted}")
    return None


def _number(version: Version) -> int:
    # A version is opaque to callers, so one from elsewhere is not wrong: it just is not the stored one.
    number = int(version) if version.isascii() and version.isdigit() and len(version) <= _MOST_DIGITS else _NEVER
    return number if number < _LAST else _NEVER

"""How values of each kind are kept in a column: one table of small functions for every dialect.

Column types and the hot path both take their conversions from here, so that there is one of each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from app.stores.base import Kind

Convert: TypeAlias = Callable[[Any], Any]
"""Turns one value, never None, into its other form."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MICROSECONDS = 86_400_000_000


def to_micros(time: datetime) -> int:
    """Microseconds since 1970: how SQLite, which has no type for times, keeps one without losing any of it."""
    since = time - _EPOCH
    return since.days * _DAY_MICROSECONDS + since.seconds * 1_000_000 + since.microseconds


def from_micros(micros: int) -> datetime:
    """The aware time that `to_micros` was given."""
    return _EPOCH + timedelta(0, 0, micros)


def to_naive(time: datetime) -> datetime:
    """MySQL's DATETIME knows no zone; everything in it is UTC."""
    return time.astimezone(UTC).replace(tzinfo=None)


def from_naive(time: datetime) -> datetime:
    """The aware time that `to_naive` was given."""
    return time.replace(tzinfo=UTC)


def to_json(keys: tuple[str, ...]) -> str:
    """A tuple of keys as one JSON array, which every dialect can search."""
    return json.dumps(keys, ensure_ascii=False, separators=(",", ":"))


def from_json(text: str) -> tuple[str, ...]:
    """The tuple that `to_json` was given."""
    return tuple(json.loads(text))


ENCODERS: Mapping[str, Mapping[Kind, Convert]] = {
    "sqlite": {Kind.TIME: to_micros, Kind.KEYS: to_json},
    "postgresql": {Kind.KEYS: to_json},
    "mysql": {Kind.TIME: to_naive, Kind.KEYS: to_json},
}
"""From a field's value to its driver's; a kind that is not listed is passed on as it is."""

DECODERS: Mapping[str, Mapping[Kind, Convert]] = {
    "sqlite": {Kind.TIME: from_micros, Kind.KEYS: from_json, Kind.BOOL: bool},
    "postgresql": {Kind.KEYS: from_json},
    "mysql": {Kind.TIME: from_naive, Kind.KEYS: from_json, Kind.BOOL: bool},
}
"""From a driver's value back to the field's; a kind that is not listed comes back as it is."""

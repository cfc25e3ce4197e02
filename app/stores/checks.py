"""What may be written at all: known fields of the right kind, so that every store refuses the same mistakes.

A wrong field name or kind is a mistake in the program, not bad user input, so the errors are the built-in ones.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite

from app.stores.base import Delete, Fields, Insert, Kind, Put, Unit, Update, Value, Verify
from app.stores.schema import BY_NAME

MAX_KEY_LENGTH = 200
"""Characters of a KEY; MySQL indexes at most 3,072 bytes of a row's key, and a character may take four."""
_INT_LIMIT = 2**63


def checked_unit(unit: Unit) -> None:
    """Refuse a unit that no store could keep, before anything of it is written.

    Raises:
        TypeError: a value is of another kind than the field is declared to be.
        ValueError: an unknown collection or field, a value outside of its kind's range, or a record named twice.
    """
    for write in unit:
        collection = BY_NAME.get(write.collection)
        if collection is None:
            raise ValueError(f"no collection is called {write.collection!r}; declared: {', '.join(BY_NAME)}")
        _check_id(write.id)
        if not isinstance(write, (Delete, Verify)):
            checked_fields(collection.name, collection.fields, write.fields)
    if len(unit) > 1:
        _check_distinct(unit)


def checked_units(units: Sequence[Unit]) -> None:
    """Refuse units for `commit_each` as `checked_unit` does, and a record that two of them name.

    Raises:
        TypeError: as `checked_unit`.
        ValueError: as `checked_unit`.
    """
    for unit in units:
        checked_unit(unit)
    if len(units) > 1:
        _check_distinct(write for unit in units for write in unit)


def checked_fields(collection: str, kinds: Mapping[str, Kind], fields: Fields) -> None:
    """Refuse fields that the collection does not declare, or values that are not of their kind.

    Raises:
        TypeError: a value's type is not the kind's.
        ValueError: an unknown field, or a value outside of its kind's range.
    """
    for name, value in fields.items():
        kind = kinds.get(name)
        if kind is None:
            raise ValueError(f"collection {collection!r} has no field {name!r}; declare it in app/stores/schema.py")
        if value is not None and not _FITS[kind](value):
            raise _misfit(f"{collection}.{name}", kind, value)


def keeping(before: Fields | None, fields: Fields) -> dict[str, Value]:
    """The fields of a record after a write of checked `fields` over what was there before.

    Drops what is None, and gives numbers and times the one form that every store answers with.
    """
    kept = dict(before) if before else {}
    for name, value in fields.items():
        if value is None:
            kept.pop(name, None)
        elif type(value) is datetime and value.tzinfo is not UTC:
            kept[name] = value.astimezone(UTC)
        else:
            kept[name] = value
    return kept


# --- one test per kind: true for what it may hold ------------------------------------------------------


def _fits_key(value: Value) -> bool:
    # Printable text, which nearly every key is, has no control character: one quick look decides.
    return type(value) is str and len(value) <= MAX_KEY_LENGTH and (value.isprintable() or _is_plain(value))


def _is_plain(text: str) -> bool:
    return not any(unicodedata.category(character) in {"Cc", "Cs"} for character in text)


def _fits_text(value: Value) -> bool:
    return type(value) is str and "\0" not in value and (value.isascii() or _is_encodable(value))


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fits_int(value: Value) -> bool:
    return type(value) is int and -_INT_LIMIT <= value < _INT_LIMIT


def _fits_float(value: Value) -> bool:
    return type(value) is float and isfinite(value)


def _fits_bool(value: Value) -> bool:
    return type(value) is bool


def _fits_time(value: Value) -> bool:
    return type(value) is datetime and (value.tzinfo is UTC or value.utcoffset() == UTC.utcoffset(None))


def _fits_keys(value: Value) -> bool:
    return type(value) is tuple and all(map(_fits_key, value))


_FITS: Mapping[Kind, Callable[[Value], bool]] = {
    Kind.KEY: _fits_key,
    Kind.TEXT: _fits_text,
    Kind.INT: _fits_int,
    Kind.FLOAT: _fits_float,
    Kind.BOOL: _fits_bool,
    Kind.TIME: _fits_time,
    Kind.KEYS: _fits_keys,
}

_TYPES: Mapping[Kind, type] = {
    Kind.KEY: str,
    Kind.TEXT: str,
    Kind.INT: int,
    Kind.FLOAT: float,
    Kind.BOOL: bool,
    Kind.TIME: datetime,
    Kind.KEYS: tuple,
}

_RANGES: Mapping[Kind, str] = {
    Kind.KEY: f"at most {MAX_KEY_LENGTH} characters without control characters",
    Kind.TEXT: "text that UTF-8 can encode, without NUL",
    Kind.INT: "an integer of 64 bits",
    Kind.FLOAT: "a finite number",
    Kind.BOOL: "true or false",
    Kind.TIME: "an aware time in UTC",
    Kind.KEYS: f"keys of at most {MAX_KEY_LENGTH} characters without control characters",
}


def _misfit(where: str, kind: Kind, value: Value) -> TypeError | ValueError:
    shown = repr(value)
    if len(shown) > 60:
        shown = f"{shown[:57]}..."
    if type(value) is not _TYPES[kind]:
        return TypeError(f"{where} holds {_TYPES[kind].__name__}, not {type(value).__name__}: {shown}")
    return ValueError(f"{where} holds {_RANGES[kind]}, which this is not: {shown}")


def _check_id(record_id: str) -> None:
    # "/" parts the ids of Firestore's paths, where "." and ".." are refused too, and "__x__" is kept for Google's own.
    if (
        not record_id
        or not _fits_key(record_id)
        or "/" in record_id
        or record_id in {".", ".."}
        or (record_id.startswith("__") and record_id.endswith("__"))
    ):
        raise ValueError(
            f"{record_id!r} cannot be a record's id: it takes 1 to {MAX_KEY_LENGTH} characters, "
            'no control characters, no "/", and is not ".", ".." or "__x__"'
        )


def _check_distinct(writes: Iterable[Insert | Update | Put | Delete | Verify]) -> None:
    seen: set[tuple[str, str]] = set()
    for write in writes:
        name = (write.collection, write.id)
        if name in seen:
            raise ValueError(f"{write.collection}/{write.id} is named twice; put its changes into one write")
        seen.add(name)

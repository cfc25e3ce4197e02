"""Fields and versions as Firestore keeps them, and back. No message is built from another: fields are set in place.

Firestore's own rules that are met here: null and "not there" differ (so None is never written), integers have 64 bits,
times are kept to the microsecond (https://cloud.google.com/firestore/docs/reference/rpc/google.firestore.v1#value).
Messages are protobuf's own, which have no static types: hence `Any`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from operator import attrgetter
from typing import Any, TypeAlias

from app.stores.base import Fields, Kind, Value, Version
from app.stores.checks import MAX_KEY_LENGTH
from app.stores.schema import COLLECTIONS

Message: TypeAlias = Any
"""A protobuf message."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400
_NANOS = 1_000_000_000
_VERSION_DIGITS = 21
_NEVER = 1
"""A version that no document can have: what stands for one that Firestore never gave."""


# --- one setter and one getter per kind -----------------------------------------------------------------
#
# A setter answers whether the value is beyond doubt of its kind, which it is nearly always; `app.stores.checks` has the
# last word on the others. So what is written is checked in the same pass that writes it into the message.


def _set_key(message: Message, value: Any) -> bool:
    message.string_value = value
    return type(value) is str and len(value) <= MAX_KEY_LENGTH and value.isprintable()


def _set_text(message: Message, value: Any) -> bool:
    message.string_value = value
    return type(value) is str and "\0" not in value


def _set_int(message: Message, value: Any) -> bool:
    message.integer_value = value
    return type(value) is int


def _set_float(message: Message, value: Any) -> bool:
    message.double_value = value
    return type(value) is float and isfinite(value)


def _set_bool(message: Message, value: Any) -> bool:
    message.boolean_value = value
    return type(value) is bool


def _set_time(message: Message, value: Any) -> bool:
    since = value - _EPOCH
    timestamp = message.timestamp_value
    timestamp.seconds = since.days * _DAY + since.seconds
    timestamp.nanos = since.microseconds * 1000
    return value.tzinfo is UTC


def _set_keys(message: Message, value: Any) -> bool:
    # An empty list is a value too: without this the field would be none of the kinds, which the server refuses.
    message.array_value.SetInParent()
    add = message.array_value.values.add
    for key in value:
        add(string_value=key)
    return False


def _get_float(message: Message) -> Value:
    # A whole number that was typed into a console arrives as an integer.
    return message.double_value or float(message.integer_value)


def _get_time(message: Message) -> Value:
    timestamp = message.timestamp_value
    return _EPOCH + timedelta(0, timestamp.seconds, timestamp.nanos // 1000)


def _get_keys(message: Message) -> Value:
    return tuple([each.string_value for each in message.array_value.values])


_SETTERS: Mapping[Kind, Callable[[Message, Any], bool]] = {
    Kind.KEY: _set_key,
    Kind.TEXT: _set_text,
    Kind.INT: _set_int,
    Kind.FLOAT: _set_float,
    Kind.BOOL: _set_bool,
    Kind.TIME: _set_time,
    Kind.KEYS: _set_keys,
}
_GETTERS: Mapping[Kind, Callable[[Message], Value]] = {
    Kind.KEY: attrgetter("string_value"),
    Kind.TEXT: attrgetter("string_value"),
    Kind.INT: attrgetter("integer_value"),
    Kind.FLOAT: _get_float,
    Kind.BOOL: attrgetter("boolean_value"),
    Kind.TIME: _get_time,
    Kind.KEYS: _get_keys,
}
_SETTERS_OF = {each.name: {name: _SETTERS[kind] for name, kind in each.fields.items()} for each in COLLECTIONS}
_GETTERS_OF = {each.name: {name: _GETTERS[kind] for name, kind in each.fields.items()} for each in COLLECTIONS}


# --- what the other modules use -------------------------------------------------------------------------


def set_fields(target: Message, collection: str, fields: Fields) -> bool:
    """Fill a document's map of fields; those that are None stay absent.

    Returns:
        Whether the fields are beyond doubt as the collection declares them. If not, `app.stores.checks` decides, and
        what was filled in is to be dropped if it raises.
    """
    setters = _SETTERS_OF.get(collection)
    if setters is None:
        return False
    is_certain = True
    try:
        for name, value in fields.items():
            setter = setters[name]
            if value is not None and not setter(target[name], value):
                is_certain = False
    except (KeyError, TypeError, ValueError, AttributeError):
        # What no field of this kind can hold; the check names it better.
        return False
    return is_certain


def set_value(target: Message, collection: str, field: str, value: Value) -> None:
    """Fill one value as the named field would hold it."""
    _SETTERS_OF[collection][field](target, value)


def read_fields(source: Message, collection: str) -> dict[str, Value]:
    """The fields of a document. One that this version of the schema does not know is left out."""
    getters = _GETTERS_OF[collection]
    fields = {}
    for name in source:
        getter = getters.get(name)
        if getter is not None:
            fields[name] = getter(source[name])
    return fields


def version_of(update_time: Message) -> Version:
    """The version that an update time stands for: its nanoseconds since 1970."""
    return str(update_time.seconds * _NANOS + update_time.nanos)


def set_version(target: Message, version: Version) -> None:
    """Fill a precondition's update time from a version; one that is none of ours never holds."""
    number = int(version) if version.isdecimal() and len(version) < _VERSION_DIGITS else _NEVER
    target.seconds, target.nanos = divmod(number, _NANOS)

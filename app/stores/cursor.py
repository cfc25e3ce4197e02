"""The one form of a page's end, opaque to callers: the order values and the id of its last record.

Because it names a place in the order instead of a number of records, pages stay whole while records come and go.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.stores.base import Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def encode(values: Sequence[Value], record_id: str) -> str:
    """A cursor for the record with these order values; safe in a URL.

    Raises:
        TypeError: a value that no query is ordered by (a tuple, None).
    """
    packed = [[_pack(value) for value in values], record_id]
    text = json.dumps(packed, separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode(text: str) -> tuple[tuple[Value, ...], str]:
    """The order values and the id that `encode` was given.

    Raises:
        ValueError: the text is no cursor.
    """
    try:
        packed = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        values, record_id = packed
        if not isinstance(record_id, str) or not isinstance(values, list):
            raise TypeError(record_id)
        return tuple(_unpack(value) for value in values), record_id
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise ValueError(f"{text[:60]!r} is no cursor; pass on what the page before gave, unchanged") from None


def _pack(value: Value) -> object:
    if isinstance(value, datetime):
        return {"t": (value - _EPOCH) // _MICROSECOND}
    if isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"nothing is ordered by a {type(value).__name__}: {value!r}")


def _unpack(value: object) -> Value:
    if isinstance(value, dict):
        (microseconds,) = value.values()
        if list(value) != ["t"] or type(microseconds) is not int:
            raise TypeError(value)
        return _EPOCH + timedelta(microseconds=microseconds)
    if isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(value)

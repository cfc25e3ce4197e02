"""The lines of a journal: one JSON object each, with a checksum over what it says.

A line is a group of record states that became true together, or says that the journal goes on in another file. A
line that is not whole, or does not fit its checksum, never happened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias
from zlib import crc32

from app.stores.base import Kind, Record, Value
from app.stores.schema import BY_NAME
from app.stores.tables import State

_HEAD = b'{"crc":"%08x","says":'
_HEAD_LENGTH = len(_HEAD % 0)
_TAIL = b"}\n"


@dataclass(frozen=True, slots=True)
class Group:
    """States that became true together, and the newest version that had been given out by then."""

    last_version: int
    states: Sequence[State]


@dataclass(frozen=True, slots=True)
class Continued:
    """That the journal goes on in the file of this number, whose first `length` bytes say all that was said so far."""

    number: int
    length: int


Entry: TypeAlias = Group | Continued


def encode(entry: Entry) -> bytes:
    """The line of an entry, with its line end."""
    text = json.dumps(_body(entry), default=_iso, ensure_ascii=False, separators=(",", ":")).encode()
    return b"".join((_HEAD % crc32(text), text, _TAIL))


def decode(line: bytes) -> Entry | None:
    """The entry of a line with its line end; None if the line is torn or damaged.

    Raises:
        ValueError: the line is whole, but not from this program, or from a newer one.
    """
    text = line[_HEAD_LENGTH : -len(_TAIL)]
    if line[:_HEAD_LENGTH] != _HEAD % crc32(text) or not line.endswith(_TAIL):
        return None
    try:
        body = json.loads(text)
        if "continued_in" in body:
            return Continued(int(body["continued_in"]), int(body["after"]))
        return Group(int(body["last_version"]), [_state(*state) for state in body["records"]])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a line of another make ({error!r})") from error


def snapshot(records: Iterable[Record], last_version: int, size: int) -> Iterator[bytes]:
    """Lines that hold all of these records, up to `size` in each; at least one line."""
    part: list[State] = []
    for record in records:
        part.append((record.collection, record.id, record))
        if len(part) == size:
            yield encode(Group(last_version, part))
            part = []
    yield encode(Group(last_version, part))


def _body(entry: Entry) -> dict[str, object]:
    if isinstance(entry, Continued):
        return {"continued_in": entry.number, "after": entry.length}
    states = [
        [collection, record_id, *((None, None) if record is None else (record.version, record.fields))]
        for collection, record_id, record in entry.states
    ]
    return {"last_version": entry.last_version, "records": states}


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"no field holds {value!r}")


def _state(collection: str, record_id: str, version: str | None, fields: dict[str, object] | None) -> State:
    if version is None or fields is None:
        return collection, record_id, None
    kinds = BY_NAME[collection].fields
    return collection, record_id, Record(collection, record_id, version, _fields(kinds, fields))


def _fields(kinds: Mapping[str, Kind], fields: Mapping[str, object]) -> dict[str, Value]:
    return {name: _value(kinds.get(name), value) for name, value in fields.items()}


def _value(kind: Kind | None, value: object) -> Value:
    if isinstance(value, str):
        return _time(value) if kind is Kind.TIME else value
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, (bool, int, float)):
        return value
    raise TypeError(f"no field holds {value!r}")


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    # fromisoformat gives the one UTC object, with which times compare the quickest way.
    return time if time.tzinfo is UTC else time.astimezone(UTC)

"""A batch that does not fit into one commit, written down before any of it is done, so that anybody can finish it.

Text in pages of one size: first what it waits for outside, then one line for each unit of writes. Pages are read one
after another, so that a batch of any size needs little memory.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from app.jobs.codec import SCHEMA_VERSION
from app.stores.base import Fields, Insert, Put, Store, Unit, Value, Write

PAGE_CHARACTERS = 400_000
_TIME = "at"


def page_id(batch_id: str, number: int) -> str:
    """The record of one page."""
    return f"{batch_id}-{number:06d}"


def pages_of(batch_id: str, outside: Sequence[str], units: Iterable[Unit], until: datetime) -> Iterator[Put]:
    """The writes of the pages.

    Args:
        batch_id: the batch.
        outside: the jobs outside of it that are waited for.
        units: what is to be written, each all or nothing.
        until: from then on the pages may be deleted, if nobody has done so.
    """
    number = 0
    text = ""
    for line in _lines(outside, units):
        text += line
        while len(text) >= PAGE_CHARACTERS:
            yield _page(batch_id, number, text[:PAGE_CHARACTERS], until)
            number, text = number + 1, text[PAGE_CHARACTERS:]
    yield _page(batch_id, number, text, until)


async def read_lines(store: Store, batch_id: str, pages: int) -> AsyncIterator[Any]:
    """What the pages say, line by line: the jobs outside first, then the units; see `unit_of`."""
    rest = ""
    for number in range(pages):
        (record,) = await store.get("manifests", [page_id(batch_id, number)])
        if record is None:
            return  # whoever was faster has finished the batch
        *lines, rest = (rest + str(record.fields["text"])).split("\n")
        for line in lines:
            yield json.loads(line)


def unit_of(line: Any) -> list[Write]:
    """The writes of one unit."""
    return [(Insert if is_insert else Put)(name, id_, _fields(fields)) for is_insert, name, id_, fields in line]


def _lines(outside: Sequence[str], units: Iterable[Unit]) -> Iterator[str]:
    yield json.dumps(list(outside)) + "\n"
    for unit in units:
        writes = [write for write in unit if isinstance(write, Insert | Put)]
        yield json.dumps([[isinstance(w, Insert), w.collection, w.id, _plain(w.fields)] for w in writes]) + "\n"


def _page(batch_id: str, number: int, text: str, until: datetime) -> Put:
    fields: dict[str, Value] = {"schema_version": SCHEMA_VERSION, "text": text, "delete_at": until}
    return Put("manifests", page_id(batch_id, number), fields)


def _plain(fields: Fields) -> dict[str, Any]:
    return {
        name: {_TIME: value.isoformat()} if isinstance(value, datetime) else value for name, value in fields.items()
    }


def _fields(plain: dict[str, Any]) -> dict[str, Value]:
    return {name: _value(value) for name, value in plain.items()}


def _value(value: Any) -> Value:
    if isinstance(value, dict):
        return datetime.fromisoformat(value[_TIME])
    return tuple(value) if isinstance(value, list) else value

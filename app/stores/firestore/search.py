"""Answering queries: what Firestore can filter is asked of it, the rest is filtered page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from app.stores import cursor
from app.stores.base import Page, Query, Record, UnknownShape, Value
from app.stores.evaluate import Question, page, question
from app.stores.firestore.queries import Queries, record_of
from app.stores.firestore.wire import Wire

_FILTERED_PAGE = 100
"""Records per read while some of them may not match: Firestore's arrays can be asked for one key only."""


class Search:
    """Queries and counts in one environment."""

    def __init__(self, wire: Wire, queries: Queries) -> None:
        self._wire = wire
        self._queries = queries

    async def query(self, query: Query) -> Page:
        """One page; raises what `Store.query` does."""
        asked = _checked(query)
        if len(asked.holding) > 1:
            found: list[Record] = []
            wanted = asked.offset + asked.limit + 1
            async for record in self._matching(asked, query.cursor, max(wanted, _FILTERED_PAGE)):
                found.append(record)
                if len(found) == wanted:
                    break
            return page(asked, found)
        structured = self._queries.ask(asked, limit=asked.limit + 1, offset=asked.offset)
        if query.cursor is not None:
            self._queries.after(structured, asked.shape, *cursor.decode(query.cursor))
        documents = await self._wire.query(structured)
        return page(replace(asked, offset=0), [record_of(each, asked.shape.collection) for each in documents])

    async def count(self, query: Query) -> int:
        """How many records match; raises what `Store.count` does."""
        asked = _checked(replace(query, cursor=None, offset=0, limit=1))
        if len(asked.holding) > 1:
            return sum([1 async for _ in self._matching(asked, None, _FILTERED_PAGE)])
        return await self._wire.count(self._queries.ask(asked, limit=None))

    async def _matching(self, asked: Question, after: str | None, size: int) -> AsyncIterator[Record]:
        """All records from a cursor on that hold every key, read in pages of this size."""
        end: tuple[tuple[Value, ...], str] | None = None if after is None else cursor.decode(after)
        while True:
            structured = self._queries.ask(asked, limit=size)
            if end is not None:
                self._queries.after(structured, asked.shape, *end)
            records = [record_of(each, asked.shape.collection) for each in await self._wire.query(structured)]
            for record in records:
                if asked.admits(record.fields):
                    yield record
            if len(records) < size:
                return
            last = records[-1]
            end = tuple([last.fields[order.field] for order in asked.shape.order]), last.id


def _checked(query: Query) -> Question:
    """The question, if there is an index for it: without the alternatives that a claim gives, there is none."""
    asked = question(query)
    if asked.shape.within:
        raise UnknownShape(
            f"query shape {asked.shape.name!r} is for claims, which also say {' and '.join(asked.shape.within)}"
        )
    return asked

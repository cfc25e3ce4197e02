"""That every declared shape finds what it should, in order, page by page, and refuses what is not declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations
from math import ceil

import pytest

from app.stores.base import Delete, Kind, Page, Query, Record, Shape, Store, UnknownShape, Update, Value
from app.stores.conformance.harness import NOON, SECOND, Harness, ids, insert
from app.stores.evaluate import answer
from app.stores.schema import BY_NAME, SHAPES

_ASKED = [shape for shape in SHAPES if not shape.within]
_SIZE = 36
_TAGS: tuple[Value, ...] = (None, ("red",), ("red", "blue"), ("blue", "green", "red"), ("redder",))


class QueryConformance(Harness):
    """Questions, checked against what plain Python says about the same records."""

    @pytest.mark.parametrize("shape", _ASKED, ids=lambda shape: shape.name)
    async def test_every_combination_of_filters_in_both_directions(self, store: Store, shape: Shape) -> None:
        records = await _fill(store, shape)
        for where in _filters(shape):
            for reverse in (False, True) if shape.reversible else (False,):
                await _check(store, records, Query(shape.name, where, reverse=reverse, limit=_SIZE))

    @pytest.mark.parametrize("shape", _ASKED, ids=lambda shape: shape.name)
    async def test_since_is_inclusive_and_until_exclusive(self, store: Store, shape: Shape) -> None:
        records = await _fill(store, shape)
        first, second = _bound(shape, 3), _bound(shape, 6)
        where = _smallest(shape)
        for reverse in (False, True) if shape.reversible else (False,):
            for since, until in ((first, None), (None, second), (first, second), (second, first), (first, first)):
                query = Query(shape.name, where, since=since, until=until, reverse=reverse, limit=_SIZE)
                await _check(store, records, query)
        both = await store.query(Query(shape.name, where, since=first, until=second, limit=_SIZE))
        bounded = [record.fields[shape.range_field] for record in both.records]
        assert first in bounded
        assert second not in bounded

    @pytest.mark.parametrize("size", [1, 2, 7, _SIZE])
    @pytest.mark.parametrize("shape", _ASKED, ids=lambda shape: shape.name)
    async def test_pages_make_the_whole(self, store: Store, shape: Shape, size: int) -> None:
        records = await _fill(store, shape)
        where = _smallest(shape)
        for reverse in (False, True) if shape.reversible else (False,):
            whole = ids(answer(Query(shape.name, where, reverse=reverse, limit=_SIZE), records).records)
            by_cursor: list[str] = []
            cursor: str | None = None
            # As many pages as it takes: the last one leads nowhere, even if it is full.
            for last in range(max(1, ceil(len(whole) / size)) - 1, -1, -1):
                page = await store.query(Query(shape.name, where, reverse=reverse, limit=size, cursor=cursor))
                by_cursor += ids(page.records)
                cursor = page.cursor
                assert (cursor is None) == (last == 0), f"{last} more pages were due after {by_cursor}"
            assert by_cursor == whole
            by_offset = []
            for offset in range(0, len(whole) + size, size):
                page = await store.query(Query(shape.name, where, reverse=reverse, limit=size, offset=offset))
                by_offset += ids(page.records)
            assert by_offset == whole

    @pytest.mark.parametrize("reverse", [False, True])
    @pytest.mark.parametrize("where", [{}, {"queue": "priority"}], ids=["all", "filtered"])
    async def test_pages_stay_whole_while_records_come_and_go(
        self, store: Store, reverse: bool, where: dict[str, Value]
    ) -> None:
        fields: dict[str, Value] = {"queue": "priority", "priority": 1, "created_at": NOON}
        await insert(store, "jobs", [(f"m-{number}", fields) for number in range(9)])
        found: list[str] = []
        cursor: str | None = None
        for step in range(20):
            query = Query("jobs.by_priority", where, reverse=reverse, limit=2, cursor=cursor)
            page = await store.query(query)
            found += ids(page.records)
            cursor = page.cursor
            if cursor is None:
                break
            # Before and after the place where the cursor stands, by id and by order; and the last seen one goes.
            await insert(
                store,
                "jobs",
                [
                    (f"a-{step}", fields),
                    (f"z-{step}", {**fields, "created_at": NOON - SECOND}),
                    (f"b-{step}", {**fields, "priority": 0}),
                ],
            )
            if step == 1:
                await store.commit_each([[Delete("jobs", found[-1])]])
        originals = [name for name in found if name.startswith("m-")]
        assert originals == sorted((f"m-{number}" for number in range(9)), reverse=reverse)
        assert len(found) == len(set(found))

    async def test_a_cursor_may_be_joined_with_an_offset(self, store: Store) -> None:
        await insert(store, "jobs", [(f"{number}", {"created_at": NOON + number * SECOND}) for number in range(8)])
        first = await store.query(Query("jobs.list", limit=2))
        page = await store.query(Query("jobs.list", limit=2, offset=3, cursor=first.cursor))
        assert ids(page.records) == ["5", "6"]

    @pytest.mark.parametrize("cursor", ["", "nonsense", "bm9uc2Vuc2U", "W10", "\u00e4"])
    async def test_a_cursor_that_no_page_gave_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(ValueError, match="cursor"):
            await store.query(Query("jobs.list", cursor=cursor))

    async def test_a_cursor_of_another_shape_is_refused(self, store: Store) -> None:
        await insert(store, "jobs", [(f"{number}", {"created_at": NOON, "priority": 1}) for number in range(3)])
        page = await store.query(Query("jobs.by_priority", limit=1))
        with pytest.raises(ValueError, match="cursor"):
            await store.query(Query("jobs.list", cursor=page.cursor))

    async def test_ties_are_ordered_by_id_byte_by_byte(self, store: Store) -> None:
        names = ["a", "B", "\u00e4", "b", "A", "_", "10", "9", "\U0001f634", "\uff5e", "-"]
        await insert(store, "jobs", [(name, {"created_at": NOON}) for name in names])
        expected = sorted(names, key=str.encode)
        assert ids((await store.query(Query("jobs.list"))).records) == expected
        assert ids((await store.query(Query("jobs.list", reverse=True))).records) == expected[::-1]

    async def test_records_are_found_as_they_are_now(self, store: Store) -> None:
        versions = await insert(store, "jobs", [("a", {"created_at": NOON, "status": "queued", "tags": ("red",)})])
        await store.commit([Update("jobs", "a", {"status": "running", "tags": ("blue",)}, versions["a"])])
        assert ids((await store.query(Query("jobs.list", {"status": "queued"}))).records) == []
        assert ids((await store.query(Query("jobs.list", {"tags": ("red",)}))).records) == []
        page = await store.query(Query("jobs.list", {"status": "running", "tags": ("blue",)}))
        assert ids(page.records) == ["a"]
        assert page.records[0].fields["status"] == "running"
        await store.commit([Delete("jobs", "a")])
        assert await store.count(Query("jobs.list", {"status": "running"})) == 0

    async def test_a_filter_of_none_is_no_filter(self, store: Store) -> None:
        await insert(store, "jobs", [("a", {"created_at": NOON, "status": "queued"}), ("b", {"created_at": NOON})])
        page = await store.query(Query("jobs.list", {"status": None, "type": None, "tags": None}))
        assert ids(page.records) == ["a", "b"]

    async def test_counting_ignores_limit_offset_and_cursor(self, store: Store) -> None:
        await insert(store, "jobs", [(f"{number}", {"created_at": NOON + number * SECOND}) for number in range(7)])
        page = await store.query(Query("jobs.list", limit=2))
        assert await store.count(Query("jobs.list", limit=2, offset=3, cursor=page.cursor)) == 7
        assert await store.count(Query("jobs.list", since=NOON + SECOND, until=NOON + 4 * SECOND, limit=1)) == 3

    @pytest.mark.parametrize(
        "query",
        [
            Query("jobs.no_such_shape"),
            Query("jobs"),
            Query("jobs.list", {"worker_id": "w"}),
            Query("jobs.list", {"status": "queued", "name": "n"}),
            Query("jobs.leased", {"queue": "priority"}),
            Query("jobs.finished", {"payload": "{}"}),
            Query("runs.list", {"batch_id": "b"}),
            Query("logs.of_job"),
            Query("logs.of_job", {"job_id": None}),
            Query("chunks.of_job", {"job_id": "a"}, reverse=True),
            Query("jobs.due", reverse=True),
            Query("exercises.list", {"equipment": ("bar",)}),
        ],
        ids=lambda query: f"{query.shape} {sorted(query.where)} {query.reverse}",
    )
    async def test_what_is_not_declared_is_refused(self, store: Store, query: Query) -> None:
        with pytest.raises(UnknownShape):
            await store.query(query)
        with pytest.raises(UnknownShape):
            await store.count(query)


# --- records with gaps and ties, and the questions about them -------------------------------------------


async def _fill(store: Store, shape: Shape) -> list[Record]:
    """Records of the shape's collection with ties in every order field, and some without one."""
    await insert(
        store, shape.collection, [(f"r{number * 7 % _SIZE:02}", _fields(shape, number)) for number in range(_SIZE)]
    )
    records = await store.get(shape.collection, [f"r{number:02}" for number in range(_SIZE)])
    return [record for record in records if record is not None]


def _fields(shape: Shape, number: int) -> dict[str, Value]:
    fields: dict[str, Value] = {}
    for place, name in enumerate((*shape.equal, *shape.optional)):
        fields[name] = (
            None if number % 11 == place + 1 and name in shape.optional else f"{name}-{number // (place + 1) % 2}"
        )
    if shape.contains:
        fields[shape.contains] = _TAGS[number % len(_TAGS)]
    for place, order in enumerate(shape.order):
        # Each value several times over; and each order field is missing in some records.
        fields[order.field] = None if number % 13 == 5 + place else _bound(shape, number % (9 - 4 * place), order.field)
    return fields


def _bound(shape: Shape, number: int, name: str | None = None) -> Value:
    kind = BY_NAME[shape.collection].fields[name or shape.range_field]
    if kind is Kind.KEY:
        return f"key {number}"
    return NOON + number * SECOND if kind is Kind.TIME else number - 2


def _filters(shape: Shape) -> Iterator[Mapping[str, Value]]:
    chosen = chain.from_iterable(combinations(shape.optional, size) for size in range(len(shape.optional) + 1))
    for names in chosen:
        for tags in (None, ("red",), ("red", "blue"), ("blue", "nowhere")) if shape.contains else (None,):
            where: dict[str, Value] = {name: f"{name}-1" for name in (*shape.equal, *names)}
            if shape.contains and tags:
                where[shape.contains] = tags
            yield where


def _smallest(shape: Shape) -> dict[str, Value]:
    return {name: f"{name}-1" for name in shape.equal}


async def _check(store: Store, records: Sequence[Record], query: Query) -> Page:
    expected = answer(query, records)
    page = await store.query(query)
    assert list(page.records) == list(expected.records), query
    assert page.cursor is None, f"there are no more, but a cursor came: {query}"
    assert await store.count(query) == len(expected.records), query
    return page

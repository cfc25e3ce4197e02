"""Which index a query needs, by the rules that production Firestore states and the emulator ignores."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.stores.base import Query
from app.stores.evaluate import question
from app.stores.firestore.indexes import Index, IndexField, Mode, Need, need_of
from app.stores.firestore.names import Names
from app.stores.firestore.queries import Place, Queries

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
QUERIES = Queries(Names("p", "(default)", ""))


def index(*fields: str, collection: str = "jobs") -> Index:
    modes = {"": Mode.ASCENDING, "desc": Mode.DESCENDING, "contains": Mode.CONTAINS}
    return Index(
        collection, tuple(IndexField(path, modes[mode]) for path, _, mode in (each.partition(" ") for each in fields))
    )


def need(query: Query) -> Need:
    return need_of(QUERIES.ask(question(query), limit=10))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query("jobs.list"), index("created_at")),
        (Query("jobs.list", reverse=True), index("created_at desc")),
        (Query("jobs.list", since=NOON, until=NOON), index("created_at")),
        (Query("jobs.list", {"type": "t", "status": "s"}), index("status", "type", "created_at")),
        (Query("jobs.list", {"tags": ("a", "b")}, reverse=True), index("tags contains", "created_at desc")),
        (Query("jobs.by_priority", reverse=True), index("priority desc", "created_at desc")),
        (Query("logs.of_job", {"job_id": "j"}), index("job_id", "first", collection="logs")),
    ],
    ids=lambda each: str(each) if isinstance(each, Index) else "",
)
def test_a_declared_query_needs_its_filters_and_then_its_order(query: Query, expected: Index) -> None:
    assert need(query).index == expected


@pytest.mark.parametrize("routes", [("a",), ("a", "b")])
@pytest.mark.parametrize("place", [None, Place(2, NOON, "id")])
def test_a_claim_needs_one_index_wherever_it_looks(routes: tuple[str, ...], place: Place | None) -> None:
    structured = QUERIES.ready("priority", routes, (0,), 20, after=place, level=2 if place else None)
    assert need_of(structured).index == index("queue", "route", "shard", "status", "priority desc", "ready_at")


def test_due_work_and_a_watch_need_one_field_each() -> None:
    assert need_of(QUERIES.due(NOON, 20)).index == index("wake_at")
    assert need_of(QUERIES.newest_ready()).index == index("ready_at desc")


TWO_FILTERS = need(Query("jobs.list", {"type": "t", "status": "s"}))
BY_TYPE, BY_STATUS = index("type", "created_at"), index("status", "created_at")


@pytest.mark.parametrize(
    "whole",
    [index("status", "type", "created_at"), index("type", "status", "created_at")],
    ids=str,
)
def test_one_index_serves_with_its_filters_in_any_order(whole: Index) -> None:
    assert TWO_FILTERS.served_by({whole}) == frozenset({whole})


def test_indexes_with_one_ending_are_merged() -> None:
    others = {index("queue", "created_at"), index("created_at"), index("type", "created_at", collection="runs")}
    assert TWO_FILTERS.served_by({BY_TYPE, BY_STATUS, *others}) == frozenset({BY_TYPE, BY_STATUS})


def test_the_fewest_indexes_are_taken() -> None:
    whole = index("type", "status", "created_at")
    assert TWO_FILTERS.served_by({BY_TYPE, BY_STATUS, whole}) == frozenset({whole})


@pytest.mark.parametrize(
    "useless",
    [
        {BY_TYPE},
        {BY_TYPE, index("status", "created_at desc")},
        {BY_TYPE, index("status", "finished_at")},
        {BY_TYPE, index("status", "created_at", collection="runs")},
        {BY_TYPE, index("status")},
        {index("status", "type", "queue", "created_at")},
        {index("status", "created_at", "type")},
        {index("status contains", "type", "created_at")},
        set(),
    ],
    ids=lambda indexes: " + ".join(sorted(map(str, indexes))),
)
def test_what_does_not_serve(useless: set[Index]) -> None:
    assert TWO_FILTERS.served_by(useless) is None


def test_an_order_alone_is_served_by_itself_only() -> None:
    alone = need(Query("jobs.by_priority"))
    assert alone.served_by({index("priority", "created_at")}) == frozenset({index("priority", "created_at")})
    assert alone.served_by({index("status", "priority", "created_at"), index("created_at")}) is None


def test_tags_are_merged_with_plain_filters() -> None:
    both = need(Query("jobs.list", {"type": "t", "tags": ("a",)}))
    tags = index("tags contains", "created_at")
    assert both.served_by({BY_TYPE, tags}) == frozenset({BY_TYPE, tags})

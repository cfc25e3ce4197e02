"""The plain answers to questions, worked out by hand: these are what every store is compared with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stores import cursor
from app.stores.base import Fields, Order, Query, Record, Shape, UnknownShape, Value
from app.stores.evaluate import answer, bounds, question, sort_key
from app.stores.sorted_keys import Key

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def record(name: str, **fields: Value) -> Record:
    return Record("jobs", name, f"v-{name}", fields)


JOBS = [
    record("a", created_at=NOON, priority=1, status="queued", tags=("red",)),
    record("b", created_at=NOON, priority=3, status="running", tags=("blue", "red")),
    record("c", created_at=NOON + HOUR, priority=1, status="queued"),
    record("d", created_at=NOON - HOUR, priority=2, status="queued", tags=("reddish",)),
    record("no time", priority=2, status="queued"),
    record("no priority", created_at=NOON),
]


def found(query: Query, records: list[Record] | None = None) -> list[str]:
    return [each.id for each in answer(query, JOBS if records is None else records).records]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query("jobs.list"), ["d", "a", "b", "no priority", "c"]),
        (Query("jobs.list", reverse=True), ["c", "no priority", "b", "a", "d"]),
        (Query("jobs.by_priority"), ["a", "c", "d", "b"]),
        (Query("jobs.by_priority", reverse=True), ["b", "d", "c", "a"]),
        (Query("jobs.list", {"status": "queued"}), ["d", "a", "c"]),
        (Query("jobs.list", {"status": "queued", "type": None}), ["d", "a", "c"]),
        (Query("jobs.list", {"tags": ("red",)}), ["a", "b"]),
        (Query("jobs.list", {"tags": ("red", "blue")}), ["b"]),
        (Query("jobs.list", {"tags": ()}), ["d", "a", "b", "no priority", "c"]),
        (Query("jobs.list", {"tags": ("nowhere",)}), []),
        (Query("jobs.list", since=NOON), ["a", "b", "no priority", "c"]),
        (Query("jobs.list", until=NOON), ["d"]),
        (Query("jobs.list", since=NOON, until=NOON + HOUR), ["a", "b", "no priority"]),
        (Query("jobs.list", since=NOON, until=NOON), []),
        (Query("jobs.by_priority", since=2), ["d", "b"]),
        (Query("jobs.by_priority", since=1, until=2, reverse=True), ["c", "a"]),
        (Query("jobs.list", limit=2), ["d", "a"]),
        (Query("jobs.list", limit=2, offset=1), ["a", "b"]),
        (Query("jobs.list", offset=9), []),
    ],
    ids=str,
)
def test_what_is_found_and_in_which_order(query: Query, expected: list[str]) -> None:
    assert found(query) == expected


def test_ready_jobs_sort_by_priority_downwards_and_then_by_time() -> None:
    def ready(name: str, priority: int, hours: int, **fields: Value) -> Record:
        return record(name, status="queued", queue="q", priority=priority, ready_at=NOON + hours * HOUR, **fields)

    records = [ready("a", 1, 0), ready("b", 3, 1), ready("c", 3, 0), ready("d", -1, 0), ready("e", 3, 1)]
    query = Query("jobs.ready", {"status": "queued", "queue": "q"})
    assert found(query, records) == ["c", "b", "e", "a", "d"]


def test_the_last_page_has_no_cursor_and_every_other_one_leads_on() -> None:
    first = answer(Query("jobs.list", limit=3), JOBS)
    assert first.cursor is not None
    second = answer(Query("jobs.list", limit=3, cursor=first.cursor), JOBS)
    assert [each.id for each in (*first.records, *second.records)] == ["d", "a", "b", "no priority", "c"]
    assert second.cursor is None
    assert answer(Query("jobs.list", limit=5), JOBS).cursor is None


def test_a_cursor_stands_where_its_record_was_when_that_is_gone() -> None:
    first = answer(Query("jobs.list", limit=2), JOBS)
    rest = [each for each in JOBS if each.id != first.records[-1].id]
    assert found(Query("jobs.list", cursor=first.cursor), rest) == ["b", "no priority", "c"]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (Query("jobs.nothing"), UnknownShape),
        (Query("jobs.list", {"name": "n"}), UnknownShape),
        (Query("logs.of_job"), UnknownShape),
        (Query("jobs.due", reverse=True), UnknownShape),
        (Query("jobs.list", limit=0), ValueError),
        (Query("jobs.list", limit=-1), ValueError),
        (Query("jobs.list", offset=-1), ValueError),
        (Query("jobs.list", offset=2**63), ValueError),
        (Query("jobs.list", limit=2**63), ValueError),
        (Query("jobs.list", cursor="nonsense"), ValueError),
        (Query("jobs.list", since="2026-11-02"), TypeError),
        (Query("jobs.list", until=5), TypeError),
        (Query("jobs.list", since=datetime(2026, 11, 2)), ValueError),  # noqa: DTZ001 - the mistake under test
        (Query("jobs.by_priority", since=NOON), TypeError),
        (Query("jobs.by_priority", since=True), TypeError),
        (Query("jobs.list", {"tags": "red"}), TypeError),
    ],
    ids=str,
)
def test_a_question_that_makes_no_sense_is_refused(query: Query, error: type[Exception]) -> None:
    with pytest.raises(error):
        question(query)


def test_a_cursor_of_numbers_that_no_store_counts_to_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no cursor of shape 'logs\.of_job'"):
        question(Query("logs.of_job", {"job_id": "j"}, cursor=cursor.encode([2**63], "p")))


def test_a_cursor_of_values_of_another_kind_is_refused() -> None:
    by_time = answer(Query("jobs.list", limit=1), JOBS).cursor
    by_number = answer(Query("logs.of_job", {"job_id": "j"}, limit=1), [_page("p", 1), _page("q", 2)]).cursor
    assert by_number is not None
    with pytest.raises(ValueError, match=r"no cursor of shape 'logs\.of_job'"):
        question(Query("logs.of_job", {"job_id": "j"}, cursor=by_time))
    with pytest.raises(ValueError, match=r"no cursor of shape 'jobs\.list'"):
        question(Query("jobs.list", cursor=by_number))


def _page(name: str, first: int) -> Record:
    return Record("logs", name, "v", {"job_id": "j", "first": first})


def test_an_order_that_ends_downwards_is_refused() -> None:
    with pytest.raises(ValueError, match="the last order must ascend"):
        sort_key(Shape("x", "jobs", (Order("priority", descending=True),)))


def test_a_time_sorts_downwards_to_the_microsecond() -> None:
    key = sort_key(Shape("x", "jobs", (Order("created_at", descending=True), Order("priority"))))

    def of(time: datetime) -> Key:
        return key({"created_at": time, "priority": 0}, "id") or ()

    later = NOON + timedelta(microseconds=1)
    assert sorted([NOON, later, NOON - HOUR], key=of) == [later, NOON, NOON - HOUR]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12),
    st.integers(0, 3) | st.none(),
    st.integers(0, 3) | st.none(),
    st.booleans(),
    st.integers(0, 12),
)
def test_the_bounds_leave_out_nothing_of_the_answer(
    places: list[tuple[int, int]], since: int | None, until: int | None, reverse: bool, page: int
) -> None:
    records = [
        record(f"{number}", priority=priority, created_at=NOON + hour * HOUR)
        for number, (priority, hour) in enumerate(places)
    ]
    cursor = answer(Query("jobs.by_priority", reverse=reverse, limit=page), records).cursor if page else None
    asked = question(Query("jobs.by_priority", since=since, until=until, reverse=reverse, cursor=cursor))
    start, end = bounds(asked)
    key = sort_key(asked.shape)
    for each in answer(
        Query("jobs.by_priority", since=since, until=until, reverse=reverse, cursor=cursor), records
    ).records:
        place = key(each.fields, each.id)
        assert place is not None
        assert start is None or start <= place
        assert end is None or place < end


def test_fields_without_a_filtered_value_do_not_match() -> None:
    fields: Fields = {"created_at": NOON}
    assert not question(Query("jobs.list", {"status": "queued"})).admits(fields)
    assert not question(Query("jobs.list", {"tags": ("a",)})).admits(fields)
    assert question(Query("jobs.list")).admits(fields)

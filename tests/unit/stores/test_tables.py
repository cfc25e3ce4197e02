"""The indexes answer as the plain evaluation does, after any history of writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.stores.base import Delete, Fields, Put, Query, Record, Update, Value
from app.stores.evaluate import answer
from app.stores.tables import Tables

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)

_times = st.integers(0, 5).map(lambda hours: NOON + timedelta(hours=hours))
_fields: st.SearchStrategy[dict[str, Value]] = st.fixed_dictionaries(
    # Every job has a route and a shard: the shape of ready jobs asks for both.
    {"route": st.sampled_from(["any", "gpu"]), "shard": st.integers(0, 1)},
    optional={
        "status": st.sampled_from(["queued", "running"]) | st.none(),
        "queue": st.sampled_from(["priority", "maintenance"]) | st.none(),
        "type": st.sampled_from("ab"),
        "batch_id": st.sampled_from("xy") | st.none(),
        "tags": st.sampled_from([(), ("red",), ("red", "blue"), ("red", "red")]) | st.none(),
        "priority": st.integers(-1, 2) | st.none(),
        "created_at": _times | st.none(),
        "ready_at": _times | st.none(),
        "wake_at": _times | st.none(),
        "finished_at": _times | st.none(),
        "lease_expires_at": _times | st.none(),
    },
)
_names = st.integers(0, 11).map(lambda number: f"job-{number}")
_QUERIES = [
    Query("jobs.list"),
    Query("jobs.list", {"status": "queued"}, reverse=True),
    Query("jobs.list", {"batch_id": "x"}),
    Query("jobs.list", {"tags": ("red",)}, since=NOON + timedelta(hours=2)),
    Query("jobs.list", {"tags": ("blue", "red"), "type": "a"}, reverse=True, until=NOON + timedelta(hours=4)),
    Query("jobs.by_priority", since=0, until=2),
    Query("jobs.by_priority", {"queue": "priority"}, reverse=True, limit=2),
    Query("jobs.finished", {"type": "b"}),
    Query("jobs.due"),
    Query("jobs.leased"),
    Query("jobs.ready", {"status": "queued", "queue": "priority"}),
    Query("jobs.ready", {"status": "queued", "queue": "maintenance"}, since=0, limit=1),
]


class History(RuleBasedStateMachine):
    """Any writes, with the same records in a plain dict."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = Tables()
        self.plain: dict[str, Record] = {}

    @rule(name=_names, fields=_fields)
    def put(self, name: str, fields: Fields) -> None:
        self._make(name, Put("jobs", name, fields))

    @rule(name=_names, fields=_fields)
    def update(self, name: str, fields: Fields) -> None:
        if name in self.plain:
            self._make(name, Update("jobs", name, fields, self.plain[name].version))

    @rule(name=_names)
    def delete(self, name: str) -> None:
        self._make(name, Delete("jobs", name))

    @invariant()
    def every_query_is_answered_as_from_a_plain_list(self) -> None:
        for query in _QUERIES:
            expected = answer(query, self.plain.values())
            page = self.tables.query(query)
            assert (list(page.records), page.cursor) == (list(expected.records), expected.cursor)
            if page.cursor is not None:
                onward = Query(query.shape, query.where, query.since, query.until, query.reverse, cursor=page.cursor)
                assert list(self.tables.query(onward).records) == list(answer(onward, self.plain.values()).records)
            whole = Query(query.shape, query.where, query.since, query.until, query.reverse, limit=1000)
            assert self.tables.count(query) == len(answer(whole, self.plain.values()).records)

    def _make(self, name: str, write: Put | Update | Delete) -> None:
        plan = self.tables.plan([write])
        before = self.tables.get("jobs", [name])
        assert before == [self.plain.get(name)], "planning changes nothing"
        self.tables.apply(plan.changes)
        (after,) = self.tables.get("jobs", [name])
        if after is None:
            self.plain.pop(name, None)
        else:
            self.plain[name] = after


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)

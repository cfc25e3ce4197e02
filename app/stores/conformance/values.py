"""That nothing is lost or bent on the way: every kind of value, every field, ids and keys to the letter."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.stores.base import Collection, Fields, Insert, Kind, Put, Query, Store, Update, Value
from app.stores.conformance.harness import NOON, Harness, ids, insert, job, one, plain
from app.stores.schema import COLLECTIONS

_INT = 2**63
_LARGE = 256 * 1024

_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
_key = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=200)
_time = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis takes naive bounds

KINDS: dict[Kind, st.SearchStrategy[Value]] = {
    Kind.KEY: _key,
    Kind.TEXT: _text,
    Kind.INT: st.integers(-_INT, _INT - 1),
    Kind.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    Kind.BOOL: st.booleans(),
    Kind.TIME: _time,
    Kind.KEYS: st.lists(_key, min_size=1, max_size=5).map(tuple),
}


def fields_of(collection: Collection) -> st.SearchStrategy[dict[str, Value]]:
    """Any fields that a record of the collection may have."""
    return st.fixed_dictionaries({}, optional={name: KINDS[kind] for name, kind in collection.fields.items()})


@dataclass(frozen=True)
class History:
    """What happens to one record: fields it is made with, a patch (None removes a field), and what replaces it."""

    collection: str
    inserted: Fields
    patch: Fields
    put: Fields


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Any history. Drawn before the test begins, because drawing inside a coroutine would end its event loop."""
    collection = draw(st.sampled_from(COLLECTIONS))
    removed = draw(st.sets(st.sampled_from(sorted(collection.fields)), max_size=3))
    any_fields = fields_of(collection)
    return History(collection.name, draw(any_fields), {**draw(any_fields), **dict.fromkeys(removed)}, draw(any_fields))


_SHARED = settings(
    max_examples=30,
    deadline=None,
    # The store is shared by all examples on purpose (each uses ids of its own), and the test by all stores.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)
_numbers = count()


class ValueConformance(Harness):
    """Values, ids and keys."""

    @_SHARED
    @given(histories())
    async def test_any_fields_come_back_as_they_were(self, store: Store, history: History) -> None:
        record_id = f"any-{next(_numbers)}"
        await store.commit([Insert(history.collection, record_id, history.inserted)])
        record = await one(store, history.collection, record_id)
        assert plain(record.fields) == plain(history.inserted)
        await store.commit([Update(history.collection, record_id, history.patch, record.version)])
        updated = (await one(store, history.collection, record_id)).fields
        assert plain(updated) == plain({**history.inserted, **history.patch})
        await store.commit([Put(history.collection, record_id, history.put)])
        assert plain((await one(store, history.collection, record_id)).fields) == plain(history.put)

    @pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda collection: collection.name)
    async def test_every_field_of_a_collection_at_once(self, store: Store, collection: Collection) -> None:
        samples: dict[Kind, Value] = {
            Kind.KEY: "k" * 200,
            Kind.TEXT: "text",
            Kind.INT: 1,
            Kind.FLOAT: 0.5,
            Kind.BOOL: False,
            Kind.TIME: NOON,
            Kind.KEYS: ("a", "b"),
        }
        fields = {name: samples[kind] for name, kind in collection.fields.items()}
        await store.commit([Insert(collection.name, "whole", fields)])
        assert plain((await one(store, collection.name, "whole")).fields) == plain(fields)

    @pytest.mark.parametrize("number", [0, 1, -1, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, _INT - 1, -_INT])
    async def test_integers_of_64_bits(self, store: Store, number: int) -> None:
        await store.commit([Insert("jobs", "a", job(revision=number))])
        stored = (await one(store, "jobs", "a")).fields["revision"]
        assert (stored, type(stored)) == (number, int)

    @pytest.mark.parametrize(
        "number",
        [0.0, -0.0, 0.1, 1.0, 1 / 3, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1e-300, 2.0**53],
    )
    async def test_floats_to_the_last_bit(self, store: Store, number: float) -> None:
        await store.commit([Insert("jobs", "a", job(run_seconds=number))])
        stored = (await one(store, "jobs", "a")).fields["run_seconds"]
        assert isinstance(stored, float)
        # Zero's sign is left open: SQLite keeps a float without a fraction as an integer, which has none.
        assert math.isclose(stored, number, rel_tol=0.0, abs_tol=0.0)

    @pytest.mark.parametrize(
        "time",
        [
            datetime(1970, 1, 1, tzinfo=UTC),
            datetime(2026, 11, 2, 1, 30, 0, 1, tzinfo=UTC),
            datetime(2026, 11, 2, 1, 30, 0, 999999, tzinfo=UTC),
            datetime(2038, 1, 19, 3, 14, 8, 123456, tzinfo=UTC),
            datetime(2262, 4, 12, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        ],
        ids=str,
    )
    async def test_times_to_the_microsecond_and_in_utc(self, store: Store, time: datetime) -> None:
        await store.commit([Insert("jobs", "a", job(created_at=time))])
        stored = (await one(store, "jobs", "a")).fields["created_at"]
        assert isinstance(stored, datetime)
        assert (stored, stored.utcoffset()) == (time, timedelta(0))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "null",
            "a\r\n\tb",
            "\x01\x1f\x7f\x85\u2028\ufeff",
            "\\u0000 \\' \" ; -- %s {} $1 :name",
            "na\u00efve, nai\u0308ve",
            "\U0001f9d8\U0001f3fd\u200d\u2640\ufe0f",
            json.dumps({"nested": [["arrays"], {"__x__": 2**70}]}),
            json.dumps("x" * _LARGE),
            "\U0001f634" * (_LARGE // 4),
        ],
        ids=lambda text: ascii(text)[:30],
    )
    async def test_text_to_the_letter(self, store: Store, text: str) -> None:
        await store.commit([Insert("jobs", "a", job(payload=text))])
        record = await one(store, "jobs", "a")
        assert record.fields["payload"] == text
        await store.commit([Update("jobs", "a", {"result": text, "payload": None}, record.version)])
        fields = (await one(store, "jobs", "a")).fields
        assert (fields["result"], "payload" in fields) == (text, False)

    async def test_empty_text_is_a_value(self, store: Store) -> None:
        await store.commit([Insert("jobs", "a", job(description="", type=""))])
        fields = (await one(store, "jobs", "a")).fields
        assert (fields.get("description"), fields.get("type")) == ("", "")

    async def test_false_and_zero_are_values(self, store: Store) -> None:
        await store.commit([Insert("jobs", "a", job(idempotent=False, attempt=0, run_seconds=0.0))])
        fields = (await one(store, "jobs", "a")).fields
        assert (fields.get("idempotent"), fields.get("attempt"), fields.get("run_seconds")) == (False, 0, 0.0)
        assert type(fields["idempotent"]) is bool

    async def test_ids_are_told_apart_to_the_letter(self, store: Store) -> None:
        names = [
            "a",
            "A",
            "a ",
            "\u00e4",
            "a\u0308",
            "a.b",
            "a:b",
            "a-b",
            "a%b",
            "a'b",
            '"a"',
            "a\\b",
            "\U0001f634",
            "k" * 200,
        ]
        await insert(store, "jobs", [(name, job(name=name)) for name in names])
        records = await store.get("jobs", names)
        assert [record and (record.id, record.fields["name"]) for record in records] == [(name, name) for name in names]

    async def test_keys_are_told_apart_to_the_letter(self, store: Store) -> None:
        keys = ["a", "A", "a ", "\u00e4", "a\u0308", "\u00c4", "\u00df", "ss", "", " ", "\U0001f634", "\U0001f635"]
        await insert(store, "jobs", [(f"job-{place}", job(type=key, tags=(key,))) for place, key in enumerate(keys)])
        for place, key in enumerate(keys):
            by_type = await store.query(Query("jobs.list", {"type": key}))
            by_tag = await store.query(Query("jobs.list", {"tags": (key,)}))
            assert (ids(by_type.records), ids(by_tag.records)) == ([f"job-{place}"], [f"job-{place}"])
            assert await store.count(Query("jobs.list", {"type": key})) == 1

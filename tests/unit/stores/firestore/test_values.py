"""Fields and versions as protobuf and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from app.stores.base import Kind, Value
from app.stores.firestore.queries import record_of
from app.stores.firestore.values import read_fields, set_fields, set_version, version_of
from app.stores.firestore.wire import WriteMessage
from app.stores.schema import JOBS

VALUES: dict[Kind, st.SearchStrategy[Value]] = {
    Kind.KEY: st.text(max_size=200),
    Kind.TEXT: st.text(),
    Kind.INT: st.integers(-(2**63), 2**63 - 1),
    Kind.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    Kind.BOOL: st.booleans(),
    Kind.TIME: st.datetimes(timezones=st.just(UTC)),
    Kind.KEYS: st.lists(st.text(max_size=20)).map(tuple),
}
FIELDS = st.fixed_dictionaries({}, optional={name: st.none() | VALUES[kind] for name, kind in JOBS.fields.items()})


@given(FIELDS)
def test_fields_come_back_as_they_went_and_none_never_goes(fields: dict[str, Value]) -> None:
    document = WriteMessage().update
    set_fields(document.fields, "jobs", fields)
    sent = type(document).FromString(document.SerializeToString())
    assert read_fields(sent.fields, "jobs") == {name: value for name, value in fields.items() if value is not None}


def test_a_time_of_another_zone_is_the_same_instant() -> None:
    document = WriteMessage().update
    there = datetime(2026, 11, 2, 13, 30, tzinfo=timezone(timedelta(hours=1, minutes=30)))
    set_fields(document.fields, "jobs", {"created_at": there})
    assert read_fields(document.fields, "jobs") == {"created_at": datetime(2026, 11, 2, 12, tzinfo=UTC)}


def test_a_whole_number_in_a_field_of_fractions_is_read() -> None:
    document = WriteMessage().update
    document.fields["run_seconds"].integer_value = 3
    assert read_fields(document.fields, "jobs") == {"run_seconds": 3.0}


def test_a_field_of_a_newer_schema_is_left_out() -> None:
    document = WriteMessage().update
    document.name = "projects/p/databases/(default)/documents/x_jobs/a b"
    document.update_time.seconds = 7
    document.fields["from_tomorrow"].string_value = "x"
    document.fields["priority"].integer_value = 3
    record = record_of(document, "jobs")
    assert (record.id, record.version, record.fields) == ("a b", "7000000000", {"priority": 3})


@given(st.integers(0, 10**11 - 1), st.integers(0, 999_999).map(lambda micros: micros * 1000))
def test_a_version_names_its_update_time(seconds: int, nanos: int) -> None:
    there = Timestamp()
    set_version(there, version_of(Timestamp(seconds=seconds, nanos=nanos)))
    assert (there.seconds, there.nanos) == (seconds, nanos)


@pytest.mark.parametrize("version", ["", "a", "1.2", "-1", " 1", "9" * 30, "²"])
def test_a_version_of_another_store_names_a_time_at_which_nothing_was_written(version: str) -> None:
    there = Timestamp()
    set_version(there, version)
    assert (there.seconds, there.nanos) == (0, 1)

"""What may be written: each kind's edges, and messages that say what was wrong and with which value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from zoneinfo import ZoneInfo

import pytest

from app.stores.base import Delete, Insert, RecordTooLarge, StoreLimits, Update, Value, Verify, Write
from app.stores.checks import checked_unit, checked_units, keeping
from app.stores.weights import check_weight, weight


class Status(StrEnum):
    QUEUED = "queued"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", "k" * 200),
        ("type", ""),
        ("type", "\U0001f634 na\u00efve \u2028"),
        ("payload", "\x01\n\t"),
        ("revision", 2**63 - 1),
        ("revision", -(2**63)),
        ("run_seconds", 5e-324),
        ("idempotent", False),
        ("created_at", datetime(2026, 11, 2, tzinfo=UTC)),
        ("created_at", datetime(2026, 11, 2, tzinfo=timezone(timedelta(0)))),
        ("created_at", datetime(2026, 1, 2, tzinfo=ZoneInfo("UTC"))),
        ("tags", ()),
        ("tags", ("a", "b", "a")),
        ("error", None),
    ],
    ids=str,
)
def test_what_fits_is_accepted(name: str, value: Value) -> None:
    checked_unit([Insert("jobs", "a", {name: value})])


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("nothing", None, ValueError, "collection 'jobs' has no field 'nothing'"),
        ("type", 7, TypeError, "jobs.type holds str, not int: 7"),
        ("status", Status.QUEUED, TypeError, "jobs.status holds str, not Status"),
        ("type", "k" * 201, ValueError, r"jobs.type holds at most 200 characters.*: 'kkk.*\.\.\.$"),
        ("type", "a\x7fb", ValueError, "without control characters"),
        ("type", "\ud800", ValueError, "jobs.type"),
        ("payload", "a\0", ValueError, "without NUL"),
        ("payload", "\ud800", ValueError, "UTF-8"),
        ("priority", True, TypeError, "holds int, not bool: True"),
        ("priority", 1.0, TypeError, "holds int, not float: 1.0"),
        ("priority", 2**63, ValueError, "an integer of 64 bits"),
        ("priority", -(2**63) - 1, ValueError, "an integer of 64 bits"),
        ("run_seconds", 1, TypeError, "holds float, not int: 1"),
        ("run_seconds", float("inf"), ValueError, "a finite number"),
        ("idempotent", 1, TypeError, "holds bool, not int"),
        ("created_at", datetime(2026, 11, 2), ValueError, "an aware time in UTC"),  # noqa: DTZ001 - the mistake under test
        ("created_at", datetime(2026, 7, 2, tzinfo=ZoneInfo("Europe/Berlin")), ValueError, "an aware time in UTC"),
        ("tags", "abc", TypeError, "holds tuple, not str"),
        ("tags", ("a", "b\0"), ValueError, "keys of at most 200"),
        ("tags", ("a", None), ValueError, "keys of at most 200"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(name: str, value: Value, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        checked_unit([Update("jobs", "a", {name: value}, "1")])


@pytest.mark.parametrize("record_id", ["", "a/b", ".", "..", "__a__", "a\nb", "k" * 201, "\ud800"])
def test_ids_that_some_store_could_not_keep_are_refused(record_id: str) -> None:
    write: Write
    for write in (Insert("jobs", record_id, {}), Delete("jobs", record_id), Verify("jobs", record_id, "1")):
        with pytest.raises(ValueError, match="cannot be a record's id"):
            checked_unit([write])


def test_an_unknown_collection_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no collection is called 'job'; declared: jobs, runs"):
        checked_unit([Delete("job", "a")])


def test_a_record_that_is_named_twice_is_refused() -> None:
    first, second = Insert("jobs", "a", {}), Delete("jobs", "a")
    with pytest.raises(ValueError, match="jobs/a is named twice"):
        checked_unit([first, second])
    with pytest.raises(ValueError, match="jobs/a is named twice"):
        checked_units([[first], [Insert("runs", "a", {}), second]])
    checked_units([[first], [Insert("runs", "a", {})]])


def test_a_kept_time_has_the_one_utc() -> None:
    kept = keeping(None, {"created_at": datetime(2026, 11, 2, 12, tzinfo=timezone(timedelta(0)))})
    time = kept["created_at"]
    assert isinstance(time, datetime)
    assert time.tzinfo is UTC
    assert time == datetime(2026, 11, 2, 12, tzinfo=UTC)


def test_what_was_there_is_kept_unless_it_is_named() -> None:
    before: dict[str, Value] = {"type": "a", "name": "n", "error": "e"}
    assert keeping(before, {"name": "m", "error": None, "result": None}) == {"type": "a", "name": "m"}
    assert before == {"type": "a", "name": "n", "error": "e"}


LIMITS = StoreLimits(
    claim_batch=20,
    writes_per_commit=3,
    bytes_per_commit=1500,
    bytes_per_record=1000,
    units_per_round=1,
    rounds_in_flight=1,
    poll_seconds=1,
)


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ([Delete("jobs", f"{number}") for number in range(4)], "4 writes in one commit, over the limit of 3"),
        ([Insert("jobs", "a", {"payload": "x" * 1001})], "jobs/a would take 1,017 bytes, over the limit of 1,000"),
        ([Insert("jobs", "a", {"payload": "\u00e4" * 501})], "jobs/a would take 1,018 bytes"),
        ([Insert("jobs", name, {"payload": "x" * 800}) for name in "ab"], "1,632 bytes in one commit"),
    ],
)
def test_what_weighs_too_much_is_refused(unit: list[Write], message: str) -> None:
    with pytest.raises(RecordTooLarge, match=message):
        check_weight(unit, LIMITS)


def test_what_is_just_light_enough_is_accepted() -> None:
    check_weight([Insert("jobs", "a", {"payload": "x" * 984}), Verify("jobs", "b", "1"), Delete("jobs", "c")], LIMITS)
    assert weight({"payload": "x" * 984}) == 1000
    assert weight({"tags": ("a", "\u00e4"), "priority": 1}) == 32 + 17 + 18

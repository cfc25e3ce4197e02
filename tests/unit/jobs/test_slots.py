"""When slots are: intervals, cron expressions, and what daylight saving does to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.jobs.errors import BadInput
from app.jobs.slots import EPOCH, Timetable, timetable_of

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"]
CRONS = [
    "*/7 * * * *",
    "30 2 * * *",
    "15,45 1-3 * * *",
    "0 */6 * * SUN",
    "59 23 L * *",
    "0 2 29 2 *",
    "*/20 30 1 * * *",
]


def timetable(interval: float | None = None, cron: str | None = None, zone: str = "UTC") -> Timetable:
    found = timetable_of(interval, cron, zone)
    assert found is not None
    return found


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(slots: list[datetime]) -> list[str]:
    return [f"{slot:%m-%d %H:%M}" for slot in slots]


@pytest.mark.parametrize(
    ("cron", "since", "until", "slots"),
    [
        ("30 2 * * *", "2026-03-28T12:00", "2026-03-31T00:00", ["03-29 01:00", "03-30 00:30"]),
        ("0 2,3 * * *", "2026-03-28T12:00", "2026-03-29T12:00", ["03-29 01:00"]),
        (
            "*/30 * * * *",
            "2026-03-29T00:00",
            "2026-03-29T02:00",
            ["03-29 00:30", "03-29 01:00", "03-29 01:30", "03-29 02:00"],
        ),
        ("30 2 * * *", "2026-10-24T12:00", "2026-10-26T12:00", ["10-25 00:30", "10-26 01:30"]),
        ("30 2 * * *", "2026-10-25T00:45", "2026-10-25T12:00", []),
        (
            "*/30 * * * *",
            "2026-10-25T00:00",
            "2026-10-25T02:00",
            ["10-25 00:30", "10-25 01:00", "10-25 01:30", "10-25 02:00"],
        ),
    ],
    ids=[
        "gap: at its end",
        "gap: once",
        "gap: each half hour",
        "overlap: once",
        "overlap: not again",
        "overlap: each half hour",
    ],
)
def test_daylight_saving_neither_loses_nor_doubles_a_slot(cron: str, since: str, until: str, slots: list[str]) -> None:
    assert times(timetable(cron=cron, zone="Europe/Berlin").between(at(since), at(until), 100)) == slots


def test_intervals_are_counted_from_one_beginning_for_everybody() -> None:
    every = timetable(90)
    assert every.after(at("2026-11-02T12:00")) == at("2026-11-02T12:01:30")
    assert every.after(at("2026-11-02T12:01:29")) == at("2026-11-02T12:01:30")
    assert all(
        (slot - EPOCH) % timedelta(seconds=90) == timedelta(0) for slot in every.between(EPOCH, at("1970-01-02"), 99)
    )


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ((None, "61 * * * *", "UTC"), "cron"),
        ((None, "* * * *", "UTC"), "cron"),
        ((None, "", "UTC"), "cron"),
        ((None, "é * * * *", "UTC"), "cron"),
        ((None, "0 0 31 2 *", "UTC"), "cron"),
        ((60.0, "* * * * *", "UTC"), "cron"),
        ((0.5, None, "UTC"), "interval_seconds"),
        ((float("nan"), None, "UTC"), "interval_seconds"),
        ((1e12, None, "UTC"), "interval_seconds"),
        ((None, "* * * * *", "Mars/Olympus"), "timezone"),
        ((None, "* * * * *", ""), "timezone"),
        ((None, "* * * * *", "../etc/passwd"), "timezone"),
        ((None, "* * * * *", "\x00"), "timezone"),
    ],
)
def test_what_no_slot_can_be_reckoned_from_is_refused(
    options: tuple[float | None, str | None, str], field: str
) -> None:
    with pytest.raises(BadInput) as refused:
        timetable_of(*options)
    assert refused.value.field == field


def test_no_timetable_is_asked_for() -> None:
    assert timetable_of(None, None, "UTC") is None


moments = st.integers(0, 4 * 366 * 86400 * 10).map(lambda tenths: at("2024-01-01") + timedelta(seconds=tenths / 10))
tables = st.one_of(
    st.builds(lambda seconds: timetable(seconds), st.floats(1, 1e6)),
    st.builds(lambda cron, zone: timetable(cron=cron, zone=zone), st.sampled_from(CRONS), st.sampled_from(ZONES)),
)


@given(tables, moments)
@settings(max_examples=150, deadline=None)
def test_one_after_the_other_gives_the_same_slots_as_all_at_once(table: Timetable, begin: datetime) -> None:
    together = table.between(begin, begin + timedelta(days=3000), 20)
    singly, time = [], begin
    for _ in together:
        following = table.after(time)
        assert following is not None
        assert following > time
        singly.append(following)
        time = following
    assert singly == together


@given(tables, moments, st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_the_newest_slots_are_the_last_of_all(table: Timetable, begin: datetime, limit: int) -> None:
    first = table.between(begin, begin + timedelta(days=3000), 30)
    end = first[-1] if first else begin
    assert table.newest(begin, end, limit) == first[-limit:]
    assert table.newest(begin, begin, limit) == []


@given(tables, moments, st.timedeltas(timedelta(seconds=1), timedelta(days=2)))
@settings(max_examples=100, deadline=None)
def test_slots_do_not_depend_on_where_one_begins_to_count(table: Timetable, begin: datetime, later: timedelta) -> None:
    whole = table.between(begin, begin + later + timedelta(days=1), 100_000 if table.kind == "cron" else 50)
    part = table.between(begin + later, begin + later + timedelta(days=1), 50)
    assert [slot for slot in whole if slot > begin + later][:50] == part[: len([s for s in whole if s > begin + later])]

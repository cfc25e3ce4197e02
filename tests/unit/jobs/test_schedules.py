"""What becomes of slots: created, skipped, left for later. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.jobs.records import is_job_id
from app.jobs.schedules import (
    AHEAD,
    OVERDUE,
    Predecessor,
    Schedule,
    ScheduleDefinition,
    decide,
    decided,
    new_schedule,
    schedule_id,
    schedule_tag,
    slot_job_id,
)

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def schedule(every: float = 60, **options: Any) -> Schedule:
    definition = ScheduleDefinition(name="s", job_type="s", source="user", interval_seconds=every, **options)
    return new_schedule(definition, NOON)


def slots(*seconds: float) -> tuple[datetime, ...]:
    return tuple(NOON + timedelta(seconds=each) for each in seconds)


def running(slot: float) -> Predecessor:
    return Predecessor("before", NOON + timedelta(seconds=slot), unfinished=True)


ENDED = Predecessor("before", NOON, unfinished=False)


@pytest.mark.parametrize(
    ("options", "later", "predecessor", "created", "left_out", "high_water"),
    [
        ({"every": 30}, 0, None, (30, 60), [], 60),
        ({"every": 300}, 0, None, (), [], None),
        ({}, 90, None, (60, 120), [], 120),
        ({}, 600, None, (540, 660), [(60, 480), (600, 600)], 660),
        ({"misfire_grace_seconds": 0}, 600, None, (600, 660), [(60, 540)], 660),
        ({"catch_up": "last"}, 600, None, (600, 660), [(60, 540)], 660),
        ({"catch_up": "last", "every": 3600}, 3000 + 3600, None, (3600,), [], 3600),
        ({"catch_up": "all", "catch_up_limit": 3}, 600, None, (360, 420, 480, 540, 600, 660), [(60, 300)], 660),
        ({"catch_up": "all", "overlap": True}, 200, None, (60, 120, 180, 240), [], 240),
        ({}, 90, ENDED, (60, 120), [], 120),
        ({}, 90, running(0), (120,), [(60, 60)], 120),
        ({"overlap": True}, 90, running(0), (60, 120), [], 120),
        ({"catch_up": "all"}, 90, running(0), (60, 120), [], 120),
        ({}, OVERDUE.total_seconds(), running(0), (), [(60, 60), (120, 120)], 120),
        ({"every": 3600}, 3590, running(-4000), (), [], None),
        ({"every": 3600}, 3590, running(3500), (3600,), [], 3600),
    ],
    ids=[
        "ahead",
        "not yet",
        "a little late",
        "missed",
        "no grace",
        "the last of the missed",
        "one missed",
        "the last three of the missed",
        "all of the missed",
        "the one before has ended",
        "the one before runs: what is due is skipped",
        "beside each other",
        "one after the other",
        "the one before runs for long: what is to come is left for later",
        "the same, with nothing due",
        "the one before runs, but not for long",
    ],
)
def test_slots_are_created_left_out_or_left_for_later(
    options: dict[str, Any],
    later: float,
    predecessor: Predecessor | None,
    created: tuple[float, ...],
    left_out: list[tuple[float, float]],
    high_water: float | None,
) -> None:
    before = schedule(**options)
    decision = decide(before, NOON + timedelta(seconds=later), predecessor)
    assert decision.create == slots(*created)
    assert [(each.first, each.last) for each in decision.skipped] == [slots(*each) for each in left_out]
    assert decision.high_water == (None if high_water is None else slots(high_water)[0])
    after = decided(before, decision)
    if high_water is None:
        assert after is before
    else:
        assert after.high_water == decision.high_water
        assert after.next_at == before.definition.timetable.after(after.high_water)
        assert after.last_job_id == (slot_job_id("s", slots(created[-1])[0]) if created else None)


def test_no_more_are_created_at_once_than_asked_for_and_the_rest_follows() -> None:
    before = schedule(1, overlap=True)
    found: list[datetime] = []
    while (decision := decide(before, NOON, None, most=20)).high_water is not None:
        assert len(decision.create) <= 20
        found += decision.create
        before = decided(before, decision)
    assert found == list(slots(*range(1, int(AHEAD.total_seconds()) + 1)))


def test_notes_about_slots_left_out_are_kept_for_the_newest_only() -> None:
    before = schedule()
    for minute in range(1, 60):
        decision = decide(before, NOON + timedelta(minutes=minute), running(0), most=1)
        before = decided(before, decision)
    assert len(before.skipped) == 20
    assert before.skipped[-1].last == before.high_water


ticks = st.lists(st.floats(0.1, 500), min_size=1, max_size=30)


@given(
    st.floats(1, 400),
    ticks,
    st.sampled_from(["skip", "last", "all"]),
    st.booleans(),
    st.floats(0, 300),
    st.lists(st.booleans(), min_size=30, max_size=30),
)
@settings(max_examples=200, deadline=None)
def test_every_slot_is_decided_about_once_and_in_order(
    every: float, steps: list[float], catch_up: Any, overlap: bool, grace: float, ended: list[bool]
) -> None:
    current = schedule(every, catch_up=catch_up, overlap=overlap, misfire_grace_seconds=grace)
    timetable = current.definition.timetable
    now, created, left_out = NOON, [], []
    for step, has_ended in zip(steps, ended, strict=False):
        now += timedelta(seconds=step)
        for _ in range(1000):
            last = current.last_job_id
            predecessor = None if last is None else Predecessor(last, current.last_slot, unfinished=not has_ended)
            decision = decide(current, now, predecessor)
            if decision.high_water is None:
                break
            assert decision.high_water > current.high_water
            assert decision.high_water <= now + AHEAD
            created += decision.create
            left_out += decision.skipped
            current = decided(current, decision)
        else:
            pytest.fail("it never comes to an end")
    known = set(created)
    assert created == sorted(known), "in order, and none twice"
    for note in left_out:
        assert not any(note.first <= slot <= note.last for slot in known)
        known.update(timetable.between(note.first - timedelta(microseconds=1), note.last, 10_000))
    assert sorted(known) == timetable.between(NOON, current.high_water, 100_000), "none is forgotten"


def test_ids_and_tags_are_what_stores_take() -> None:
    for name in ("plain", "a/b", "__x__", ".", "ü" * 200):
        for record_id in (schedule_id(name), slot_job_id(name, NOON)):
            assert is_job_id(record_id)
    assert schedule_tag("nightly") == "schedule:nightly"
    assert schedule_tag("n" * 200) is None
    assert slot_job_id("a", NOON) != slot_job_id("b", NOON)

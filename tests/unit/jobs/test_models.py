"""The data itself: what it takes, and what it says of itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.jobs import AttemptLog, Job, JobPriority, JobQueue, JobStatus, RunSummary
from app.jobs.models import TERMINAL, is_key, priority_of
from app.jobs.texts import tidy
from tests.support.clock import NOON
from tests.support.values import ANY_TEXT


def test_statuses_and_which_of_them_are_final() -> None:
    assert {status for status in JobStatus if status.is_terminal} == TERMINAL == {"completed", "failed", "cancelled"}
    assert [str(status) for status in JobStatus] == [name.lower() for name in JobStatus.__members__]


def test_priorities_in_order_and_their_alias() -> None:
    assert JobPriority.LOW < JobPriority.NORMAL < JobPriority.HIGH < JobPriority.CRITICAL
    assert JobPriority.MEDIUM is JobPriority.NORMAL
    assert list(JobQueue) == ["priority", "maintenance"]


@pytest.mark.parametrize(
    ("written", "value"), [("high", 3), ("Medium", 2), ("CRITICAL", 4), ("3", "3"), (3, 3), (None, None)]
)
def test_priorities_by_name(written: Any, value: Any) -> None:
    assert priority_of(written) == value


def test_a_job_made_by_hand_has_an_id_and_a_time_of_its_own() -> None:
    first, second = Job(type="t"), Job(type="t")
    assert first.id != second.id
    assert first.job_id == first.id
    assert first.created_at == first.updated_at
    assert first.created_at.tzinfo is UTC
    assert (first.status, first.is_terminal, first.duration_seconds) == (JobStatus.PENDING, False, None)


@pytest.mark.parametrize(
    ("started", "finished", "seconds"),
    [(None, None, None), (0, None, None), (None, 5, None), (0, 5, 5.0), (2, 2, 0.0)],
)
def test_how_long_it_took(started: int | None, finished: int | None, seconds: float | None) -> None:
    times = [None if each is None else NOON + timedelta(seconds=each) for each in (started, finished)]
    assert Job(type="t", started_at=times[0], finished_at=times[1]).duration_seconds == seconds


def test_times_are_aware_and_kept_in_utc() -> None:
    summer = datetime(2026, 7, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    job = Job(type="t", created_at=summer)
    assert (job.created_at, job.created_at.tzinfo) == (summer, UTC)
    with pytest.raises(ValidationError, match="timezone"):
        Job(type="t", created_at=datetime(2026, 7, 1))  # noqa: DTZ001 - what is tested


def test_one_record_under_two_names() -> None:
    assert AttemptLog is RunSummary


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        ("a", True),
        ("x" * 200, True),
        ("ünïcödé 漢字 🙂", True),
        (" ", True),
        ("", False),
        ("x" * 201, False),
        ("a\x00", False),
        ("a\n", False),
        ("a\x7f", False),
        ("a\x85", False),
        ("\ud800", False),
        (5, False),
        (None, False),
    ],
    ids=ascii,
)
def test_keys(value: Any, is_one: bool) -> None:
    assert is_key(value) is is_one


@given(ANY_TEXT, st.integers(1, 50))
def test_tidy_text_is_text_that_every_store_keeps(text: str, most: int) -> None:
    tidied = tidy(text, most)
    assert len(tidied) <= most
    assert "\x00" not in tidied
    tidied.encode()
    if "\x00" not in text and len(text) <= most and not any(0xD800 <= ord(char) < 0xE000 for char in text):
        assert tidied == text


@pytest.mark.parametrize(
    ("text", "most", "tidied"),
    [
        ("a\x00b", 100, "a\\x00b"),
        ("\ud800!", 100, "\\ud800!"),
        ("abcdef", 4, "abc…"),
        ("abcd", 4, "abcd"),
        ("é🙂", 100, "é🙂"),
        ("a\x00b", 3, "a\\…"),
    ],
    ids=ascii,
)
def test_what_cannot_be_kept_is_written_out(text: str, most: int, tidied: str) -> None:
    assert tidy(text, most) == tidied

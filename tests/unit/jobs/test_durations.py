"""Durations as people write them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.jobs.durations import duration_seconds, uptime_text
from app.jobs.errors import BadInput


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("1h", 3600),
        ("24h", 86400),
        ("7d", 604800),
        ("2w", 1209600),
        ("1h30m", 5400),
        (" 1H 30M ", 5400),
        ("0.5h", 1800),
        (12, 12),
        (0.25, 0.25),
        (timedelta(minutes=2), 120),
    ],
)
def test_what_is_a_duration(written: Any, seconds: float) -> None:
    assert duration_seconds(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        "soon",
        "1",
        "1x",
        "h",
        "1h garbage",
        "-1h",
        "1h-2m",
        0,
        -5,
        "0s",
        timedelta(0),
        1e10,
        float("nan"),
        float("inf"),
        [1],
        {},
        object(),
        None,
        "9" * 400 + "s",
    ],
    ids=lambda value: repr(value)[:12],
)
def test_what_is_none_is_refused_by_the_name_of_its_field(written: Any) -> None:
    with pytest.raises(BadInput, match=r"^max_duration: .*; write it like"):
        duration_seconds(written, "max_duration")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (12.9, "12s"), (60, "1m"), (8100, "2h 15m"), (3600, "1h"), (273600, "3d 4h"), (90061, "1d 1h")],
)
def test_uptime_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert uptime_text(seconds) == text

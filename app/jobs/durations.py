"""Durations as people write them: "90s", "15m", "1h", "24h", "7d", "1h30m", or a number of seconds."""

from __future__ import annotations

import re
from datetime import timedelta

from app.jobs.errors import BadInput

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


def duration_seconds(value: str | float | timedelta, field: str = "duration") -> float:
    """The duration in seconds.

    Raises:
        BadInput: not a duration, or not above zero.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        text = value.strip().lower()
        parts = _PART.findall(text)
        if not parts or _PART.sub("", text).strip():
            raise BadInput(field, f"{value!r} is not a duration", 'write it like "90s", "15m", "1h", "24h" or "7d"')
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        try:
            seconds = float(value)
        except (TypeError, ValueError, OverflowError):
            seconds = 0.0
    if not 0 < seconds < 1e10:
        raise BadInput(field, f"{value!r} is not above zero or far too long", 'write it like "90s", "15m" or "7d"')
    return seconds


def uptime_text(seconds: float) -> str:
    """A duration for people, in its two largest units: "2h 15m", "3d 4h", "12s"."""
    left = int(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        amount, left = divmod(left, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return " ".join(parts[:2]) or "0s"

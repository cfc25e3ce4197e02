"""Figures of repeated measurements, and tables of them. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Figures: TypeAlias = Mapping[str, float]
"""What one measurement brought, by label."""


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies, interpolated; 0 for no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def shown(values: Sequence[float], digits: int) -> str:
    """The median, and in brackets the least and the most where there are several."""
    if not values:
        return "–"
    median = f"{statistics.median(values):,.{digits}f}"
    if len(values) == 1:
        return median
    return f"{median} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def table(first: str, labels: Mapping[str, int], rows: Mapping[str, Sequence[Figures]]) -> str:
    """A markdown table: one row for each name, one column for each label with its digits after the point."""
    lines = [f"| {first} | " + " | ".join(labels) + " |", "|---" * (len(labels) + 1) + "|"]
    for name, measured in rows.items():
        cells = [shown([each[label] for each in measured if label in each], digits) for label, digits in labels.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def median_of(measured: Sequence[Figures], label: str) -> float | None:
    """The median of one label, None if nothing was measured under it."""
    values = [each[label] for each in measured if label in each]
    return statistics.median(values) if values else None

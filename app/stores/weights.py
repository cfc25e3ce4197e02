"""How much a unit weighs against a store's limits."""

from __future__ import annotations

from app.stores.base import Delete, Fields, RecordTooLarge, StoreLimits, Unit, Verify

_PER_FIELD = 16
"""Bytes for a name, a number, a time: near enough where the limits are megabytes."""


def check_weight(unit: Unit, limits: StoreLimits) -> None:
    """Refuse a unit with too many writes, a write that is too large, or both together.

    Raises:
        RecordTooLarge: naming the record, its size and the limit.
    """
    if len(unit) > limits.writes_per_commit:
        raise RecordTooLarge(f"{len(unit)} writes in one commit, over the limit of {limits.writes_per_commit}")
    total = 0
    for write in unit:
        if isinstance(write, (Delete, Verify)):
            continue
        size = weight(write.fields)
        total += size
        if size > limits.bytes_per_record:
            raise RecordTooLarge(
                f"{write.collection}/{write.id} would take {size:,} bytes, over the limit of "
                f"{limits.bytes_per_record:,}; keep large data elsewhere and store its address"
            )
    if total > limits.bytes_per_commit:
        raise RecordTooLarge(f"{total:,} bytes in one commit, over the limit of {limits.bytes_per_commit:,}")


def weight(fields: Fields) -> int:
    """About how many bytes these fields take."""
    total = _PER_FIELD * len(fields)
    for value in fields.values():
        if type(value) is str:
            total += len(value) if value.isascii() else len(value.encode())
        elif type(value) is tuple:
            total += sum(len(key.encode()) + _PER_FIELD for key in value)
    return total

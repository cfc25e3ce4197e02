"""How much of a list is asked for: what is no number of records is refused by name, on every store the same."""

from __future__ import annotations

from app.jobs.errors import BadInput
from app.stores.base import MOST_ASKED


def check_limit(limit: object) -> int:
    """How many are wanted at most.

    Raises:
        BadInput: it is no whole number from 1 to a thousand million.
    """
    return _number("limit", limit, 1)


def check_offset(offset: object) -> int:
    """How many are left out first.

    Raises:
        BadInput: it is no whole number from 0 to a thousand million.
    """
    return _number("offset", offset, 0)


def check_cursor(cursor: object) -> str | None:
    """Where the page before ended.

    Raises:
        BadInput: it is no text. Whether it is a cursor the store says.
    """
    if cursor is None or isinstance(cursor, str):
        return cursor
    raise BadInput("cursor", f"{cursor!r:.200} is no cursor", "use the cursor of the page before, unchanged")


def _number(field: str, value: object, least: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST_ASKED:
        return value
    # Python itself refuses to write out a number of more than some thousands of digits.
    shown = repr(value)[:200] if not isinstance(value, int) or abs(value) < 10**30 else "a very large number"
    raise BadInput(field, f"{shown} is not a number of records", f"give a whole number from {least} to {MOST_ASKED:,}")

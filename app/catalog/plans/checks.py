"""A plan's own checks of what must be true afterwards: the same before, on the replay, and after, on what is stored."""

from __future__ import annotations

from app.catalog.plans.finding import Finding
from app.catalog.plans.plan import PostCheck
from app.catalog.plans.replay import shown_fields
from app.catalog.plans.snapshot import Item


def check_finding(check: PostCheck, item: Item | None) -> Finding | None:
    """What is wrong by a plan's own check; None if nothing is."""
    if not check.path:
        if (item is not None) is (check.equals is not False):
            return None
        there = "is there, and should not be" if item is not None else "is not there, and should be"
        return Finding(code="POST_CHECK_FAILED", field=str(check.target), message=f"{check.target} {there}")
    found = (shown_fields(item) or {}).get(check.path)
    if found == check.equals:
        return None
    message = f"{check.path} of {check.target} is {found!r:.200}, and should be {check.equals!r:.200}"
    return Finding(code="POST_CHECK_FAILED", field=str(check.target), message=message)

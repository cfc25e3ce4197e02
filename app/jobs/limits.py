"""What a job can be made to wait for, and what that is called: in `parked_on`, and as the id of its record."""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

from app.stores.base import Query

COLLECTION = "limits"
SCHEMA_VERSION = 1
_PLAIN = re.compile(r"[\w.:@+ -]{1,150}", re.ASCII)


class Limit(StrEnum):
    """Why a job is parked: what `parked_on` begins with."""

    PAUSE = "pause"
    """Its type is paused."""
    CONCURRENCY = "limit"
    """As many jobs of its type run as may run at once."""
    RATE = "rate"
    """Its type has begun as many jobs lately as its rate allows."""
    TURN = "turn"
    """Another job of its concurrency key, or before it in its type's order, is not done."""
    LOCK = "lock"
    """Another job holds a lock that its handler needs."""


def limit_name(limit: Limit, name: str) -> str:
    """What jobs are parked on that wait for this; also the id of its record, where it has one.

    Any name does: one that no store could keep is replaced by its digest.
    """
    return f"{limit}:{plain_name(name)}"


def plain_name(name: str) -> str:
    """A name that every store can keep as part of an id: the name itself, or its digest."""
    if _PLAIN.fullmatch(name):
        return name
    return "~" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def limit_of(parked_on: str) -> Limit | None:
    """Why a job is parked; None if by something that is no limit."""
    kind = parked_on.partition(":")[0]
    return Limit(kind) if kind in set(Limit) else None


def parked_query(parked_on: str, limit: int, *, by_age: bool = False, cursor: str | None = None) -> Query:
    """Jobs that are parked on this, those first that should go on first."""
    shape = "jobs.parked_by_age" if by_age else "jobs.parked"
    # Names have no control characters, so a name with a blank is the least of those that are greater.
    return Query(shape, since=parked_on, until=f"{parked_on} ", limit=limit, cursor=cursor)


def next_parked_query(after: str | None) -> Query:
    """The first job in the order of what jobs are parked on, leaving out this name and those before it."""
    return Query("jobs.parked", since=None if after is None else f"{after} ", limit=1)

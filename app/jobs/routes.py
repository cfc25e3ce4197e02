"""Routes: which workers may run which job types. Pure.

A route is the canonical text of a pool and a set of requirement flags; a worker claims only routes whose
pool it is in and whose every flag it has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.jobs.errors import BadInput

DEFAULT_POOL = "default"


def _checked(word: str, field: str) -> str:
    if not word or not all(char.isalnum() or char in "-_." for char in word):
        raise BadInput(field, f"{word!r} is not a name", "use letters, digits, hyphen, underscore and dot")
    return word.lower()


def route_of(pool: str = DEFAULT_POOL, requires: Iterable[str] = ()) -> str:
    """The route of a pool and requirement flags: `pool` or `pool+flag+flag`, flags sorted.

    Raises:
        BadInput: a pool or flag with other characters than letters, digits, `-`, `_` and `.`.
    """
    flags = sorted({_checked(flag, "requires") for flag in requires})
    return "+".join([_checked(pool, "pool"), *flags])


@dataclass(frozen=True, slots=True)
class Served:
    """What a worker serves. `flags` None means every requirement."""

    pools: frozenset[str] = frozenset({DEFAULT_POOL})
    flags: frozenset[str] | None = None

    def serves(self, route: str) -> bool:
        """Whether jobs of that route may be claimed."""
        pool, *flags = route.split("+")
        return pool in self.pools and (self.flags is None or self.flags.issuperset(flags))

    def among(self, routes: Iterable[str]) -> tuple[str, ...]:
        """Those of the routes that are served, sorted."""
        return tuple(sorted({route for route in routes if self.serves(route)}))

"""Which shards this process asks for work.

A job lies in one of as many shards as its creator's setting says, and another process may have another setting. So a
worker asks for those of its own setting, and every now and then for some of all the others that there can be, in turn.
What it finds there it goes on asking for: no job stays where it lies because somebody's setting was changed.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.jobs.clock import Chance
from app.jobs.options import MAX_SHARDS

WIDE_SECONDS = 10.0
"""How often a worker asks for further shards. It costs no read more, but the store has to look at more places."""
_LEAST_ROOM = 4
"""The part of a question, one in so many, that must be left beside the known shards to look further in it."""


class AskedShards:
    """The shards that one process asks for, in the order of time."""

    def __init__(self, own: int, alternatives: int, chance: Chance) -> None:
        """Begin.

        Args:
            own: over how many shards this process spreads jobs itself.
            alternatives: how many routes times shards the store takes at once (`StoreLimits.claim_alternatives`).
            chance: where among the further shards to begin, so that processes that live for one claim find all.
        """
        self.known = own
        """Jobs lie in the shards below this, as far as this process knows."""
        self._alternatives = alternatives
        self._chance = chance
        self._begin: int | None = None
        """The first of the further shards that are asked for now, and where to go on when it is time to turn."""
        self._go_on = 0
        self._turned_at = float("-inf")

    def ask(self, routes: int, now: float) -> tuple[int, ...]:
        """The shards that a claim of so many routes asks for at that monotonic time, in seconds."""
        known = tuple(range(self.known))
        further = MAX_SHARDS - self.known
        at_once = max(1, self._alternatives // max(1, routes))
        room = at_once - self.known
        has_room = room * _LEAST_ROOM >= at_once
        is_time = now - self._turned_at >= WIDE_SECONDS
        # With one shard each claim asks for all that is known, and that is to stay as simple as it can be. With several
        # it does so only where its own shard gave too little, and then it need not be choosy.
        if further <= 0 or not (is_time or (self.known > 1 and has_room)):
            return known
        if self._begin is None:
            self._begin = self.known + int(self._chance.fraction() * further)
        elif is_time:
            self._begin = self._go_on
        if is_time:
            self._turned_at = now
        # Where hardly any room is left, looking further takes a question of its own, with as much room again.
        room = room if has_room else at_once
        in_turn = ((self._begin + step) % MAX_SHARDS for step in range(MAX_SHARDS))
        asked = [shard for shard in in_turn if shard >= self.known][:room]
        self._go_on = asked[-1] + 1
        return known + tuple(asked)

    def found(self, shards: Iterable[int]) -> None:
        """Take in where jobs were found."""
        self.known = max((self.known, *(shard + 1 for shard in shards)))

"""Which shard a claimer keeps to while others claim beside it. Pure, but for the randomness it is given.

Claimers that work off different shards cannot lose anything to each other. So each chooses a shard by chance and takes
its pages from that. It moves when it loses more than half of a round there, because then somebody else lives there too;
when the shard is drained; and after some pages in any case, to look at the best records of all shards: no shard is
forgotten in which nobody lives, and what is urgent is found wherever it lies.

A page that is lost was read for nothing. So the first ones are small and grow as long as nothing is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

PROBE = 2
"""How many of the best records of all shards are read to see whether there is enough work to keep apart."""
_STAY_PAGES = 16
"""How many pages a claimer takes from its own shard before it looks at all of them again."""
_FIRST_PAGE = 8
_SMALLEST_PAGE = 4
_LARGEST_PAGE = 64
_MOST_MOVES = 3
"""How often in a row it moves because it lost; where that does not help there are more claimers than shards."""


@dataclass(slots=True)
class Homes:
    """Where one claimer lives, in each queue that has so much work that it needs to live somewhere."""

    randomness: Random
    page: int = _FIRST_PAGE
    """How many records one claim is to take at most, while it may keep to a shard."""
    _shards: dict[str, int] = field(default_factory=dict)
    _pages_left: dict[str, int] = field(default_factory=dict)
    _moves: int = 0

    def of(self, queue: str) -> int | None:
        """The shard to take the next page from; None is to look at all of them."""
        return self._shards.get(queue)

    def settle(self, queue: str, among: Sequence[int]) -> None:
        """Choose one of these shards, which all may have work."""
        self._shards[queue] = self.randomness.choice(among)
        self._pages_left[queue] = _STAY_PAGES

    def took_a_page(self, queue: str) -> None:
        """Take in that the own shard gave as much as was asked of it."""
        self._pages_left[queue] -= 1
        if self._pages_left[queue] <= 0:
            self.leave(queue)

    def leave(self, queue: str) -> None:
        """Live nowhere, and so look at all shards first."""
        self._shards.pop(queue, None)

    def learn(self, tried: int, lost: int, among: Sequence[int]) -> bool:
        """Take in how many candidates of a round were tried, and how many of them somebody else took first.

        Returns:
            Whether it moved to others of these shards, because it lost more than half.
        """
        if lost * 2 <= tried:
            self._moves = 0
            self.page = self.page if lost else min(self.page * 2, _LARGEST_PAGE)
            return False
        self.page = _SMALLEST_PAGE
        self._moves += 1
        has_moved = False
        for queue, shard in list(self._shards.items()):
            others = [each for each in among if each != shard]
            if others and self._moves <= _MOST_MOVES:
                self.settle(queue, others)
                has_moved = True
        return has_moved

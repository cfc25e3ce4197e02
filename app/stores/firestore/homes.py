"""Which shard a claimer keeps to while others claim beside it. Pure, but for the randomness it is given.

Claimers that work off different shards cannot lose anything to each other. So each chooses a shard by chance and takes
its pages from that, as long as it gives full ones. It moves when it loses more than half of a round there, because then
somebody else lives there too; and it leaves after some pages in any case, to look at the best records of all shards:
no shard is forgotten in which nobody lives, and what is urgent is found wherever it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

STAY_PAGES = 16
"""How many pages a claimer takes from its own shard before it looks at all of them again."""
PROBE = 4
"""How many of the best records of all shards are read to see whether there is enough work to keep apart."""


@dataclass(slots=True)
class Homes:
    """Where one claimer lives, in each queue that has so much work that it needs to live somewhere."""

    randomness: Random
    _shards: dict[str, int] = field(default_factory=dict)
    _pages_left: dict[str, int] = field(default_factory=dict)
    _has_just_moved: bool = False

    def of(self, queue: str) -> int | None:
        """The shard to take the next page from; None is to look at all of them."""
        return self._shards.get(queue)

    def settle(self, queue: str, among: Sequence[int]) -> None:
        """Choose one of these shards, which all may have work."""
        self._shards[queue] = self.randomness.choice(among)
        self._pages_left[queue] = STAY_PAGES

    def took_a_page(self, queue: str) -> None:
        """Take in that the own shard gave as much as was asked of it."""
        self._pages_left[queue] -= 1
        if not self._pages_left[queue]:
            self.leave(queue)

    def leave(self, queue: str) -> None:
        """Live nowhere, for instance because there is nothing left."""
        self._shards.pop(queue, None)

    def learn(self, tried: int, lost: int, among: Sequence[int]) -> bool:
        """Take in how many candidates of a round were tried, and how many of them somebody else took first.

        Returns:
            Whether it moved to others of these shards because it lost too many. It does not move twice in a row: where
            that does not help there are more claimers than shards.
        """
        has_moved, self._has_just_moved = self._has_just_moved, False
        if lost * 2 > tried and not has_moved:
            for queue, shard in list(self._shards.items()):
                if others := [each for each in among if each != shard]:
                    self.settle(queue, others)
                    self._has_just_moved = True
        return self._has_just_moved

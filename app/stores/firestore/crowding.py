"""Where to look for ready work when other claimers are looking too. Pure, but for the randomness it is given.

Claimers that all take the best page lose most of it to each other. So a claimer that lost more than half of a round
goes to a random place for the next one and works on from there, on ground of its own. It stays inside the top level of
priority, which keeps the order between levels; only who comes first within a level is then left to chance. How far away
it may go, and for how many pages it stays away, doubles with each lost round; then it tries the best page again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from app.stores.base import Record
from app.stores.firestore.queries import Place

_NEAREST = 8
_WIDEST = 128
_ID_BITS = 128


@dataclass(slots=True)
class Crowding:
    """What one claimer learnt from its last rounds."""

    randomness: Random
    reach: int = 0
    """How many pages away the next place may be; 0 means to take the best page."""
    ground: dict[str, Place] = field(default_factory=dict)
    """Where this claimer's own ground begins, by queue, while it is away from the best page."""
    spacing: timedelta = timedelta(0)
    """Time between two neighbours of the last page seen."""
    stem: str = ""
    """What the ids of the last page have in common at their beginning."""

    @property
    def is_crowded(self) -> bool:
        """Whether the best page is better left to others."""
        return self.reach > 0

    def learn(self, tried: int, lost: int) -> None:
        """Take in how many candidates of a round were tried, and how many of them somebody else took first."""
        if lost * 2 > tried:
            self.reach = min(self.reach * 2 or _NEAREST, _WIDEST)
            self.ground.clear()
        elif self.reach and not lost:
            self.reach -= 1
        if not self.reach:
            self.ground.clear()

    def went_past_the_end(self, queue: str) -> None:
        """Take in that there was too little behind the place where it looked."""
        self.reach //= 2
        self.ground.pop(queue, None)

    def see(self, page: Sequence[Record]) -> None:
        """Take in how dense the records are, from a page of ready ones in order."""
        if len(page) < 2 or page[0].fields["priority"] != page[-1].fields["priority"]:
            return
        first, last = place_of(page[0]), place_of(page[-1])
        self.spacing = (last.ready_at - first.ready_at) / (len(page) - 1)
        self.stem = _common_beginning(first.id, last.id)

    def somewhere(self, head: Place, page: int) -> Place:
        """A random place behind the head of the top level; `page` is the number of records of a page.

        Among records that became ready at the same instant the id decides, so it is random as well.
        """
        away = self.spacing * (page * self.reach * self.randomness.random())
        number = self.randomness.getrandbits(_ID_BITS)
        return Place(head.priority, head.ready_at + away, f"{self.stem}{number:0{_ID_BITS // 4}x}")


def place_of(record: Record) -> Place:
    """Where a ready record stands in the order."""
    priority, ready_at = record.fields["priority"], record.fields["ready_at"]
    # The query orders by both, so a record without one of them is not found, and the schema says what they are.
    return Place(priority, ready_at, record.id)  # type: ignore[arg-type]


def _common_beginning(one: str, other: str) -> str:
    same = 0
    for here, there in zip(one, other, strict=False):
        if here != there:
            break
        same += 1
    return one[:same]

"""A sorted set of keys in short lists, so that adding and removing cost O(log n) and a short copy.

The libraries for this are either untyped or no longer released, and this much is enough.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeAlias

Key: TypeAlias = tuple[Any, ...]
"""Values that compare with each other position by position; a shorter key sorts before its extensions."""

_FULL = 512
_SPARSE = 64


class SortedKeys:
    """Distinct keys, smallest first. Not to be changed while it is being iterated over."""

    __slots__ = ("_lists", "_maxima", "_size")

    def __init__(self) -> None:
        self._lists: list[list[Key]] = []
        self._maxima: list[Key] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, key: Key) -> None:
        """Take in a key that is not there yet."""
        self._size += 1
        if not self._lists:
            self._lists.append([key])
            self._maxima.append(key)
            return
        place = bisect_left(self._maxima, key)
        if place == len(self._maxima):
            place -= 1
            self._lists[place].append(key)
            self._maxima[place] = key
        else:
            insort(self._lists[place], key)
        if len(self._lists[place]) > _FULL:
            self._split(place)

    def remove(self, key: Key) -> None:
        """Let go of a key.

        Raises:
            KeyError: it is not there.
        """
        place = bisect_left(self._maxima, key)
        keys = self._lists[place] if place < len(self._lists) else []
        at = bisect_left(keys, key)
        if at == len(keys) or keys[at] != key:
            raise KeyError(key)
        del keys[at]
        self._size -= 1
        if not keys:
            del self._lists[place], self._maxima[place]
            return
        if at == len(keys):
            self._maxima[place] = keys[-1]
        if len(keys) < _SPARSE and place + 1 < len(self._lists):
            self._join(place)

    def ascending(self, start: Key | None = None) -> Iterator[Key]:
        """Keys from `start` on (itself too), smallest first."""
        place = at = 0
        if start is not None:
            place = bisect_left(self._maxima, start)
            if place == len(self._lists):
                return
            at = bisect_left(self._lists[place], start)
        for later in range(place, len(self._lists)):
            keys = self._lists[later]
            yield from islice(keys, at, None)
            at = 0

    def descending(self, end: Key | None = None) -> Iterator[Key]:
        """Keys before `end` (without itself), largest first."""
        place = len(self._lists)
        if end is not None:
            place = bisect_left(self._maxima, end)
            if place < len(self._lists):
                keys = self._lists[place]
                yield from reversed(keys[: bisect_left(keys, end)])
        for earlier in range(place - 1, -1, -1):
            yield from reversed(self._lists[earlier])

    def _split(self, place: int) -> None:
        keys = self._lists[place]
        half = len(keys) // 2
        self._lists[place : place + 1] = [keys[:half], keys[half:]]
        self._maxima[place : place + 1] = [keys[half - 1], keys[-1]]

    def _join(self, place: int) -> None:
        # Two neighbours that are both far from full; else removing at random would leave many nearly empty lists.
        if len(self._lists[place]) + len(self._lists[place + 1]) <= _FULL // 2:
            self._lists[place] += self._lists.pop(place + 1)
            self._maxima[place : place + 2] = [self._lists[place][-1]]

"""Which exercises are worth comparing: candidates for doubles, found without comparing everything with everything.

Three orders are made, and each exercise is a candidate with its next neighbours in each: by what the name means, by the
words of the name in any order, and among those whose texts share a rare run of words. So the candidates of one
exercise are bounded however large the catalogue is.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import groupby

from app.catalog.reviewer.likeness import Profile

NAME_WINDOW = 12
"""Neighbours in the order of names; families of the real data that are larger are cut by equipment and modifiers."""
WORD_WINDOW = 4
TEXT_WINDOW = 6
SKETCH = 16
"""Runs of words that are kept of each text: those with the least hashes, so that two texts keep the same ones."""
RUN_WORDS = 3
RARE = 10
"""Of the kept runs, the rarest ones that occur more than once are looked up."""


def candidates(profiles: Sequence[Profile]) -> Iterator[tuple[int, int]]:
    """Pairs of places in `profiles` that are worth comparing, each once, the smaller place first."""
    order = sorted(range(len(profiles)), key=lambda place: _name_key(profiles[place]))
    rank = {place: number for number, place in enumerate(order)}
    seen: set[int] = set()
    size = len(profiles)
    for one, other in _all_neighbours(profiles, order, rank):
        pair = (min(one, other), max(one, other))
        code = pair[0] * size + pair[1]
        if code not in seen:
            seen.add(code)
            yield pair


def _all_neighbours(
    profiles: Sequence[Profile], order: Sequence[int], rank: dict[int, int]
) -> Iterator[tuple[int, int]]:
    by_words = sorted(range(len(profiles)), key=lambda place: (_word_key(profiles[place]), rank[place]))
    yield from _neighbours(order, NAME_WINDOW)
    yield from _neighbours(by_words, WORD_WINDOW)
    for block in _text_blocks(profiles, order):
        yield from _neighbours(block, TEXT_WINDOW)


def _neighbours(order: Sequence[int], window: int) -> Iterator[tuple[int, int]]:
    for number, place in enumerate(order):
        for neighbour in order[number + 1 : number + 1 + window]:
            yield place, neighbour


def _name_key(profile: Profile) -> tuple[str, str, tuple[str, ...], str]:
    return profile.family, profile.equipment or "", tuple(sorted(profile.modifiers)), profile.exercise.id


def _word_key(profile: Profile) -> str:
    return " ".join(sorted(profile.base))


def _text_blocks(profiles: Sequence[Profile], order: Sequence[int]) -> Iterator[Sequence[int]]:
    """Groups of places whose texts share a rare run of words, each group in the order of names."""
    # One integer a run, its hash above the place in `order`: sorting them groups equal runs, without a dictionary of
    # millions of entries.
    width = max(1, len(order).bit_length())
    mask = (1 << width) - 1
    entries = sorted(
        (run << width) | number for number, place in enumerate(order) for run in _sketch(profiles[place].text)
    )
    sizes = {run: len(list(group)) for run, group in groupby(entry >> width for entry in entries)}
    shared: list[list[tuple[int, int]]] = [[] for _ in order]
    for entry in entries:
        run = entry >> width
        if sizes[run] > 1:
            shared[entry & mask].append((sizes[run], run))
    del entries
    looked_up = sorted((run << width) | number for number, runs in enumerate(shared) for _, run in sorted(runs)[:RARE])
    for _, group in groupby(looked_up, key=lambda entry: entry >> width):
        block = [order[entry & mask] for entry in group]
        if len(block) > 1:
            yield block


def _sketch(text: str) -> list[int]:
    words = text.split()
    runs = {zlib.crc32(" ".join(words[at : at + RUN_WORDS]).encode()) for at in range(len(words) - RUN_WORDS + 1)}
    return sorted(runs)[:SKETCH]

"""Which exercises are worth comparing: candidates for doubles, found without comparing everything with everything.

Three orders are made, and each exercise is a candidate with its next neighbours in each: by the words of its movement
in any order, by those of its family in theirs, and among those whose texts share a rare run of words. So the
candidates of one exercise are bounded however large the catalogue is.
"""

from __future__ import annotations

import zlib
from array import array
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
_HASH_BITS = 32
RARE = 10
"""Of the kept runs, the rarest ones that occur more than once are looked up."""


def candidates(profiles: Sequence[Profile]) -> Iterator[tuple[int, int]]:
    """Pairs of places in `profiles` that are worth comparing, each once, the smaller place first."""
    order = sorted(range(len(profiles)), key=lambda place: _name_key(profiles[place]))
    by_words = sorted(range(len(order)), key=lambda number: (_word_key(profiles[order[number]]), number))
    rank = [0] * len(order)
    for position, number in enumerate(by_words):
        rank[number] = position
    # From here on an exercise is its number in the order of names, and `rank` its place in the order of words. So
    # whether a pair comes from an earlier order is a matter of arithmetic, and no set of all pairs is kept.
    for one, other in _numbers(profiles, order, by_words, rank):
        first, second = order[one], order[other]
        yield min(first, second), max(first, second)


def _numbers(
    profiles: Sequence[Profile], order: Sequence[int], by_words: Sequence[int], rank: Sequence[int]
) -> Iterator[tuple[int, int]]:
    yield from _neighbours(range(len(order)), NAME_WINDOW)
    for one, other in _neighbours(by_words, WORD_WINDOW):
        if abs(one - other) > NAME_WINDOW:
            yield one, other
    for one, others in _sharing_text([profiles[place].text for place in order]):
        for other in others:
            if abs(one - other) > NAME_WINDOW and abs(rank[one] - rank[other]) > WORD_WINDOW:
                yield one, other


def _neighbours(order: Sequence[int], window: int) -> Iterator[tuple[int, int]]:
    for place, number in enumerate(order):
        for neighbour in order[place + 1 : place + 1 + window]:
            yield number, neighbour


def _name_key(profile: Profile) -> tuple[str, str, tuple[str, ...], str]:
    movement = " ".join(sorted(profile.movement))
    return movement, profile.equipment or "", tuple(sorted(profile.modifiers)), profile.exercise.id


def _word_key(profile: Profile) -> str:
    return profile.family


def _sharing_text(texts: Sequence[str]) -> Iterator[tuple[int, set[int]]]:
    """For each text, the next ones of those that share a rare run of words with it."""
    width = max(1, len(texts).bit_length())
    mask = (1 << width) - 1
    entries = _rare_runs(texts, width)
    # Where the entries of each text are, text by text.
    places = sorted(range(len(entries)), key=lambda place: entries[place] & mask)
    for number, own in groupby(places, key=lambda place: entries[place] & mask):
        others: set[int] = set()
        for place in own:
            run = entries[place] >> width
            following = entries[place + 1 : place + 1 + TEXT_WINDOW]
            others.update(entry & mask for entry in following if entry >> width == run)
        yield number, others


def _rare_runs(texts: Sequence[str], width: int) -> Sequence[int]:
    """The rarest runs of words that more than one text has, sorted: each as its hash above the number of the text.

    One integer an entry, and sorted lists instead of a dictionary, which would hold millions of lists.
    """
    entries = sorted((run << width) | number for number, text in enumerate(texts) for run in _sketch(text))
    mask = (1 << width) - 1
    shared: list[list[int]] = [[] for _ in texts]
    for run, group in groupby(entries, key=lambda entry: entry >> width):
        numbers = [entry & mask for entry in group]
        if len(numbers) > 1:
            for number in numbers:
                # How many have it first: sorting puts the rarest in front.
                shared[number].append((len(numbers) << _HASH_BITS) | run)
    hash_mask = (1 << _HASH_BITS) - 1
    return array(
        "Q",
        sorted(
            ((run & hash_mask) << width) | number for number, runs in enumerate(shared) for run in sorted(runs)[:RARE]
        ),
    )


def _sketch(text: str) -> list[int]:
    words = text.split()
    runs = {zlib.crc32(" ".join(words[at : at + RUN_WORDS]).encode()) for at in range(len(words) - RUN_WORDS + 1)}
    return sorted(runs)[:SKETCH]

"""Longest-match replacement of word phrases: the one mechanism behind all name tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Match:
    """One stretch of words: the phrase's meaning, or None for a single word that no phrase covers."""

    words: tuple[str, ...]
    meaning: str | None


class Phrases:
    """A table from phrases (one or more words) to meanings.

    Args:
        table: phrase to meaning; the words of a phrase are separated by single spaces.
    """

    def __init__(self, table: Mapping[str, str]) -> None:
        self._by_first: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for phrase, meaning in table.items():
            words = tuple(phrase.split(" "))
            self._by_first.setdefault(words[0], []).append((words, meaning))
        for candidates in self._by_first.values():
            candidates.sort(key=lambda entry: len(entry[0]), reverse=True)

    def split(self, words: Sequence[str]) -> Iterator[Match]:
        """Cut `words` from left to right into phrases, the longest first, and single words in between."""
        position = 0
        while position < len(words):
            found = self._match_at(words, position)
            yield found
            position += len(found.words)

    def replace(self, words: Sequence[str]) -> tuple[str, ...]:
        """Put each phrase's meaning, itself cut at spaces, in the phrase's place."""
        out: list[str] = []
        for match in self.split(words):
            out.extend(match.words if match.meaning is None else match.meaning.split())
        return tuple(out)

    def find(self, words: Sequence[str]) -> tuple[str, ...]:
        """The meanings found in `words`, in the order of their places."""
        return tuple(match.meaning for match in self.split(words) if match.meaning is not None)

    def _match_at(self, words: Sequence[str], position: int) -> Match:
        for phrase, meaning in self._by_first.get(words[position], ()):
            if tuple(words[position : position + len(phrase)]) == phrase:
                return Match(phrase, meaning)
        return Match((words[position],), None)

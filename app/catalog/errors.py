"""The catalogue's errors. Each message says what was wrong, with which value, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CatalogError(Exception):
    """Base of all errors of the catalogue application."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a catalogue file."""

    row: int
    """The record's place in the file, from 1; 0 for the file as a whole."""
    field: str
    value: str
    """What was found, shortened for display."""
    remedy: str

    def __str__(self) -> str:
        place = "file" if self.row == 0 else f"record {self.row}"
        field = f", field {self.field!r}" if self.field else ""
        return f"{place}{field}: {self.value}; {self.remedy}"


class BadCatalogFile(CatalogError):
    """A catalogue file is wrong, and nothing of it was taken. `problems` has every one of them."""

    SHOWN = 10

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        shown = "\n".join(f"  {problem}" for problem in self.problems[: self.SHOWN])
        more = len(self.problems) - self.SHOWN
        rest = f"\n  and {more} more" if more > 0 else ""
        super().__init__(f"nothing was imported, the file has {len(self.problems)} problem(s):\n{shown}{rest}")


class UnknownField(CatalogError):
    """A field path names nothing that can be enriched."""

    def __init__(self, path: str, known: Sequence[str]) -> None:
        self.path = path
        super().__init__(f"there is no field {path!r} to enrich; take one of {', '.join(known)}")

"""What the project has labelled by hand: TOML files in `labels/`, which say how to add to them."""

from __future__ import annotations

import tomllib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

LABELS = Path(__file__).parent / "labels"


class Half(StrEnum):
    """What labelled pairs are for: thresholds are chosen on the first half, the second tells what they are worth."""

    DEVELOPMENT = "development"
    HELD_OUT = "held out"


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """Two records, by their ids in the upstream catalogue, in the order of their letters."""

    one: str
    other: str

    @property
    def half(self) -> Half:
        """Follows from the ids alone, so that a new pair moves no old one."""
        return Half.HELD_OUT if zlib.crc32(f"{self.one}|{self.other}".encode()) % 2 else Half.DEVELOPMENT


def pair_of(one: str, other: str) -> Pair:
    """The pair of two ids in any order."""
    return Pair(min(one, other), max(one, other))


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """Pairs that are the same exercise, and pairs that are not."""

    same: frozenset[Pair]
    opposite: frozenset[Pair]
    """Different ones that are each other's opposite."""
    different: frozenset[Pair]
    """All the different ones, the opposite ones with them."""
    undecided: frozenset[Pair]
    """In no figure."""


class Meaning(StrEnum):
    """What a name says about equipment, beside what its record says."""

    CONTRADICTS = "contradicts"
    FILLS = "fills"
    """It gives equipment, and the record has none."""
    AGREES = "agrees"
    """It gives none, or the record's own."""


@dataclass(frozen=True, slots=True)
class NameLabel:
    """A name, the equipment of its record as upstream writes it, and what the name means."""

    name: str
    recorded: str
    meaning: Meaning
    equipment: str | None
    """The canonical equipment that the name gives to a record without any."""


def labelled_pairs() -> LabelledPairs:
    """Read `labels/duplicate_pairs.toml`."""
    table = _read("duplicate_pairs")
    opposite = _pairs(table["opposite"])
    return LabelledPairs(
        _pairs(table["same"]), opposite, _pairs(table["different"]) | opposite, _pairs(table["undecided"])
    )


def labelled_names() -> list[NameLabel]:
    """Read `labels/name_equipment.toml`."""
    table = _read("name_equipment")
    return [
        NameLabel(name, recorded, meaning, next(iter(equipment), None))
        for meaning in Meaning
        for name, recorded, *equipment in table[meaning]
    ]


def _pairs(rows: Iterable[Iterable[str]]) -> frozenset[Pair]:
    return frozenset(pair_of(*row) for row in rows)


def _read(name: str) -> dict[str, list[list[str]]]:
    return tomllib.loads((LABELS / f"{name}.toml").read_text(encoding="utf-8"))

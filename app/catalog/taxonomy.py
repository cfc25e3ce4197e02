"""The catalogue's canonical values, the synonyms that mean them, and slugs.

The values and synonyms are data (`data/values.toml`); this module only looks them up. Real input: the upstream
catalogue's 12 equipment values, 17 muscle names and 7 categories all resolve here, or are left out on purpose.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

_APOSTROPHES = re.compile("['\N{RIGHT SINGLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}`\N{ACUTE ACCENT}]")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")
# Letters that Unicode does not decompose, so that folding would drop them; and dashes, which separate words.
_UNDECOMPOSED = str.maketrans(
    {"ß": "ss", "æ": "ae", "ø": "o", "œ": "oe", "ł": "l", "đ": "d"}
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
)

TAXONOMY_FIELD = {
    "equipment": "equipment",
    "category": "category",
    "movement_type": "movement_type",
    "split": "split",
    "level": "level",
    "plane": "plane",
    "force": "force",
    "mechanic": "mechanic",
    "muscle_group": "muscle_group",
    "primary_muscles": "muscle",
    "secondary_muscles": "muscle",
}
"""The fields of an exercise whose values are the taxonomy's, and under which name they are there."""


def fold(text: str) -> str:
    """`text` in lower-case ASCII: accents and apostrophes dropped, dashes as hyphens, the rest without one dropped."""
    bare = _APOSTROPHES.sub("", text.lower()).translate(_UNDECOMPOSED)
    return unicodedata.normalize("NFKD", bare).encode("ascii", "ignore").decode("ascii").lower()


def slugify(text: str) -> str:
    """The slug of `text`: ASCII-folded, lower-case, words joined by single hyphens.

    Every slug in the catalogue comes from this function. It is idempotent, and "" for a text without an ASCII
    letter or digit; callers that need a slug refuse that.
    """
    return _NOT_SLUG.sub("-", fold(text)).strip("-")


def load_table(name: str) -> dict[str, Any]:
    """Read one of the package's data tables, `app/catalog/data/{name}.toml`."""
    return tomllib.loads((files("app.catalog") / "data" / f"{name}.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """Canonical values by field, and the look-ups around them. Get the shipped one from `taxonomy()`."""

    values: Mapping[str, tuple[str, ...]]
    synonyms: Mapping[str, Mapping[str, str]]
    group_of_muscle: Mapping[str, str]
    split_of_group: Mapping[str, str]
    covers: Mapping[str, tuple[str, ...]]

    def canonical(self, field: str, value: str | None) -> str | None:
        """The canonical value that `value` means in `field`, or None if it means none.

        Args:
            field: a key of `values`, such as "equipment" or "muscle".
            value: any spelling; case, accents and separators do not matter.

        Raises:
            KeyError: `field` has no canonical values.
        """
        return None if value is None else self.synonyms[field].get(slugify(value))

    def is_canonical(self, field: str, value: str | None) -> bool:
        """Whether `value` is spelled exactly as one of the canonical values of `field`."""
        return value in self.values[field]

    def compatible(self, one: str, other: str) -> bool:
        """Whether two pieces of equipment agree: the same, or one covers the other."""
        return one == other or other in self.covers.get(one, ()) or one in self.covers.get(other, ())


@cache
def taxonomy() -> Taxonomy:
    """The shipped taxonomy, read once from `data/values.toml`."""
    table = load_table("values")
    values = {field: tuple(entries) for field, entries in table["canonical"].items()}
    synonyms = {
        field: {slugify(entry): entry for entry in entries}
        | {slugify(spelling): value for spelling, value in table["synonyms"].get(field, {}).items()}
        for field, entries in values.items()
    }
    covers = {general: tuple(exact) for general, exact in table["covers"].items()}
    return Taxonomy(values, synonyms, table["group_of_muscle"], table["split_of_group"], covers)

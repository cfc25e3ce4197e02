"""Reading exercise names: "[Modifier] Base (Equipment)" out of whatever people wrote.

Grips, stances, positions, tempo, one or two limbs, and added bands, chains or weight are modifiers. A family is the
base alone, so neither equipment nor modifiers are left in its slug. All words live in `data/names.toml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from app.catalog.phrases import Phrases
from app.catalog.taxonomy import Taxonomy, fold, load_table, slugify, taxonomy

_QUALIFIER = re.compile(r"^(?P<name>.*\S)\s*\((?P<inside>[^()]*)\)\s*$")
_WORDS = re.compile(r"[a-z0-9]+")
_ARTICLES = frozenset({"a", "an", "the"})
_DANGLING = frozenset({"with", "without", "on", "off", "of", "in", "to", "from", "and", "or", "over", "at", "for"})
_SMALL_WORDS = _ARTICLES | _DANGLING | {"into", "against", "behind", "between"}
# Moving a modifier to the front can bring two words together that mean something else side by side; the name is then
# read again, so that a canonical name is its own canonical name.
_MAX_READINGS = 5
_UNDECIDED_BAND = "?band"
_BAND = "resistance-band"


@dataclass(frozen=True, slots=True)
class ParsedName:
    """What a name says."""

    base: str
    """The base as folded words, such as "bench press". Never empty for a name that has a letter or digit."""
    modifiers: tuple[str, ...]
    """Canonical modifiers, such as "close-grip"; without doubles, in the order in which names show them."""
    equipment: tuple[str, ...]
    """Canonical equipment that the name itself gives, the qualifier first; empty if it gives none."""
    qualifier: str | None
    """The canonical equipment in the closing parentheses, if there is one."""

    @property
    def family_slug(self) -> str:
        """The slug of the family that the name belongs to."""
        return slugify(self.base)

    @property
    def variant(self) -> frozenset[str]:
        """The modifiers as a set: two names of one family and equipment are doubles only if these are equal."""
        return frozenset(self.modifiers)


class NameReader:
    """Reads and writes names by the tables. Get the shipped one from `name_reader()`.

    Args:
        tables: the content of `data/names.toml`.
        values: the taxonomy whose equipment the names use.
    """

    def __init__(self, tables: Mapping[str, Mapping[str, str]], values: Taxonomy) -> None:
        self._values = values
        kinds: Mapping[str, Mapping[str, str]] = tables["modifiers"]  # type: ignore[assignment]  # TOML nests one deeper here
        phrase_of = {phrase: value for kind in kinds.values() for phrase, value in kind.items()}
        ordered = dict.fromkeys(value for kind in kinds.values() for value in kind.values())
        kind_of = {value: number for number, kind in enumerate(kinds.values()) for value in kind.values()}
        self._rank = {value: (kind_of[value], value) for value in ordered}
        own_words = {value.replace("-", " "): value for value in ordered} | {value: value for value in ordered}
        equipment = values.values["equipment"]
        self._spelling = Phrases(tables["spelling"])
        # A kept phrase means itself, marked so that neither equipment nor a modifier is taken out of it.
        kept = {phrase: f"~{phrase}" for phrase in tables["keep"]}
        named = {item.replace("-", " "): item for item in equipment}
        self._equipment = Phrases(named | dict(tables["equipment"]) | kept)
        self._phrases = Phrases(tables["phrases"])
        self._mentions = Phrases(tables["not_equipment"])
        self._modifiers = Phrases(own_words | phrase_of | kept)
        self._bases = tables["bases"]
        self._default_base = tables["default_base"]
        self._barbell_lifts = frozenset(tables["barbell_lifts"])
        self._display = tables["display"]

    def parse(self, name: str, recorded_equipment: Sequence[str] = ()) -> ParsedName:
        """Read `name`.

        Args:
            name: any spelling.
            recorded_equipment: canonical equipment that the record has. It only settles whether "with bands" adds
                bands to a loaded lift or names the equipment.
        """
        qualifier, body = self._split_qualifier(name)
        words = self._spelling.replace([word for word in _words(body) if word not in _ARTICLES])
        equipment, modifiers, rest = self._take_equipment(words)
        rest = self._phrases.replace(rest)
        found, base_words = self._take_modifiers(rest)
        modifiers.extend(found)
        if _UNDECIDED_BAND in modifiers:
            modifiers = [modifier for modifier in modifiers if modifier != _UNDECIDED_BAND]
            others = [item for item in (qualifier, *equipment, *recorded_equipment) if item and item != _BAND]
            loaded = others or (" ".join(base_words) in self._barbell_lifts and _BAND not in recorded_equipment)
            if loaded and qualifier != _BAND:
                modifiers.append("banded")
            else:
                equipment.append(_BAND)
        if qualifier is not None:
            equipment.insert(0, qualifier)
        if not base_words:
            usual = (self._default_base.get(item, "") for item in (*equipment, *recorded_equipment))
            base_words = tuple(next((base for base in usual if base), "").split())
        if not base_words:  # nothing but modifiers or equipment: that is then what the exercise is called
            base_words, modifiers = tuple(_words(body)), []
        base = " ".join(base_words)
        base = self._bases.get(base, base)
        unique = sorted(dict.fromkeys(modifiers), key=self._rank.__getitem__)
        return ParsedName(base, tuple(unique), tuple(dict.fromkeys(equipment)), qualifier)

    def canonical_name(self, parsed: ParsedName, equipment: str | None) -> str:
        """The name as "[Modifier] Base (Equipment)", or without parentheses if `equipment` is None."""
        words = [self._show(modifier) for modifier in parsed.modifiers]
        if parsed.base in self._display:
            words.append(self._display[parsed.base])
        else:
            words.extend(self._show(word, first=not number) for number, word in enumerate(parsed.base.split()))
        name = " ".join(words)
        return name if equipment is None else f"{name} ({self.equipment_label(equipment)})"

    def equipment_label(self, equipment: str) -> str:
        """Canonical equipment as names show it, such as "EZ-Bar"."""
        return self._display.get(equipment, equipment.capitalize())

    def mentioned_equipment(self, text: str) -> tuple[str, ...]:
        """The canonical equipment that running text mentions; see the function of the same name."""
        equipment, _, _ = self._take_equipment(self._mentions.replace(_WORDS.findall(fold(text))))
        return tuple(dict.fromkeys(equipment))

    def words(self, name: str) -> tuple[str, ...]:
        """The words of `name` in canonical spelling: base, modifiers and equipment, each once."""
        parsed = self.parse(name)
        return tuple(dict.fromkeys((*parsed.base.split(), *parsed.modifiers, *parsed.equipment)))

    def _split_qualifier(self, name: str) -> tuple[str | None, str]:
        """The equipment in closing parentheses and the name before them; other parentheses stay in the name."""
        match = _QUALIFIER.match(name)
        if match is None:
            return None, name
        qualifier = self._values.canonical("equipment", match["inside"])
        return (None, name) if qualifier is None else (qualifier, match["name"])

    def _take_equipment(self, words: Iterable[str]) -> tuple[list[str], list[str], tuple[str, ...]]:
        equipment: list[str] = []
        modifiers: list[str] = []
        rest: list[str] = []
        for match in self._equipment.split(tuple(words)):
            if match.meaning is None:
                rest.extend(match.words)
                continue
            for item in match.meaning.split(" + "):
                if item.startswith("~"):
                    rest.extend(item.replace("~", "").split())
                elif self._values.is_canonical("equipment", item):
                    equipment.append(item)
                else:
                    modifiers.append(item)
        return equipment, modifiers, tuple(rest)

    def _take_modifiers(self, words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        modifiers: list[str] = []
        rest: list[str] = []
        for match in self._modifiers.split(words):
            if match.meaning is None or match.meaning.startswith("~"):
                rest.extend(match.words)
            else:
                modifiers.append(match.meaning)
        return tuple(modifiers), _trim(rest)

    def _show(self, word: str, *, first: bool = True) -> str:
        if word in _SMALL_WORDS and not first:
            return word
        return self._display.get(word, "-".join(part.capitalize() for part in word.split("-")))


@cache
def name_reader() -> NameReader:
    """The shipped reader, made once from `data/names.toml`."""
    return NameReader(load_table("names"), taxonomy())


def parse_name(name: str, recorded_equipment: Sequence[str] = ()) -> ParsedName:
    """Read `name` with the shipped tables; see `NameReader.parse`."""
    return name_reader().parse(name, recorded_equipment)


def family_slug(name: str, recorded_equipment: Sequence[str] = ()) -> str:
    """The slug of the family that `name` belongs to: its base without equipment and modifiers."""
    return parse_name(name, recorded_equipment).family_slug


def canonical_name(name: str, equipment: Sequence[str] = (), *, qualified: bool = True) -> str:
    """`name` as "[Modifier] Base (Equipment)"; a name without a letter or digit is returned as it is.

    Args:
        name: any spelling.
        equipment: the record's canonical equipment; the first is the one shown. Without any, the name's own.
        qualified: whether to show the equipment at all (a family of one equipment needs no qualifier).
    """
    shown = name
    for _ in range(_MAX_READINGS):
        parsed = parse_name(shown, equipment)
        if not parsed.base:
            return name
        label = next(iter((*equipment, *parsed.equipment)), None) if qualified else None
        before, shown = shown, name_reader().canonical_name(parsed, label)
        if shown == before:
            break
    return shown


def exact_equipment(name: str, equipment: Sequence[str]) -> tuple[str, ...]:
    """`equipment` with each general value replaced by the more exact one that `name` gives.

    A record that says "machine" and is called "Smith Machine Squat" is done on a Smith machine.
    """
    values = taxonomy()
    named = parse_name(name, equipment).equipment
    return tuple(
        next((item for item in named if item in values.covers.get(recorded, ())), recorded) for recorded in equipment
    )


def equipment_conflict(name: str, equipment: Sequence[str]) -> tuple[str, ...]:
    """The equipment that `name` gives outright and `equipment` contradicts; empty if they agree or either is silent.

    Only words that are equipment count: a leg curl, for one, is not taken for a machine.
    """
    if not equipment:
        return ()
    values = taxonomy()
    named = parse_name(name, equipment).equipment
    return tuple(item for item in named if not any(values.compatible(recorded, item) for recorded in equipment))


def mentioned_equipment(text: str) -> tuple[str, ...]:
    """The canonical equipment that running text mentions, each once, in the order of its first mention."""
    return name_reader().mentioned_equipment(text)


@cache
def _contrast_pairs() -> tuple[tuple[str, str], ...]:
    return tuple((one, other) for one, other in load_table("names")["contrasts"]["pairs"])


def contrasts(one: str, other: str) -> tuple[tuple[str, str], ...]:
    """The contrasting words of two names, each as (word of `one`, word of `other`); empty if nothing contrasts.

    A word that both names have contrasts with nothing. However alike the texts of two exercises are, a contrast
    means that they are different exercises.
    """
    return contrasting(name_words(one), name_words(other))


def name_words(name: str) -> frozenset[str]:
    """The words of `name` in canonical spelling: those of its base, its modifiers, its equipment."""
    return frozenset(name_reader().words(name))


def contrasting(first: frozenset[str], second: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """As `contrasts`, for names whose `name_words` are at hand: for whoever compares one with many."""
    only_first, only_second = first - second, second - first
    found = []
    for left, right in _contrast_pairs():
        if left in only_first and right in only_second:
            found.append((left, right))
        elif right in only_first and left in only_second:
            found.append((right, left))
    return tuple(found)


def _words(name: str) -> list[str]:
    """Folded words of `name`, with "Bicycling, Stationary" turned round to "stationary bicycling"."""
    if "(" not in name and name.count(",") == 1:
        head, tail = name.split(",")
        if tail.strip():
            name = f"{tail} {head}"
    return _WORDS.findall(fold(name))


def _trim(words: Sequence[str]) -> tuple[str, ...]:
    """`words` without prepositions left over at either end, and without a word said twice running."""
    kept = [word for number, word in enumerate(words) if number == 0 or word != words[number - 1]]
    while kept and kept[0] in _DANGLING:
        kept.pop(0)
    while kept and kept[-1] in _DANGLING:
        kept.pop()
    return tuple(kept)

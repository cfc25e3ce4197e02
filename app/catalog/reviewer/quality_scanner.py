"""How good an exercise is: structural gates, all of which are needed, and rules for its content.

A gate that fails means no score at all. With every gate passed, content that fails a rule scores 0.70, and 0.85 is the
best that rules can say; the rest is for people. Rules are data: one line each in `RULES`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from app.catalog.exercise import Exercise
from app.catalog.names import mentioned_equipment, parse_name
from app.catalog.taxonomy import load_table, taxonomy

GATES_PASSED = 0.70
ALL_GOOD = 0.85
MIN_NOTES = 2
GOOD_NOTES = 4
MIN_DESCRIPTION = 50
MAX_EQUIPMENT_NAMED = 2

_WORDS = re.compile(r"[a-z]+")
_MARKUP = re.compile(
    r"""(?mx)
      ^\s*(?:[-*+•◦▪‣–]\s | \(?\d{1,3}[.):]\s | \(?[a-z][.)]\s | step\s*\d | [#>]+\s | \|)  # bullet, number, heading
    | \*\*|__|~~|``? | \[[^\]\n]+\]\([^)\n]+\) | </?[a-z][^>\n]*>  # emphasis, code, link, tag
    """,
    re.IGNORECASE,
)


class RuleKind(StrEnum):
    """What a rule decides."""

    GATE = "gate"
    """Structure: failing one leaves the exercise without a score."""
    CONTENT = "content"
    """Substance and style: failing one keeps the score at 0.70."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: `passes` says whether an exercise keeps it, `remedy` what to do if not."""

    code: str
    kind: RuleKind
    passes: Callable[[Exercise], bool]
    remedy: str


@dataclass(frozen=True, slots=True)
class QualityScore:
    """The judgement on one exercise."""

    score: float | None
    """None if a gate failed, else 0.70 or 0.85."""
    failed_gates: tuple[str, ...]
    """Codes of the gates that failed, in the order of `RULES`."""
    failed_content: tuple[str, ...]
    """Codes of the content rules that failed; told whether or not the gates passed."""

    @property
    def label(self) -> str:
        """The class that reports count by: "none", "0.70" or "0.85"."""
        return "none" if self.score is None else f"{self.score:.2f}"


@dataclass(frozen=True, slots=True)
class QualityReport:
    """The judgement on many exercises, in counts."""

    total: int
    by_score: dict[str, int]
    """How many have no score, 0.70, 0.85; always all three keys."""
    failed: dict[str, int]
    """How many fail each rule; every rule's code is a key."""


def heuristic_score_exercise(exercise: Exercise) -> QualityScore:
    """Judge one exercise by all rules. Never raises for what the exercise holds."""
    failed = [rule for rule in RULES if not rule.passes(exercise)]
    gates = tuple(rule.code for rule in failed if rule.kind is RuleKind.GATE)
    content = tuple(rule.code for rule in failed if rule.kind is RuleKind.CONTENT)
    score = None if gates else GATES_PASSED if content else ALL_GOOD
    return QualityScore(score, gates, content)


def scan_quality(exercises: Iterable[Exercise]) -> QualityReport:
    """Judge `exercises`, one after the other, and count."""
    by_score: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for exercise in exercises:
        quality = heuristic_score_exercise(exercise)
        by_score[quality.label] += 1
        failed.update(quality.failed_gates + quality.failed_content)
    labels = ("none", f"{GATES_PASSED:.2f}", f"{ALL_GOOD:.2f}")
    return QualityReport(
        total=by_score.total(),
        by_score={label: by_score[label] for label in labels},
        failed={rule.code: failed[rule.code] for rule in RULES},
    )


def _name_is_qualified(exercise: Exercise) -> bool:
    if exercise.equipment == ("bodyweight",):
        return True
    qualifier = parse_name(exercise.name).qualifier
    return qualifier is not None and (not exercise.equipment or qualifier in exercise.equipment)


def _has_equipment(exercise: Exercise) -> bool:
    known = taxonomy().values["equipment"]
    return bool(exercise.equipment) and all(item in known for item in exercise.equipment)


def _is_canonical(field: str, value: str | None) -> bool:
    return taxonomy().is_canonical(field, value)


def _muscles_are_clean(exercise: Exercise) -> bool:
    muscles = exercise.primary_muscles + exercise.secondary_muscles
    return len(set(muscles)) == len(muscles) and all(_is_canonical("muscle", muscle) for muscle in muscles)


def _texts(exercise: Exercise) -> Iterator[str]:
    yield exercise.description
    for field in (
        exercise.execution_notes,
        exercise.common_mistakes,
        exercise.coaching_cues,
        exercise.suitability_notes,
        exercise.use_cases,
    ):
        yield from field


def _is_plain(exercise: Exercise) -> bool:
    return not any(_MARKUP.search(text) for text in _texts(exercise))


def _sets_up_first(exercise: Exercise) -> bool:
    """The first set-up comes before the first cue. Notes without any set-up have not set up."""
    kinds = [_note_kind(note) for note in exercise.execution_notes]
    return "setup" in kinds and ("cue" not in kinds or kinds.index("setup") < kinds.index("cue"))


def _note_kind(note: str) -> str | None:
    """What a note does, by the first word that tells: "setup", "cue", or None."""
    kinds = _kind_of_word()
    return next((kinds[word] for word in _WORDS.findall(note.lower()) if word in kinds), None)


@cache
def _kind_of_word() -> dict[str, str]:
    style = load_table("style")
    return {word: kind for kind in ("setup", "cue") for word in style[kind]}


@cache
def _not_gerund() -> frozenset[str]:
    return frozenset(load_table("style")["not_gerund"])


def _mistakes_are_gerunds(exercise: Exercise) -> bool:
    """Each mistake begins with a gerund ("Rounding the back"), after at most one "not"."""
    return all(_starts_with_gerund(mistake) for mistake in exercise.common_mistakes)


def _starts_with_gerund(text: str) -> bool:
    words = _WORDS.findall(text.lower())
    word = next((word for word in words[:2] if word != "not"), "")
    return word.endswith("ing") and word not in _not_gerund()


def _names_little_equipment(exercise: Exercise) -> bool:
    return len(mentioned_equipment(exercise.description)) <= MAX_EQUIPMENT_NAMED


def _canonical(field: str) -> Callable[[Exercise], bool]:
    return lambda exercise: _is_canonical(field, getattr(exercise, field))


def _at_least(count: int, field: str) -> Callable[[Exercise], bool]:
    """Whether a list has `count` texts that are not blank."""
    return lambda exercise: sum(1 for text in getattr(exercise, field) if text.strip()) >= count


def _is_described(exercise: Exercise) -> bool:
    return len(exercise.description.strip()) >= MIN_DESCRIPTION


_GATE, _CONTENT = RuleKind.GATE, RuleKind.CONTENT
# One rule a line. Source: the catalogue's quality standard; the numbers are the constants above.
# fmt: off
RULES: tuple[Rule, ...] = (
    Rule("NAME_QUALIFIER", _GATE, _name_is_qualified, 'name it "X (Y)" where Y is its equipment'),
    Rule("EQUIPMENT", _GATE, _has_equipment, "give canonical equipment"),
    Rule("CATEGORY", _GATE, _canonical("category"), "give a canonical category"),
    Rule("MOVEMENT_TYPE", _GATE, _canonical("movement_type"), "give a canonical movement type"),
    Rule("SPLIT", _GATE, _canonical("split"), "give a canonical split"),
    Rule("PRIMARY_MUSCLE", _GATE, _at_least(1, "primary_muscles"), "give a primary muscle"),
    Rule("EXECUTION_NOTES", _GATE, _at_least(MIN_NOTES, "execution_notes"), f"write {MIN_NOTES} notes or more"),
    Rule("DESCRIPTION", _GATE, _is_described, f"describe it in {MIN_DESCRIPTION} characters or more"),
    Rule("MUSCLE_NAMES", _GATE, _muscles_are_clean, "use canonical muscles, each once, primary or secondary"),
    Rule("PLAIN_TEXT", _GATE, _is_plain, "take markdown, numbers and bullets out of the texts"),
    Rule("MUSCLE_GROUP", _GATE, _canonical("muscle_group"), "give a canonical muscle group"),
    Rule("FOUR_NOTES", _CONTENT, _at_least(GOOD_NOTES, "execution_notes"), f"write {GOOD_NOTES} notes or more"),
    Rule("SUITABILITY", _CONTENT, _at_least(1, "suitability_notes"), "say whom it suits"),
    Rule("USE_CASES", _CONTENT, _at_least(1, "use_cases"), "say what it is used for"),
    Rule("TAGS", _CONTENT, _at_least(1, "tags"), "give a tag"),
    Rule("SETUP_FIRST", _CONTENT, _sets_up_first, "let the notes set up before they cue"),
    Rule("GERUND_MISTAKES", _CONTENT, _mistakes_are_gerunds, 'begin each mistake with a gerund ("Rounding the back")'),
    Rule("DESCRIPTION_EQUIPMENT", _CONTENT, _names_little_equipment, "describe it with at most two kinds of equipment"),
)
# fmt: on

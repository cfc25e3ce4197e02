"""Likely doubles in the catalogue, with evidence, and families that may be one: what `duplicate_detection_scan` finds.

Candidates come from `blocking`, each pair is judged by `likeness`; the time per exercise does not grow with the
catalogue. Nothing is changed here: a pair that is surely the same exercise is to be merged, a likely one is for a
person to look at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.catalog.exercise import Exercise, ExerciseStatus
from app.catalog.names import contrasts
from app.catalog.reviewer.blocking import WORD_WINDOW, candidates
from app.catalog.reviewer.likeness import Profile, Verdict, bases_apart, compare

SLIPS = 1
"""Letters by which two bases may differ, in any order of their words, to be taken for two spellings of one."""
MIN_LETTERS = 8
"""Of a base for which that holds: in shorter ones, one letter makes another word."""


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """Two exercises that are the same, or may be."""

    source_id: str
    """The one to fold into the other: the one that is described less."""
    target_id: str
    needs_review: bool
    """Whether a person has to say so first: they are alike, and not surely the same."""
    score: float
    """From 0 to 1, to list the likeliest first."""
    evidence: Mapping[str, str | float | None]
    """Names, equipment, families, reasons in plain words, and how alike the texts are (None without texts)."""


@dataclass(frozen=True, slots=True)
class MergeableFamilies:
    """Two families that may be one. Moving a family is a high risk, so that a person decides."""

    source_family: str
    """The smaller one."""
    target_family: str
    score: float
    evidence: Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """The result of one scan."""

    exercises: int
    """Active exercises looked at."""
    compared: int
    """Pairs that were compared."""
    pairs: tuple[DuplicatePair, ...]
    """The surest first. An exercise is the source of one pair at most among those that need no review."""
    families: tuple[MergeableFamilies, ...]

    def counts(self) -> dict[str, int]:
        """Findings by kind; every kind is a key."""
        review = sum(pair.needs_review for pair in self.pairs)
        return {"merge": len(self.pairs) - review, "review": review, "mergeable_families": len(self.families)}


def scan_duplicates(exercises: Iterable[Exercise]) -> DuplicateReport:
    """Look for doubles among the active exercises.

    Args:
        exercises: the catalogue, in any order; the report does not depend on it.
    """
    active = sorted(
        (each for each in exercises if each.status is ExerciseStatus.ACTIVE), key=lambda exercise: exercise.id
    )
    profiles = [Profile(exercise) for exercise in active]
    found: list[DuplicatePair] = []
    links: Counter[tuple[str, str]] = Counter()
    compared = 0
    for one, other in candidates(profiles):
        compared += 1
        likeness = compare(profiles[one], profiles[other])
        if likeness.verdict is Verdict.DIFFERENT:
            continue
        source, target = _direction(profiles[one].exercise, profiles[other].exercise)
        evidence: dict[str, str | float | None] = {
            "source": source.name,
            "target": target.name,
            "reasons": "; ".join(likeness.reasons),
            "text_similarity": likeness.text,
        }
        found.append(
            DuplicatePair(source.id, target.id, likeness.verdict is not Verdict.SAME, likeness.score, evidence)
        )
        if source.family_slug != target.family_slug:
            links[min(source.family_slug, target.family_slug), max(source.family_slug, target.family_slug)] += 1
    pairs = sorted(_one_way(found), key=lambda pair: (pair.needs_review, -pair.score, pair.source_id, pair.target_id))
    return DuplicateReport(len(active), compared, tuple(pairs), tuple(_families(active, links)))


def _direction(one: Exercise, other: Exercise) -> tuple[Exercise, Exercise]:
    """Which of two is folded into which: the better described one stays, of equal ones the one with the smaller id."""
    keep, fold = sorted((one, other), key=lambda exercise: (-_richness(exercise), exercise.id))
    return fold, keep


def _richness(exercise: Exercise) -> int:
    known = exercise.model_dump(exclude={"created_at", "updated_at"}, exclude_defaults=True)
    return 1000 * len(known) + sum(len(note) for note in exercise.execution_notes)


def _one_way(pairs: Sequence[DuplicatePair]) -> list[DuplicatePair]:
    """The pairs with at most one sure merge for each source, so that three equal ones end in one."""
    folded: set[str] = set()
    kept: list[DuplicatePair] = []
    for pair in sorted(pairs, key=lambda pair: (pair.needs_review, -pair.score, pair.source_id, pair.target_id)):
        if not pair.needs_review:
            if pair.source_id in folded or pair.target_id in folded:
                continue
            folded.add(pair.source_id)
        kept.append(pair)
    return kept


def _families(active: Sequence[Exercise], links: Counter[tuple[str, str]]) -> list[MergeableFamilies]:
    sizes = Counter(exercise.family_slug for exercise in active)
    muscles: dict[str, set[str]] = {}
    for exercise in active:
        muscles.setdefault(exercise.family_slug, set()).update(exercise.primary_muscles[:1])
    found: list[MergeableFamilies] = []
    for one, other in sorted(_family_candidates(sizes) | links.keys()):
        words, others = frozenset(one.split("-")), frozenset(other.split("-"))
        if bases_apart(words, others) or contrasts(one.replace("-", " "), other.replace("-", " ")):
            continue
        shared = bool(muscles[one] & muscles[other])
        spelling = shared and _is_spelling_of(one, other)
        if not links[one, other] and not spelling:
            continue
        source, target = sorted((one, other), key=lambda slug: (sizes[slug], slug))
        evidence: dict[str, str | int] = {
            "likely_doubles": links[one, other],
            "spelling": "two spellings of the same words" if spelling else "different words",
            "primary_muscles": ", ".join(sorted(muscles[one] | muscles[other])),
        }
        score = round(0.5 * spelling + 0.4 * bool(links[one, other]) + 0.1 * shared, 3)
        found.append(MergeableFamilies(source, target, score, evidence))
    return sorted(found, key=lambda pair: (-pair.score, pair.source_family, pair.target_family))


def _is_spelling_of(one: str, other: str) -> bool:
    from rapidfuzz.distance import OSA  # a worker that never scans starts without it

    first, second = (" ".join(sorted(slug.split("-"))) for slug in (one, other))
    return min(len(first), len(second)) >= MIN_LETTERS and OSA.distance(first, second, score_cutoff=SLIPS) <= SLIPS


def _family_candidates(slugs: Iterable[str]) -> set[tuple[str, str]]:
    """Families next to each other in the order of their letters, from either end, or of their words."""
    ordered = sorted(slugs)
    pairs: set[tuple[str, str]] = set()
    for order in (
        ordered,
        sorted(ordered, key=lambda slug: slug[::-1]),
        sorted(ordered, key=lambda slug: sorted(slug.split("-"))),
    ):
        for number, slug in enumerate(order):
            pairs.update((min(slug, next_), max(slug, next_)) for next_ in order[number + 1 : number + 1 + WORD_WINDOW])
    return pairs

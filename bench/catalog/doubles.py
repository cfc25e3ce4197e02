"""How well doubles are found: against labelled pairs of real records, and among records that were entered twice."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.catalog import Exercise
from app.catalog.reviewer.duplicates import DuplicatePair, DuplicateReport, scan_duplicates
from app.catalog.reviewer.likeness import Profile, Verdict, compare
from bench.catalog.labelled import Half, LabelledPairs, Pair, pair_of

MADE = 200
"""Records that are entered a second time."""
_RESPELLED = (
    ("push-up", "pushup"),
    ("pull-up", "pull up"),
    ("one-arm", "single arm"),
    ("one arm", "single-arm"),
    ("close-grip", "narrow grip"),
    ("dumbbell", "db"),
    ("triceps", "tricep"),
    ("flyes", "fly"),
    ("curls", "curl"),
)
_LONG_TEXT = 4


@dataclass(frozen=True, slots=True)
class Rate:
    """Right findings among all findings, and among all that there was to find."""

    right: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        """Share of the findings that are right; 1 for no findings."""
        found = self.right + self.wrong
        return self.right / found if found else 1.0

    @property
    def recall(self) -> float:
        """Share of what there was to find; 1 for nothing."""
        there = self.right + self.missed
        return self.right / there if there else 1.0


@dataclass(frozen=True, slots=True)
class MadeDoubles:
    """What became of records that were entered a second time."""

    made: int
    merged: int
    """Found, and surely the same."""
    found: int
    """Found at all, for a merge or for a person."""
    wrong_merges: int
    """Merges that appeared with them and fold something else."""


class Judge:
    """Compares reports on the real records with the labels.

    Args:
        exercises: the real records.
        labels: what is known of pairs of them.
    """

    def __init__(self, exercises: Iterable[Exercise], labels: LabelledPairs) -> None:
        self._source = {each.id: each.source.id for each in exercises if each.source is not None}
        self._labels = labels

    def pair(self, found: DuplicatePair) -> Pair:
        """The upstream ids of what was found."""
        return pair_of(self._source[found.source_id], self._source[found.target_id])

    def rate(self, found: Iterable[DuplicatePair], half: Half | None = None) -> Rate:
        """The rate of findings, of one half of the labels or of all."""
        pairs = {self.pair(each) for each in found}
        same, different = (
            {pair for pair in labelled if half is None or pair.half is half}
            for labelled in (self._labels.same, self._labels.different)
        )
        return Rate(len(pairs & same), len(pairs & different), len(same - pairs))

    def opposites(self, found: Iterable[DuplicatePair]) -> int:
        """How many of the findings are opposite movements."""
        return len({self.pair(each) for each in found} & self._labels.opposite)

    def unlabelled(self, found: Iterable[DuplicatePair]) -> list[Pair]:
        """Findings that nobody has labelled yet."""
        known = self._labels.same | self._labels.different | self._labels.undecided
        return sorted({self.pair(each) for each in found} - known)


def everything_compared(exercises: Sequence[Exercise]) -> int:
    """How many doubles there are when each record is compared with every other one, without blocking."""
    profiles = [Profile(exercise) for exercise in exercises]
    return sum(
        compare(profile, other).verdict is not Verdict.DIFFERENT
        for number, profile in enumerate(profiles)
        for other in profiles[number + 1 :]
    )


def find_made(exercises: Sequence[Exercise], seed: int) -> MadeDoubles:
    """Enter some records a second time, spelled in another way and told a little shorter, and look for them."""
    chance = random.Random(seed)
    before = scan_duplicates(exercises)
    taken = chance.sample([each for each in exercises if each.equipment and each.execution_notes], MADE)
    copies = [entered_again(exercise, chance) for exercise in taken]
    after = scan_duplicates([*exercises, *copies])
    wanted = {frozenset((exercise.id, copy.id)) for exercise, copy in zip(taken, copies, strict=True)}
    merged, found = _ids(after, merges_only=True), _ids(after)
    # A copy of a record that has a double already may be folded into that one: that is right as well.
    copy_of = {copy.id: exercise.id for exercise, copy in zip(taken, copies, strict=True)}
    doubles = {frozenset((pair.source_id, pair.target_id)) for pair in before.pairs}
    wrong = 0
    for pair in merged - wanted - _ids(before, merges_only=True):
        originals = frozenset(copy_of.get(each, each) for each in pair)
        wrong += originals not in doubles and len(originals) > 1
    return MadeDoubles(len(wanted), len(wanted & merged), len(wanted & found), wrong)


def entered_again(exercise: Exercise, chance: random.Random) -> Exercise:
    """The record as somebody else would type it in: another spelling, some other words, a sentence less."""
    name = exercise.name.lower()
    for usual, other in _RESPELLED:
        if chance.random() < 0.7:
            name = re.sub(rf"\b{usual}\b", other, name)
    if chance.random() < 0.5:
        name = name.replace("-", " ").replace("  ", " ")
    if chance.random() < 0.5:
        name = name.title()
    notes = list(exercise.execution_notes)
    if len(notes) >= _LONG_TEXT:
        notes.pop(chance.randrange(1, len(notes)))
    told = tuple(note.replace(" your ", " the ") if chance.random() < 0.5 else note for note in notes)
    fresh = {"id": f"{exercise.id}-entered-again", "slug": f"{exercise.slug}-entered-again", "name": name}
    return Exercise.model_validate({**exercise.model_dump(), **fresh, "execution_notes": told, "source": None})


def _ids(report: DuplicateReport, *, merges_only: bool = False) -> set[frozenset[str]]:
    return {
        frozenset((pair.source_id, pair.target_id)) for pair in report.pairs if not (merges_only and pair.needs_review)
    }

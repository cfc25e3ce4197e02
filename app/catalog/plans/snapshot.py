"""What a plan is made on and judged by: the part of the catalogue that was read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TypeAlias, TypeVar

from app.catalog.aliases import Alias
from app.catalog.exercise import Exercise, ExerciseStatus
from app.catalog.families import Family
from app.catalog.plans.operation import Operation, OperationKind, Target, TargetKind
from app.catalog.plans.plan import ChangePlan
from app.catalog.taxonomy import slugify

MAX_SLUG = 200
"""Characters, as `app.catalog.exercise.Slug` says."""

Item: TypeAlias = Exercise | Alias | Family
Changes: TypeAlias = Mapping[Target, Item | None]
"""New states of records by target, None for one that is taken away."""


_ItemT = TypeVar("_ItemT", Exercise, Alias, Family)


class _Changed(Mapping[str, _ItemT]):
    """A mapping with some entries changed or taken away; the rest is not copied."""

    def __init__(self, base: Mapping[str, _ItemT], changes: Mapping[str, _ItemT | None]) -> None:
        if isinstance(base, _Changed):
            changes = {**base._changes, **changes}
            base = base._base
        self._base: Mapping[str, _ItemT] = base
        self._changes: dict[str, _ItemT | None] = dict(changes)

    def __getitem__(self, key: str) -> _ItemT:
        if key not in self._changes:
            return self._base[key]
        item = self._changes[key]
        if item is None:
            raise KeyError(key)
        return item

    def __iter__(self) -> Iterator[str]:
        yield from (key for key in self._base if self._changes.get(key, self) is not None)
        yield from (key for key, item in self._changes.items() if item is not None and key not in self._base)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True)
class Snapshot:
    """Records of the catalogue as they were read together. What is not in here counts as not there."""

    exercises: Mapping[str, Exercise] = field(default_factory=dict)
    """By id."""
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    """By id; see `alias_id`."""
    families: Mapping[str, Family] = field(default_factory=dict)
    """Registry entries by slug. A family may have exercises and no entry."""
    enriched: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By exercise, the paths whose values are an enricher's guesses."""
    whole_families: frozenset[str] | None = None
    """Families all of whose exercises are here; None for every family."""

    def is_whole(self, family_slug: str) -> bool:
        """Whether `members` tells all members of the family."""
        return self.whole_families is None or family_slug in self.whole_families

    def get(self, target: Target) -> Item | None:
        """The record, or None."""
        match target.kind:
            case TargetKind.EXERCISE:
                return self.exercises.get(target.id)
            case TargetKind.ALIAS:
                return self.aliases.get(target.id)
            case TargetKind.FAMILY:
                return self.families.get(target.id)

    def members(self, family_slug: str) -> tuple[Exercise, ...]:
        """The active exercises of a family, by id."""
        return self._by_family.get(family_slug, ())

    def with_slug(self, slug: str) -> tuple[Exercise, ...]:
        """The exercises of any status with that slug, by id."""
        return self._by_slug.get(slug, ())

    @cached_property
    def _by_family(self) -> Mapping[str, tuple[Exercise, ...]]:
        active = (each for each in self.exercises.values() if each.status is ExerciseStatus.ACTIVE)
        return _grouped((each.family_slug, each) for each in active)

    @cached_property
    def _by_slug(self) -> Mapping[str, tuple[Exercise, ...]]:
        return _grouped((each.slug, each) for each in self.exercises.values())

    def aliases_of(self, exercise_id: str) -> tuple[Alias, ...]:
        """The aliases that lead to an exercise, by id."""
        found = [alias for alias in self.aliases.values() if alias.exercise_id == exercise_id]
        return tuple(sorted(found, key=lambda alias: alias.id))

    def after(self, changes: Changes) -> Snapshot:
        """The snapshot with these changes made."""
        exercises: dict[str, Exercise | None] = {}
        aliases: dict[str, Alias | None] = {}
        families: dict[str, Family | None] = {}
        for target, item in changes.items():
            match target.kind:
                case TargetKind.EXERCISE:
                    exercises[target.id] = item if isinstance(item, Exercise) else None
                case TargetKind.ALIAS:
                    aliases[target.id] = item if isinstance(item, Alias) else None
                case TargetKind.FAMILY:
                    families[target.id] = item if isinstance(item, Family) else None
        return Snapshot(
            _Changed(self.exercises, exercises) if exercises else self.exercises,
            _Changed(self.aliases, aliases) if aliases else self.aliases,
            _Changed(self.families, families) if families else self.families,
            self.enriched,
            self.whole_families,
        )


def _grouped(pairs: Iterable[tuple[str, Exercise]]) -> dict[str, tuple[Exercise, ...]]:
    groups: dict[str, list[Exercise]] = {}
    for key, exercise in pairs:
        groups.setdefault(key, []).append(exercise)
    return {key: tuple(sorted(group, key=lambda each: each.id)) for key, group in groups.items()}


@dataclass(frozen=True, slots=True)
class Touches:
    """What has to be read for a plan to be made or judged."""

    exercises: frozenset[str] = frozenset()
    """Ids."""
    families: frozenset[str] = frozenset()
    """Slugs: their entries, all their exercises, the aliases that lead to them, and those of the exercises' slugs."""
    families_of: frozenset[str] = frozenset()
    """Ids of exercises whose whole families are read as well."""
    aliases: frozenset[str] = frozenset()
    """Ids of alias records."""
    aliases_of: frozenset[str] = frozenset()
    """Ids of exercises: every alias that leads to one of them."""
    slugs: frozenset[str] = frozenset()
    """Slugs that are looked up in the whole catalogue: whoever has one, as slug or as alias."""

    @classmethod
    def of(
        cls,
        *,
        exercises: Iterable[str] = (),
        families: Iterable[str] = (),
        families_of: Iterable[str] = (),
        aliases: Iterable[str] = (),
        aliases_of: Iterable[str] = (),
        slugs: Iterable[str] = (),
    ) -> Touches:
        """From any collections."""
        return cls(
            frozenset(exercises),
            frozenset(families),
            frozenset(families_of),
            frozenset(aliases),
            frozenset(aliases_of),
            frozenset(slugs),
        )

    def __or__(self, other: Touches) -> Touches:
        return Touches(*(getattr(self, each.name) | getattr(other, each.name) for each in fields(Touches)))

    def __le__(self, other: Touches) -> bool:
        return all(getattr(self, each.name) <= getattr(other, each.name) for each in fields(Touches))


_REGROUPING = frozenset(
    {
        OperationKind.RENAME_EXERCISE,
        OperationKind.CREATE_EXERCISE,
        OperationKind.REASSIGN_FAMILY,
        OperationKind.MERGE_EXERCISE,
    }
)
"""Kinds that may break a rule about a family, so that all of it has to be looked at."""


def touched(plan: ChangePlan) -> Touches:
    """What has to be read to judge a plan and to replay it."""
    found = Touches()
    for operation in plan.operations:
        found |= touched_by(operation)
    return found


def touched_by(operation: Operation) -> Touches:
    """What has to be read to judge one operation."""
    exercises = operation.exercise_ids()
    kind, patch = operation.kind, operation.patch
    slug, family, into = (_slug(patch.get(path)) for path in ("slug", "family_slug", "merged_into"))
    families = {*operation.family_slugs(), *family}
    slugs, named, merging = set(slug), [*exercises], []
    if kind is OperationKind.DEPRECATE_FAMILY:
        families |= into
    if kind is OperationKind.MERGE_EXERCISE:
        named += into
        merging += [each for each in exercises if each not in into]
    if kind is OperationKind.UPSERT_ALIAS:
        named += _slug(patch.get("exercise_id"))
        slugs.update(each for record in operation.alias_ids() for each in _slug(record))
    return Touches.of(
        exercises=named,
        families=families,
        families_of=exercises if kind in _REGROUPING or "equipment" in patch else (),
        aliases=operation.alias_ids(),
        aliases_of=merging,
        slugs=slugs,
    )


def _slug(value: object) -> frozenset[str]:
    """A value if it is a slug, that is, one that can be looked up; whatever else it is, the validators say."""
    is_slug = isinstance(value, str) and 0 < len(value) <= MAX_SLUG and value == slugify(value)
    return frozenset((value,)) if is_slug and isinstance(value, str) else frozenset()

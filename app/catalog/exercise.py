"""The record that the catalogue is made of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

from app.catalog.names import parse_name
from app.catalog.taxonomy import slugify

ALWAYS_LOCKED = frozenset(
    {
        "id",
        "slug",
        "name",
        "family_slug",
        "status",
        "merged_into",
        "locked_fields",
        "source",
        "legacy",
        "created_at",
        "updated_at",
        "schema_version",
    }
)
"""Identity, status and times: never touched by enrichment. Jobs that change them do so by their own operations."""


class ExerciseStatus(StrEnum):
    """Where an exercise is in its life. Only active ones belong to a family's variants."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    MERGED = "merged"
    DEPRECATED = "deprecated"


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


def _check_slug(value: str) -> str:
    if value != slugify(value):
        raise ValueError(f"{value!r} is not a slug; write {slugify(value)!r}")
    return value


def _sorted_set(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(value)))


def _in_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


Slug = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_check_slug)]
UtcTime = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Words = tuple[str, ...]


class Source(_Data):
    """Where an exercise came from."""

    catalog: str
    """The name of the catalogue or format, such as "free-exercise-db"."""
    id: str
    """Its id there. A second import knows the exercise again by it."""


class Exercise(_Data):
    """One exercise. Content fields may hold whatever was imported; the quality scanner and the validators judge it."""

    schema_version: int = 1
    id: Slug
    """Stays the same for good; the slug that the exercise was created with."""
    slug: Slug
    """Follows the name. The one before becomes an alias."""
    name: str = Field(min_length=1, max_length=200)
    family_slug: Slug
    equipment: Words = ()
    """The first one is the primary equipment, which names and families go by."""
    category: str | None = None
    movement_type: str | None = None
    split: str | None = None
    level: str | None = None
    plane: str | None = None
    force: str | None = None
    mechanic: str | None = None
    muscle_group: str | None = None
    primary_muscles: Words = ()
    secondary_muscles: Words = ()
    description: str = ""
    execution_notes: Words = ()
    common_mistakes: Words = ()
    coaching_cues: Words = ()
    suitability_notes: Words = ()
    use_cases: Words = ()
    tags: Words = ()
    status: ExerciseStatus = ExerciseStatus.ACTIVE
    merged_into: Slug | None = None
    """The id of the exercise that this one was folded into; given when, and only when, the status is merged."""
    locked_fields: Annotated[Words, AfterValidator(_sorted_set)] = ()
    """Fields that enrichment leaves alone beside those in ALWAYS_LOCKED."""
    source: Source | None = None
    attributes: dict[str, JsonValue] = Field(default_factory=dict)
    """Facts without a field of their own, written and enriched under the path `attributes.<name>`."""
    legacy: dict[str, JsonValue] = Field(default_factory=dict)
    """Fields of an imported record that the catalogue has no field for."""
    created_at: UtcTime
    updated_at: UtcTime

    @model_validator(mode="after")
    def _check_merge(self) -> Self:
        if (self.status is ExerciseStatus.MERGED) != (self.merged_into is not None):
            raise ValueError("merged_into is given when, and only when, the status is merged")
        if self.merged_into == self.id:
            raise ValueError("an exercise can't be merged into itself")
        if self.updated_at < self.created_at:
            raise ValueError("updated_at is before created_at")
        return self

    @property
    def primary_equipment(self) -> str | None:
        """The equipment that the name and the family go by, or None if it is not known."""
        return self.equipment[0] if self.equipment else None

    def is_locked(self, path: str) -> bool:
        """Whether enrichment must leave the field alone. Only the part of `path` before the first dot counts."""
        field = path.partition(".")[0]
        return field in ALWAYS_LOCKED or field in self.locked_fields


def new_exercise(name: str, now: datetime, *, taken: Iterable[str] = (), **content: object) -> Exercise:
    """Make an exercise whose slug and family come from its name.

    Args:
        name: as people write it.
        now: its time of creation.
        taken: slugs that are not free; a number is added to the slug if it is one of them.
        content: any other field of `Exercise`.

    Raises:
        pydantic.ValidationError: the name has no letter or digit, or a field is wrong.
    """
    slug = free_slug(slugify(name), taken)
    equipment = content.get("equipment", ())
    recorded = tuple(item for item in equipment if isinstance(item, str)) if isinstance(equipment, tuple) else ()
    family = parse_name(name, recorded).family_slug
    fields = {"id": slug, "slug": slug, "name": name, "family_slug": family, "created_at": now, "updated_at": now}
    return Exercise.model_validate({**fields, **content})


def free_slug(slug: str, taken: Iterable[str]) -> str:
    """`slug`, or the first of `slug-2`, `slug-3`, … that is not in `taken`."""
    occupied = taken if isinstance(taken, (set, frozenset, dict)) else set(taken)
    free, number = slug, 1
    while free in occupied:
        number += 1
        free = f"{slug}-{number}"
    return free

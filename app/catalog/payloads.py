"""Payload models of the catalogue's job types. What a type needs and lacks is refused when the job is created."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.catalog.enrichment import DEFAULT_THRESHOLD, FieldSpec
from app.catalog.exercise import Slug

DEFAULT_FIELDS = (
    "equipment",
    "category",
    "movement_type",
    "split",
    "muscle_group",
    "level",
    "plane",
    "mechanic",
    "force",
)
"""What the first enricher can find out."""
MAX_SHARD = 1000
"""Exercises in one child job at most: its payload stays far below the inline limit."""
Confidence = Annotated[float, Field(ge=0, le=1)]


def _once(slugs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(slugs))


Slugs = Annotated[tuple[Slug, ...], AfterValidator(_once)]
"""Ids or families; one that is named twice counts once."""


class _Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MaintenanceScan(_Payload):
    """`maintenance_scan` takes nothing."""


class EnrichmentChoice(_Payload):
    """What to enrich, and how sure an enricher has to be."""

    fields: tuple[FieldSpec, ...] = tuple(FieldSpec(path=path) for path in DEFAULT_FIELDS)
    threshold: Confidence = DEFAULT_THRESHOLD
    """The least confidence that a value is written with."""
    overwrite: bool = False
    """Whether a valid value may be replaced."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        paths = [spec.path for spec in self.fields]
        if not paths:
            raise ValueError("MISSING_FIELDS: name at least one field to enrich")
        if doubled := sorted({path for path in paths if paths.count(path) > 1}):
            raise ValueError(f"field {doubled[0]!r} is named twice; name it once")
        return self


class EnrichField(EnrichmentChoice):
    """`catalog_enrich_field`: by ids, by family, or everything that is active."""

    exercise_ids: Slugs = ()
    families: Slugs = ()
    shard_size: int = Field(default=200, ge=1, le=MAX_SHARD)
    """Exercises in one child job."""

    @model_validator(mode="after")
    def _check_selection(self) -> Self:
        if self.exercise_ids and self.families:
            raise ValueError("exercise_ids and families are both given; select by one of them")
        return self


class EnrichShard(EnrichmentChoice):
    """`catalog_enrich_field_shard`: these exercises."""

    exercise_ids: Slugs = Field(min_length=1, max_length=MAX_SHARD)

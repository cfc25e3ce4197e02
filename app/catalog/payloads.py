"""Payload models of the catalogue's job types. What a type needs and lacks is refused when the job is created.

A refusal for something that is missing begins with a code of its own, such as `MISSING_MERGE_CONFIG`, so that whoever
creates jobs by program can tell it from a value that is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from app.catalog.enrichment import DEFAULT_THRESHOLD, DETERMINISTIC, FieldSpec
from app.catalog.exercise import Slug, Words
from app.catalog.plans.operation import OperationKind
from app.catalog.plans.paths import WRITABLE, is_writable
from app.catalog.taxonomy import slugify, taxonomy

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
MAX_NAMED = 1000
"""Exercises or aliases that one job of another type may name, so that its plan stays one that people can read."""
MAX_NAME = 150
"""Shorter than an exercise's own limit, so that a number can still be added to the slug."""
Confidence = Annotated[float, Field(ge=0, le=1)]


def _once(slugs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(slugs))


def _canonical_equipment(items: tuple[str, ...]) -> tuple[str, ...]:
    known = taxonomy().values["equipment"]
    strange = [item for item in items if item not in known]
    if strange:
        raise ValueError(f"{strange[0]!r} is no canonical equipment; take some of {', '.join(known)}")
    return tuple(dict.fromkeys(items))


def _with_a_letter(name: str) -> str:
    if not slugify(name):
        raise ValueError(f"{name!r} gives no slug; name it with at least one letter or digit")
    return name.strip()


Slugs = Annotated[tuple[Slug, ...], AfterValidator(_once)]
"""Ids or families; one that is named twice counts once."""
Equipment = Annotated[Words, AfterValidator(_canonical_equipment)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_with_a_letter)]


class _Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    needs: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Codes of refusal, each with the fields that must be there and not empty."""

    @model_validator(mode="before")
    @classmethod
    def _check_needs(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for code, fields in cls.needs.items():
                lacking = [name for name in fields if not data.get(name)]
                if lacking:
                    raise ValueError(f"{code}: give {' and '.join(lacking)}")
        return data


class _Scan(_Payload):
    create_jobs: bool = False
    """Whether the jobs that it proposes are created and started too, in its own mode. Those that are there stay."""


class MaintenanceScan(_Scan):
    """`maintenance_scan`: all families, and each exercise by itself."""


class DuplicateDetectionScan(_Scan):
    """`duplicate_detection_scan`: doubles, and families that may be one."""


class AliasInvariantScan(_Scan):
    """`alias_invariant_scan`: every alias."""


class _OneFamily(_Payload):
    needs = {"MISSING_FAMILY_SLUG": ("family_slug",)}

    family_slug: Slug


class FamilyAudit(_OneFamily):
    """`family_audit`: findings for one family."""


class FamilyNormalize(_OneFamily):
    """`family_normalize`: names of one family to "Base (Equipment)"."""


class FamilyMerge(_Payload):
    """`family_merge`: one family into another."""

    needs = {"MISSING_MERGE_CONFIG": ("source_family", "target_family")}

    source_family: Slug
    """Its exercises move; once empty it is deprecated, and its slug becomes an alias of the target."""
    target_family: Slug
    needs_review: bool = False
    """Whether a person has to approve first."""
    evidence: dict[str, JsonValue] = Field(default_factory=dict)
    """What the two were taken for one by; shown to people."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.source_family == self.target_family:
            raise ValueError(f"{self.source_family!r} can't be merged into itself; name two families")
        return self


class FamilySplit(_Payload):
    """`family_split`: exercises of some equipment into families of their own."""

    needs = {"MISSING_SPLIT_CONFIG": ("family_slug", "into")}

    family_slug: Slug
    into: dict[str, Slug]
    """The family to move to, by primary equipment. Exercises with other equipment stay."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _canonical_equipment(tuple(self.into))
        if self.family_slug in self.into.values():
            raise ValueError(f"{self.family_slug!r} is the family that is split; leave out what stays in it")
        return self


class FamilyRenameSlug(_Payload):
    """`family_rename_slug`: another slug for one family."""

    needs = {"MISSING_RENAME_CONFIG": ("family_slug", "new_slug")}

    family_slug: Slug
    new_slug: Slug

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.family_slug == self.new_slug:
            raise ValueError(f"{self.new_slug!r} is its slug already; give another one")
        return self


class ExerciseAdd(_Payload):
    """`exercise_add`: a new exercise, its family, name and slug derived from what people call it."""

    needs = {"MISSING_NAME": ("name",)}

    name: Name
    """As people write it, equipment and modifiers included."""
    equipment: Equipment = ()
    """Canonical; without it, what the name itself says."""
    level: str | None = None
    primary_muscles: Words = ()
    secondary_muscles: Words = ()
    description: str = Field(default="", max_length=4_000)
    execution_notes: Words = ()
    tags: Words = ()
    enrich: bool = True
    """Whether enrichment of the new exercise is queued."""


class FixAction(StrEnum):
    """What `targeted_fix` does."""

    RENAME = "rename"
    ARCHIVE = "archive"
    FIX_IDENTITY = "fix_identity"
    """Corrects the equipment, and derives family, name and slug again."""
    PATCH = "patch"


class TargetedFix(_Payload):
    """`targeted_fix`: one change of one exercise."""

    needs = {"MISSING_EXERCISE_ID": ("exercise_id",), "MISSING_FIX_ACTION": ("action",)}

    exercise_id: Slug
    action: FixAction
    name: Name | None = None
    """For `rename`."""
    equipment: Equipment = ()
    """For `fix_identity`: what the exercise is done with, the primary first. Without it, what the name says."""
    patch: dict[str, JsonValue] = Field(default_factory=dict)
    """For `patch`: new values by path."""
    reason: str = Field(default="", max_length=1_000)
    """Kept with the change."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = {"name": bool(self.name), "equipment": bool(self.equipment), "patch": bool(self.patch)}
        wanted = {FixAction.RENAME: "name", FixAction.PATCH: "patch"}.get(self.action)
        if wanted and not given[wanted]:
            raise ValueError(f"MISSING_FIX_CONFIG: {self.action} needs {wanted}")
        allowed = {wanted, "equipment" if self.action is FixAction.FIX_IDENTITY else None}
        if odd := [name for name, there in given.items() if there and name not in allowed]:
            raise ValueError(f"{self.action} takes no {odd[0]}; leave it out, or choose another action")
        kind = OperationKind.PATCH_EXERCISE
        if refused := [path for path in self.patch if not is_writable(kind, path)]:
            known = ", ".join(f"{path}<name>" if path.endswith(".") else path for path in sorted(WRITABLE[kind]))
            raise ValueError(f"PATH_NOT_WRITABLE: no patch writes {refused[0]!r}; take some of {known}")
        return self


class MergeCandidate(_Payload):
    """`merge_candidate`: one exercise is folded into another."""

    needs = {"MISSING_MERGE_PAIR": ("source_id", "target_id")}

    source_id: Slug
    """Gets the status merged; its slug becomes an alias of the target."""
    target_id: Slug
    needs_review: bool = False
    """Whether a person has to approve first: the exercises are alike, and not surely the same."""
    evidence: dict[str, JsonValue] = Field(default_factory=dict)
    """What the two were taken for doubles by; shown to people, and kept with the change."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.source_id == self.target_id:
            raise ValueError(f"{self.source_id!r} can't be merged into itself; name two exercises")
        return self


class AliasRepair(_Payload):
    """`alias_repair`: mends these aliases as far as it is sure what they mean."""

    needs = {"MISSING_ALIASES": ("aliases",)}

    aliases: Slugs = Field(max_length=MAX_NAMED)


class SchemaCleanup(_Payload):
    """`schema_cleanup`: removes deprecated fields of these exercises."""

    needs = {"MISSING_EXERCISE_IDS": ("exercise_ids",)}

    exercise_ids: Slugs = Field(max_length=MAX_NAMED)
    fields: tuple[str, ...] = ()
    """Only these legacy fields; by default every deprecated one."""


class EnrichmentChoice(_Payload):
    """What to enrich, and how sure an enricher has to be."""

    fields: tuple[FieldSpec, ...] = tuple(FieldSpec(path=path) for path in DEFAULT_FIELDS)
    threshold: Confidence = DEFAULT_THRESHOLD
    """The least confidence that a value is written with."""
    overwrite: bool = False
    """Whether a valid value may be replaced."""
    enricher: str = Field(default=DETERMINISTIC, min_length=1, max_length=100)
    """Who finds out the values: `deterministic`, or what the worker's settings add to it, such as `gemini`."""

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

    needs = {"MISSING_EXERCISE_IDS": ("exercise_ids",)}

    exercise_ids: Slugs = Field(min_length=1, max_length=MAX_SHARD)

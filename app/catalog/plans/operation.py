"""One change of the catalogue: what is done to which records, why, and how risky that is."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_serializer, model_validator

MAX_TARGETS = 50
"""Records that one operation changes: they and its journal line are one commit, and the line is one record."""


class OperationKind(StrEnum):
    """What an operation does. Every kind can be applied and undone."""

    RENAME_EXERCISE = "rename_exercise"
    PATCH_EXERCISE = "patch_exercise"
    MERGE_EXERCISE = "merge_exercise"
    CREATE_EXERCISE = "create_exercise"
    DEPRECATE_EXERCISE = "deprecate_exercise"
    UPSERT_ALIAS = "upsert_alias"
    DELETE_ALIAS = "delete_alias"
    REASSIGN_FAMILY = "reassign_family"
    DEPRECATE_FAMILY = "deprecate_family"
    UPDATE_REGISTRY = "update_registry"
    NO_CHANGE = "no_change"


class Risk(StrEnum):
    """How much harm an operation could do."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for the lowest; for comparing."""
        return list(Risk).index(self)


LEAST_RISK: dict[OperationKind, Risk] = {
    OperationKind.MERGE_EXERCISE: Risk.HIGH,
    OperationKind.DEPRECATE_FAMILY: Risk.HIGH,
    OperationKind.DEPRECATE_EXERCISE: Risk.MEDIUM,
    OperationKind.REASSIGN_FAMILY: Risk.MEDIUM,
    OperationKind.DELETE_ALIAS: Risk.MEDIUM,
}
"""What an operation's risk is at least; `low` where nothing is said."""


class TargetKind(StrEnum):
    """The kinds of records that operations change."""

    EXERCISE = "exercise"
    ALIAS = "alias"
    FAMILY = "family"


class Target(BaseModel):
    """One record, by kind and id. In JSON it is one text, such as `exercise/bench-press`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: TargetKind
    id: str = Field(max_length=200, pattern=r"^[^/_.\x00-\x1f\x7f-\x9f][^/\x00-\x1f\x7f-\x9f]*$")
    """The id of its record: a slug, or for an alias that another program wrote whatever that took."""

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, data: object) -> object:
        if not isinstance(data, str):
            return data
        kind, slash, record_id = data.partition("/")
        if not slash:
            raise ValueError(f"{data!r} names no record; write it as exercise/ID, alias/ID or family/SLUG")
        return {"kind": kind, "id": record_id}

    @model_serializer
    def _as_text(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"


def exercise_target(exercise_id: str) -> Target:
    """The exercise of that id."""
    return Target(kind=TargetKind.EXERCISE, id=exercise_id)


def alias_target(alias_id: str) -> Target:
    """The alias of that id; see `app.catalog.aliases.alias_id`."""
    return Target(kind=TargetKind.ALIAS, id=alias_id)


def family_target(slug: str) -> Target:
    """The family of that slug."""
    return Target(kind=TargetKind.FAMILY, id=slug)


Preview = dict[str, dict[str, JsonValue] | None]
"""By target, as text, the fields that an operation changes; None where there is no such record."""


class Operation(BaseModel):
    """One change, in one commit. Planners make them with `app.catalog.plans.building`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    id: str = Field(default="", max_length=100)
    """Its name inside of the plan, such as `op-3`; given by the plan if it is left empty."""
    kind: OperationKind
    targets: tuple[Target, ...] = ()
    """ALL records that it changes or takes away, aliases that follow from a rename or a merge included."""
    patch: dict[str, JsonValue] = Field(default_factory=dict)
    """What is written, by path; which paths each kind takes is said in `app.catalog.plans.paths`."""
    before: Preview = Field(default_factory=dict)
    """What the changed fields hold where the plan was made. Applying refuses when they hold something else by then."""
    after: Preview = Field(default_factory=dict)
    rationale: str = Field(default="", max_length=4_000)
    """Why, for people."""
    enriched: tuple[str, ...] = ()
    """The paths of the patch whose values an enricher found: guesses, from which nothing more may be concluded."""
    risk: Risk = Risk.LOW
    idempotency_seed: str = Field(default="", max_length=200)
    """Tells apart two operations of one plan that do the same; the plan gives the operation's id if it is empty."""

    def exercise_ids(self) -> tuple[str, ...]:
        """The exercises among its targets."""
        return tuple(target.id for target in self.targets if target.kind is TargetKind.EXERCISE)

    def alias_ids(self) -> tuple[str, ...]:
        """The aliases among its targets."""
        return tuple(target.id for target in self.targets if target.kind is TargetKind.ALIAS)

    def family_slugs(self) -> tuple[str, ...]:
        """The families among its targets."""
        return tuple(target.id for target in self.targets if target.kind is TargetKind.FAMILY)

    def changed(self, **fields: Any) -> Operation:
        """This operation with other fields, checked like any.

        Raises:
            pydantic.ValidationError: a field is wrong.
        """
        return Operation.model_validate({**self.model_dump(mode="json"), **fields})

"""What a field may hold, and what is asked about it."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Self, get_origin

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from app.catalog.errors import UnknownField
from app.catalog.exercise import ALWAYS_LOCKED, Exercise
from app.catalog.taxonomy import TAXONOMY_FIELD, taxonomy

ATTRIBUTES = "attributes."
MAX_TEXT = 4_000
"""Characters in one proposed text."""

_MANY = frozenset(name for name, field in Exercise.model_fields.items() if get_origin(field.annotation) is tuple)


class OutputType(StrEnum):
    """The kind of value that is asked for."""

    ENUM = "enum"
    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    OBJECT = "object"


def enrichable_paths() -> tuple[str, ...]:
    """The fields of an exercise that enrichment may write, sorted; `attributes.<name>` comes on top."""
    return tuple(sorted(set(Exercise.model_fields) - ALWAYS_LOCKED - {"attributes"}))


class FieldSpec(BaseModel):
    """One field to enrich. Everything but the path has a default that fits the field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    """A field of `Exercise`, or `attributes.<name>` for a fact without a field of its own."""
    instructions: str = Field(default="", max_length=4_000)
    """What to find out, in words, for enrichers that read."""
    output_type: OutputType = OutputType.STRING
    allowed_values: tuple[str, ...] = ()
    """For an enum: the values that are valid. A field of the taxonomy takes its canonical ones, or some of them."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: object) -> object:
        if not isinstance(data, dict) or data.get("path") not in TAXONOMY_FIELD:
            return data
        canonical = taxonomy().values[TAXONOMY_FIELD[data["path"]]]
        return {"output_type": OutputType.ENUM, **data, "allowed_values": data.get("allowed_values") or canonical}

    @model_validator(mode="after")
    def _check(self) -> Self:
        own = self.path.startswith(ATTRIBUTES) and bool(self.path.removeprefix(ATTRIBUTES).strip())
        if not own and self.path not in enrichable_paths():
            raise ValueError(str(UnknownField(self.path, (*enrichable_paths(), f"{ATTRIBUTES}<name>"))))
        if not own and self.output_type not in (OutputType.ENUM, OutputType.STRING):
            raise ValueError(f"{self.path!r} holds text; take enum or string, or the path {ATTRIBUTES}<name>")
        if (self.output_type is OutputType.ENUM) != bool(self.allowed_values):
            raise ValueError("allowed_values are given for the output type enum, and only for it")
        if self.path in TAXONOMY_FIELD:
            self._check_taxonomy(TAXONOMY_FIELD[self.path])
        return self

    def _check_taxonomy(self, field: str) -> None:
        if self.output_type is not OutputType.ENUM:
            raise ValueError(f"{self.path!r} has canonical values; leave output_type out or say enum")
        canonical = taxonomy().values[field]
        strange = [value for value in self.allowed_values if value not in canonical]
        if strange:
            raise ValueError(f"{strange[0]!r} is no canonical {field}; take some of {', '.join(canonical)}")

    @property
    def many(self) -> bool:
        """Whether the field holds a list of such values rather than one."""
        return self.path in _MANY

    def is_valid(self, value: JsonValue) -> bool:
        """Whether `value` may be written: of the type, allowed, not blank; a list without doubles where many."""
        if not self.many:
            return self._is_valid_one(value)
        if not isinstance(value, list) or not value:
            return False
        return all(self._is_valid_one(item) for item in value) and len({str(item) for item in value}) == len(value)

    def _is_valid_one(self, value: JsonValue) -> bool:
        match self.output_type:
            case OutputType.ENUM:
                return isinstance(value, str) and value in self.allowed_values
            case OutputType.STRING:
                return isinstance(value, str) and bool(value.strip()) and len(value) <= MAX_TEXT
            case OutputType.NUMBER:
                return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            case OutputType.BOOLEAN:
                return isinstance(value, bool)
            case OutputType.OBJECT:
                return isinstance(value, dict)

    def read(self, exercise: Exercise) -> JsonValue:
        """The field's present value; None if it has none."""
        if self.path.startswith(ATTRIBUTES):
            return exercise.attributes.get(self.path.removeprefix(ATTRIBUTES))
        value: JsonValue = exercise.model_dump(mode="json", include={self.path})[self.path]
        return value

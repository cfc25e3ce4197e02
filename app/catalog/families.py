"""Families: which exercises belong together is said by the exercises; a family's own record says the rest."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.catalog.exercise import Slug, UtcTime


class FamilyStatus(StrEnum):
    """Whether a family takes exercises."""

    ACTIVE = "active"
    DEPRECATED = "deprecated"


class Family(BaseModel):
    """The registry's entry of a family. One without an entry is active and has no title."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: int = 1
    slug: Slug
    title: str = Field(default="", max_length=200)
    """As people say it."""
    notes: str = Field(default="", max_length=4_000)
    status: FamilyStatus = FamilyStatus.ACTIVE
    merged_into: Slug | None = None
    """The family that took its exercises over; only when deprecated."""
    created_at: UtcTime
    updated_at: UtcTime

    @property
    def id(self) -> str:
        """Its slug."""
        return self.slug

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.merged_into is not None and self.status is not FamilyStatus.DEPRECATED:
            raise ValueError("merged_into is given only when the status is deprecated")
        if self.merged_into == self.slug:
            raise ValueError("a family can't be merged into itself")
        return self

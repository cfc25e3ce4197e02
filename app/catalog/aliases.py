"""Aliases: old slugs that still lead to an exercise or a family."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.catalog.exercise import Slug, UtcTime

FAMILY_PREFIX = "family:"
"""No slug has a colon, so an alias of a family never meets one of an exercise: both have slugs like `bench-press`."""


def alias_id(slug: str, *, family: bool = False) -> str:
    """The id of the record that leads from `slug` to an exercise, or, with `family`, to a family."""
    return f"{FAMILY_PREFIX}{slug}" if family else slug


class Alias(BaseModel):
    """An old slug and what it stands for.

    The rule is one existing target. Records may break it, so that the scan can find what other programs wrote; plans
    that break it are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    schema_version: int = 1
    id: str = Field(min_length=1, max_length=200)
    """See `alias_id`. Other programs may have written others."""
    slug: Slug
    exercise_id: Slug | None = None
    """The id of the exercise that it stands for; or else"""
    family_slug: Slug | None = None
    """the family."""
    reason: str = Field(default="", max_length=200)
    """Where it comes from, such as "rename" or "merge"."""
    created_at: UtcTime
    updated_at: UtcTime

    @property
    def space(self) -> Literal["exercise", "family"]:
        """Whether it stands where an exercise's slug could stand, or a family's; told by its id."""
        return "family" if self.id.startswith(FAMILY_PREFIX) else "exercise"

"""What is wrong with a plan."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from app.catalog.plans.fix import Fix


class Severity(StrEnum):
    """Whether a finding holds a plan up."""

    ERROR = "error"
    """The plan is not applied."""
    WARNING = "warning"
    """Told, and nothing else."""


class Finding(BaseModel):
    """One thing that is wrong with a plan, with what would mend it if a rule knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    code: str
    """Which rule was broken, such as `SLUG_TAKEN`; all of them are in docs/catalog.md."""
    severity: Severity = Severity.ERROR
    operation: str = ""
    """The id of the operation; empty if it is the plan as a whole."""
    field: str = ""
    """Such as `patch.slug` or `targets`."""
    message: str
    """What was wrong, with which value, and what to do; for people."""
    suggestion: Fix | None = None
    """What would mend it; None if somebody has to think."""

    @property
    def is_error(self) -> bool:
        """Whether it holds the plan up."""
        return self.severity is Severity.ERROR

    def __str__(self) -> str:
        place = " ".join(part for part in (self.operation, self.field) if part)
        return f"{self.code}{f' at {place}' if place else ''}: {self.message}"

"""What the seeds show and a later issue builds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Later:
    """Something that is not there yet."""

    why: str
    """Which issue covers it."""
    missing: str
    """A name that will be there with it, as `module:attribute`; when it is, this entry has to go."""


WORKFLOWS = "workflows, control and time"

LATER: dict[str, Later] = {}
"""Samples that do not run yet, under the names that they will be stored by."""

LATER_DOCUMENTS: dict[str, Later] = {}
"""Documents of which no sample runs yet."""

PARTLY: dict[str, Later] = {}
"""Samples that run, and what of their meaning comes later."""

LATER_FUNCTIONS = {
    "cleanup_expired_locks": Later(f"{WORKFLOWS}: locks", "app.jobs:cleanup_expired_locks"),
}
"""Functions that seed 004 names."""

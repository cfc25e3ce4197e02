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

LATER = {
    "003_01_scheduler_add_job": Later(
        f"{WORKFLOWS}: schedules, their misfire grace, and no overlap",
        "app.jobs.schedules",
    ),
    "003_02_max_concurrent": Later(
        f"{WORKFLOWS}: limits; the option is taken and stored, and does not limit yet",
        "app.jobs.limits",
    ),
}
"""Samples that do not run yet, under the names that they will be stored by."""

LATER_DOCUMENTS: dict[str, Later] = {}
"""Documents of which no sample runs yet."""

PARTLY = {
    "003_03_self_contained_job": Later(f"{WORKFLOWS}: being run each 90 seconds", "app.jobs.schedules"),
    "003_04_queue_processing_job": Later(f"{WORKFLOWS}: being run each 30 seconds", "app.jobs.schedules"),
    "003_05_adding_a_job": Later(f"{WORKFLOWS}: being scheduled, and at most two at once", "app.jobs.schedules"),
    "003_06_environment": Later(f"{WORKFLOWS}: the schedule obeying both variables", "app.jobs.schedules"),
    "003_07_decorator_options": Later(
        f"{WORKFLOWS}: what interval_seconds, max_concurrent, dependencies and preserve_order do", "app.jobs.limits"
    ),
    "003_10_priority_and_dependencies": Later(f"{WORKFLOWS}: what preserve_order does", "app.jobs.turns"),
}
"""Samples that run, and what of their meaning comes later."""

LATER_FUNCTIONS = {
    "cleanup_expired_locks": Later(f"{WORKFLOWS}: locks", "app.jobs:cleanup_expired_locks"),
}
"""Functions that seed 004 names."""

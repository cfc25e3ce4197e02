"""Jobs that create jobs: whose child a new one is, how deep it lies, and when that is too deep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.jobs.context import get_current_job_context
from app.jobs.errors import BadInput
from app.jobs.models import Job
from app.jobs.records import JobRecords
from app.jobs.runtime import Runtime

SHOWN = 10
"""So many of the jobs above one that is too deep are named."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a new job stands among those that created each other."""

    parent_id: str | None = None
    depth: int = 0


def running_here(runtime: Runtime) -> Job | None:
    """The job of this engine whose handler runs here; None outside of handlers."""
    context = get_current_job_context()
    # A standalone executor's jobs, and those of another engine, are not in this engine's store.
    if context is None or not context.is_of(runtime):
        return None
    job: Job = context.job
    return job


async def places_of(runtime: Runtime, parents: Sequence[str | None]) -> list[Place]:
    """Where each of some new jobs stands.

    Args:
        runtime: the engine that they are for.
        parents: for each the job that is to be its parent; None for the one whose handler creates it, if one does.

    Raises:
        BadInput: there is no such parent, or it lies as deep as jobs may.
    """
    here = running_here(runtime)
    named = [parent if parent is not None or here is None else here.id for parent in parents]
    depths = {} if here is None else {here.id: here.depth}
    ids = sorted({parent for parent in named if parent is not None and parent not in depths})
    for parent, record in zip(ids, await runtime.records.find(ids) if ids else [], strict=True):
        if record is None:
            raise BadInput("parent_id", f"there is no job {parent!r}", "create the parent first")
        depth = record.fields.get("depth")
        depths[parent] = depth if isinstance(depth, int) else 0
    places = [Place() if parent is None else Place(parent, depths[parent] + 1) for parent in named]
    for place in places:
        if place.depth > runtime.options.max_depth and place.parent_id is not None:
            raise BadInput(
                "parent_id",
                f"{place.depth} jobs created each other: {await _chain(runtime.records, place.parent_id)}",
                f"at most {runtime.options.max_depth} may (max_depth); if it has no end on purpose, use a schedule",
            )
    return places


async def _chain(records: JobRecords, job_id: str) -> str:
    """The newest jobs above a place, the first one first, with their types."""
    names: list[str] = []
    parent: str | None = job_id
    while parent is not None and len(names) < SHOWN:
        (record,) = await records.find([parent])
        if record is None:
            break
        names.append(f"{record.fields['type']} {parent}")
        above = record.fields.get("parent_id")
        parent = above if isinstance(above, str) else None
    return ("… → " if parent is not None else "") + " → ".join(reversed(names))

"""From what scans propose to jobs: each once, in the order in which they have to run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.catalog.reviewer.proposals import ProposedJob, in_order, waits_for
from app.jobs import AsyncJobManager, IdempotencyConflict, Job, JobRequest


@dataclass(frozen=True, slots=True)
class CreatedJobs:
    """What became of proposals."""

    new: tuple[Job, ...]
    """In the order in which they run."""
    known: int
    """Proposals that there is a job for already, whatever came of it: nobody has to decide the same thing twice."""


async def create_proposed(
    manager: AsyncJobManager,
    proposals: Iterable[ProposedJob],
    mode: str,
    *,
    tags: Sequence[str] = (),
) -> CreatedJobs:
    """Create and start the jobs that scans propose, as far as they are new.

    A job waits for those that change its families before it, however these end. One that waits for a person holds
    nothing up.

    Args:
        manager: of the engine that runs them.
        proposals: of one scan or several, in any order.
        mode: `dry_run` or `apply`.
        tags: what the jobs are found again by.

    Raises:
        BadInput: a payload does not fit its type; jobs of earlier steps may have been created.
    """
    began = manager.runtime.clock.now()
    ordered = in_order(proposals)
    parents = waits_for(ordered)
    made: dict[int, Job] = {}
    while len(made) < len(ordered):
        ready = [
            place
            for place in range(len(ordered))
            if place not in made and all(parent in made for parent in parents[place])
        ]
        requests = [
            JobRequest(
                type=ordered[place].type,
                payload=ordered[place].payload,
                description=ordered[place].reason[:200],
                mode=mode,
                tags=tuple(tags),
                idempotency_key=ordered[place].key(mode),
                dependencies=tuple(made[parent].id for parent in parents[place]),
                on_dependency_failure="run",
            )
            for place in ready
        ]
        made.update(zip(ready, await _create(manager, requests), strict=True))
    jobs = [made[place] for place in range(len(ordered))]
    # A call that was refused for one of its jobs may have created the others, which are then found.
    new = [job for job in jobs if not job.existing or job.created_at >= began]
    return CreatedJobs(tuple(new), len(ordered) - len(new))


async def _create(manager: AsyncJobManager, requests: Sequence[JobRequest]) -> list[Job]:
    try:
        return await manager.create_jobs(requests, auto_start=True)
    except IdempotencyConflict:
        # The same proposal with other evidence: the job that there is stands for it. Rare, so one by one then.
        return [await _create_one(manager, request) for request in requests]


async def _create_one(manager: AsyncJobManager, request: JobRequest) -> Job:
    try:
        (job,) = await manager.create_jobs([request], auto_start=True)
    except IdempotencyConflict as conflict:
        job = await manager.get_job(conflict.job_id)
        job.existing = True
    return job

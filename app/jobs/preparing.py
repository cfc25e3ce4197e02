"""From what somebody asks for to the jobs that it makes, checked, and not stored yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from app.jobs.models import Job
from app.jobs.nesting import places_of
from app.jobs.request import JobRequest, job_of
from app.jobs.runtime import Runtime


async def prepared(
    runtime: Runtime, requests: Sequence[JobRequest], *, start: bool, in_batch: bool = False
) -> list[Job]:
    """The jobs that requests make, in their order.

    Args:
        runtime: the engine that they are for.
        requests: what was asked.
        start: whether they may run at once (or after their delay), or are held.
        in_batch: whether they are for a batch, whose plan tells their ages apart.

    Raises:
        BadInput: one request is wrong.
        Exception: what a middleware's `before_create` refused them with.
    """
    now = runtime.clock.now()
    places = await places_of(runtime, [request.parent_id for request in requests])
    jobs = [
        job_of(
            request,
            runtime.registry,
            now,
            runtime.chance,
            runtime.options.shards,
            start=start,
            depth=place.depth,
        )
        for request, place in zip(requests, places, strict=True)
    ]
    for number, (place, job) in enumerate(zip(places, jobs, strict=True)):
        job.parent_id = place.parent_id
        if job.turn is not None and not in_batch:
            # They take turns in the order in which they were asked for.
            job.created_at += timedelta(microseconds=number)
    await runtime.hooks.before_create(jobs)
    return jobs

"""From what somebody asks for to the jobs that it makes, checked, and not stored yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from app.jobs.errors import BadInput
from app.jobs.models import Job
from app.jobs.request import JobRequest, job_of
from app.jobs.runtime import Runtime


async def prepared(runtime: Runtime, requests: Sequence[JobRequest], *, start: bool) -> list[Job]:
    """The jobs that requests make, in their order.

    Args:
        runtime: the engine that they are for.
        requests: what was asked.
        start: whether they may run at once (or after their delay), or are held.

    Raises:
        BadInput: one request is wrong.
        Exception: what a middleware's `before_create` refused them with.
    """
    now = runtime.clock.now()
    depths = await _depths(runtime, {request.parent_id for request in requests if request.parent_id is not None})
    jobs = [
        job_of(
            request,
            runtime.registry,
            now,
            runtime.chance,
            runtime.options.shards,
            start=start,
            depth=depths.get(request.parent_id or "", 0),
        )
        for request in requests
    ]
    for place, job in enumerate(jobs):
        if job.turn is not None:
            job.created_at += timedelta(microseconds=place)  # they take turns in the order in which they were asked for
    await runtime.hooks.before_create(jobs)
    return jobs


async def _depths(runtime: Runtime, parents: set[str]) -> dict[str, int]:
    if not parents:
        return {}
    ids = sorted(parents)
    depths: dict[str, int] = {}
    for parent, record in zip(ids, await runtime.records.find(ids), strict=True):
        if record is None:
            raise BadInput("parent_id", f"there is no job {parent!r}", "create the parent first")
        depth = record.fields.get("depth")
        depths[parent] = (depth if isinstance(depth, int) else 0) + 1
    return depths

"""`on_failure`: the job that is created when another one ends FAILED, or is put to review.

It is written in the very commit that ends the other one, under an id that follows from that job and its attempt: so
there is one for each such end, whoever settles it, and none is lost with a worker.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.jobs.clock import Clock
from app.jobs.definition import JobDefinition, define
from app.jobs.errors import BadInput, PayloadInvalid
from app.jobs.events import Start
from app.jobs.models import Job, JobStatus, Json, changed
from app.jobs.records import JobRecords
from app.jobs.registry import Registry
from app.jobs.traces import trace_of
from app.jobs.transitions import transition
from app.jobs.turns import turn_of_type
from app.jobs.waking import WakeUps
from app.stores.base import Write

logger = logging.getLogger(__name__)

FAILURES = frozenset({JobStatus.FAILED, JobStatus.NEEDS_REVIEW})
_OF_TYPE = (
    *("name", "description", "queue", "priority", "route", "idempotent", "on_failure"),
    *("max_retries", "retry_delay_seconds", "retry_backoff", "timeout_seconds"),
)
"""What a failure's job has from its type."""
_SPACE = uuid.UUID("5d0f3a86-0a52-5b0d-9df1-54b6f1e7c0aa")


def handler_type(job_type: str) -> str:
    """The type that a function given as `on_failure` is registered under."""
    return f"{job_type}.on_failure"


def failure_definition(function: Any, job_type: str) -> JobDefinition:
    """The definition of a function given as `on_failure`.

    Raises:
        BadInput: it does not take what it is to be told.
    """
    definition = define(function, {"type": handler_type(job_type)}, {})
    example = Job(id="example", type=job_type, status=JobStatus.FAILED)
    try:
        definition.check_payload(payload_about(example))
    except PayloadInvalid as problem:
        told = ", ".join(payload_about(example))
        raise BadInput("on_failure", f"job type {job_type!r}: {problem}", f"let it take {told}, or **rest") from problem
    return definition


def payload_about(job: Job) -> dict[str, Json]:
    """What a failure's job is told."""
    error = None if job.error is None else {"code": job.error.code, "message": job.error.message}
    return {
        "job_id": job.id,
        "type": job.type,
        "status": str(job.status),
        "error": error,
        "attempt": job.attempt,
    }


def job_after(job: Job, registry: Registry, now: datetime) -> Job | None:
    """The job that follows from the end of another one; None if its type asks for none.

    Args:
        job: the one that has ended FAILED, or needs review.
        registry: says what the failure's job is like; where its type is not known, it is like any.
        now: the time of creation.
    """
    if job.on_failure is None or job.status not in FAILURES:
        return None
    definition = registry.find(job.on_failure)
    options = definition.options if definition is not None else None
    # With the time of its creation: a job of a key may be deleted and created anew, and then counts from 1 again.
    seed = f"{job.id} {job.attempt} {job.created_at.isoformat()}"
    made = Job(
        id=str(uuid.uuid5(_SPACE, seed)),
        type=job.on_failure,
        parent_id=job.id,
        depth=job.depth + 1,
        payload=payload_about(job),
        metadata=dict(trace_of(job.metadata)),
        created_at=now,
        updated_at=now,
    )
    if options is not None:
        changes = {name: getattr(options, name) for name in _OF_TYPE}
        turn = turn_of_type(options.type) if options.preserve_order else None
        made = changed(made, {**changes, "max_duration_seconds": options.max_duration, "turn": turn})
    started = transition(made, Start(), now)
    started.revision = 1
    return started


class Aftermath:
    """Puts failures' jobs into the commits that end jobs."""

    def __init__(
        self, records: JobRecords, registry: Registry, max_depth: int, clock: Clock, wake_ups: WakeUps
    ) -> None:
        self._records = records
        self._registry = registry
        self._max_depth = max_depth
        self._clock = clock
        self._wake_ups = wake_ups

    def writes(self, before: Job, after: Job, now: datetime) -> Sequence[Write]:
        """What goes into the commit of this change of status."""
        made = job_after(after, self._registry, now)
        if made is None:
            return ()
        if made.depth > self._max_depth:
            logger.error("job %s failed, and no %s was created: %d deep", after.id, made.type, made.depth)
            return ()
        return self._records.insert(made)

    async def noted(self, job: Job) -> None:
        """Let workers be told of the job that was created by the end of this one, if one was."""
        made = job_after(job, self._registry, self._clock.now())
        if made is not None and made.depth <= self._max_depth:
            self._wake_ups.note(made)

"""Forgetting a job's steps from one of them on, so that a retry does them again."""

from __future__ import annotations

from app.jobs.errors import BadInput, JobNotFound
from app.jobs.events import Requeue
from app.jobs.journal import deletes_of, recorded_steps
from app.jobs.lease import LeaseParts
from app.jobs.models import Job, changed
from app.jobs.queue import MAX_TRIES
from app.jobs.steps import Step, StepKind
from app.jobs.transitions import transition
from app.stores.base import OutcomeUnknown, PreconditionFailed, Verify, Write


async def forget_steps(parts: LeaseParts, job_id: str, name: str) -> int:
    """Delete a step's record and those of all steps that were called after it.

    Returns:
        How many were forgotten.

    Raises:
        JobNotFound, IllegalTransition: there is no such job, or it cannot be retried.
        BadInput: it has no step of that name.
    """
    for _ in range(MAX_TRIES):
        (job,) = await parts.records.get([job_id], strict=False)
        if job is None:
            raise JobNotFound(job_id)
        transition(job, Requeue(), parts.clock.now())
        steps = await recorded_steps(parts.store, parts.records, job_id) if job.steps else []
        first = _named(steps, name)
        gone = [step for step in steps if step.call >= first.call]
        try:
            await _delete(parts, job, gone, len(steps) - len(gone))
        except (PreconditionFailed, OutcomeUnknown):
            continue  # somebody changed the job; what was deleted before that would have been done again anyway
        return len(gone)
    raise PreconditionFailed("jobs", job_id, "it changed under every try to forget its steps")


def _named(steps: list[Step], name: str) -> Step:
    found = [step for step in steps if step.name == name]
    if not found:
        there = ", ".join(repr(step.name) for step in steps[:20]) or "none"
        raise BadInput("from_step", f"no step is recorded as {name!r:.200}", f"recorded: {there}")
    return min(found, key=lambda step: (step.kind is not StepKind.STEP, step.call))


async def _delete(parts: LeaseParts, job: Job, gone: list[Step], left: int) -> None:
    changes: dict[str, object] = {"steps": left}
    if isinstance(job.review, dict) and any(step.kind is StepKind.REVIEW for step in gone):
        # What was decided is history: the step asks again.
        asked = {name: told for name, told in job.review.items() if name != "history"}
        changes["review"] = {"history": [*job.review.get("history", ()), asked]}
    size = parts.store.limits().writes_per_commit
    own = parts.records.update(job, changed(job, changes))
    # The last first, so that a crash in between leaves what was called before the step untouched.
    writes: list[Write] = [write for step in reversed(gone) for write in deletes_of(step)]
    while len(writes) + len(own) > size:
        await parts.commits.commit([*writes[: size - 1], Verify("jobs", job.id, job.version)])
        writes = writes[size - 1 :]
    await parts.commits.commit([*writes, *own])

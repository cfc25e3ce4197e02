"""Forgetting a job's steps from one of them on, so that a retry does them again."""

from __future__ import annotations

from collections.abc import Sequence

from app.jobs.errors import BadInput
from app.jobs.journal import deletes_of, recorded_steps
from app.jobs.lease import LeaseParts
from app.jobs.models import Job, changed
from app.jobs.steps import Step, StepKind
from app.stores.base import Verify, Write


async def forgotten(parts: LeaseParts, job: Job, name: str) -> tuple[Job, list[Write]]:
    """What forgetting a step and all steps that were called after it comes to. Nothing is written here.

    Returns:
        The job without them, and the writes that delete their records.

    Raises:
        BadInput: it has no step of that name.
    """
    steps = await recorded_steps(parts.store, parts.records, job.id) if job.steps else []
    first = _named(steps, name)
    gone = [step for step in steps if step.call >= first.call]
    changes: dict[str, object] = {"steps": len(steps) - len(gone)}
    if isinstance(job.review, dict) and any(step.kind is StepKind.REVIEW for step in gone):
        # What was decided is history: the step asks again.
        asked = {name: told for name, told in job.review.items() if name != "history"}
        changes["review"] = {"history": [*job.review.get("history", ()), asked]}
    # The last first, so that a crash in between leaves what was called before the step untouched.
    return changed(job, changes), [write for step in reversed(gone) for write in deletes_of(step)]


async def sent_ahead(parts: LeaseParts, job: Job, deletes: Sequence[Write], others: int) -> list[Write]:
    """Write those deletes that have no room in the one commit which changes the job, while the job is as it was read.

    Args:
        parts: what the engine is made of.
        job: as it was read.
        deletes: see `forgotten`.
        others: how many other writes that commit has.

    Returns:
        The deletes that go into that commit.

    Raises:
        PreconditionFailed, OutcomeUnknown: somebody changed the job. What was deleted before that would have been done
            again anyway.
    """
    size = parts.store.limits().writes_per_commit
    room = max(0, size - others)
    left = list(deletes)
    while len(left) > room:
        some = left[: min(size - 1, len(left) - room)]
        await parts.commits.commit([*some, Verify("jobs", job.id, job.version)])
        left = left[len(some) :]
    return left


def _named(steps: list[Step], name: str) -> Step:
    found = [step for step in steps if step.name == name]
    if not found:
        there = ", ".join(repr(step.name) for step in steps[:20]) or "none"
        raise BadInput("from_step", f"no step is recorded as {name!r:.200}", f"recorded: {there}")
    return min(found, key=lambda step: (step.kind is not StepKind.STEP, step.call))

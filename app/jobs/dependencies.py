"""What it means that one job depends on others: pure rules, on jobs as they were read.

A job's `unmet` names what is not COMPLETED yet. A job with many dependencies has gates there instead, records that
stand for up to `GATE_SIZE` of them each, so that a thousand jobs that end at once do not all write to one record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from app.jobs.codec import SCHEMA_VERSION
from app.jobs.events import AddDependency, DependencyFailed, DependencyMet
from app.jobs.models import Job, JobStatus, changed
from app.jobs.transitions import transition
from app.stores.base import Put, Update, Value, Verify, Write

GATE_SIZE = 32
"""Above so many dependencies a job has gates."""
MAX_DEPENDENCIES = 10_000
"""A job's record names all that it depends on, and has to stay well below what a record may hold."""
WAITING = frozenset({JobStatus.PENDING, JobStatus.PAUSED})
"""Where a job can be that something is unmet for."""

Effect = DependencyMet | DependencyFailed


def effect_of(parent: Job, keys: Iterable[str]) -> Effect:
    """What the end of a job is for one that depends on it.

    Args:
        parent: the ended job.
        keys: what in the other's `unmet` stands for it, and for nothing else.
    """
    if parent.status is JobStatus.COMPLETED:
        return DependencyMet(frozenset(keys))
    return DependencyFailed(parent.id, str(parent.status), frozenset(keys))


def linked(job: Job, parents: Sequence[Job], now: datetime) -> Job:
    """A job after it was told what it depends on; an ended dependency acts at once.

    Args:
        job: new, queued, held or paused.
        parents: what it depends on, as they are now.
        now: the time.
    """
    failed = [parent for parent in parents if parent.is_terminal and parent.status is not JobStatus.COMPLETED]
    waits_for = [parent.id for parent in parents if parent.status is not JobStatus.COMPLETED]
    job = transition(job, AddDependency(tuple(parent.id for parent in parents), tuple(waits_for)), now)
    for parent in failed:
        if job.status in WAITING:
            job = transition(job, effect_of(parent, [parent.id]), now)
    return job


def linked_again(job: Job, parents: Sequence[Job], now: datetime) -> Job:
    """An ended job that is to run again: it waits for all that is not COMPLETED, however long ago that ended.

    A job that runs whatever became of its dependencies waits only for those that have not ended.
    """
    runs_anyway = job.on_dependency_failure == "run"
    waits_for = [
        parent.id
        for parent in parents
        if parent.status is not JobStatus.COMPLETED and not (runs_anyway and parent.is_terminal)
    ]
    return transition(job, AddDependency((), tuple(waits_for)), now)


def guard(parent: Job) -> Write:
    """The write that goes with a new dependency on a job: if that one settles meanwhile, neither is applied.

    From now on it tells whoever ends it that others wait. One that has ended already is kept, as others wait for it
    to be retried. One that somebody is about to delete gets another version by it, so that the delete fails.
    """
    kept: dict[str, Value] = {"has_dependents": True, **({"deleting": False} if parent.deleting else {})}
    if parent.is_terminal:
        return Update("jobs", parent.id, {**kept, "expire_at": None}, parent.version)
    if parent.has_dependents and not parent.deleting:
        return Verify("jobs", parent.id, parent.version)
    return Update("jobs", parent.id, kept, parent.version)


def about_to_delete(job_id: str, version: str, deleting: object) -> Update | None:
    """The write before a look at who waits for a job that is to be deleted; None if it has been written.

    A guard on a job that others have waited for before may leave its version as it is. After this write it does not:
    whoever begins to wait is seen by the look, or makes a delete of this version fail. Left behind by a crash, it
    costs the next guard one write.

    Args:
        job_id: the job, which others wait for or have waited for.
        version: as it was read.
        deleting: what its record says about it.
    """
    return None if deleting else Update("jobs", job_id, {"deleting": True}, version)


def gated(job: Job, token: str) -> tuple[Job, list[Put]]:
    """A waiting job with gates instead of many unmet dependencies, and the gates; as it is if they are few.

    Args:
        job: the job, which is not stored in this state yet.
        token: makes the ids of the gates its own.
    """
    if len(job.unmet) <= GATE_SIZE:
        return job, []
    gates = [
        gate(f"{job.id}-{token}-{number}", job, job.unmet[start : start + GATE_SIZE])
        for number, start in enumerate(range(0, len(job.unmet), GATE_SIZE))
    ]
    return changed(job, {"unmet": tuple(each.id for each in gates)}), gates


def gate(gate_id: str, job: Job, unmet: tuple[str, ...]) -> Put:
    """The write of one gate."""
    fields: dict[str, Value] = {"schema_version": SCHEMA_VERSION, "job_id": job.id, "unmet": unmet}
    return Put("gates", gate_id, {**fields, "waiting_since": job.waiting_since})

"""A batch as it is to be stored: its jobs with what each waits for, cut into units that are written one after another.

Jobs come after all that depend on them, so that a job that runs and ends before the batch is whole finds them there.
Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.jobs.dependencies import effect_of, gated, guard
from app.jobs.errors import BadInput, DependencyCycle
from app.jobs.events import AddDependency
from app.jobs.graph import cycle_in, dependents_first
from app.jobs.models import Job, JobStatus, changed
from app.jobs.transitions import transition
from app.jobs.turns import lined_up
from app.stores.base import Delete, StoreLimits, Verify, Write

MAX_JOBS = 20_000
"""Most jobs of one batch."""
BYTES_SHARE = 0.5
"""How much of what a commit may hold its writes are reckoned to take at most: they are sent with their names."""
_PER_WRITE = 256
_PER_FIELD = 24


@dataclass(frozen=True, slots=True)
class Links:
    """What one job of a batch depends on."""

    inside: tuple[int, ...] = ()
    """Places in the batch."""
    outside: tuple[str, ...] = ()
    """Ids of jobs that are there already."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The jobs of a batch as they are to be stored, in the order they were asked for, and the writes."""

    jobs: list[Job]
    guards: list[Write]
    """On jobs outside of the batch that some of its jobs wait for."""
    writes: list[list[Write]]
    """Those of each job, in the order in which they have to be written."""
    outside: list[str]
    """All jobs outside of the batch that some of its jobs wait for."""

    def units(self, limits: StoreLimits, first: Sequence[Write] = ()) -> list[list[Write]]:
        """The writes in as few commits as they fit into, each whole jobs.

        Args:
            limits: what the store takes.
            first: what goes into the first of them too.
        """
        most = limits.writes_per_commit
        room = limits.bytes_per_commit * BYTES_SHARE
        units: list[list[Write]] = [list(first)]
        size = sum(map(_weight, first))
        for writes in self.writes:
            weight = sum(map(_weight, writes))
            if units[-1] and (len(units[-1]) + len(writes) > most or size + weight > room):
                units.append([])
                size = 0.0
            units[-1] += writes
            size += weight
        return units


def check_graph(links: Sequence[Links], name: Callable[[int], str]) -> list[int]:
    """The order in which the jobs are written.

    Args:
        links: what each job depends on.
        name: what a job is called in an error.

    Raises:
        BadInput: a place that is none.
        DependencyCycle: naming the jobs of a cycle.
    """
    for number, each in enumerate(links):
        for place in each.inside:
            if not 0 <= place < len(links):
                raise BadInput(
                    f"{name(number)}.dependencies",
                    f"{place} is no place in this batch",
                    f"give 0 to {len(links) - 1}, or a job's id",
                )
    parents = [each.inside for each in links]
    order = dependents_first(parents)
    if order is None:
        raise DependencyCycle([name(number) for number in cycle_in(parents)])
    return order


def plan_of(
    jobs: Sequence[Job],
    links: Sequence[Links],
    order: Sequence[int],
    outside: Mapping[str, Job],
    now: datetime,
    token: str,
    insert: Callable[[Job], list[Write]],
) -> BatchPlan:
    """What is to be written.

    Args:
        jobs: the jobs, as they would be without dependencies.
        links: what each depends on.
        order: what `check_graph` gave.
        outside: the jobs outside of the batch, as they are now.
        now: the time.
        token: makes the ids of gates the batch's own.
        insert: the writes that create a job.
    """
    has_dependents = {place for each in links for place in each.inside}
    ids = [job.id for job in jobs]
    linked: list[Job] = []
    planned: list[Job] = []
    writes: dict[int, list[Write]] = {}
    waited_for: set[str] = set()
    for number, (job, each) in enumerate(zip(jobs, links, strict=True)):
        placed = _placed(job, number, has_dependents=number in has_dependents)
        above = [outside[job_id] for job_id in each.outside]
        after = _linked(placed, [ids[place] for place in each.inside], above, now)
        waited_for.update(job_id for job_id in each.outside if job_id in set(after.unmet))
        linked.append(changed(after, {"revision": 1}))
    for number, job in enumerate(lined_up(linked, now)):
        after, gates = gated(job, token)
        planned.append(after)
        writes[number] = [*gates, *insert(after)]
    open_ones = [outside[job_id] for job_id in sorted(waited_for)]
    return BatchPlan(planned, [guard(each) for each in open_ones], [writes[n] for n in order], sorted(waited_for))


def _placed(job: Job, number: int, *, has_dependents: bool) -> Job:
    """A job that is a microsecond younger than the one before it, so that all are listed in their order."""
    made = job.created_at + timedelta(microseconds=number)
    return changed(job, {"created_at": made, "has_dependents": has_dependents})


def _linked(job: Job, inside: Sequence[str], outside: Sequence[Job], now: datetime) -> Job:
    failed = [parent for parent in outside if parent.is_terminal and parent.status is not JobStatus.COMPLETED]
    waits_for = [*inside, *(parent.id for parent in outside if parent.status is not JobStatus.COMPLETED)]
    every = (*inside, *(parent.id for parent in outside))
    job = transition(job, AddDependency(every, tuple(waits_for)), now) if every else job
    for parent in failed:
        if not job.is_terminal:
            job = transition(job, effect_of(parent, [parent.id]), now)
    return job


def _weight(write: Write) -> float:
    if isinstance(write, Delete | Verify):
        return _PER_WRITE
    return _PER_WRITE + sum(map(_field_weight, write.fields.values()))


def _field_weight(value: object) -> int:
    if isinstance(value, str):
        return _PER_FIELD + (len(value) if value.isascii() else len(value.encode()))
    return _PER_FIELD + (sum(map(_field_weight, value)) if isinstance(value, Iterable) else 0)

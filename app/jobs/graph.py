"""Graphs of jobs: cycles, and an order in which a graph can be built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.jobs.errors import BadInput
from app.jobs.models import JobStatus
from app.jobs.records import JobRecords

READ_TOGETHER = 200
"""How many jobs are asked for in one read while a graph is walked."""
MAX_WALKED = 100_000
"""A graph with more jobs above one of them is refused rather than walked."""


def dependents_first(parents: Sequence[Sequence[int]]) -> list[int] | None:
    """The numbers of a graph's jobs so that each comes before all that it depends on; None if there is a cycle.

    Args:
        parents: for each job, by number, the numbers of those it depends on.
    """
    waiting = [0] * len(parents)
    for each in parents:
        for parent in each:
            waiting[parent] += 1
    ready = [number for number, count in enumerate(waiting) if not count]
    for number in ready:  # grows while it is gone through
        for parent in parents[number]:
            waiting[parent] -= 1
            if not waiting[parent]:
                ready.append(parent)
    return ready if len(ready) == len(parents) else None


def cycle_in(parents: Sequence[Sequence[int]]) -> list[int]:
    """One cycle of a graph that has one: from a job along what it depends on, back to that job."""
    done: set[int] = set()
    for start in range(len(parents)):
        path: list[int] = []
        place: dict[int, int] = {}
        stack = [(start, 0)]
        while stack:
            number, depth = stack.pop()
            for left in path[depth:]:
                done.add(left)
                del place[left]
            del path[depth:]
            if number in place:
                return [*path[place[number] :], number]
            if number in done:
                continue
            place[number] = depth
            path.append(number)
            stack.extend((parent, depth + 1) for parent in parents[number])
        done.update(path)
    return []


async def path_up(records: JobRecords, start: str, goal: str) -> tuple[list[str] | None, int]:
    """Look for a job among all that another one depends on, directly or not.

    What is COMPLETED never waits again, so nothing is looked for behind it.

    Args:
        records: where the jobs are.
        start: the job to begin at.
        goal: the job that is looked for.

    Returns:
        The jobs from the first to the one looked for, or None if it is not there; and how many were looked at.

    Raises:
        BadInput: more jobs than can be walked.
    """
    came_from: dict[str, str | None] = {start: None}
    waiting = [start]
    while waiting:
        asked, waiting = waiting[:READ_TOGETHER], waiting[READ_TOGETHER:]
        for record in await records.find(asked):
            if record is None or record.fields.get("status") == JobStatus.COMPLETED:
                continue
            above = record.fields.get("depends_on")
            for parent in above if isinstance(above, tuple) else ():
                if parent in came_from:
                    continue
                came_from[parent] = record.id
                if parent == goal:
                    return _way_to(parent, came_from), len(came_from)
                waiting.append(parent)
        if len(came_from) > MAX_WALKED:
            raise BadInput("depends_on_id", f"more than {MAX_WALKED:,} jobs lie above it", "use a smaller graph")
    return None, len(came_from)


def _way_to(job_id: str, came_from: Mapping[str, str | None]) -> list[str]:
    way: list[str] = []
    at: str | None = job_id
    while at is not None:
        way.append(at)
        at = came_from[at]
    return way[::-1]

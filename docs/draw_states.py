"""Draws docs/states.md from the transition table itself: `python -m docs.draw_states` writes it.

Every rule of the table is tried on a job of its status, and again under each of the circumstances that can make a
difference, so the page says what the code does. A test fails when the page is out of date.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias, get_args

from app.jobs.events import (
    Abandon,
    AddDependency,
    Arrive,
    AskReview,
    BeWatched,
    Claim,
    Complete,
    Decide,
    Defer,
    DependencyFailed,
    DependencyMet,
    Event,
    Fail,
    Park,
    RemoveDependency,
    Renew,
    RequestCancel,
    RequestPause,
    Retry,
    Stop,
    Suspend,
)
from app.jobs.models import Job, JobError, JobResult, JobStatus, Outcome
from app.jobs.transitions import TRANSITIONS

PAGE = Path(__file__).with_name("states.md")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
_ERROR = JobError(code="ERROR", message="it failed")

ARGUMENTS: Mapping[type[Event], Callable[[], Event]] = {
    Claim: lambda: Claim("worker", lease_token="token", write_id="write", lease_seconds=60),  # noqa: S106 - no password
    Renew: lambda: Renew(60),
    Abandon: lambda: Abandon(15),
    Complete: lambda: Complete(JobResult(success=True)),
    Fail: lambda: Fail(_ERROR, JobResult(success=False)),
    Retry: lambda: Retry(_ERROR, NOW),
    Suspend: lambda: Suspend(NOW),
    Arrive: lambda: Arrive("event:name"),
    Park: lambda: Park("limit"),
    RequestCancel: lambda: RequestCancel("control", "reason"),
    Stop: lambda: Stop("reason"),
    RequestPause: lambda: RequestPause("control", "reason"),
    Defer: lambda: Defer(NOW),
    BeWatched: lambda: BeWatched(NOW),
    AskReview: lambda: AskReview("reason", None),
    AddDependency: lambda: AddDependency(("another",), ("another",)),
    RemoveDependency: lambda: RemoveDependency("other", "other"),
    DependencyMet: lambda: DependencyMet(frozenset({"other"})),
    DependencyFailed: lambda: DependencyFailed("other", "failed", frozenset({"other"})),
    Decide: lambda: Decide("approve", "somebody", ""),
}
"""How the events are made that need arguments."""

Case: TypeAlias = Callable[[Job, Event], tuple[Job, Event]]


def _given(**fields: Any) -> Case:
    return lambda job, event: (job.model_copy(update=fields), event)


def _rejected(job: Job, event: Event) -> tuple[Job, Event]:
    return job, replace(event, decision="reject") if isinstance(event, Decide) else event


CASES: Mapping[str, Case] = {
    "a cancel was asked for": _given(control_id="control", control_action="cancel", control_at=NOW),
    "a pause was asked for": _given(control_id="control", control_action="pause", control_at=NOW),
    "it must not run twice": _given(idempotent=False),
    "too many leases were lost": _given(lease_losses=3, max_lease_losses=3),
    "abandoned after its timeout, with no retry left": _given(outcome=Outcome.RETRIED, retries_used=3, max_retries=3),
    "it had to begin, or be decided about, by now": _given(start_before=NOW - timedelta(seconds=1)),
    "rejected": _rejected,
    "it was started and waits for that one alone": _given(unmet=("other",), waiting_since=NOW, auto_start=True),
    "it is to run all the same": _given(
        unmet=("other",), waiting_since=NOW, auto_start=True, on_dependency_failure="run"
    ),
    "it is to be held then": _given(unmet=("other",), waiting_since=NOW, on_dependency_failure="hold"),
}
"""Circumstances that may change where a rule leads, in the words of the page."""


def _job(status: JobStatus) -> Job:
    job = Job(id="job", type="type", status=status, created_at=NOW, updated_at=NOW)
    if status is not JobStatus.RUNNING:
        return job
    lease = {"attempt": 1, "lease_token": "token", "lease_started_at": NOW, "lease_expires_at": NOW}
    return job.model_copy(update=lease)


def targets(status: JobStatus, kind: type[Event]) -> dict[JobStatus, list[str]]:
    """Where the rule for this pair leads, and under which circumstances; none for where it leads else."""
    rule = TRANSITIONS[status, kind]
    job, event = _job(status), ARGUMENTS.get(kind, kind)()
    usual = rule(job, event, NOW).status
    found: dict[JobStatus, list[str]] = {usual: []}
    for words, case in CASES.items():
        to = rule(*case(job, event), NOW).status
        if to is not usual:
            found.setdefault(to, []).append(words)
    return found


def _edges() -> dict[tuple[JobStatus, JobStatus], list[str]]:
    edges: dict[tuple[JobStatus, JobStatus], list[str]] = {}
    for status, kind in TRANSITIONS:
        for to in targets(status, kind):
            if to is not status:
                edges.setdefault((status, to), []).append(kind.verb)
    return edges


def _name(status: JobStatus) -> str:
    return status.name


def diagram() -> list[str]:
    """The Mermaid lines: one edge for each pair of statuses, with the verbs that lead from one to the other."""
    lines = ["stateDiagram-v2", "    [*] --> PENDING : create"]
    lines += [f"    {_name(at)} --> {_name(to)} : {', '.join(verbs)}" for (at, to), verbs in _edges().items()]
    lines += [f"    {_name(status)} --> [*]" for status in JobStatus if status.is_terminal]
    return lines


def _cell(status: JobStatus, kind: type[Event]) -> str:
    found = targets(status, kind)
    return "; ".join(f"{_name(to)} if {' or '.join(words)}" if words else _name(to) for to, words in found.items())


def page() -> str:
    """The whole page."""
    lines = [
        "# Job states",
        "",
        "Drawn by `python -m docs.draw_states` from `TRANSITIONS` in `app/jobs/transitions.py`, the one table of all",
        "transitions. Change the table, then draw again; a test compares the two.",
        "",
        "```mermaid",
        *diagram(),
        "```",
        "",
        "Whatever is not listed is refused with `IllegalTransition`, which names what the status allows.",
        "",
        "| status | event | leads to | meaning |",
        "| --- | --- | --- | --- |",
    ]
    order = {kind: number for number, kind in enumerate(get_args(Event))}
    for status in JobStatus:
        kinds = sorted((kind for at, kind in TRANSITIONS if at is status), key=order.__getitem__)
        for kind in kinds:
            meaning = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
            lines.append(f"| {_name(status)} | {kind.verb} | {_cell(status, kind)} | {meaning} |")
        if not kinds:
            lines.append(f"| {_name(status)} | | | Final. |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

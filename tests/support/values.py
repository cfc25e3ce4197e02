"""Strategies: every JSON value, and jobs and run summaries with every field filled."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from app.jobs.models import (
    Job,
    JobError,
    JobPriority,
    JobProgress,
    JobQueue,
    JobResult,
    JobStatus,
    Outcome,
    RunSummary,
)

ANY_TEXT = st.text(st.characters())
"""Text with everything that Python's strings can hold: NUL, lone surrogates, astral characters."""
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**40, 10**41)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, 0.0, -0.0, 1, 1.0, True, "", "\x00", "\ud800", "@chunk", 2**63, -(10**40)])
    | ANY_TEXT
)
KEYS = ANY_TEXT | st.sampled_from(["", "__x__", "\x00", "\ud800", "a.b", "$set", "null"])
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=4)
EDGES: list[Any] = [
    "\x00",
    "\ud800",
    "\udfff\ud800",
    [[[]]],
    [[1, [2, [3]]], [[]]],
    10**40,
    -(10**40),
    -0.0,
    1e308,
    5e-324,
    {"": {"": ""}},
    {"__x__": 1, "__name__": {"__y__": [None]}},
    True,
    1,
    1.0,
    "@looks,like,chunks",
    {"a": [{"b": [{"c": None}]}]},
]
"""Values that one store or another would lose if they were kept as its own kinds."""


def nested(depth: int) -> Any:
    """Lists in lists, so many deep, around a number."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def exact(value: object) -> str:
    """A text that differs wherever two JSON values do: 1, 1.0 and true are three, and 0.0 is not -0.0."""
    return json.dumps(value, sort_keys=True)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made aware
SECONDS = st.floats(0.001, 1e9)
COUNTS = st.integers(0, 2**53)
ERRORS = st.builds(JobError, code=NAMES, message=TEXTS, type=TEXTS, traceback=TEXTS)
RESULTS = st.builds(
    JobResult,
    success=st.booleans(),
    data=JSON,
    error=st.none() | TEXTS,
    artifacts=st.dictionaries(TEXTS, JSON, max_size=2),
)
PROGRESS = st.builds(JobProgress, current=st.floats(0, 1e9), total=st.floats(0, 1e9), message=TEXTS)

JOB_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "type": NAMES,
    "name": TEXTS,
    "description": TEXTS,
    "queue": st.sampled_from(JobQueue),
    "priority": st.sampled_from(JobPriority),
    "route": NAMES,
    "shard": st.integers(0, 100),
    "tags": st.lists(NAMES, max_size=3, unique=True).map(tuple),
    "batch_id": st.none() | NAMES,
    "parent_id": st.none() | NAMES,
    "depth": COUNTS,
    "mode": st.none() | NAMES,
    "payload": OBJECTS,
    "settings": OBJECTS,
    "metadata": OBJECTS,
    "status": st.sampled_from(JobStatus),
    "revision": COUNTS,
    "created_at": TIMES,
    "updated_at": TIMES,
    "started_at": st.none() | TIMES,
    "finished_at": st.none() | TIMES,
    "queued_at": st.none() | TIMES,
    "ready_at": st.none() | TIMES,
    "wake_at": st.none() | TIMES,
    "parked_on": st.none() | NAMES,
    "turn": st.none() | NAMES,
    "on_failure": st.none() | NAMES,
    "holds_turn": st.booleans(),
    "allowed_at": st.none() | TIMES,
    "start_before": st.none() | TIMES,
    "attempt": COUNTS,
    "retries_used": COUNTS,
    "lease_losses": COUNTS,
    "slices": COUNTS,
    "run_seconds": SECONDS,
    "max_retries": COUNTS,
    "retry_delay_seconds": SECONDS,
    "retry_backoff": st.sampled_from(["fixed", "exponential"]),
    "timeout_seconds": st.none() | SECONDS,
    "max_duration_seconds": st.none() | SECONDS,
    "max_lease_losses": COUNTS,
    "idempotent": st.booleans(),
    "idempotency_key": st.none() | TEXTS,
    "worker_id": st.none() | NAMES,
    "lease_token": st.none() | NAMES,
    "lease_started_at": st.none() | TIMES,
    "lease_expires_at": st.none() | TIMES,
    "write_id": st.none() | NAMES,
    "progress": PROGRESS,
    "checkpoint": JSON,
    "result": st.none() | RESULTS,
    "error": st.none() | ERRORS,
    "outcome": st.none() | st.sampled_from(Outcome),
    "log_length": COUNTS,
    "results_saved": COUNTS,
    "idle_slices": st.integers(0, 9),
    "waiting_for": st.none() | NAMES,
    "steps": st.integers(0, 9),
    "review": JSON,
    "control_id": st.none() | NAMES,
    "control_action": st.sampled_from([None, "cancel", "pause"]),
    "control_reason": st.none() | TEXTS,
    "control_at": st.none() | TIMES,
    "watched_until": st.none() | TIMES,
    "depends_on": st.lists(NAMES, max_size=3, unique=True).map(tuple),
    "unmet": st.lists(NAMES, max_size=3, unique=True).map(tuple),
    "waiting_since": st.none() | TIMES,
    "auto_start": st.booleans(),
    "start_at": st.none() | TIMES,
    "on_dependency_failure": st.sampled_from(["cancel", "run", "hold"]),
    "has_dependents": st.booleans(),
    "deleting": st.booleans(),
    "release": st.sampled_from([None, "pending", "done"]),
    "expire_at": st.none() | TIMES,
}
"""What each stored field of a job may hold."""

RUN_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "job_id": NAMES,
    "type": NAMES,
    "queue": st.sampled_from(JobQueue),
    "priority": st.sampled_from(JobPriority),
    "attempt": COUNTS,
    "outcome": st.sampled_from(Outcome),
    "counted": st.booleans(),
    "status": st.sampled_from(JobStatus),
    "worker_id": st.none() | NAMES,
    "started_at": TIMES,
    "ended_at": TIMES,
    "duration_seconds": SECONDS,
    "waited_seconds": SECONDS,
    "retries_used": COUNTS,
    "lease_losses": COUNTS,
    "message": TEXTS,
    "error": st.none() | ERRORS,
    "details": JSON,
    "batch_id": st.none() | NAMES,
    "parent_id": st.none() | NAMES,
    "expire_at": st.none() | TIMES,
}
"""What each stored field of a run summary may hold."""


def jobs(job_id: str = "job-1") -> st.SearchStrategy[Job]:
    """Jobs with anything in any field."""
    return st.fixed_dictionaries(JOB_VALUES).map(lambda fields: Job(id=job_id, **fields))


def runs(run_id: str = "job-1-1") -> st.SearchStrategy[RunSummary]:
    """Run summaries with anything in any field."""
    return st.fixed_dictionaries(RUN_VALUES).map(lambda fields: RunSummary(id=run_id, **fields))

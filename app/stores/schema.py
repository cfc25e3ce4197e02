"""Every collection and every query shape, in one place. Stores make tables and indexes from it."""

from __future__ import annotations

from collections.abc import Mapping

from app.stores.base import Collection, Kind, Order, Query, Shape, UnknownShape

SCHEMA_VERSION = 1
"""Stored in every record as `schema_version`; raised when the meaning of a stored field changes."""

_K, _T, _I, _F, _B, _AT, _KS = (Kind.KEY, Kind.TEXT, Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.TIME, Kind.KEYS)

JOBS = Collection(
    "jobs",
    {
        "schema_version": _I,
        "type": _K,
        "name": _T,
        "description": _T,
        "queue": _K,
        "priority": _I,
        "route": _K,
        "shard": _I,
        "tags": _KS,
        "batch_id": _K,
        "parent_id": _K,
        "depth": _I,
        "mode": _K,
        "payload": _T,
        "settings": _T,
        "metadata": _T,
        "status": _K,
        "revision": _I,
        "created_at": _AT,
        "updated_at": _AT,
        "started_at": _AT,
        "finished_at": _AT,
        "queued_at": _AT,
        "ready_at": _AT,
        "wake_at": _AT,
        "parked_on": _K,
        "waiting_for": _K,
        "turn": _K,
        "holds_turn": _B,
        "allowed_at": _AT,
        "start_before": _AT,
        "attempt": _I,
        "retries_used": _I,
        "lease_losses": _I,
        "slices": _I,
        "idle_slices": _I,
        "run_seconds": _F,
        "max_retries": _I,
        "retry_delay_seconds": _F,
        "retry_backoff": _K,
        "timeout_seconds": _F,
        "max_duration_seconds": _F,
        "max_lease_losses": _I,
        "idempotent": _B,
        "idempotency_key": _T,
        "on_failure": _K,
        "worker_id": _K,
        "lease_token": _K,
        "lease_started_at": _AT,
        "lease_expires_at": _AT,
        "write_id": _K,
        "progress": _T,
        "checkpoint": _T,
        "result": _T,
        "error": _T,
        "outcome": _K,
        "log_length": _I,
        "results_saved": _I,
        "steps": _I,
        "review": _T,
        "control_id": _K,
        "control_action": _K,
        "control_reason": _T,
        "control_at": _AT,
        "watched_until": _AT,
        "depends_on": _KS,
        "unmet": _KS,
        "waiting_since": _AT,
        "auto_start": _B,
        "start_at": _AT,
        "on_dependency_failure": _K,
        "has_dependents": _B,
        "deleting": _B,
        "release": _K,
        "expire_at": _AT,
    },
)

RUNS = Collection(
    "runs",
    {
        "schema_version": _I,
        "job_id": _K,
        "type": _K,
        "queue": _K,
        "priority": _I,
        "batch_id": _K,
        "parent_id": _K,
        "attempt": _I,
        "outcome": _K,
        "counted": _B,
        "status": _K,
        "worker_id": _K,
        "started_at": _AT,
        "ended_at": _AT,
        "duration_seconds": _F,
        "waited_seconds": _F,
        "retries_used": _I,
        "lease_losses": _I,
        "message": _T,
        "error": _T,
        "details": _T,
        "expire_at": _AT,
    },
)

LOGS = Collection(
    "logs", {"schema_version": _I, "job_id": _K, "first": _I, "count": _I, "entries": _T, "expire_at": _AT}
)
RESULTS = Collection(
    "results",
    {"schema_version": _I, "job_id": _K, "seq": _I, "attempt": _I, "saved_at": _AT, "data": _T, "expire_at": _AT},
)
STEPS = Collection("steps", {"schema_version": _I, "job_id": _K, "call": _I, "about": _T, "result": _T})
EVENTS = Collection(
    "events",
    {"schema_version": _I, "name": _K, "target": _K, "sent_at": _AT, "sent_by": _T, "data": _T, "untold_since": _AT},
)
ONCE = Collection("once", {"schema_version": _I, "about": _T, "result": _T, "touched_at": _AT})
CHUNKS = Collection("chunks", {"schema_version": _I, "job_id": _K, "seq": _I, "text": _T, "expire_at": _AT})
ROLLUPS = Collection("rollups", {"schema_version": _I, "hour": _AT, "made_at": _AT, "counts": _T})
GATES = Collection("gates", {"schema_version": _I, "job_id": _K, "unmet": _KS, "waiting_since": _AT})
"""Each stands for some dependencies of one job, so that no record is written by all of many parents."""
LIMITS = Collection(
    "limits",
    {
        "schema_version": _I,
        "holder": _K,
        "job_id": _K,
        "epoch": _I,
        "expires_at": _AT,
        "queues": _KS,
        "types": _KS,
    },
)
"""Who may go on: what is paused; and permits, rates, turns and locks, each a small record under its own name."""
SCHEDULES = Collection(
    "schedules", {"schema_version": _I, "definition": _T, "state": _T, "created_at": _AT, "next_at": _AT}
)
UNIQUES = Collection("uniques", {"schema_version": _I, "job_id": _K, "until": _AT, "look_at": _AT})
"""Which job a uniqueness key belongs to, and until when."""
BATCHES = Collection(
    "batches",
    {
        "schema_version": _I,
        "status": _K,
        "name": _T,
        "total": _I,
        "digest": _K,
        "on_complete": _K,
        "pages": _I,
        "created_at": _AT,
        "updated_at": _AT,
    },
)
MANIFESTS = Collection("manifests", {"schema_version": _I, "text": _T, "delete_at": _AT})
"""Pages of what a large batch is going to be."""
EXERCISES = Collection(
    "exercises",
    {
        "schema_version": _I,
        "slug": _K,
        "family": _K,
        "status": _K,
        "name": _T,
        "equipment": _KS,
        "document": _T,
        "created_at": _AT,
        "updated_at": _AT,
    },
)

ALIASES = Collection("exercise_aliases", {"schema_version": _I, "target": _K, "document": _T, "created_at": _AT})
"""Old slugs; `target` is the kind and id of what an alias stands for."""
FAMILIES = Collection("exercise_families", {"schema_version": _I, "document": _T, "created_at": _AT})
CHANGES = Collection("catalog_changes", {"schema_version": _I, "document": _T, "made_at": _AT})
"""One record for each plan that was applied to the catalogue."""
CATALOG_LINES = Collection(
    "catalog_lines",
    {"schema_version": _I, "change_id": _K, "number": _I, "document": _T, "undone_at": _AT},
)
"""One for each operation that was applied: what was there before and after. Its id says that it was applied."""

COLLECTIONS: tuple[Collection, ...] = (
    JOBS,
    RUNS,
    LOGS,
    RESULTS,
    STEPS,
    EVENTS,
    ONCE,
    CHUNKS,
    ROLLUPS,
    GATES,
    BATCHES,
    MANIFESTS,
    LIMITS,
    SCHEDULES,
    UNIQUES,
    EXERCISES,
    ALIASES,
    FAMILIES,
    CHANGES,
    CATALOG_LINES,
)

_JOB_FILTERS = ("status", "type", "queue", "batch_id", "parent_id")

SHAPES: tuple[Shape, ...] = (
    Shape(
        "jobs.ready",
        "jobs",
        (Order("priority", descending=True), Order("ready_at")),
        equal=("status", "queue"),
        within=("route", "shard"),
    ),
    Shape("jobs.ready_by_age", "jobs", (Order("ready_at"),), optional=("queue",)),
    Shape("jobs.due", "jobs", (Order("wake_at"),), optional=("queue",)),
    Shape("jobs.expiring", "jobs", (Order("start_before"),), equal=("status",)),
    Shape("jobs.leased", "jobs", (Order("lease_expires_at"),)),
    Shape("jobs.list", "jobs", (Order("created_at"),), optional=_JOB_FILTERS, contains="tags", reversible=True),
    Shape(
        "jobs.by_priority",
        "jobs",
        (Order("priority"), Order("created_at")),
        optional=_JOB_FILTERS,
        contains="tags",
        reversible=True,
    ),
    Shape("jobs.finished", "jobs", (Order("finished_at"),), optional=_JOB_FILTERS, contains="tags", reversible=True),
    Shape("jobs.releasing", "jobs", (Order("finished_at"),), equal=("release",)),
    # What is parked, by what it is parked on. Few jobs are, and others take no room in the indexes.
    Shape("jobs.parked", "jobs", (Order("parked_on"), Order("priority", descending=True), Order("created_at"))),
    Shape("jobs.parked_by_age", "jobs", (Order("parked_on"), Order("created_at"))),
    Shape("jobs.awaiting", "jobs", (Order("waiting_for"), Order("created_at"))),
    Shape("limits.expiring", "limits", (Order("expires_at"),)),
    # Only what still waits has the time that these two sort by, so other jobs take no room in their indexes.
    Shape("jobs.waiting", "jobs", (Order("waiting_since"),), contains="unmet"),
    Shape("gates.waiting", "gates", (Order("waiting_since"),), contains="unmet"),
    Shape("jobs.dependents", "jobs", (Order("created_at"),), contains="depends_on"),
    Shape("batches.list", "batches", (Order("created_at"),), optional=("status",), reversible=True),
    Shape("manifests.expiring", "manifests", (Order("delete_at"),)),
    Shape("runs.list", "runs", (Order("ended_at"),), optional=("job_id", "type", "queue", "outcome"), reversible=True),
    Shape("logs.of_job", "logs", (Order("first"),), equal=("job_id",), reversible=True),
    Shape("results.of_job", "results", (Order("seq"),), equal=("job_id",)),
    Shape("steps.of_job", "steps", (Order("call"),), equal=("job_id",)),
    Shape("events.sent", "events", (Order("sent_at"),), equal=("name", "target")),
    Shape("events.untold", "events", (Order("untold_since"),)),
    Shape("events.list", "events", (Order("sent_at"),), optional=("name",), reversible=True),
    Shape("once.touched", "once", (Order("touched_at"),)),
    Shape("chunks.of_job", "chunks", (Order("seq"),), equal=("job_id",)),
    Shape("rollups.list", "rollups", (Order("hour"),), reversible=True),
    Shape("schedules.due", "schedules", (Order("next_at"),)),
    Shape("schedules.list", "schedules", (Order("created_at"),)),
    Shape("uniques.stale", "uniques", (Order("look_at"),)),
    Shape("exercises.list", "exercises", (Order("created_at"),), optional=("status", "family")),
    Shape("exercises.by_slug", "exercises", (Order("created_at"),), equal=("slug",)),
    Shape("aliases.list", "exercise_aliases", (Order("created_at"),), optional=("target",)),
    Shape("families.list", "exercise_families", (Order("created_at"),)),
    Shape("changes.list", "catalog_changes", (Order("made_at"),), reversible=True),
    Shape("catalog_lines.of_change", "catalog_lines", (Order("number"),), equal=("change_id",)),
)

BY_NAME: Mapping[str, Collection] = {collection.name: collection for collection in COLLECTIONS}
SHAPE_BY_NAME: Mapping[str, Shape] = {shape.name: shape for shape in SHAPES}


def shape_of(query: Query) -> Shape:
    """The declared shape of a query, checked against what it filters by.

    Raises:
        UnknownShape: naming the shape or the filter, and what there is instead.
    """
    shape = SHAPE_BY_NAME.get(query.shape)
    if shape is None:
        raise UnknownShape(f"no query shape is called {query.shape!r}; declared: {', '.join(SHAPE_BY_NAME)}")
    allowed = {*shape.equal, *shape.optional, *((shape.contains,) if shape.contains else ())}
    if unknown := sorted(set(query.where) - allowed):
        raise UnknownShape(
            f"query shape {shape.name!r} has no filter {', '.join(map(repr, unknown))}; "
            f"it has: {', '.join(sorted(allowed)) or 'none'}"
        )
    if missing := sorted(name for name in shape.equal if query.where.get(name) is None):
        raise UnknownShape(f"query shape {shape.name!r} needs a value for {', '.join(map(repr, missing))}")
    if query.reverse and not shape.reversible:
        raise UnknownShape(f"query shape {shape.name!r} is not declared in reverse order")
    return shape

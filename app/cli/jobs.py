"""`torpor jobs`: list, show, cancel, retry and delete."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import typer

from app.cli.output import (
    counted,
    job_json,
    jobs_table,
    print_json,
    progress_text,
    runs_table,
    seconds,
    section,
    short_time,
)
from app.cli.session import engine, run
from app.cli.tables import Column, table
from app.jobs import Job, JobResults, LogEntry, RunSummary, Step

app = typer.Typer(help="Look at jobs and steer them.", no_args_is_help=True)

SAVED_SHOWN = 200
"""Characters that are shown of one saved result."""
_FIRST = ("id", "type", "status")
_ALWAYS = {*_FIRST, "queue", "priority"}
_CONTENTS = ("review", "checkpoint", "payload", "settings", "metadata")
"""Fields that hold any JSON value, and are shown by themselves."""
_NOT_FACTS = {*_CONTENTS, "result", "lease_token", "write_id", "control_id", "revision", "idempotent", "depth"}

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]


@app.command("list")
def list_jobs(
    status: Annotated[str | None, typer.Option(help="Only jobs in this status.")] = None,
    job_type: Annotated[str | None, typer.Option("--type", help="Only jobs of this type.")] = None,
    queue: Annotated[str | None, typer.Option(help="priority or maintenance.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only jobs with this tag; repeated: with all of them.")] = None,
    batch: Annotated[str | None, typer.Option(help="Only jobs of this batch.")] = None,
    parent: Annotated[str | None, typer.Option(help="Only jobs that this job created.")] = None,
    created_after: Annotated[str | None, typer.Option(help="ISO time, UTC if it has no zone.")] = None,
    created_before: Annotated[str | None, typer.Option(help="ISO time, UTC if it has no zone.")] = None,
    sort_by: Annotated[str, typer.Option(help="created_at, priority or finished_at.")] = "created_at",
    sort_order: Annotated[str, typer.Option(help="asc or desc.")] = "desc",
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Jobs, newest first unless sorted otherwise."""
    filters: dict[str, Any] = {
        "status": status,
        "type": job_type,
        "queue": queue,
        "tags": tuple(tag or ()),
        "batch_id": batch,
        "parent_id": parent,
        "created_after": created_after,
        "created_before": created_before,
        "sort_by": sort_by,
        "sort_order": sort_order,
    }

    async def work() -> list[Job]:
        async with engine() as manager:
            return await manager.list_jobs(limit=limit, offset=offset, **filters)

    jobs = run(work)
    if as_json:
        print_json([job_json(job) for job in jobs])
    else:
        jobs_table(jobs)


@app.command("show")
def show(job_id: JobId, as_json: JsonFlag = False) -> None:
    """One job: what it is, what it left, its runs and its log."""

    async def work() -> tuple[Job, JobResults | None, list[RunSummary], list[LogEntry]]:
        async with engine() as manager:
            job = await manager.get_job(job_id)
            results = await manager.get_job_results(job_id)
            runs = await manager.get_run_history(job_id=job_id)
            return job, results, runs, await manager.get_logs(job_id)

    job, results, runs, log = run(work)
    if as_json:
        shown = job_json(job)
        shown["results"] = None if results is None else {"result": results.result, "saved": results.saved}
        shown["runs"] = [summary.model_dump(mode="json") for summary in runs]
        shown["log"] = [entry.model_dump(mode="json") for entry in log]
        print_json(shown)
        return
    show_job(job)
    if results is not None and results.saved:
        saved = ((number, json.dumps(data, default=str)[:SAVED_SHOWN]) for number, data in enumerate(results.saved, 1))
        table("Saved results", ("#", Column("data, or its beginning", text=True)), saved)
    if runs:
        runs_table(runs)
    if log:
        rows = ((entry.number, short_time(entry.at), entry.level, entry.message) for entry in log)
        table("Log", ("#", Column("at (UTC)", 1), "level", Column("message", text=True)), rows)


def show_job(job: Job) -> None:
    """A job's own fields: the plain ones in a table, then those that hold JSON."""
    facts: dict[str, Any] = {
        **job.model_dump(include=set(_FIRST)),
        "error": f"{job.error.code}: {job.error.message}" if job.error is not None else "",
        "progress": f"{progress_text(job)} {job.progress.message}".strip(),
        "priority": job.priority.name.lower(),
        "tags": ", ".join(job.tags),
        **job.model_dump(exclude={*_NOT_FACTS, *_FIRST, "error", "progress", "priority", "tags"}),
    }
    told = [(name, _fact(value)) for name, value in facts.items() if _is_told(name, value)]
    table(f"Job {job.id}", ("field", Column("value", text=True)), told)
    contents = {"result": job.result.data if job.result is not None else None}
    contents.update((name, getattr(job, name)) for name in _CONTENTS)
    for name, value in contents.items():
        if value not in (None, {}):
            section(name, value)


def _is_told(name: str, value: Any) -> bool:
    """Whether a field says anything: what every job has by default does not."""
    if value in (None, "", 0, ()):
        return False
    return name in _ALWAYS or value != Job.model_fields[name].default


def _fact(value: Any) -> Any:
    """A field's value for people."""
    if isinstance(value, datetime):
        return f"{short_time(value)} UTC"
    if isinstance(value, float):
        return seconds(value)
    return ", ".join(map(str, value)) if isinstance(value, tuple) else value


def tell_changed(job: Job, as_json: bool) -> None:
    """How a job stands that was changed."""
    if as_json:
        print_json(job_json(job))
    else:
        typer.echo(f"job {job.id} is {job.status}" + (" (its holder is told)" if job.control_action else ""))


@app.command("cancel")
def cancel(
    job_id: JobId,
    reason: Annotated[str, typer.Option(help="Kept with the job.")] = "cancelled on request",
    dependents: Annotated[bool, typer.Option("--dependents", help="Cancel all that waits for it too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """End a job as CANCELLED; a running one is told at its next write."""

    async def work() -> Job:
        async with engine() as manager:
            return await manager.cancel_job(job_id, reason, dependents=dependents)

    tell_changed(run(work), as_json)


@app.command("pause")
def pause(
    job_id: JobId,
    reason: Annotated[str, typer.Option(help="Kept with the job.")] = "paused on request",
    as_json: JsonFlag = False,
) -> None:
    """Hold a job; a running one goes back at its next checkpoint or step."""

    async def work() -> Job:
        async with engine() as manager:
            return await manager.pause_job(job_id, reason)

    tell_changed(run(work), as_json)


@app.command("resume")
def resume(job_id: JobId, as_json: JsonFlag = False) -> None:
    """Let a paused job go on."""

    async def work() -> Job:
        async with engine() as manager:
            return await manager.resume_job(job_id)

    tell_changed(run(work), as_json)


@app.command("start")
def start(job_id: JobId, as_json: JsonFlag = False) -> None:
    """Let a held job run; it waits for what it depends on."""

    async def work() -> Job:
        async with engine() as manager:
            return await manager.start_job(job_id)

    tell_changed(run(work), as_json)


@app.command("steps")
def steps(job_id: JobId, as_json: JsonFlag = False) -> None:
    """What a job's handler has recorded, in the order of its calls."""

    async def work() -> list[Step]:
        async with engine() as manager:
            return await manager.get_steps(job_id)

    found = run(work)
    if as_json:
        names = ("name", "kind", "call", "attempt", "started_at", "ended_at", "value")
        print_json([{name: getattr(step, name) for name in names} for step in found])
        return
    columns = ("#", "step", "kind", Column("attempt", 1), Column("at (UTC)", 2), Column("value", text=True))
    rows = (
        (each.call, each.name, each.kind, each.attempt, short_time(each.started_at), _beginning(each.value))
        for each in found
    )
    table("Steps", columns, rows)


def _beginning(value: Any) -> str:
    return json.dumps(value, default=str)[:SAVED_SHOWN]


@app.command("retry")
def retry(
    job_id: JobId,
    from_step: Annotated[
        str | None, typer.Option(help="Do this recorded step again, and those that were called after it.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a job again that failed, was cancelled or waits for review."""

    async def work() -> Job:
        async with engine() as manager:
            return await manager.retry_job(job_id, from_step=from_step)

    tell_changed(run(work), as_json)


@app.command("requeue")
def requeue(
    status: Annotated[str, typer.Option(help="failed, cancelled or needs_review.")] = "failed",
    job_type: Annotated[str | None, typer.Option("--type", help="Only jobs of this type.")] = None,
    queue: Annotated[str | None, typer.Option(help="priority or maintenance.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only jobs with this tag; repeated: with all of them.")] = None,
    batch: Annotated[str | None, typer.Option(help="Only jobs of this batch.")] = None,
    created_after: Annotated[str | None, typer.Option(help="ISO time, UTC if it has no zone.")] = None,
    created_before: Annotated[str | None, typer.Option(help="ISO time, UTC if it has no zone.")] = None,
    rate: Annotated[float | None, typer.Option(help="So many of them may begin each second.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, the oldest.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="From the beginning, not from their checkpoints.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run many ended jobs again, the oldest first."""
    filters: dict[str, Any] = {
        "status": status,
        "type": job_type,
        "queue": queue,
        "tags": tuple(tag or ()),
        "batch_id": batch,
        "created_after": created_after,
        "created_before": created_before,
    }

    async def work() -> int:
        async with engine() as manager:
            return await manager.retry_jobs(limit=limit, rate_per_second=rate, keep_checkpoint=not fresh, **filters)

    count = run(work)
    if as_json:
        print_json({"requeued": count})
    else:
        typer.echo(f"{counted(count, 'job')} to run again")


@app.command("delete")
def delete(job_id: JobId, as_json: JsonFlag = False) -> None:
    """Remove a job that does not run; its run summaries stay."""

    async def work() -> None:
        async with engine() as manager:
            await manager.delete_job(job_id)

    run(work)
    if as_json:
        print_json({"deleted": job_id})
    else:
        typer.echo(f"job {job_id} deleted")

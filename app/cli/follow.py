"""`torpor jobs logs`, `jobs watch` and `jobs stats`: what a job says while it runs, and how many there are."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from app.cli.jobs import JobId, JsonFlag
from app.cli.output import counted, job_json, print_json, seconds, short_time
from app.cli.session import FAILED, engine, run
from app.cli.tables import printable, table
from app.jobs import BadInput, Job, JobProgress, JobStatus, LogEntry

LINES = 1000
"""So many lines of a log are shown unless another number is asked for."""


def _line(value: object) -> None:
    """One JSON value on a line of its own, which whoever reads gets at once."""
    typer.echo(json.dumps(value, default=str))


def logs(
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    after: Annotated[int, typer.Option(min=0, help="Only lines with a number above this.")] = 0,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=1_000_000, show_default=str(LINES), help="At most so many lines; not with --follow."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """The lines of a job's log; with --follow --json one JSON object a line."""

    most = LINES if limit is None else limit

    async def follow_it() -> None:
        if limit is not None:
            raise BadInput("--limit", "does not go with --follow", "leave one of the two out")
        async with engine() as manager:
            async for entry in manager.subscribe_logs(job_id, after):
                if as_json:
                    _line(entry.model_dump(mode="json"))
                else:
                    _say(entry)

    async def work() -> list[LogEntry]:
        async with engine() as manager:
            return await manager.get_logs(job_id, after=after, limit=most)

    if follow:
        run(follow_it)
        return
    entries = run(work)
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in entries])
        return
    for entry in entries:
        _say(entry)
    if len(entries) == most:
        typer.echo(f"there may be more: go on with --after {entries[-1].number}", err=True)


def _say(entry: LogEntry) -> None:
    typer.echo(printable(f"{entry.number:>5}  {short_time(entry.at)}  {entry.level:<8}  {entry.message}"))


def watch(job_id: JobId, as_json: JsonFlag = False) -> None:
    """How far a job is, until it ends; then exit code 0 if it is completed, else 1.

    With --json one JSON object a line: each progress, and at last the job.
    """

    async def work() -> Job:
        async with engine() as manager:
            shown = await manager.get_job(job_id)
            if not as_json:
                typer.echo(f"job {job_id} ({shown.type}) is {shown.status}")
            async for progress in manager.subscribe_progress(job_id):
                _show(progress, as_json)
            return await manager.get_job(job_id)

    job = run(work)
    if as_json:
        _line(job_json(job))
    else:
        why = f": {job.error.code}: {job.error.message}" if job.error is not None else ""
        typer.echo(printable(f"job {job_id} is {job.status}{why}"))
    if job.status is not JobStatus.COMPLETED:
        raise typer.Exit(FAILED)


def _show(progress: JobProgress, as_json: bool) -> None:
    if as_json:
        _line(progress.model_dump(mode="json"))
        return
    far = f"{progress.percentage:3.0f}%" if progress.total else f"{progress.current:g}"
    typer.echo(printable(f"{far}  {progress.message}".rstrip()))


def stats(as_json: JsonFlag = False) -> None:
    """How many jobs are in each status, and how today's runs ended."""

    async def work() -> tuple[dict[str, int], dict[str, Any], dict[str, Any]]:
        async with engine() as manager:
            health = await manager.get_system_health()
            status = await manager.get_status()
            return status["jobs"], await manager.get_job_metrics(), health

    jobs, metrics, health = run(work)
    if as_json:
        shown = {name: metrics[name] for name in ("by_type", "by_outcome", "success_rate", "durations")}
        oldest = {name: health.get(name) for name in ("status", "problems", "oldest_waiting_seconds")}
        print_json({"jobs": jobs, "today": shown, "health": oldest})
        return
    table("Jobs", ("status", "jobs"), [(name, number) for name, number in jobs.items() if number])
    table("Runs today (UTC), by type", ("type", "runs"), metrics["by_type"].items())
    table("Runs today (UTC), by outcome", ("outcome", "runs"), metrics["by_outcome"].items())
    if health.get("oldest_waiting_seconds") is not None:
        typer.echo(f"the job that has waited longest has waited {seconds(health['oldest_waiting_seconds'])}")
    for problem in health["problems"]:
        typer.echo(f"problem: {problem}")
    if not any(jobs.values()):
        typer.echo(f"{counted(0, 'job')} yet: create one with `torpor enqueue`")

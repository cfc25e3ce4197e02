"""What the command prints of jobs and runs: tables for people, or JSON and nothing else on standard output."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from rich.text import Text

from app.cli.secrets import without_secrets
from app.cli.tables import Column, console, printable, table
from app.jobs import Job, JobStatus, RunSummary

SHOWN_LINES = 40
"""Lines that are shown of one JSON value."""


def problem(text: str) -> None:
    """A line on standard error, without any password."""
    typer.echo(printable(without_secrets(text)), err=True)


def print_json(value: Any) -> None:
    """One JSON value on standard output."""
    typer.echo(json.dumps(value, indent=2, default=str))


def section(title: str, value: Any) -> None:
    """A JSON value under its title; a long one is cut, and says so."""
    lines = json.dumps(value, indent=2, ensure_ascii=False, default=str).split("\n")
    out = console()
    out.print(Text(title, style="bold"))
    out.print(Text(printable("\n".join(lines[:SHOWN_LINES]))))
    if len(lines) > SHOWN_LINES:
        out.print(Text(f"… {len(lines) - SHOWN_LINES} more lines; --json shows all", style="dim"))
    out.print()


def short_time(value: datetime | None) -> str:
    """A time for a table, in UTC."""
    return "" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def seconds(value: float | None) -> str:
    """A duration for a table."""
    if value is None:
        return ""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 job", "2 jobs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def job_json(job: Job) -> dict[str, Any]:
    """A job as JSON; `existing` says whether a create found it."""
    return {**job.model_dump(mode="json"), "existing": job.existing}


def progress_text(job: Job) -> str:
    """How far a job is; nothing for one that is COMPLETED, whatever it reported last."""
    if job.status is JobStatus.COMPLETED or not job.progress.total:
        return ""
    return f"{job.progress.percentage:.0f}%"


_JOB_COLUMNS = (
    Column("id"),
    Column("type"),
    Column("status"),
    Column("progress", 2),
    Column("created (UTC)", 3),
    Column("attempt", 4),
    Column("queue", 5),
    Column("priority", 6),
    Column("error", 1, text=True),
)


def jobs_table(jobs: Iterable[Job], title: str = "Jobs") -> None:
    """Jobs, a line each."""
    rows = (
        (
            job.id,
            job.type,
            job.status,
            progress_text(job),
            short_time(job.created_at),
            job.attempt or "",
            job.queue,
            job.priority.name.lower(),
            job.error.message[:200] if job.error is not None else "",
        )
        for job in jobs
    )
    table(title, _JOB_COLUMNS, rows)


_RUN_COLUMNS = (
    Column("run"),
    Column("type"),
    Column("outcome"),
    Column("took", 2),
    Column("ended (UTC)", 3),
    Column("waited", 4),
    Column("job is", 5),
    Column("message", 1, text=True),
)


def runs_table(runs: Sequence[RunSummary], title: str = "Runs") -> None:
    """Run summaries, a line each."""
    rows = (
        (
            run.id,
            run.type,
            run.outcome,
            seconds(run.duration_seconds),
            short_time(run.ended_at),
            seconds(run.waited_seconds),
            run.status,
            run.error.message[:200] if run.error is not None else run.message,
        )
        for run in runs
    )
    table(title, _RUN_COLUMNS, rows)

"""`torpor runs`: what happened, and a day of it in figures."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.jobs import JsonFlag
from app.cli.output import counted, print_json, runs_table, seconds
from app.cli.session import engine, run
from app.cli.tables import table
from app.jobs import DailySummary, RunSummary
from app.jobs.run_history import summary_dict

app = typer.Typer(help="The history of ended leases.", no_args_is_help=True)


@app.command("list")
def list_runs(
    job: Annotated[str | None, typer.Option(help="Only runs of this job.")] = None,
    job_type: Annotated[str | None, typer.Option("--type", help="Only runs of this type.")] = None,
    queue: Annotated[str | None, typer.Option(help="priority or maintenance.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Only runs that ended so.")] = None,
    ended_after: Annotated[str | None, typer.Option(help="ISO time, UTC if it has no zone.")] = None,
    ended_before: Annotated[str | None, typer.Option(help="ISO time, UTC if it has no zone.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """Run summaries, newest first."""

    async def work() -> list[RunSummary]:
        async with engine() as manager:
            return await manager.get_run_history(
                job_id=job,
                type=job_type,
                queue=queue,
                outcome=outcome,
                ended_after=ended_after,
                ended_before=ended_before,
                limit=limit,
            )

    runs = run(work)
    if as_json:
        print_json([summary.model_dump(mode="json") for summary in runs])
    else:
        runs_table(runs)


def show_summary(summary: DailySummary) -> None:
    """One day's figures, as tables."""
    rate = "" if summary.success_rate is None else f", {summary.success_rate:.1%} of ended jobs completed"
    typer.echo(f"{summary.day}: {counted(summary.runs, 'run')}{rate}")
    if not summary.runs:
        return
    counts = (
        (name, key, count)
        for name, by in (
            ("type", summary.by_type),
            ("queue", summary.by_queue),
            ("outcome", summary.by_outcome),
            ("job is", summary.by_status),
        )
        for key, count in by.items()
    )
    table("Counts", ("by", "which", "runs"), counts)
    table("Durations", tuple(summary.durations), [tuple(seconds(value) for value in summary.durations.values())])
    typer.echo(f"retries: {summary.retries}   lost leases: {summary.lost_leases}")


@app.command("summary")
def summary(
    day: Annotated[str | None, typer.Option(help="A UTC day like 2026-01-31; by default today.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Counts, durations, retries and lost leases of one UTC day."""

    async def work() -> DailySummary:
        async with engine() as manager:
            return await manager.get_daily_summary(day)

    figures = run(work)
    if as_json:
        print_json(summary_dict(figures))
    else:
        show_summary(figures)

"""`torpor batches`: list, show and cancel."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from app.cli.jobs import JsonFlag
from app.cli.output import jobs_table, print_json, short_time
from app.cli.session import engine, run
from app.cli.tables import Column, table
from app.jobs import BatchInfo, Job

app = typer.Typer(help="Look at batches and cancel them.", no_args_is_help=True)

BatchId = Annotated[str, typer.Argument(metavar="BATCH", help="The batch's id.")]


@app.command("list")
def list_batches(limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50, as_json: JsonFlag = False) -> None:
    """Batches, newest first."""

    async def work() -> list[BatchInfo]:
        async with engine() as manager:
            return await manager.list_batches(limit)

    batches = run(work)
    if as_json:
        print_json([batch_json(batch) for batch in batches])
        return
    rows = ((batch.id, batch.name, batch.status, str(batch.total), short_time(batch.created_at)) for batch in batches)
    table("Batches", ("id", "name", Column("", 1), Column("jobs", 1), Column("created", 1)), rows)


@app.command("show")
def show(
    batch_id: BatchId,
    jobs: Annotated[bool, typer.Option("--jobs", help="List its jobs too.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """How the jobs of one batch stand."""

    async def work() -> tuple[BatchInfo, list[Job]]:
        async with engine() as manager:
            return await manager.get_batch(batch_id), await manager.get_batch_jobs(batch_id) if jobs else []

    batch, listed = run(work)
    if as_json:
        print_json({**batch_json(batch), **({"jobs": [job.id for job in listed]} if jobs else {})})
        return
    named = f" {batch.name!r}" if batch.name else ""
    typer.echo(f"batch {batch.id}{named}: {batch.ended} of {batch.total} jobs have ended ({batch.progress:.0f} %)")
    for status, count in batch.counts.items():
        typer.echo(f"  {status}: {count}")
    if batch.on_complete is not None:
        typer.echo(f"  then: job {batch.on_complete}")
    if jobs:
        jobs_table(listed)


@app.command("cancel")
def cancel(
    batch_id: BatchId,
    reason: Annotated[str, typer.Option(help="Why; kept with each job.")] = "its batch was cancelled",
    as_json: JsonFlag = False,
) -> None:
    """Cancel every job of a batch that has not ended."""

    async def work() -> int:
        async with engine() as manager:
            return await manager.cancel_batch(batch_id, reason)

    cancelled = run(work)
    if as_json:
        print_json({"batch_id": batch_id, "cancelled": cancelled})
    else:
        typer.echo(f"{cancelled} jobs cancelled, or told to stop")


def batch_json(batch: BatchInfo) -> dict[str, Any]:
    """A batch as JSON."""
    return {
        "id": batch.id,
        "name": batch.name,
        "status": str(batch.status),
        "created_at": batch.created_at.isoformat() if batch.created_at is not None else None,
        "total": batch.total,
        "ended": batch.ended,
        "progress": round(batch.progress, 1),
        "on_complete": batch.on_complete,
        "counts": batch.counts,
    }

"""`torpor review`: what waits for a person, and deciding about it."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import Annotated

import typer

from app.cli.job_file import json_object, json_value
from app.cli.jobs import JobId, JsonFlag, tell_changed
from app.cli.output import print_json, short_time
from app.cli.session import engine, run
from app.cli.tables import Column, table
from app.jobs import Job, ReviewRequest

app = typer.Typer(help="Decide about jobs that wait for a person.", no_args_is_help=True)

By = Annotated[str | None, typer.Option(help="Who decides; by default who runs the command.")]
Comment = Annotated[str, typer.Option(help="Why; kept with the job.")]
Data = Annotated[str | None, typer.Option(help="JSON that the handler is told besides, such as a choice.")]


@app.command("list")
def list_reviews(
    job_type: Annotated[str | None, typer.Option("--type", help="Only jobs of this type.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """What waits for a person, the newest job first."""

    async def work() -> list[ReviewRequest]:
        async with engine() as manager:
            return await manager.list_reviews(limit=limit, type=job_type)

    requests = run(work)
    if as_json:
        print_json([asdict(request) for request in requests])
        return
    columns = ("job", "type", Column("asked (UTC)", 1), Column("expires (UTC)", 2), Column("question", text=True))
    rows = (
        (each.job_id, each.type, short_time(each.asked_at), short_time(each.expires_at), each.question)
        for each in requests
    )
    table("Waiting for a person", columns, rows)


@app.command("approve")
def approve(job_id: JobId, by: By = None, comment: Comment = "", data: Data = None, as_json: JsonFlag = False) -> None:
    """Let the job go on."""
    _decide(job_id, "approve", by, comment, data, None, as_json)


@app.command("edit")
def edit(
    job_id: JobId,
    payload: Annotated[str, typer.Option(help="The new payload, a JSON object.")],
    by: By = None,
    comment: Comment = "",
    data: Data = None,
    as_json: JsonFlag = False,
) -> None:
    """Let the job go on with another payload."""
    _decide(job_id, "edit", by, comment, data, payload, as_json)


@app.command("reject")
def reject(job_id: JobId, by: By = None, comment: Comment = "", data: Data = None, as_json: JsonFlag = False) -> None:
    """End the job as CANCELLED."""
    _decide(job_id, "reject", by, comment, data, None, as_json)


def _decide(
    job_id: str, decision: str, by: str | None, comment: str, data: str | None, payload: str | None, as_json: bool
) -> None:
    async def work() -> Job:
        given = None if payload is None else json_object(payload, "--payload")
        told = None if data is None else json_value(data, "--data")
        async with engine() as manager:
            who = getpass.getuser() if by is None else by
            return await manager.review(job_id, decision, who, comment, payload=given, data=told)

    tell_changed(run(work), as_json)

"""`torpor events`: sending events to jobs, and looking at what was sent."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from app.cli.job_file import json_value
from app.cli.jobs import JsonFlag
from app.cli.output import print_json, short_time
from app.cli.session import engine, run
from app.cli.tables import Column, table
from app.jobs import SentEvent

app = typer.Typer(help="Send events that jobs wait for.", no_args_is_help=True)

DATA_SHOWN = 200
"""Characters that are shown of an event's data."""


@app.command("send")
def send(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What handlers wait for.")],
    data: Annotated[str | None, typer.Option(help="JSON that the handlers are given.")] = None,
    job: Annotated[str | None, typer.Option(help="The one job that it is for; else every job that waits.")] = None,
    by: Annotated[str, typer.Option(help="Who sends it.")] = "",
    event_id: Annotated[str | None, typer.Option("--id", help="Sending again under this id changes nothing.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Send an event; jobs that wait for it go on."""

    async def work() -> SentEvent:
        told = None if data is None else json_value(data, "--data")
        async with engine() as manager:
            return await manager.send_event(name, told, job_id=job, by=by, event_id=event_id)

    sent = run(work)
    if as_json:
        print_json(asdict(sent))
    else:
        typer.echo(
            f"event {sent.name} is sent to " + ("whoever waits" if sent.job_id is None else f"job {sent.job_id}")
        )


@app.command("list")
def list_events(
    name: Annotated[str | None, typer.Option(help="Only events of this name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """Events that are kept, the newest first; one for a single job is gone when that has received it."""

    async def work() -> list[SentEvent]:
        async with engine() as manager:
            return await manager.list_events(name, limit)

    events = run(work)
    if as_json:
        print_json([asdict(event) for event in events])
        return
    columns = ("name", Column("for job", 1), Column("sent (UTC)"), Column("by", 2), Column("data", text=True))
    rows = (
        (each.name, each.job_id or "", short_time(each.sent_at), each.sent_by, json.dumps(each.data)[:DATA_SHOWN])
        for each in events
    )
    table("Events", columns, rows)

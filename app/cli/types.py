"""`torpor types`: what is registered; and pausing and resuming job types."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli import doctor
from app.cli.jobs import JsonFlag
from app.cli.output import problem
from app.cli.queues import tell_paused
from app.cli.session import engine, run
from app.jobs.pauses import Paused

app = typer.Typer(help="Every registered job type with its options; pause and resume types.")

TypeName = Annotated[str, typer.Argument(metavar="TYPE", help="A job type; it need not be registered here.")]


@app.callback(invoke_without_command=True)
def types(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Every registered job type with its options; pause and resume types."""
    if context.invoked_subcommand is None:
        doctor.types(as_json)


@app.command("pause")
def pause(job_type: TypeName, as_json: JsonFlag = False) -> None:
    """Let no further job of a type begin; what runs already runs on."""

    async def work() -> Paused:
        async with engine() as manager:
            paused = await manager.pause_type(job_type)
            if manager.runtime.registry.find(job_type) is None and not await manager.count_jobs(type=job_type):
                problem(f"note: no type that is registered here is called {job_type!r}, and no job has that type")
            return paused

    tell_paused(run(work), as_json)


@app.command("resume")
def resume(job_type: TypeName, as_json: JsonFlag = False) -> None:
    """Let jobs of a paused type begin again."""

    async def work() -> Paused:
        async with engine() as manager:
            return await manager.resume_type(job_type)

    tell_paused(run(work), as_json)

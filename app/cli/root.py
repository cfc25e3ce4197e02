"""The command's top: its sub-commands, and what happens to errors before any of them runs."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from app import __version__
from app.cli import (
    batches,
    catalog,
    demo,
    doctor,
    enqueue,
    events,
    follow,
    jobs,
    queues,
    reviews,
    runs,
    schedules,
    serve,
    tokens,
    types,
    worker,
)
from app.cli.output import problem
from app.cli.session import FAILED, check_settings, logs_to_stderr

app = typer.Typer(
    name="torpor",
    help="Durable jobs that cost nothing while they sleep.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(jobs.app, name="jobs")
app.add_typer(runs.app, name="runs")
app.add_typer(batches.app, name="batches")
app.add_typer(queues.app, name="queues")
app.add_typer(types.app, name="types")
app.add_typer(schedules.app, name="schedules")
app.add_typer(tokens.app, name="tokens")
app.add_typer(reviews.app, name="review")
app.add_typer(events.app, name="events")
app.add_typer(catalog.app, name="catalog")
jobs.app.command("logs")(follow.logs)
jobs.app.command("watch")(follow.watch)
jobs.app.command("stats")(follow.stats)
app.command("demo")(demo.demo)
app.command("enqueue")(enqueue.enqueue)
app.command("serve")(serve.serve)
app.command("worker")(worker.worker)
app.command("watchdog")(worker.watchdog)
app.command("tick")(schedules.tick)
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"torpor {__version__}")
        raise typer.Exit


@app.callback()
def root(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the engine does.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Durable jobs that cost nothing while they sleep."""
    check_settings()
    logs_to_stderr(verbose=verbose)


def main() -> None:
    """Run the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # What an encoding cannot say is written out, instead of ending the command with a stack trace.
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="torpor")
    except OSError as error:
        problem(str(error))
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left could not be written either
        sys.exit(FAILED)

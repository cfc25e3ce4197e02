"""What every command shares: an engine from the settings, and errors as exit codes.

Exit codes: 0 done, 1 failed, 2 wrong use.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TypeVar

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.logging import RichHandler

from app.cli.output import problem
from app.cli.secrets import HideSecrets
from app.jobs import AsyncJobManager, BadInput, TorporError

R = TypeVar("R")

FALLBACK_URL = "sqlite:///torpor.db"
"""Where jobs are kept if no setting says so: a command and its worker are two processes and need one file."""
FAILED = 1
WRONG_USE = 2
INTERRUPTED = 130


def check_settings() -> None:
    """Read the settings.

    Raises:
        typer.Exit: they are wrong, which is wrong use; what is wrong has been printed, but never its value.
    """
    try:
        from app.settings import settings  # noqa: F401 - read here so that a wrong setting is reported, not raised
    except ValidationError as error:
        for each in error.errors(include_input=False, include_url=False):
            place = "__".join(str(part) for part in each["loc"]).upper()
            says = "there is no such setting" if each["type"] == "extra_forbidden" else each["msg"]
            typer.echo(f"setting TORPOR_{place.removeprefix('TORPOR_')}: {says}; see docs/settings.md", err=True)
        raise typer.Exit(WRONG_USE) from None
    except ValueError as error:
        typer.echo(f"the settings cannot be read: {error}; see docs/settings.md", err=True)
        raise typer.Exit(WRONG_USE) from None


@asynccontextmanager
async def engine(*, run_if_alone: bool = False) -> AsyncIterator[AsyncJobManager]:
    """The engine that the settings describe, open.

    Args:
        run_if_alone: run jobs in this process too if no other could, as on the memory store.
    """
    from app.bootstrap import discover_tasks, make_runtime, make_telemetry
    from app.settings import settings

    with prints_to_stderr():
        discover_tasks(settings.task_packages)
    telemetry = make_telemetry(settings)
    runtime = make_runtime(settings, fallback_url=FALLBACK_URL, telemetry=telemetry)
    runs_jobs = run_if_alone and runtime.store.limits().single_process
    with prints_to_stderr() if runs_jobs else nullcontext(), nullcontext() if telemetry is None else telemetry:
        async with AsyncJobManager(runtime=runtime, worker=runs_jobs) as manager:
            yield manager


def prints_to_stderr() -> AbstractContextManager[object]:
    """While users' code runs in this process: what it prints must not get between a command's answers."""
    return redirect_stdout(sys.stderr)


def logs_to_stderr(*, verbose: bool = False) -> None:
    """Show log records on standard error; standard output stays for answers."""
    handler = RichHandler(console=Console(stderr=True), show_path=False, rich_tracebacks=False)
    handler.addFilter(HideSecrets())
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", datefmt="%H:%M:%S", handlers=[handler], force=True)


def logs_of_a_server(*, quiet: bool = False) -> None:
    """Log on standard error as the settings say: for people, or for Cloud Logging where that is asked for."""
    from app.bootstrap import log_json, logs_are_json
    from app.settings import settings

    if not logs_are_json(settings):
        logs_to_stderr(verbose=not quiet)
        return
    log_json(sys.stderr, level=logging.WARNING if quiet else logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.addFilter(HideSecrets())


def run(work: Callable[[], Awaitable[R]]) -> R:
    """Run a command's work; errors become one line on standard error and an exit code."""

    async def whole() -> R:
        return await work()

    with errors_as_exit_codes():
        return asyncio.run(whole())


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """Errors of the work in this block become one line on standard error and an exit code."""
    from app.stores.base import StoreError

    try:
        yield
    except BadInput as error:
        problem(f"{error.code}: {error}")
        raise typer.Exit(WRONG_USE) from None
    except (TorporError, StoreError) as error:
        problem(f"{getattr(error, 'code', 'STORE')}: {error}")
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def command_name() -> str:
    """How this command was called, so that what it says to type next works as it is."""
    called = Path(sys.argv[0]).absolute()
    if called.name == "__main__.py":
        return f"{Path(sys.executable).name} -m app.cli"
    found = shutil.which("torpor")
    if called.name != "torpor" or (found is not None and Path(found).absolute() == called):
        return "torpor"
    return os.path.relpath(called) if called.is_relative_to(Path.cwd()) else str(called)

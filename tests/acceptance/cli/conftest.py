"""The command, called inside the test's process for tables of cases, and as a process of its own for whole paths."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import app.catalog.tasks  # noqa: F401 - registers the shipped types
from app.catalog.tasks.plans import PLANNERS
from app.cli import root
from app.jobs import AsyncJobManager, JobContext, JobRegistry, JobRequest, Registry, Runtime, job
from app.settings import Settings
from app.stores import DatabaseJobStore
from tests.acceptance.cli.shop import open_shop

PATIENCE_SECONDS = 120.0
SCANS = ("maintenance_scan", "duplicate_detection_scan", "alias_invariant_scan")
CATALOG_TYPES = (*PLANNERS, *SCANS, "catalog_enrich_field", "catalog_enrich_field_shard")
COMMAND = get_command(root.app)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output, all of which has to be one JSON value."""
        return json.loads(self.out)


class Torpor:
    """The command inside this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.columns = 150

    def __call__(self, *arguments: str, **variables: str) -> Answer:
        """Call it with these environment variables beside those of the test."""
        with self._monkeypatch.context() as patch:
            for name, value in {"COLUMNS": str(self.columns), **variables}.items():
                patch.setenv(name, value)
            patch.setattr("app.settings.settings", Settings())
            result = CliRunner().invoke(root.app, list(arguments), prog_name="torpor")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    def json(self, *arguments: str) -> Any:
        """The JSON answer of a command that has to end with 0 and print nothing else."""
        answer = self(*arguments, "--json")
        assert (answer.code, answer.err) == (0, ""), answer
        return answer.json


def go_to(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it the current folder, in an environment without any setting."""
    for name in os.environ:
        if name.startswith(("TORPOR_", "CATALOG_")) or name in ("COLUMNS", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", list(sys.path))


@contextmanager
def torpor_in(place: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Torpor]:
    """The command with a copy of a database, and with the shop's types beside the shipped ones."""
    go_to(place, monkeypatch)
    shutil.copy(database, place / "torpor.db")
    registry = Registry()
    for job_type in CATALOG_TYPES:
        registry.add(JobRegistry.registry.get(job_type))
    open_shop(registry)
    monkeypatch.setattr(JobRegistry, "registry", registry)
    monkeypatch.setattr(sys, "argv", ["torpor"])
    # Building the tree of commands takes longer than most commands do.
    monkeypatch.setattr("typer.testing._get_command", lambda _: COMMAND)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Torpor(monkeypatch)
    root.handlers[:], root.level = handlers, level


def lose_holder(place: Path) -> None:
    """Make every job of the folder's database look as if its holder had died a second after it was created."""
    with closing(sqlite3.connect(place / "torpor.db")) as database, database:
        database.execute(
            "UPDATE torpor_jobs SET status = 'running', ready_at = NULL, attempt = 1, worker_id = 'gone',"
            " lease_token = 'gone', write_id = 'gone', lease_started_at = created_at, lease_expires_at = created_at"
        )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, in an environment without any setting."""
    go_to(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables and no rows: to be copied, because making it takes its time."""
    path = tmp_path_factory.mktemp("empty") / "torpor.db"

    async def make() -> None:
        async with AsyncJobManager(runtime=Runtime(DatabaseJobStore(dialect="sqlite", path=str(path))), worker=False):
            pass

    asyncio.run(make())
    return path


@pytest.fixture
def torpor(place: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Torpor]:
    """The command, with an SQLite file without jobs in the current folder."""
    with torpor_in(place, empty_database, monkeypatch) as command:
        yield command


TASKS = """
import asyncio
from pathlib import Path

from app.jobs import ContinueLater, job


@job("own_ok")
async def own_ok(ctx, n: int = 0):
    return n


@job("own_long")
async def own_long(ctx):
    await ctx.report_progress(1, 2, f"half way in attempt {ctx.attempt}")
    await ctx.flush()
    while not ctx.is_stopping:
        await asyncio.sleep(0.01)
    raise ContinueLater(0, {"seen": ctx.attempt})


@job("own_tells")
async def own_tells(ctx):
    for part, message in enumerate(("first", "second"), 1):
        await ctx.log(message)
        await ctx.report_progress(part, 2, message)
        await ctx.flush()
        while not Path("go").exists():
            await asyncio.sleep(0.01)


@job("own_stubborn")
async def own_stubborn(ctx):
    await ctx.report_progress(1, 2, f"half way in attempt {ctx.attempt}")
    await ctx.flush()
    await asyncio.sleep(3600)
"""


async def _nothing(ctx: JobContext) -> None:
    """Stands for a handler that only the processes have."""


class Processes:
    """The command as processes of their own, in one folder that holds a package of job types."""

    def __init__(self, place: Path, *, as_module: bool = False) -> None:
        self.place = place
        script = Path(sys.executable).with_name("torpor")
        self.command = [sys.executable, "-m", "app.cli"] if as_module or not script.exists() else [str(script)]
        self._variables = {"TORPOR_TASK_PACKAGES": "own"}

    def environment(self, **variables: str) -> dict[str, str]:
        return {**os.environ, **self._variables, **variables}

    def put(self, *job_types: str, **options: Any) -> list[str]:
        """Create and start jobs without a process for it. Their ids, in order."""
        registry = Registry()
        for job_type in sorted(set(job_types)):
            job(job_type, registry=registry)(_nothing)
        runtime = Runtime(DatabaseJobStore(dialect="sqlite", path=str(self.place / "torpor.db")), registry=registry)

        async def work() -> list[str]:
            async with AsyncJobManager(runtime=runtime, worker=False) as manager:
                requests = [JobRequest(type=job_type, **options) for job_type in job_types]
                return [made.id for made in await manager.create_jobs(requests, auto_start=True)]

        return asyncio.run(work())

    def __call__(self, *arguments: str, **variables: str) -> Answer:
        """Run one to its end."""
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.place,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def json(self, *arguments: str, **variables: str) -> Any:
        """The JSON answer of a command that has to end with 0 and print nothing else."""
        answer = self(*arguments, "--json", **variables)
        assert (answer.code, answer.err) == (0, ""), answer
        return answer.json

    @contextmanager
    def started(self, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """One that runs beside the test, and is killed at its end if it still does."""
        process = subprocess.Popen(
            [*self.command, *arguments],
            cwd=self.place,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()


@pytest.fixture
def processes(place: Path, empty_database: Path) -> Processes:
    """Processes of the command, with an SQLite file and the package `own` in their current folder."""
    shutil.copy(empty_database, place / "torpor.db")
    package = place / "own"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "tasks.py").write_text(TASKS, encoding="utf-8")
    return Processes(place)

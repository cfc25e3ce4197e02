"""The databases that the engine is measured on, each empty and gone afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.services.scratch_database import POSTGRES, scratch_database


@dataclass(frozen=True, slots=True)
class BenchDatabase:
    """One kind of database."""

    name: str
    note: str
    """What must be known about its settings to read the figures."""
    make: Callable[[], AbstractContextManager[str]]
    """Gives the address of an empty one for as long as the block lasts."""
    server_cpu_seconds: Callable[[], float | None]
    """Processor time of its server until now; None where there is no server."""


@contextmanager
def _sqlite_file() -> Iterator[str]:
    # In the current folder's file system, because /tmp may be memory, where synchronous=FULL costs nothing.
    with tempfile.TemporaryDirectory(prefix="torpor-bench-", dir=_folder()) as folder:
        yield f"sqlite:///{folder}/jobs.db"


def _folder() -> Path:
    folder = Path("build")
    folder.mkdir(exist_ok=True)
    return folder.resolve()


def _no_server() -> None:
    return None


def _postgres_cpu() -> float:
    """All of the machine's PostgreSQL processes together, whoever they work for, as the peers count it."""
    total = 0.0
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "postgres":
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total


SQLITE = BenchDatabase("SQLite", "WAL, synchronous=FULL", _sqlite_file, _no_server)
POSTGRESQL = BenchDatabase("PostgreSQL", "the server's own settings", lambda: scratch_database(POSTGRES), _postgres_cpu)
DATABASES = {"sqlite": SQLITE, "postgresql": POSTGRESQL}

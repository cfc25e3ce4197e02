"""Every test here runs on each of the six stores."""

from __future__ import annotations

import asyncio
import inspect
import io
import os
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import AsyncExitStack, closing
from functools import wraps
from pathlib import Path
from secrets import token_hex

import pytest

from tests.support.site import Site
from tests.support.sql_tables import SqlTables

KINDS = ("memory", "file", "sqlite", "postgresql", "mysql", "firestore")
PROCESS_KINDS = ("sqlite", "postgresql", "firestore")
"""Stores on which real processes are stopped and killed."""

HANGING_SECONDS = float(os.environ.get("TORPOR_TEST_HANGING_SECONDS", "240"))
"""A test that takes longer waits for something that will not come: it fails, and the run goes on."""
ENDING_SECONDS = 5.0


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Let no test of this folder wait for ever."""
    test = pyfuncitem.obj
    if inspect.iscoroutinefunction(test):

        @wraps(test)
        async def bounded(**arguments: object) -> None:
            running = asyncio.ensure_future(test(**arguments))
            done, waiting = await asyncio.wait({running}, timeout=HANGING_SECONDS)
            for task in waiting:
                where = io.StringIO()
                task.print_stack(file=where)
                task.cancel()
                await asyncio.wait({task}, timeout=ENDING_SECONDS)
                pytest.fail(f"it hangs:\n{where.getvalue()}", pytrace=False)
            for task in done:
                task.result()

        pyfuncitem.obj = bounded
    return (yield)


def _url(kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    match kind:
        case "memory":
            return "memory:"
        case "file":
            return f"file:{tmp_path / 'jobs_data'}"
        case "sqlite":
            return f"sqlite:///{tmp_path / 'jobs.db'}"
        case "firestore":
            emulator: str = request.getfixturevalue("firestore_emulator")
            monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", emulator)
            return "firestore://torpor-engine/(default)"
        case _:
            url: str = request.getfixturevalue({"postgresql": "postgres_url", "mysql": "mysql_url"}[kind])
            return url


@pytest.fixture(params=KINDS)
def store_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a store, on each of the six kinds."""
    return _url(request.param, request, tmp_path, monkeypatch)


@pytest.fixture(params=PROCESS_KINDS)
def shared_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a store that several processes share."""
    return _url(request.param, request, tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def sql_tables() -> Iterator[SqlTables]:
    """The tables of a SQL server that this folder's tests use one after the other."""
    with closing(SqlTables(new_prefix())) as tables:
        yield tables


@pytest.fixture
async def site(store_url: str, sql_tables: SqlTables) -> AsyncIterator[Site]:
    """An empty database on each of the six stores."""
    prefix = sql_tables.emptied(store_url) if store_url.startswith(("postgresql", "mysql")) else new_prefix()
    async with AsyncExitStack() as stack:
        yield Site(store_url, prefix, stack)


@pytest.fixture
async def shared_site(shared_url: str) -> AsyncIterator[Site]:
    """An empty database on the stores that several processes share; nothing else ever uses its tables."""
    async with AsyncExitStack() as stack:
        yield Site(shared_url, new_prefix(), stack)


def new_prefix() -> str:
    """A prefix that nobody else has."""
    return f"t{token_hex(4)}_"

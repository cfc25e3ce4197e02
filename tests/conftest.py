"""Fixtures that every test may use: the event loop's backend and the real services."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.firestore_emulator import firestore_emulator as run_firestore_emulator
from tests.services.pubsub_emulator import pubsub_emulator as run_pubsub_emulator
from tests.services.reach import reached
from tests.services.scratch_database import MYSQL, POSTGRES, scratch_database
from tests.services.shared_data import find_shared_data
from tests.services.unavailable import ServiceUnavailable

pytest_plugins = ["tests.plugins.firestore_indexes"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio, which the engine is written for."""
    return "asyncio"


@pytest.fixture(scope="session")
def firestore_emulator() -> Iterator[str]:
    """The `host:port` of a Firestore emulator."""
    yield from reached(run_firestore_emulator())


@pytest.fixture(scope="session")
def pubsub_emulator() -> Iterator[str]:
    """The `host:port` of a Pub/Sub emulator."""
    yield from reached(run_pubsub_emulator())


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    yield from reached(scratch_database(POSTGRES))


@pytest.fixture(scope="session")
def mysql_url() -> Iterator[str]:
    """The URL of an empty MariaDB or MySQL database."""
    yield from reached(scratch_database(MYSQL))


@pytest.fixture(scope="session")
def shared_data(pytestconfig: pytest.Config) -> Path:
    """The folder of real data; skipped in CI too where it is missing, because the project doesn't carry it."""
    try:
        return find_shared_data(pytestconfig.rootpath)
    except ServiceUnavailable as unavailable:
        pytest.skip(str(unavailable))

"""The three kinds of database, each test's own and empty, for tests that are the same on all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine

from app.stores.sql import DatabaseJobStore
from app.stores.sql.address import address_of

KINDS = ("sqlite", "postgresql", "mysql")
SERVERS = ("postgresql", "mysql")
_FIXTURES = {"postgresql": "postgres_url", "mysql": "mysql_url"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test's records are."""

    kind: str
    url: str
    prefix: str

    def store(self, **settings: Any) -> DatabaseJobStore:
        """A store on this place, closed."""
        return DatabaseJobStore(url=self.url, prefix=self.prefix, **settings)

    @property
    def table(self) -> str:
        """The table of jobs."""
        return f"{self.prefix}torpor_jobs"

    def engine(self) -> Engine:
        """SQLAlchemy's way to the same database, as a user would make it."""
        return create_engine(address_of(self.url))


def place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place of a kind that nothing was written to."""
    if kind == "sqlite":
        return Place(kind, f"sqlite:///{tmp_path}/jobs.db", "")
    # Tables of its own part each test from the others; the whole database is dropped at the end.
    return Place(kind, request.getfixturevalue(_FIXTURES[kind]), f"t{token_hex(4)}_")


def connected(of: Place) -> Iterator[Connection]:
    """A user's own connection."""
    engine = of.engine()
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()

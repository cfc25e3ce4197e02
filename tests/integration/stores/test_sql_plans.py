"""Finding work and the engine's other questions are served by an index, so that no backlog makes them slow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.stores.base import Fields, Insert, Query
from app.stores.evaluate import question
from app.stores.sql.address import address_of
from app.stores.sql.drivers import Driver, Link
from app.stores.sql.known_drivers import driver_for
from app.stores.sql.lookups import Lookups
from app.stores.sql.queries import Questions
from app.stores.sql.statements import Lookup, Statements
from app.stores.sql.tables import Naming, build_tables
from tests.integration.stores.sql_databases import KINDS, Place, place

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
JOBS = 600


@pytest.fixture(scope="module", params=KINDS)
def where(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A database with finished, ready, delayed and leased jobs."""
    found = place(request.param, request, tmp_path_factory.mktemp("plans"))

    async def fill() -> None:
        store = found.store()
        await store.open()
        try:
            for start in range(0, JOBS, 100):
                await store.commit_each([[Insert("jobs", f"{n}", a_job(n))] for n in range(start, start + 100)])
        finally:
            await store.close()

    asyncio.run(fill())
    return found


def a_job(number: int) -> Fields:
    """One of six kinds, by number."""
    made = NOON + timedelta(seconds=number)
    fields: dict[str, Any] = {
        "queue": "priority",
        "route": "any" if number % 2 else "gpu",
        "shard": 0,
        "priority": number % 4,
        "type": f"type-{number % 3}",
        "created_at": made,
        "status": "completed",
        "batch_id": f"batch-{number}" if number % 10 == 0 else None,
    }
    kinds: dict[int, dict[str, Any]] = {
        0: {"status": "queued", "ready_at": made},
        1: {"status": "queued", "ready_at": made},
        2: {"status": "queued", "wake_at": made},
        3: {"status": "running", "lease_expires_at": made},
    }
    return {**fields, **kinds.get(number % 6, {"finished_at": made})}


class Planner:
    """Asks the database how it would answer."""

    def __init__(self, where: Place) -> None:
        address = address_of(where.url)
        self.kind = where.kind
        self.driver: Driver = driver_for(address)
        self.engine = self.driver.engine(address)
        with self.engine.connect() as connection:
            is_mariadb = getattr(connection.dialect, "is_mariadb", False)
            # As after a while in use: the statistics know the table.
            connection.execute(text(f"ANALYZE {'TABLE ' if where.kind == 'mysql' else ''}{where.table}"))
        naming = Naming(where.prefix)
        statements = Statements(build_tables(naming, where.kind, is_mariadb=is_mariadb), self.engine.dialect)
        self.lookups = Lookups(statements, naming)
        self.questions = Questions(statements, self.driver)
        # One that writes is told to use indexes; on a table of this size the planner would rather read all of it.
        self.link: Link = self.driver.link(self.engine, writing=True)

    def close(self) -> None:
        self.link.close()
        self.engine.dispose()

    def of_lookup(self, lookup: Lookup) -> str:
        """How a read is answered."""
        explain = "EXPLAIN QUERY PLAN" if self.kind == "sqlite" else "EXPLAIN FORMAT=JSON"
        if self.kind == "postgresql":
            explain = "EXPLAIN"
        (rows,) = self.link.fetch([(f"{explain} {lookup[0]}", lookup[1])])
        return "\n".join(str(row[-1]) for row in rows)


@pytest.fixture(scope="module")
def planner(where: Place) -> Iterator[Planner]:
    planner = Planner(where)
    yield planner
    planner.close()


def test_candidates_come_from_their_indexes_in_order(where: Place, planner: Planner) -> None:
    lookups = {
        "ready": planner.lookups.ready("priority", "any", 0, 20),
        "ready ": planner.lookups.ready_places("priority", "any", 0, 20),
        "due": planner.lookups.due(NOON, 20),
    }
    for purpose, lookup in lookups.items():
        plan = planner.of_lookup(lookup)
        assert f"ix_{where.table}_{purpose.strip()}" in plan, plan
        assert not sorts(plan), plan


def sorts(plan: str) -> bool:
    """Whether the database would have to read more than the page, to sort it."""
    return any(word in plan for word in ("TEMP B-TREE", "Sort", "filesort", "Seq Scan"))


@pytest.mark.parametrize(
    ("purpose", "query"),
    [
        ("leased", Query("jobs.leased", until=NOON)),
        ("due", Query("jobs.due")),
        ("list", Query("jobs.list", since=NOON + timedelta(seconds=JOBS - 20), reverse=True, limit=10)),
        ("list_status", Query("jobs.list", {"status": "failed"}, reverse=True)),
        ("list_batch_id", Query("jobs.list", {"batch_id": "batch-10"})),
        ("list_parent_id", Query("jobs.list", {"parent_id": "x"})),
        ("finished", Query("jobs.finished", until=NOON)),
    ],
)
def test_the_engines_own_questions_have_an_index(where: Place, planner: Planner, purpose: str, query: Query) -> None:
    plan = planner.of_lookup(planner.questions.page(question(query), query))
    assert f"ix_{where.table}_{purpose}" in plan, plan
    assert not sorts(plan), plan

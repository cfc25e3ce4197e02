"""The database store keeps every promise on SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.stores.base import Store
from app.stores.conformance import JoiningConformance, MakeStore, SharedStoreConformance, Transaction
from app.stores.sql import DatabaseJobStore
from tests.conformance.sql_transactions import BLOCKING, own_transaction


class OnSqlite:
    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        return lambda prefix="": DatabaseJobStore(dialect="sqlite", path=str(tmp_path / "jobs.db"), prefix=prefix)


class TestSqliteStore(OnSqlite, SharedStoreConformance):
    bills_reads = True


class TestJoiningATransactionOnSqlite(OnSqlite, JoiningConformance):
    @pytest.fixture(params=BLOCKING)
    async def transaction(
        self, store: Store, tmp_path: Path, request: pytest.FixtureRequest
    ) -> AsyncIterator[Transaction]:
        async with own_transaction(request.param, f"sqlite:///{tmp_path}/jobs.db") as transaction:
            yield transaction

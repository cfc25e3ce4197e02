"""The database store keeps every promise on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.stores.base import Store
from app.stores.conformance import JoiningConformance, MakeStore, SharedStoreConformance, Transaction
from app.stores.sql import DatabaseJobStore
from tests.conformance.empty_tables import empty_tables
from tests.conformance.sql_transactions import ASYNCIO, BLOCKING, own_transaction


class OnPostgresql:
    @pytest.fixture
    def make_store(self, postgres_url: str) -> MakeStore:
        empty_tables(postgres_url)
        return lambda prefix="": DatabaseJobStore(url=postgres_url, prefix=f"conformance_{prefix}")


class TestPostgresqlStore(OnPostgresql, SharedStoreConformance):
    bills_reads = True


class TestJoiningATransactionOnPostgresql(OnPostgresql, JoiningConformance):
    @pytest.fixture(params=[*BLOCKING, *ASYNCIO])
    async def transaction(
        self, store: Store, postgres_url: str, request: pytest.FixtureRequest
    ) -> AsyncIterator[Transaction]:
        async with own_transaction(
            request.param, postgres_url.replace("postgresql", "postgresql+psycopg", 1)
        ) as transaction:
            yield transaction

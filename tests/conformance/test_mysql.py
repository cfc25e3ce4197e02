"""The database store keeps every promise on MySQL or MariaDB."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.stores.base import Store
from app.stores.conformance import JoiningConformance, MakeStore, SharedStoreConformance, Transaction
from app.stores.sql import DatabaseJobStore
from tests.conformance.empty_tables import empty_tables
from tests.conformance.sql_transactions import BLOCKING, own_transaction


class OnMysql:
    @pytest.fixture
    def make_store(self, mysql_url: str) -> MakeStore:
        empty_tables(mysql_url)
        return lambda prefix="": DatabaseJobStore(url=mysql_url, prefix=f"conformance_{prefix}")


class TestMysqlStore(OnMysql, SharedStoreConformance):
    bills_reads = True


class TestJoiningATransactionOnMysql(OnMysql, JoiningConformance):
    @pytest.fixture(params=BLOCKING)
    async def transaction(
        self, store: Store, mysql_url: str, request: pytest.FixtureRequest
    ) -> AsyncIterator[Transaction]:
        async with own_transaction(request.param, mysql_url.replace("mysql", "mysql+pymysql", 1)) as transaction:
            yield transaction

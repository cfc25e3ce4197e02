"""A user's own SQLAlchemy transactions, in each form that `DatabaseJobStore.enlist` takes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.orm import Session

from app.stores.conformance import Transaction


class ConnectionTransaction:
    """A blocking connection."""

    def __init__(self, connection: Connection) -> None:
        self.handle: Connection = connection

    async def commit(self) -> None:
        self.handle.commit()

    async def roll_back(self) -> None:
        self.handle.rollback()


class SessionTransaction:
    """A blocking ORM session."""

    def __init__(self, session: Session) -> None:
        self.handle: Session = session

    async def commit(self) -> None:
        self.handle.commit()

    async def roll_back(self) -> None:
        self.handle.rollback()


BLOCKING = ("connection", "session")
ASYNCIO = ("async_connection", "async_session")


@asynccontextmanager
async def own_transaction(kind: str, url: str) -> AsyncIterator[Transaction]:
    """An open transaction of a kind, on the database at a URL that names its driver."""
    if kind in BLOCKING:
        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                if kind == "connection":
                    yield ConnectionTransaction(connection)
                else:
                    with Session(connection) as session:
                        yield SessionTransaction(session)
        finally:
            engine.dispose()
        return
    # SQLAlchemy's asyncio part needs a library that Torpor itself does not.
    pytest.importorskip("greenlet", reason="SQLAlchemy's asyncio part needs greenlet: install sqlalchemy[asyncio]")
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

    class AsyncTransaction:
        """An asyncio connection or session."""

        def __init__(self, handle: AsyncConnection | AsyncSession) -> None:
            self.handle: AsyncConnection | AsyncSession = handle

        async def commit(self) -> None:
            await self.handle.commit()

        async def roll_back(self) -> None:
            await self.handle.rollback()

    async_engine = create_async_engine(url)
    try:
        async with async_engine.connect() as async_connection:
            if kind == "async_connection":
                yield AsyncTransaction(async_connection)
            else:
                async with AsyncSession(async_connection) as async_session:
                    yield AsyncTransaction(async_session)
    finally:
        await async_engine.dispose()

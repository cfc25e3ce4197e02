"""Reading on connections that may be gone without anybody having noticed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from app.stores.base import StoreError, StoreUnavailable
from app.stores.sql.drivers import Driver, Link, Trouble
from app.stores.sql.reader import Reader
from tests.unit.stores.sql.fake_database import FakeDatabase, FakeDriver, FakeError


class Desk:
    """A reader on a fake database."""

    def __init__(self) -> None:
        self.database = FakeDatabase()
        self.reader = Reader(cast("Driver", FakeDriver()), lambda: cast("Link", self.database.connect()), 2)

    def plan(self, step: str, *troubles: Trouble | None) -> None:
        self.database.plan[step] = [None if trouble is None else FakeError(trouble) for trouble in troubles]

    async def ask(self) -> int:
        """Ask nothing; gives how many answers there were to that."""
        count: Callable[[object], int] = lambda answers: len(cast("list[object]", answers))  # noqa: E731 - read as a value
        return await self.reader.read([], count)

    @property
    def states(self) -> list[str]:
        return [link.state for link in self.database.links]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    await desk.reader.close()


async def test_an_idle_connection_is_used_again(desk: Desk) -> None:
    assert await desk.ask() == await desk.ask() == 0
    assert desk.states == ["idle"]


async def test_an_idle_connection_that_was_closed_is_replaced(desk: Desk) -> None:
    await desk.ask()
    desk.plan("fetch", Trouble.LOST)
    assert await desk.ask() == 0
    assert desk.states == ["discarded", "idle"]


async def test_a_new_connection_that_is_lost_too_is_unavailable(desk: Desk) -> None:
    await desk.ask()
    desk.plan("fetch", Trouble.LOST, Trouble.LOST)
    with pytest.raises(StoreUnavailable, match="the database said LOST"):
        await desk.ask()
    assert desk.states == ["discarded", "discarded"]


async def test_a_server_that_is_not_there_is_unavailable(desk: Desk) -> None:
    desk.plan("connect", Trouble.LOST)
    with pytest.raises(StoreUnavailable):
        await desk.ask()


async def test_a_read_that_is_refused_is_not_put_again(desk: Desk) -> None:
    await desk.ask()
    desk.plan("fetch", Trouble.OTHER)
    with pytest.raises(StoreError, match="the database refused it"):
        await desk.ask()
    assert desk.states == ["discarded"]
    assert await desk.ask() == 0


async def test_closing_gives_connections_back() -> None:
    desk = Desk()
    await desk.ask()
    await desk.reader.close()
    assert desk.states == ["closed"]

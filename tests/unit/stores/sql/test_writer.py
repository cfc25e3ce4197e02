"""Handing over to the thread that writes: what goes together, what waits, and that nobody is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from threading import Event
from typing import cast

import pytest
from sqlalchemy.dialects import sqlite

from app.stores.base import ClaimRequest, Insert, StoreUnavailable
from app.stores.sql.statements import Statements
from app.stores.sql.tables import Naming, build_tables
from app.stores.sql.transaction import ClaimTask, Transactor, UnitTask
from app.stores.sql.units import Planner
from app.stores.sql.writer import Writer
from tests.unit.stores.sql.times import NOON

PLANNER = Planner(Statements(build_tables(Naming(), "sqlite"), sqlite.dialect()))
PATIENCE_SECONDS = 30.0


class GatedTransactor:
    """Notes what is run together; each run waits until the test opens the gate."""

    def __init__(self) -> None:
        self.runs: list[list[str]] = []
        self.errors: list[BaseException] = []
        self.started = Event()
        self.gate = Event()
        self.gate.set()
        self.closed = False

    def run(self, units: Sequence[UnitTask], claims: Sequence[ClaimTask]) -> None:
        self.runs.append([*(unit.unit.writes[0].id for unit in units), *("claim" for _ in claims)])
        self.started.set()
        assert self.gate.wait(PATIENCE_SECONDS)
        if self.errors:
            raise self.errors.pop(0)

    def close(self) -> None:
        self.closed = True

    async def until_started(self) -> None:
        assert await asyncio.to_thread(self.started.wait, PATIENCE_SECONDS)


def make() -> tuple[GatedTransactor, Writer]:
    transactor = GatedTransactor()
    return transactor, Writer(cast("Transactor", transactor))


def units(*names: str) -> list[UnitTask]:
    return [UnitTask(PLANNER.plan([Insert("jobs", name, {})])) for name in names]


async def in_time(awaitable: Awaitable[object]) -> None:
    await asyncio.wait_for(awaitable, PATIENCE_SECONDS)


async def test_callers_that_are_ready_in_one_turn_share_a_transaction() -> None:
    transactor, writer = make()
    claim = ClaimTask(ClaimRequest(("q",), ("r",), 1, NOON), lambda record: None, lambda record: None)
    await in_time(asyncio.gather(writer.apply(units("a", "b")), writer.claim(claim), writer.apply(units("c"))))
    await writer.close()
    assert transactor.runs == [["a", "b", "c", "claim"]]


async def test_what_comes_while_a_transaction_is_on_its_way_shares_the_next() -> None:
    transactor, writer = make()
    transactor.gate.clear()
    first = asyncio.create_task(writer.apply(units("a")))
    await transactor.until_started()
    others = [asyncio.create_task(writer.apply(units(name))) for name in "bcd"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    transactor.gate.set()
    await in_time(asyncio.gather(first, *others))
    await writer.close()
    assert transactor.runs == [["a"], ["b", "c", "d"]]


async def test_units_that_name_the_same_record_never_share_a_transaction() -> None:
    transactor, writer = make()
    await in_time(asyncio.gather(*(writer.apply(units(name)) for name in ("a", "b", "a", "c", "a"))))
    await writer.close()
    assert transactor.runs == [["a", "b"], ["a", "c"], ["a"]]


async def test_a_transaction_takes_only_so_many_units() -> None:
    transactor, writer = make()
    names = [f"{number}" for number in range(900)]
    calls = [writer.apply(units(*names[start : start + 100])) for start in range(0, 900, 100)]
    await in_time(asyncio.gather(*calls))
    await writer.close()
    assert [len(run) for run in transactor.runs] == [400, 400, 100]


async def test_a_caller_that_was_cancelled_before_its_turn_writes_nothing() -> None:
    transactor, writer = make()
    transactor.gate.clear()
    first = asyncio.create_task(writer.apply(units("a")))
    await transactor.until_started()
    second = asyncio.create_task(writer.apply(units("b")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    transactor.gate.set()
    await in_time(first)
    await writer.close()
    assert [name for run in transactor.runs for name in run] == ["a"]


async def test_an_unforeseen_error_is_told_and_the_thread_lives_on() -> None:
    transactor, writer = make()
    transactor.errors.append(ZeroDivisionError("unforeseen"))
    with pytest.raises(ZeroDivisionError, match="unforeseen"):
        await in_time(writer.apply(units("a")))
    await in_time(writer.apply(units("b")))
    await writer.close()
    assert transactor.runs == [["a"], ["b"]]


async def test_closing_finishes_what_was_handed_over() -> None:
    transactor, writer = make()
    transactor.gate.clear()
    first = asyncio.create_task(writer.apply(units("a")))
    await transactor.until_started()
    second = asyncio.create_task(writer.apply(units("b")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0)
    transactor.gate.set()
    await in_time(asyncio.gather(first, second, closing))
    assert transactor.runs == [["a"], ["b"]]
    assert transactor.closed
    with pytest.raises(StoreUnavailable, match="open it first"):
        await writer.apply(units("c"))
    await writer.close()


async def test_a_writer_that_was_never_needed_closes_too() -> None:
    transactor, writer = make()
    await writer.close()
    assert transactor.runs == []


def test_an_event_loop_that_ended_early_takes_nobody_with_it() -> None:
    transactor, writer = make()
    transactor.gate.clear()

    async def leave_early() -> None:
        asyncio.get_running_loop().create_task(writer.apply(units("a")))
        await transactor.until_started()

    async def go_on() -> None:
        transactor.gate.set()
        await in_time(writer.apply(units("b")))
        await writer.close()

    asyncio.run(leave_early())
    asyncio.run(go_on())
    assert transactor.runs == [["a"], ["b"]]

"""The one thread that writes, and how async callers hand over to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread

from app.stores.base import StoreUnavailable
from app.stores.sql.transaction import ClaimTask, Transactor, UnitTask

_MOST_UNITS = 400
"""Units that share one transaction at most, so that it stays short for those who wait for its locks."""


@dataclass(slots=True, eq=False)
class _Request:
    """What one caller waits for."""

    units: Sequence[UnitTask]
    claim: ClaimTask | None
    done: asyncio.Future[None]


class Writer:
    """Runs what is ready together in one transaction.

    What becomes ready while a transaction is on its way goes in the next; nobody waits for company.
    """

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor
        self._ready: list[_Request] = []
        self._waiting: SimpleQueue[list[_Request] | None] = SimpleQueue()
        self._is_closed = False
        self._thread: Thread | None = None

    async def apply(self, units: Sequence[UnitTask]) -> None:
        """Apply units; their outcomes are set afterwards."""
        await self._submit(units, None)

    async def claim(self, task: ClaimTask) -> None:
        """Run a claim; its outcome is set afterwards."""
        await self._submit((), task)

    async def close(self) -> None:
        """Finish what was handed over, then end the thread and its connection."""
        if not self._is_closed:
            self._is_closed = True
            self._hand_over()
            self._waiting.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def _submit(self, units: Sequence[UnitTask], claim: ClaimTask | None) -> None:
        if self._is_closed:
            raise StoreUnavailable("the store is closed; open it first")
        if self._thread is None:
            self._thread = Thread(target=self._work, name="torpor-sql-writer", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        request = _Request(units, claim, loop.create_future())
        if not self._ready:
            # Not at once: callers who became ready in the same turn of the event loop go together.
            loop.call_soon(self._hand_over)
        self._ready.append(request)
        await request.done

    def _hand_over(self) -> None:
        if self._ready:
            self._waiting.put(self._ready)
            self._ready = []

    # --- in the thread ----------------------------------------------------------------------------------

    def _work(self) -> None:
        held: list[_Request] = []
        open_for_more = True
        while open_for_more or held:
            if not held:
                open_for_more = self._gather(held, wait=True)
            if open_for_more:
                open_for_more = self._gather(held, wait=False)
            together, held = _split(held)
            if together:
                self._run(together)
        self._transactor.close()

    def _gather(self, held: list[_Request], *, wait: bool) -> bool:
        try:
            while (more := self._waiting.get(block=wait)) is not None:
                held += more
                if wait:
                    return True
        except Empty:
            return True
        return False

    def _run(self, together: list[_Request]) -> None:
        # A caller that was cancelled before its turn wants nothing any more.
        wanted = [request for request in together if not request.done.cancelled()]
        error: BaseException | None = None
        try:
            self._transactor.run(
                [unit for request in wanted for unit in request.units],
                [request.claim for request in wanted if request.claim is not None],
            )
        except BaseException as unforeseen:  # noqa: BLE001 - the callers are told, and the thread lives on for others
            error = unforeseen
        for loop, requests in _by_loop(wanted).items():
            try:
                loop.call_soon_threadsafe(_answer, requests, error)
            except RuntimeError:
                # That event loop was closed without closing the store: nobody in it waits any more.
                continue


def _by_loop(requests: Sequence[_Request]) -> dict[asyncio.AbstractEventLoop, list[_Request]]:
    loops: dict[asyncio.AbstractEventLoop, list[_Request]] = {}
    for request in requests:
        loops.setdefault(request.done.get_loop(), []).append(request)
    return loops


def _split(held: list[_Request]) -> tuple[list[_Request], list[_Request]]:
    """What goes together now, and what must wait: the surplus, and units that name a record named before."""
    if len(held) == 1:
        return held, []
    now: list[_Request] = []
    later: list[_Request] = []
    named: set[tuple[str, str]] = set()
    units = 0
    for request in held:
        names = {(write.collection, write.id) for task in request.units for write in task.unit.writes}
        if later or (units + len(request.units) > _MOST_UNITS and now) or not named.isdisjoint(names):
            later.append(request)
            continue
        now.append(request)
        named |= names
        units += len(request.units)
    return now, later


def _answer(requests: Sequence[_Request], error: BaseException | None) -> None:
    for request in requests:
        if request.done.done():
            continue
        if error is None:
            request.done.set_result(None)
        else:
            request.done.set_exception(error)

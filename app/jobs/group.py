"""Group commit: writes that are ready together share one round trip; none waits for company."""

from __future__ import annotations

import asyncio
from collections import deque

from app.stores.base import Store, StoreError, Unit, Version


class GroupCommit:
    """Gathers units while a round is on its way and sends them together in the next.

    Two units that name the same record never share a round: the later one goes in a later round.
    """

    def __init__(self, store: Store) -> None:
        limits = store.limits()
        self._store = store
        self._round_size = limits.units_per_round
        self._rounds_allowed = limits.rounds_in_flight
        self._waiting: deque[tuple[Unit, asyncio.Future[list[Version]]]] = deque()
        self._in_flight = 0
        self._rounds: set[asyncio.Task[None]] = set()
        """Only so that nobody throws the tasks away: a task stays here for a moment after its round."""
        self._busy: set[tuple[str, str]] = set()

    async def commit(self, unit: Unit) -> list[Version]:
        """Apply the unit; as `Store.commit`, with the same errors."""
        return await self.send(unit)

    def send(self, unit: Unit) -> asyncio.Future[list[Version]]:
        """Let the unit go with the next round; the answer is what `commit` returns or raises."""
        answer: asyncio.Future[list[Version]] = asyncio.get_running_loop().create_future()
        self._waiting.append((unit, answer))
        if self._in_flight < self._rounds_allowed:
            self._begin()
        return answer

    def _begin(self) -> None:
        self._in_flight += 1
        task = asyncio.get_running_loop().create_task(self._run())
        self._rounds.add(task)
        task.add_done_callback(self._rounds.discard)

    async def _run(self) -> None:
        try:
            while batch := self._next_batch():
                try:
                    await self._round(batch)
                finally:
                    for unit, _ in batch:
                        self._busy.difference_update((write.collection, write.id) for write in unit)
        finally:
            # Before the answers of the last round are heard: who sends more on hearing one must find the place free.
            self._in_flight -= 1

    def _next_batch(self) -> list[tuple[Unit, asyncio.Future[list[Version]]]]:
        batch: list[tuple[Unit, asyncio.Future[list[Version]]]] = []
        put_back: list[tuple[Unit, asyncio.Future[list[Version]]]] = []
        while self._waiting and len(batch) < self._round_size:
            unit, answer = self._waiting.popleft()
            if answer.cancelled():
                continue
            named = {(write.collection, write.id) for write in unit}
            if self._busy.isdisjoint(named):
                self._busy |= named
                batch.append((unit, answer))
            else:
                put_back.append((unit, answer))
        self._waiting.extendleft(reversed(put_back))
        return batch

    async def _round(self, batch: list[tuple[Unit, asyncio.Future[list[Version]]]]) -> None:
        try:
            outcomes = await self._store.commit_each([unit for unit, _ in batch])
        except BaseException as error:
            if isinstance(error, TypeError | ValueError) and len(batch) > 1:
                # One of the units is nothing that a store could write, so none was written: each by itself.
                for one in batch:
                    await self._round([one])
                return
            for _, answer in batch:
                if not answer.done():
                    if isinstance(error, Exception):
                        answer.set_exception(error)
                    else:
                        answer.cancel()
            if not isinstance(error, Exception):
                raise
            return
        for (_, answer), outcome in zip(batch, outcomes, strict=True):
            if answer.done():
                continue
            if isinstance(outcome, StoreError):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

"""A worker that runs as long as its process, and what it answers on the worker's routes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from app.jobs import AsyncJobManager, Bell, Hint, Worker, WorkReport
from app.web.instance import DRAIN_SECONDS, Answer, Instance, WakeUpOutcome

logger = logging.getLogger(__name__)


class Resident(Instance):
    """Runs jobs beside requests. A wake-up lets its worker look; it is answered at once, because it is only a hint.

    Args:
        manager: the engine, without an embedded worker.
        worker: runs the jobs; one of its ears is the bell.
        bell: rung for each wake-up.
        on_end: called when the worker ends by itself, which it does when every slot has leaked or it has failed.
    """

    def __init__(self, manager: AsyncJobManager, worker: Worker, bell: Bell, on_end: Callable[[], None]) -> None:
        super().__init__(manager, slots=worker.executor.max_concurrent, work_seconds=DRAIN_SECONDS)
        self._worker = worker
        self._bell = bell
        self._on_end = on_end
        self._running: asyncio.Task[WorkReport] | None = None

    def start(self) -> None:
        """Let the worker run, on the running event loop."""
        self._running = asyncio.get_running_loop().create_task(self._worker.run())
        self._running.add_done_callback(self._ended)

    def _ended(self, running: asyncio.Task[WorkReport]) -> None:
        if self._stopping:
            return
        error = None if running.cancelled() else running.exception()
        logger.critical("the worker has ended by itself, and so does this process", exc_info=error)
        self._on_end()

    @property
    def is_ready(self) -> bool:
        """Whether its worker takes work."""
        return not self._stopping and self._worker.is_ready

    @property
    def free_slots(self) -> int:
        """How many handlers could start now."""
        return max(0, self._slots - self._worker.executor.running)

    async def push(self, hint: Hint, *, arrived: float | None = None) -> Answer:
        """Let the worker look, when the time has come that the hint names.

        Raises:
            ShuttingDown: this process ends; somebody else has to.
        """
        self._check_running()
        self._bell.ring(hint.at)
        return Answer(WakeUpOutcome.WOKEN)

    async def drain(self, *, arrived: float | None = None) -> Answer:
        """Let the worker look.

        Raises:
            ShuttingDown: as for `push`.
        """
        return await self.push(Hint(more=True))

    def begin_stop(self) -> None:
        """Claim nothing more, and give every lease back."""
        super().begin_stop()
        self._worker.stop()

    async def close(self) -> None:
        """The same, and wait for it; then close the store."""
        self.begin_stop()
        if self._running is not None:
            await asyncio.wait({self._running})
        await super().close()

"""What a long-lived worker does beside running jobs: schedules, and the watchdog's duty."""

from __future__ import annotations

import logging

from app.jobs.runtime import Runtime
from app.jobs.watchdog import Watchdog

logger = logging.getLogger(__name__)


class Upkeep:
    """A round each half minute: often enough that no slot is late, because they are created further ahead."""

    def __init__(self, runtime: Runtime, *, ticks_on: bool = True) -> None:
        """Set up.

        Args:
            runtime: the engine.
            ticks_on: whether every round ticks; if not, only the first does, so that a drain comes to an end.
        """
        self._runtime = runtime
        self._ticks_on = ticks_on
        self._ticked = False
        self._watchdog = Watchdog(runtime)

    async def run(self) -> None:
        """One round: schedules follow the code, the jobs of slots are created, and what crashed is healed.

        Raises:
            Exception: what the first part that failed raised; the others were done all the same.
        """
        failed: list[Exception] = []
        for part in (self._tick, self._watchdog.run):
            try:
                await part()
            except Exception as error:  # noqa: BLE001 - raised below, when the other parts have been done
                failed.append(error)
        if failed:
            for other in failed[1:]:
                logger.warning("upkeep: %s", other)
            raise failed[0]

    async def _tick(self) -> None:
        if self._ticks_on or not self._ticked:
            await self._runtime.code_schedules.sync_if_changed()
            await self._runtime.ticker.tick()
            self._ticked = True

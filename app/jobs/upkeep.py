"""What a long-lived worker does beside running jobs: schedules, and the watchdog's duty."""

from __future__ import annotations

import logging

from app.jobs.runtime import Runtime
from app.jobs.watchdog import Watchdog

logger = logging.getLogger(__name__)


class Upkeep:
    """A round each half minute: often enough that no slot is late, because they are created further ahead."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._watchdog = Watchdog(runtime)

    async def run(self) -> None:
        """One round: schedules follow the code, the jobs of slots are created, and what crashed is healed.

        Raises:
            Exception: what the first part that failed raised; the others were done all the same.
        """
        failed: list[Exception] = []
        for part in (self._runtime.code_schedules.sync_if_changed, self._runtime.ticker.tick, self._watchdog.run):
            try:
                await part()
            except Exception as error:  # noqa: BLE001 - raised below, when the other parts have been done
                failed.append(error)
        if failed:
            for other in failed[1:]:
                logger.warning("upkeep: %s", other)
            raise failed[0]

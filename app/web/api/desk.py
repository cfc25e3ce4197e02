"""What the API's requests have of the engine in one process: its manager, and places for those who follow jobs."""

from __future__ import annotations

from app.jobs import AsyncJobManager
from app.web.api.streams import Streams
from app.web.readiness import Readiness


class Desk:
    """Answers requests; runs no jobs.

    Args:
        manager: the engine, without an embedded worker.
        streams: who follows jobs.
    """

    def __init__(self, manager: AsyncJobManager, streams: Streams) -> None:
        self.manager = manager
        self.streams = streams
        self.store_readiness = Readiness(manager.runtime)

    def begin_stop(self) -> None:
        """Let streams end: their readers take them up again elsewhere."""
        self.streams.end_all()

    async def close(self) -> None:
        """The same, and close the store."""
        self.begin_stop()
        await self.manager.close()

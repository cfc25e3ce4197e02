"""In-process progress: one publisher, many subscribers, nobody waits for anybody."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.jobs.models import JobProgress

Feed = asyncio.Queue[JobProgress | None]


class ProgressBroker:
    """Hands the progress that this process sees to whoever in this process listens.

    A slow subscriber is given the newest state of what it missed: progress replaces older progress.
    """

    def __init__(self, backlog: int = 1000) -> None:
        self._backlog = backlog
        self._feeds: defaultdict[str, set[Feed]] = defaultdict(set)
        self._lock = asyncio.Lock()

    def offer(self, job_id: str, progress: JobProgress | None) -> None:
        """Hand progress (or the end, None) to the subscribers there are, without waiting."""
        for feed in self._feeds.get(job_id, ()):
            if feed.full():
                feed.get_nowait()
            feed.put_nowait(progress)

    async def publish(self, job_id: str, progress: JobProgress) -> None:
        """Hand progress to every subscriber of the job."""
        async with self._lock:
            self.offer(job_id, progress)

    async def close(self, job_id: str) -> None:
        """Tell every subscriber of the job that nothing more will come."""
        async with self._lock:
            self.offer(job_id, None)

    @asynccontextmanager
    async def feed(self, job_id: str) -> AsyncIterator[Feed]:
        """A queue of the job's progress from now on; None in it says that nothing more will come."""
        feed: Feed = asyncio.Queue(self._backlog)
        async with self._lock:
            self._feeds[job_id].add(feed)
        try:
            yield feed
        finally:
            self._feeds[job_id].discard(feed)
            if not self._feeds[job_id]:
                del self._feeds[job_id]

    async def subscribe(self, job_id: str) -> AsyncIterator[JobProgress]:
        """The job's progress from now on, until it is closed."""
        async with self.feed(job_id) as feed:
            while (progress := await feed.get()) is not None:
                yield progress

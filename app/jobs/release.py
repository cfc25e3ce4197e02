"""What the end of a job sets free, as a continuation that can be taken up again after a crash.

A job that others wait for ends with `release="pending"`, in the same commit. Then each releaser lets go on what waits
for it, page by page, and `release="done"` says that nothing is left. A crash in between leaves a job that the
watchdog finds; releasers are idempotent, so that the work may be done twice, also at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from app.jobs.events import FinishRelease
from app.jobs.models import Job
from app.jobs.queue import Queue
from app.stores.base import OutcomeUnknown, PreconditionFailed

Releaser: TypeAlias = Callable[[Job], Awaitable[None]]
"""Lets go on what waits for this ended job. Returns when nothing of its kind waits any more."""


class Release:
    """Takes the releases of ended jobs to their end."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.releasers: list[Releaser] = []

    async def finish(self, job: Job) -> bool:
        """Do what is left to do for an ended job.

        Returns:
            Whether this call finished it; False if nothing was left, or somebody else was faster.

        Raises:
            StoreError: the store could not be asked; the release stays pending.
        """
        if job.release != "pending":
            return False
        for releaser in self.releasers:
            await releaser(job)
        try:
            await self._queue.change(job, FinishRelease())
        except (PreconditionFailed, OutcomeUnknown):
            return False  # finished by somebody else, or run again; if neither, the watchdog finds it
        return True

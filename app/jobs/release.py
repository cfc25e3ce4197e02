"""What the end of a job sets free, as a continuation that can be taken up again after a crash.

A job that others wait for ends with `release="pending"`, in the same commit. Then whatever waits for it is let go on,
page by page, and `release="done"` says that nothing is left. A crash in between leaves a job that the watchdog finds;
all of it is idempotent, so that it may be done twice, also at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from app.jobs.events import FinishRelease
from app.jobs.lease import LeaseParts
from app.jobs.letting_go import LettingGo, Turns
from app.jobs.models import Job
from app.jobs.queue import Queue
from app.stores.base import OutcomeUnknown, PreconditionFailed, Record

Releaser: TypeAlias = Callable[[Job], Awaitable[None]]
"""Lets go on what waits for this ended job. Returns when nothing of its kind waits any more."""
Told: TypeAlias = Callable[[Job], Awaitable[object]]
"""Is told of a job that has ended because of another one."""


@dataclass(slots=True)
class _Open:
    """A job whose release has begun, and what ended by it and has to be released in turn."""

    job: Job
    walk: LettingGo
    ended: list[Job] = field(default_factory=list)


class Release:
    """Takes the releases of ended jobs to their end."""

    def __init__(self, queue: Queue, parts: LeaseParts, told: Told) -> None:
        self._queue = queue
        self._parts = parts
        self._told = told
        self._turns = Turns()
        self.releasers: list[Releaser] = []
        """What is done for an ended job besides letting its dependents go on."""

    async def finish(self, job: Job) -> bool:
        """Do what is left to do for an ended job, and for all that ends by it.

        Returns:
            Whether this call finished it; False if nothing was left, or somebody else was faster.

        Raises:
            StoreError: the store could not be asked; the release stays pending.
        """
        if job.release != "pending":
            return False
        finished = False
        # No recursion: a chain of dependents may be as long as one likes. A page of each job on the way is held.
        stack = [_Open(job, LettingGo(self._parts, self._turns, job))]
        while stack:
            top = stack[-1]
            if top.ended:
                child = top.ended.pop()
                await self._told(child)
                if child.release == "pending":
                    stack.append(_Open(child, LettingGo(self._parts, self._turns, child)))
                continue
            ended = await top.walk.next_page()
            if ended is not None:
                top.ended = ended
                continue
            stack.pop()
            for releaser in self.releasers:
                await releaser(top.job)
            finished = await self._done(top.job)
        return finished

    async def let_go(self, job: Job) -> None:
        """Let go on what waits for an ended job, whatever its record says about it."""
        walk = LettingGo(self._parts, self._turns, job)
        while (ended := await walk.next_page()) is not None:
            for child in ended:
                await self._told(child)
                await self.finish(child)

    async def let_go_of(self, record: Record) -> None:
        """As `let_go`, for a job as the store has it, which is about to be deleted."""
        await self.let_go(self._parts.records.codec.job(record))

    async def _done(self, job: Job) -> bool:
        try:
            await self._queue.change(job, FinishRelease())
        except (PreconditionFailed, OutcomeUnknown):
            return False  # finished by somebody else, or run again; if neither, the watchdog finds it
        return True

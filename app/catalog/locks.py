"""Locks on families: while a plan for a family is made and applied, no other job plans for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from app.jobs import JobContext


def lock_name(family_slug: str) -> str:
    """What the lock of a family is called."""
    return f"catalog/family/{family_slug}"


class FamilyLocks:
    """The locks of families that a job has, given back when `stack` is left.

    A lock lives as long as the job's lease and is renewed with it; who loses the lease can write nothing any more.
    While another job has one of them the attempt ends, uncounted, with all locks given back, and a later one begins
    anew when that lock is free: so two jobs never wait for each other.
    """

    def __init__(self, ctx: JobContext, stack: AsyncExitStack) -> None:
        self._ctx = ctx
        self._stack = stack
        self._held: set[str] = set()

    async def hold(self, families: Iterable[str]) -> bool:
        """Take the locks of those families that the job does not hold yet, in sorted order.

        Returns:
            Whether there were any: then what was read before may be old.

        Raises:
            LeaseLost: the job is somebody else's.
            Leave: another job has one of them.
        """
        more = sorted(set(families) - self._held)
        for slug in more:
            await self._stack.enter_async_context(self._ctx.lock(lock_name(slug)))
            self._held.add(slug)
        return bool(more)


@asynccontextmanager
async def family_locks(ctx: JobContext, families: Iterable[str]) -> AsyncIterator[FamilyLocks]:
    """The locks of families, held inside of the `async with`; see `FamilyLocks`."""
    async with AsyncExitStack() as stack:
        locks = FamilyLocks(ctx, stack)
        await locks.hold(families)
        yield locks

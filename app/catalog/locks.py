"""Locks on families: while a plan for a family is made and applied, no other job plans for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from app.jobs import JobContext


def lock_name(family_slug: str) -> str:
    """What the lock of a family is called."""
    return f"catalog/family/{family_slug}"


async def enter_family_locks(stack: AsyncExitStack, ctx: JobContext, families: Iterable[str]) -> None:
    """Take the locks of families, in sorted order, and give them back when the stack is left.

    A lock lives as long as the job's lease and is renewed with it; who loses the lease can write nothing any more.
    While another job has one of them the attempt ends here, uncounted, with all locks given back, and a later one
    begins anew when that lock is free: so two jobs never wait for each other.

    Args:
        stack: gives them back.
        ctx: the job's.
        families: slugs; those that the job holds already must not be among them.

    Raises:
        LeaseLost: the job is somebody else's.
    """
    for slug in sorted(set(families)):
        await stack.enter_async_context(ctx.lock(lock_name(slug)))


@asynccontextmanager
async def family_locks(ctx: JobContext, families: Iterable[str]) -> AsyncIterator[None]:
    """The locks of families, held inside of the `async with`; see `enter_family_locks`."""
    async with AsyncExitStack() as stack:
        await enter_family_locks(stack, ctx, families)
        yield

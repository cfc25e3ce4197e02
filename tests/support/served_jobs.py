"""Task module of the servers that tests start: named in TORPOR_TASK_PACKAGES."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from app.jobs import BlockingJobContext, JobContext, RetryLater, job


def _note(what: str, job_id: str) -> None:
    """A line in the file that TORPOR_TEST_EFFECTS names, whole, whatever happens to the process afterwards."""
    if path := os.environ.get("TORPOR_TEST_EFFECTS"):
        with Path(path).open("ab", buffering=0) as file:
            file.write(f"{what} {job_id} {os.getpid()}\n".encode())


@job("served_quick")
async def served_quick(ctx: JobContext, n: int = 0) -> int:
    """Ends at once."""
    _note("quick", ctx.job_id)
    return n


@job("served_again")
async def served_again(ctx: JobContext, seconds: float) -> None:
    """Ends at its second attempt."""
    _note("again", ctx.job_id)
    if ctx.attempt == 1:
        raise RetryLater(seconds)


@job("served_sleeper")
async def served_sleeper(ctx: JobContext, seconds: float) -> None:
    """Sleeps without a worker."""
    _note("lies", ctx.job_id)
    await ctx.sleep(seconds)
    _note("rises", ctx.job_id)


LINE_LENGTH = 2000


@job("served_talkative")
async def served_talkative(ctx: JobContext) -> None:
    """Says more than one packet holds."""
    for letter in "abc":
        await ctx.log(letter * LINE_LENGTH)


@job("served_long")
async def served_long(ctx: JobContext, seconds: float = 30.0) -> None:
    """Goes on for a while, where it can be cut off."""
    _note("began", ctx.job_id)
    await asyncio.sleep(seconds)
    _note("ended", ctx.job_id)


STEP_SECONDS = 0.05


@job("served_in_slices")
async def served_in_slices(ctx: JobContext, steps: int) -> int:
    """Goes from checkpoint to checkpoint, and on from the last one."""
    _note("slice", ctx.job_id)
    for done in range(ctx.checkpoint or 0, steps):
        await asyncio.sleep(STEP_SECONDS)
        _note(f"step{done}", ctx.job_id)
        await ctx.save_checkpoint(done + 1)
    return steps


@job("served_thread")
def served_thread(ctx: BlockingJobContext) -> None:
    """Ends when it is told that the worker stops."""
    import time

    _note("began", ctx.job_id)
    while not ctx.is_stopping and not ctx.is_cancelled:
        time.sleep(0.02)
    ctx.save_checkpoint({"told": True})


@job("served_traced", max_retries=1, retry_delay_seconds=0)
def served_traced(ctx: BlockingJobContext) -> None:
    """Makes a span of its own in each attempt, of which the first fails."""
    from opentelemetry import trace

    with trace.get_tracer("shop").start_as_current_span(f"pack {ctx.attempt}"):
        if ctx.attempt == 1:
            raise ValueError("the box is too small")

"""The job types of the benchmarks. Workers find them through TORPOR_TASK_PACKAGES."""

from __future__ import annotations

import asyncio

from app.jobs import JobContext, job
from bench.marks import mark

MARK = "bench_mark"


@job(MARK)
async def bench_mark(ctx: JobContext, number: int) -> None:
    """Report that the job ran, and nothing else."""
    mark(number)


COMPLETION = "bench_completion"


@job(COMPLETION)
async def bench_completion(ctx: JobContext, number: int, seconds: float) -> None:
    """Report that the job began, and take as long as a language model that something else computes."""
    mark(number)
    await asyncio.sleep(seconds)

"""The job type of the benchmark. Workers find it through TORPOR_TASK_PACKAGES."""

from __future__ import annotations

from app.jobs import JobContext, job
from bench.marks import mark

MARK = "bench_mark"


@job(MARK)
async def bench_mark(ctx: JobContext, number: int) -> None:
    """Report that the job ran, and nothing else."""
    mark(number)

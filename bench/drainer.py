"""A worker that runs so many jobs and says how long claims and settles took: `python -m bench.drainer` in a process.

Prints one JSON object. The worker is the engine's own; only its calls are timed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from unittest.mock import patch

from app.bootstrap import calm_collector, make_store
from app.jobs import Job, JobContext, Registry, Runtime, Worker, job
from app.stores.base import Claimed, ClaimRequest, Decide, Store
from bench.figures import percentile
from bench.marks import mark
from bench.tasks import MARK


class TimedRuntime(Runtime):
    """Notes when handlers ended and when their jobs were settled."""

    def __init__(self, store: Store, registry: Registry) -> None:
        super().__init__(store, registry=registry)
        self.ended: dict[str, float] = {}
        self.settles_ms: list[float] = []

    async def settled(self, job: Job) -> None:
        """A job's last write of this attempt was answered."""
        self.settles_ms.append(1000 * (time.perf_counter() - self.ended.pop(job.id)))
        await super().settled(job)


async def drain(url: str, jobs: int, concurrency: int) -> dict[str, float]:
    """Run so many jobs; what it took."""
    registry = Registry()
    store = make_store(url)
    runtime = TimedRuntime(store, registry)
    claims_ms: list[float] = []

    async def bench_mark(ctx: JobContext, number: int) -> None:
        mark(number)
        runtime.ended[ctx.job_id] = time.perf_counter()

    job(MARK, registry=registry)(bench_mark)
    claim = store.claim

    async def timed_claim(request: ClaimRequest, lease: Decide, promote: Decide) -> Claimed:
        began = time.perf_counter()
        try:
            return await claim(request, lease, promote)
        finally:
            claims_ms.append(1000 * (time.perf_counter() - began))

    await store.open()
    calm_collector()
    try:
        with patch.object(store, "claim", timed_claim):
            worker = Worker(runtime, concurrency=concurrency)
            cpu, began = time.process_time(), time.perf_counter()
            report = await worker.run(max_jobs=jobs)
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    finally:
        await store.close()
    if report.completed != jobs:
        raise RuntimeError(f"{report.completed} of {jobs} jobs completed")
    return {
        "drain /s": jobs / seconds,
        "worker CPU ms/job": 1000 * cpu / jobs,
        "claim p50 ms": percentile(claims_ms, 0.5),
        "claim p99 ms": percentile(claims_ms, 0.99),
        "settle p50 ms": percentile(runtime.settles_ms, 0.5),
        "settle p99 ms": percentile(runtime.settles_ms, 0.99),
        "peak RSS MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Read the command line and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    given = parser.parse_args()
    json.dump(asyncio.run(drain(given.url, given.jobs, given.concurrency)), sys.stdout)


if __name__ == "__main__":
    main()

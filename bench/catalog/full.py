"""A whole curation run on SQLite, through queue and worker: `python -m bench.catalog.full FILE` prints figures as JSON.

Import, then rounds of all scans with the jobs that they create, until none creates any, then enrichment of what is
still missing. A process of its own, so that the peak of its memory is that run's.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path

from app.bootstrap import discover_tasks, make_store
from app.catalog import read_catalog
from app.catalog.store import CatalogStore
from app.jobs import AsyncJobManager, JobStatus, Runtime, Worker

SCANS = ("maintenance_scan", "duplicate_detection_scan", "alias_invariant_scan")
MAX_ROUNDS = 6
CONCURRENCY = 4


class _Run:
    def __init__(self, runtime: Runtime, manager: AsyncJobManager) -> None:
        self._runtime = runtime
        self._manager = manager
        self.figures: dict[str, float] = {}

    async def curate(self, content: bytes) -> None:
        """Everything, once."""
        exercises = read_catalog(content, datetime.now(UTC)).exercises
        records = len(exercises)
        self.figures["records"] = records
        await self._timed("import", CatalogStore(self._runtime.store).add_new(exercises))
        del exercises
        rounds = 0
        while rounds < MAX_ROUNDS:
            rounds += 1
            if not await self._timed("scans and their jobs", self._scan()):
                break
        await self._timed("enrichment", self._ended("catalog_enrich_field", {}))
        self.figures["rounds"] = rounds
        for status in (JobStatus.COMPLETED, JobStatus.NEEDS_REVIEW, JobStatus.FAILED):
            self.figures[f"jobs {status}"] = await self._manager.count_jobs(status=status)
        for name in ("import", "scans and their jobs", "enrichment"):
            self.figures[f"{name} ms"] = 1000 * self.figures.pop(name) / records
        self.figures["all ms"] = sum(value for name, value in self.figures.items() if name.endswith(" ms"))
        self.figures["peak RSS MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    async def _timed(self, name: str, work: Awaitable[object]) -> object:
        began = time.process_time()
        done = await work
        self.figures[name] = self.figures.get(name, 0.0) + time.process_time() - began
        print(f"# {name}: {time.process_time() - began:.1f} s", file=sys.stderr, flush=True)
        return done

    async def _scan(self) -> int:
        """One round of all scans; gives how many jobs they created."""
        created = 0
        for scan in SCANS:
            told = await self._ended(scan, {"create_jobs": True})
            created += int(told["created_jobs"])
        return created

    async def _ended(self, job_type: str, payload: dict[str, object]) -> dict[str, int]:
        """The result of a job, when it and all that it created have ended or wait for a person."""
        job = await self._manager.submit(job_type, payload, mode="apply")
        while (await self._manager.get_job(job.id)).status in (JobStatus.QUEUED, JobStatus.RUNNING) or (
            await self._manager.count_jobs(status=JobStatus.QUEUED)
        ):
            await Worker(self._runtime, concurrency=CONCURRENCY).run(drain=True)
            await asyncio.sleep(0.05)
        ended = await self._manager.get_job(job.id)
        if ended.status is not JobStatus.COMPLETED or ended.result is None:
            raise RuntimeError(f"{job_type} is {ended.status}: {ended.error}")
        told: dict[str, int] = ended.result.data
        return told


async def full_run(content: bytes) -> dict[str, float]:
    """Milliseconds of processor time a record, numbers of jobs, and the peak of memory.

    Args:
        content: a catalogue file.
    """
    discover_tasks(())
    with tempfile.TemporaryDirectory(prefix="torpor-bench-") as folder:
        store = make_store(f"sqlite:///{folder}/catalog.db")
        runtime = Runtime(store, application={"catalog_apply_enabled": True})
        async with AsyncJobManager(runtime=runtime, worker=False) as manager:
            run = _Run(runtime, manager)
            await run.curate(content)
        return run.figures


if __name__ == "__main__":
    print(json.dumps(asyncio.run(full_run(Path(sys.argv[1]).read_bytes()))))

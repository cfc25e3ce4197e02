"""What can be read of an engine: jobs, results, logs, progress, history, health. Changes nothing."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

from app.jobs.depths import waiting_since
from app.jobs.durations import uptime_text
from app.jobs.errors import BadInput, JobNotFound, WaitTimeout
from app.jobs.listing import JobFilter, JobPage, all_of, page_of
from app.jobs.models import Job, JobQueue, JobStatus, LogEntry, RunSummary
from app.jobs.paging import check_limit
from app.jobs.records import is_job_id
from app.jobs.results import JobResults, logs_of, results_of
from app.jobs.run_history import DailySummary, RunFilter, RunPage, run_page, summary_of_day
from app.jobs.runtime import Runtime
from app.jobs.waiting import first_of
from app.stores.base import Query, StoreError

Jobs: TypeAlias = list[Job]
Runs: TypeAlias = list[RunSummary]
Logs: TypeAlias = list[LogEntry]

LOOK_SECONDS = 1.0
"""How often a waiting reader looks again when no hint came."""
STALE = timedelta(minutes=5)
"""A due job older than this makes the system's health `degraded`."""


class JobReader:
    """The reading half of a manager."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._began = runtime.clock.monotonic()

    async def _ready(self) -> Runtime:
        await self.runtime.store.open()
        return self.runtime

    @property
    def uptime(self) -> str:
        """How long this manager has been there, for people: "2h 15m"."""
        return uptime_text(self.runtime.clock.monotonic() - self._began)

    # --- jobs ---

    async def get_job(self, job_id: str) -> Job:
        """A job as it is now.

        Raises:
            JobNotFound: there is no such job.
        """
        runtime = await self._ready()
        (job,) = await runtime.records.get([job_id])
        if job is None:
            raise JobNotFound(job_id)
        return job

    async def get(self, job_id: str) -> Job:
        """The same as `get_job`."""
        return await self.get_job(job_id)

    async def get_job_status(self, job_id: str) -> JobStatus:
        """A job's status.

        Raises:
            JobNotFound: there is no such job.
        """
        return (await self.get_job(job_id)).status

    async def list_jobs(self, /, *, limit: int | None = None, offset: int = 0, **filters: Any) -> Jobs:
        """Jobs, newest first unless sorted otherwise.

        Args:
            limit: at most so many; None for all.
            offset: leave out so many first.
            filters: `status`, `type`, `queue`, `tags` (all of them), `batch_id`, `parent_id`, `created_after`,
                `created_before`, `sort_by` (created_at, priority, finished_at), `sort_order` (asc, desc).

        Raises:
            BadInput: naming the filter and what it takes.
        """
        runtime = await self._ready()
        return await all_of(runtime.store, runtime.records, JobFilter.of(**filters), limit, offset)

    async def list(self, /, *, limit: int | None = None, offset: int = 0, **filters: Any) -> Jobs:
        """The same as `list_jobs`."""
        return await self.list_jobs(limit=limit, offset=offset, **filters)

    async def list_page(
        self, /, *, limit: int = 100, offset: int = 0, cursor: str | None = None, **filters: Any
    ) -> JobPage:
        """One page of jobs and the cursor of the next; filters as in `list_jobs`.

        Args:
            limit: at most so many.
            offset: leave out so many first; for the first page only.
            cursor: of the page before, with the same filters.
            filters: as in `list_jobs`.

        Raises:
            BadInput: naming the argument and what it takes.
        """
        if cursor is not None and offset:
            raise BadInput("offset", "is for the first page only", "leave it out, or the cursor")
        runtime = await self._ready()
        return await page_of(runtime.store, runtime.records, JobFilter.of(**filters), limit, offset, cursor)

    async def count_jobs(self, /, **filters: Any) -> int:
        """How many jobs there are; filters as in `list_jobs`."""
        runtime = await self._ready()
        return await runtime.store.count(JobFilter.of(**filters).query(1))

    async def count_due_jobs(self) -> int:
        """How many jobs could be claimed now, by whoever serves their routes."""
        runtime = await self._ready()
        now = runtime.clock.now()
        ready = await runtime.store.count(Query("jobs.ready_by_age"))
        return ready + await runtime.store.count(Query("jobs.due", until=now))

    async def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Wait for the end of a job.

        Args:
            job_id: the job.
            timeout: seconds; None waits for ever.

        Raises:
            JobNotFound: there is no such job.
            WaitTimeout: it has not ended in time.
        """
        runtime = await self._ready()
        if not is_job_id(job_id):
            raise JobNotFound(job_id)
        end = None if timeout is None else runtime.clock.monotonic() + timeout
        watch = await runtime.store.watch("jobs", job_id)
        try:
            while True:
                job = await self.get_job(job_id)
                if job.is_terminal:
                    return job
                left = LOOK_SECONDS if end is None else min(LOOK_SECONDS, end - runtime.clock.monotonic())
                if left <= 0:
                    raise WaitTimeout(job_id, timeout or 0.0, job.status)
                await first_of(watch.wait(), runtime.clock.sleep(left))
        finally:
            await watch.close()

    # --- what a job leaves ---

    async def get_job_results(self, job_id: str) -> JobResults | None:
        """What the handler returned and what it saved; None before the end.

        Raises:
            JobNotFound: there is no such job.
        """
        job = await self.get_job(job_id)
        return await results_of(self.runtime.store, self.runtime.records, job)

    async def get_logs(self, job_id: str, after: int = 0, limit: int = 1000) -> Logs:
        """The job's stored log lines with a number above `after`, in order.

        Raises:
            JobNotFound: there is no such job.
            BadInput: `after` is no number that a line can have, or the limit no number of records.
        """
        check_limit(limit)
        if type(after) is not int or not 0 <= after < 2**63:
            raise BadInput("after", "is not the number of a line", "give a whole number from 0 on")
        await self.get_job(job_id)
        return await logs_of(self.runtime.store, self.runtime.records, job_id, after, limit)

    # --- history ---

    async def get_run_history(
        self,
        *,
        job_id: str | None = None,
        type: str | None = None,
        queue: JobQueue | str | None = None,
        outcome: str | None = None,
        ended_after: datetime | str | None = None,
        ended_before: datetime | str | None = None,
        limit: int = 100,
    ) -> Runs:
        """Run summaries, newest first.

        Raises:
            BadInput: naming the filter and what it takes.
        """
        wanted = RunFilter.of(job_id, type, queue, outcome, ended_after, ended_before)
        runtime = await self._ready()
        return (await run_page(runtime, wanted, limit, None)).runs

    async def get_run_page(self, wanted: RunFilter, limit: int = 100, cursor: str | None = None) -> RunPage:
        """One page of run summaries, newest first, and the cursor of the next."""
        return await run_page(await self._ready(), wanted, limit, cursor)

    async def get_daily_summary(self, day: date | str | None = None) -> DailySummary:
        """Counts, durations, retries and lost leases of one UTC day; by default today.

        Raises:
            BadInput: not a day.
        """
        runtime = await self._ready()
        return await summary_of_day(runtime, day)

    # --- health ---

    async def _counts(self) -> dict[str, int]:
        store = self.runtime.store
        return {str(status): await store.count(Query("jobs.list", {"status": str(status)})) for status in JobStatus}

    async def get_oldest_waiting_seconds(self) -> float | None:
        """How long the job has waited that could have run for longest; None if there is none.

        It is claimable, or was delayed and its time has come without any worker looking.
        """
        await self._ready()
        now = self.runtime.clock.now()
        asked = {"ready_at": Query("jobs.ready_by_age", limit=1), "wake_at": Query("jobs.due", until=now, limit=1)}
        waited: list[float] = []
        for name, query in asked.items():
            for record in (await self.runtime.store.query(query)).records:
                since = waiting_since(record, name)
                if since is not None:
                    waited.append((now - since).total_seconds())
        return max(waited, default=None)

    async def get_status(self) -> dict[str, Any]:
        """Uptime, how many job types there are, and how many jobs in each status."""
        await self._ready()
        counts = await self._counts()
        return {
            "uptime": self.uptime,
            "job_types": len(self.runtime.registry),
            "module_count": len(self.runtime.registry),
            "running_jobs": counts[str(JobStatus.RUNNING)],
            "jobs": counts,
        }

    async def get_system_health(self) -> dict[str, Any]:
        """Whether the store answers and work moves: `healthy`, `degraded` or `unreachable`, and why."""
        try:
            await self._ready()
            counts = await self._counts()
            waiting = await self.get_oldest_waiting_seconds()
        except StoreError as error:
            return {"status": "unreachable", "problems": [str(error)]}
        problems = []
        if waiting is not None and waiting > STALE.total_seconds():
            problems.append(f"a job has waited {uptime_text(waiting)}; is a worker running that serves its route?")
        if counts[str(JobStatus.NEEDS_REVIEW)]:
            problems.append(f"{counts[str(JobStatus.NEEDS_REVIEW)]} jobs wait for a person")
        status = "degraded" if waiting is not None and waiting > STALE.total_seconds() else "healthy"
        return {"status": status, "problems": problems, "jobs": counts, "oldest_waiting_seconds": waiting}

    async def get_job_metrics(self) -> dict[str, Any]:
        """Today's runs by type: how many, how they ended and how long they took; and what was asked of the store."""
        summary = await self.get_daily_summary()
        usage, prices = self.runtime.store.usage, self.runtime.store.limits().prices
        return {
            "by_type": summary.by_type,
            "by_outcome": summary.by_outcome,
            "success_rate": summary.success_rate,
            "durations": summary.durations,
            "store": {
                "reads": usage.reads,
                "writes": usage.writes,
                "deletes": usage.deletes,
                "rpcs": usage.rpcs,
            },
            "store_cost_usd": None if prices is None else float(prices.cost(usage)),
        }

"""The client's verbs about jobs, what they wait for, and batches."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import httpx

from app.client.base import ClientBase, Json, only, page_size, part, plain
from app.jobs import (
    BatchInfo,
    Job,
    JobBatch,
    JobPage,
    JobProgress,
    JobResults,
    JobStatus,
    LogEntry,
    SavedResult,
    WaitTimeout,
)

LOOK_SECONDS = 1.0
"""How often somebody who waits looks again."""


class JobVerbs(ClientBase):
    """Creates, steers, reads and follows jobs."""

    # --- create ---

    async def create_job(
        self,
        /,
        job_type: str | None = None,
        payload: Mapping[str, Json] | None = None,
        *,
        auto_start: bool = False,
        **options: Any,
    ) -> Job:
        """Create a job, held until it is started.

        Args:
            job_type: a type that the server knows; `custom` if left out.
            payload: what the handler is given.
            auto_start: let it run at once.
            options: the other fields of `JobRequest`, as JSON values; with an `idempotency_key` it may be sent again.

        Returns:
            The job; with `existing=True` if its key was taken and this is the job that has it.
        """
        body = _body({"type": job_type, "payload": payload, "auto_start": auto_start, **options})
        answer = await self._api.send("POST", "/jobs", body=body)
        job = self._api.read(Job, answer.json())
        job.existing = answer.status_code == httpx.codes.OK
        return job

    async def submit(self, /, job_type: str, payload: Mapping[str, Json] | None = None, **options: Any) -> Job:
        """Create a job and start it; see `create_job`."""
        return await self.create_job(job_type, payload, auto_start=True, **options)

    async def create_jobs(self, requests: Sequence[Mapping[str, Any]], *, auto_start: bool = False) -> list[Job]:
        """Create many jobs, each by itself; see `AsyncJobManager.create_jobs`.

        Args:
            requests: for each what `create_job` takes, by its names; at most a thousand.
            auto_start: let them run at once.
        """
        body = {"jobs": [_body(each) for each in requests], "auto_start": auto_start}
        told = (await self._api.send("POST", "/jobs/many", body=body)).json()
        jobs = self._api.read(list[Job], told["jobs"])
        for job, existing in zip(jobs, told["existing"], strict=True):
            job.existing = existing
        return jobs

    async def create_job_batch(
        self,
        jobs: Sequence[Mapping[str, Any]],
        *,
        auto_start: bool = True,
        name: str = "",
        on_complete: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> JobBatch:
        """Create a whole graph of jobs, or nothing of it; see `AsyncJobManager.create_job_batch`."""
        body: dict[str, Any] = {"jobs": [_body(each) for each in jobs], "auto_start": auto_start, "name": name}
        body |= {"on_complete": on_complete and _body(on_complete), "idempotency_key": idempotency_key}
        answer = await self._api.send("POST", "/batches", body=body)
        batch = self._api.read(JobBatch, answer.json())
        batch.existing = answer.status_code == httpx.codes.OK
        return batch

    # --- steer ---

    async def start_job(self, job_id: str, *, revision: int | None = None) -> Job:
        """Let a held job run."""
        return await self._steer(job_id, "start", None, revision)

    async def pause_job(self, job_id: str, reason: str | None = None, *, revision: int | None = None) -> Job:
        """Hold a job: at once if it does not run, else at its next checkpoint."""
        return await self._steer(job_id, "pause", {"reason": reason}, revision)

    async def resume_job(self, job_id: str, *, revision: int | None = None) -> Job:
        """Let a paused job go on from its checkpoint."""
        return await self._steer(job_id, "resume", None, revision)

    async def cancel_job(
        self, job_id: str, reason: str | None = None, *, dependents: bool = False, revision: int | None = None
    ) -> Job:
        """End a job as CANCELLED."""
        return await self._steer(job_id, "cancel", {"reason": reason, "dependents": dependents}, revision)

    async def retry_job(self, /, job_id: str, *, revision: int | None = None, **changes: Any) -> Job:
        """Run a job again that ended FAILED or CANCELLED; `changes` as `AsyncJobManager.retry_job` takes them."""
        return await self._steer(job_id, "retry", changes, revision)

    async def retry_jobs(self, /, **wanted: Any) -> int:
        """Run every job again that filters find; `wanted` as `AsyncJobManager.retry_jobs` takes it. How many run."""
        return await self._number("/jobs/retry", {name: plain(value) for name, value in wanted.items()})

    async def review(
        self,
        job_id: str,
        decision: str,
        by: str | None = None,
        comment: str = "",
        payload: Mapping[str, Json] | None = None,
        data: Json = None,
        *,
        revision: int | None = None,
    ) -> Job:
        """Decide about a job that waits for a person."""
        body = {"decision": decision, "by": by, "comment": comment, "payload": payload, "data": data}
        return await self._steer(job_id, "review", body, revision)

    async def delete_job(self, job_id: str, *, revision: int | None = None) -> None:
        """Remove a job with its log, results and chunks."""
        await self._api.send("DELETE", f"/jobs/{part(job_id)}", headers=only(revision))

    # --- read ---

    async def get_job(self, job_id: str) -> Job:
        """A job as it is now."""
        return await self._api.ask(Job, "GET", f"/jobs/{part(job_id)}")

    async def get_job_status(self, job_id: str) -> JobStatus:
        """A job's status."""
        told = (await self._api.send("GET", f"/jobs/{part(job_id)}/status")).json()
        return JobStatus(told["status"])

    async def list_page(
        self, /, *, limit: int = 100, offset: int | None = None, cursor: str | None = None, **filters: Any
    ) -> JobPage:
        """One page of jobs and the cursor of the next; filters as `AsyncJobManager.list_jobs` takes them."""
        query = {**_query(filters), "limit": limit, "offset": offset, "cursor": cursor}
        return await self._api.ask(JobPage, "GET", "/jobs", query=query)

    async def list_jobs(self, /, *, limit: int | None = None, offset: int | None = None, **filters: Any) -> list[Job]:
        """Jobs, newest first unless sorted otherwise; as `AsyncJobManager.list_jobs`, page after page.

        Args:
            limit: at most so many; None for all.
            offset: leave out so many first; up to 10,000.
            filters: as `AsyncJobManager.list_jobs` takes them.
        """
        found: list[Job] = []
        cursor: str | None = None
        while True:
            size = page_size(limit, len(found))
            page = await self.list_page(limit=size, offset=None if found else offset, cursor=cursor, **filters)
            found += page.jobs
            cursor = page.cursor
            if cursor is None or (limit is not None and len(found) >= limit):
                return found

    async def count_jobs(self, /, **filters: Any) -> int:
        """How many jobs there are; filters as `AsyncJobManager.list_jobs` takes them."""
        return await self._count("/jobs/count", _query(filters))

    async def count_due_jobs(self) -> int:
        """How many jobs could be claimed now, by whoever serves their routes."""
        return await self._count("/jobs/due")

    async def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Wait for the end of a job.

        Args:
            job_id: the job.
            timeout: seconds; None waits for ever.

        Raises:
            JobNotFound: there is no such job.
            WaitTimeout: it has not ended in time.
        """
        left = timeout
        while True:
            job = await self.get_job(job_id)
            if job.is_terminal:
                return job
            if left is not None and left <= 0:
                raise WaitTimeout(job_id, timeout or 0.0, job.status)
            pause = LOOK_SECONDS if left is None else min(LOOK_SECONDS, left)
            await self._sleep(pause)
            left = None if left is None else left - pause

    async def get_job_results(self, job_id: str) -> JobResults | None:
        """What the handler returned and what it saved; None before the end."""
        told = (await self._api.send("GET", f"/jobs/{part(job_id)}/results")).json()
        return self._api.read(JobResults, told) if told["ended"] else None

    async def get_steps(self, job_id: str) -> list[dict[str, Any]]:
        """The recorded steps of a job, in the order in which its handler called them."""
        return await self._whole(f"/jobs/{part(job_id)}/steps", "steps")

    async def get_logs(self, job_id: str, after: int = 0, limit: int = 1000) -> list[LogEntry]:
        """The job's stored log lines with a number above `after`, in order."""
        route, query = f"/jobs/{part(job_id)}/logs", {"after": after, "limit": limit}
        told = (await self._api.send("GET", route, query=query)).json()
        return self._api.read(list[LogEntry], told["lines"])

    async def subscribe_logs(self, job_id: str, after: int = 0) -> AsyncGenerator[LogEntry, None]:
        """The lines of the job's log until the job ends, without gaps, over as many connections as it takes."""
        async for line in self._api.events(f"/jobs/{part(job_id)}/logs", "log", after):
            yield self._api.read(LogEntry, line)

    async def subscribe_progress(self, job_id: str) -> AsyncGenerator[JobProgress, None]:
        """The job's progress until the job ends."""
        async for progress in self._api.events(f"/jobs/{part(job_id)}/progress", "progress"):
            yield self._api.read(JobProgress, progress)

    async def subscribe_results(self, job_id: str, after: int = 0) -> AsyncGenerator[SavedResult, None]:
        """What the job saves, as it is stored, until the job ends, without gaps."""
        async for saved in self._api.events(f"/jobs/{part(job_id)}/results", "result", after):
            yield self._api.read(SavedResult, saved)

    # --- dependencies and batches ---

    async def get_dependencies(self, job_id: str) -> list[Job]:
        """The jobs that a job depends on."""
        return await self._jobs(f"/jobs/{part(job_id)}/dependencies")

    async def get_dependent_jobs(self, job_id: str) -> list[Job]:
        """The jobs that depend on a job."""
        return await self._jobs(f"/jobs/{part(job_id)}/dependents")

    async def add_job_dependency(self, job_id: str, depends_on_id: str, *, revision: int | None = None) -> Job:
        """Let a job that has not begun wait for another one."""
        return await self._steer(job_id, "dependencies", {"depends_on": depends_on_id}, revision)

    async def remove_job_dependency(self, job_id: str, depends_on_id: str, *, revision: int | None = None) -> Job:
        """Let a job not wait for another one any more."""
        route = f"/jobs/{part(job_id)}/dependencies/{part(depends_on_id)}"
        return await self._api.ask(Job, "DELETE", route, headers=only(revision))

    async def get_batch(self, batch_id: str) -> BatchInfo:
        """A batch, and how many of its jobs are in each status."""
        return await self._api.ask(BatchInfo, "GET", f"/batches/{part(batch_id)}")

    async def get_batch_jobs(self, batch_id: str) -> list[Job]:
        """The jobs of a batch."""
        return await self._jobs(f"/batches/{part(batch_id)}/jobs")

    async def subscribe_batch(self, batch_id: str) -> AsyncGenerator[BatchInfo, None]:
        """How the jobs of a batch stand, whenever that has changed, until all of them have ended."""
        seen: BatchInfo | None = None
        async for told in self._api.events(f"/batches/{part(batch_id)}", "batch"):
            info = self._api.read(BatchInfo, told)
            if info != seen:  # a stream that is taken up again begins with how the batch stands now
                yield info
            seen = info

    async def list_batches(self, limit: int = 100) -> list[BatchInfo]:
        """The newest batches, without how their jobs stand."""
        told = (await self._api.send("GET", "/batches", query={"limit": limit})).json()
        return self._api.read(list[BatchInfo], told["batches"])

    async def cancel_batch(self, batch_id: str, reason: str | None = None) -> int:
        """Cancel every job of a batch that has not ended; how many those were."""
        return await self._number(f"/batches/{part(batch_id)}/cancel", {"reason": reason})


def _query(filters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in filters.items()}


def _body(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in given.items() if value is not None}

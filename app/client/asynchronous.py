"""`AsyncClient`: the verbs of `AsyncJobManager` over HTTP, with its names, its answers and its errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import quote

import httpx

from app.client.sending import Sender, Sleep
from app.jobs import (
    BatchInfo,
    DailySummary,
    Job,
    JobBatch,
    JobPage,
    JobProgress,
    JobResults,
    LogEntry,
    Paused,
    ReviewRequest,
    RunPage,
    Schedule,
    SentEvent,
    WaitTimeout,
)

Json: TypeAlias = Any
LOOK_SECONDS = 1.0
"""How often somebody who waits looks again."""


def _part(text: str) -> str:
    """One part of a path."""
    return quote(text, safe="")


def _plain(value: Any) -> Any:
    """A value as a query can say it."""
    return value.isoformat() if isinstance(value, datetime) else value


class AsyncClient:
    """Creates, steers and reads jobs through a server. Close it, or use it as a context manager.

    Every verb raises what the manager's verb of that name raises, `ApiError` for what the server refuses besides
    (an unknown token, a missing scope), and `Unreachable` if it does not answer.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout_seconds: float = 30.0,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Set up; nothing is sent yet.

        Args:
            url: the server's address, such as `https://torpor.example.com`.
            token: an API token; None where nobody is asked.
            timeout_seconds: how long one answer may take.
            headers: sent with every request.
            transport: how requests travel; by default over the network.
            sleep: waits between two looks.
        """
        self._sleep = sleep
        self._api = Sender(
            url, token, timeout_seconds=timeout_seconds, headers=headers or {}, transport=transport, sleep=sleep
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._api.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

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
        body = {"type": job_type, "payload": payload, "auto_start": auto_start, **options}
        body = {name: _plain(value) for name, value in body.items() if value is not None}
        answer = await self._api.send("POST", "/jobs", body=body)
        job = self._api.read(Job, answer.json())
        job.existing = answer.status_code == httpx.codes.OK
        return job

    async def submit(self, /, job_type: str, payload: Mapping[str, Json] | None = None, **options: Any) -> Job:
        """Create a job and start it; see `create_job`."""
        return await self.create_job(job_type, payload, auto_start=True, **options)

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
        body = {"jobs": list(jobs), "auto_start": auto_start, "name": name}
        body |= {"on_complete": on_complete, "idempotency_key": idempotency_key}
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
        return await self._number("/jobs/retry", {name: _plain(value) for name, value in wanted.items()})

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
        await self._api.send("DELETE", f"/jobs/{_part(job_id)}", headers=_only(revision))

    async def _steer(self, job_id: str, verb: str, body: Mapping[str, Any] | None, revision: int | None) -> Job:
        route = f"/jobs/{_part(job_id)}/{verb}"
        return await self._api.ask(Job, "POST", route, body=body, headers=_only(revision))

    # --- read ---

    async def get_job(self, job_id: str) -> Job:
        """A job as it is now."""
        return await self._api.ask(Job, "GET", f"/jobs/{_part(job_id)}")

    async def list_page(self, /, *, limit: int = 100, cursor: str | None = None, **filters: Any) -> JobPage:
        """One page of jobs and the cursor of the next; filters as `AsyncJobManager.list_jobs` takes them."""
        query = {name: _plain(value) for name, value in filters.items()}
        return await self._api.ask(JobPage, "GET", "/jobs", query={**query, "limit": limit, "cursor": cursor})

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
        told = (await self._api.send("GET", f"/jobs/{_part(job_id)}/results")).json()
        return self._api.read(JobResults, told) if told["ended"] else None

    async def get_steps(self, job_id: str) -> list[dict[str, Any]]:
        """The recorded steps of a job, in the order in which its handler called them."""
        told: list[dict[str, Any]] = (await self._api.send("GET", f"/jobs/{_part(job_id)}/steps")).json()["steps"]
        return told

    async def get_logs(self, job_id: str, after: int = 0, limit: int = 1000) -> list[LogEntry]:
        """The job's stored log lines with a number above `after`, in order."""
        route, query = f"/jobs/{_part(job_id)}/logs", {"after": after, "limit": limit}
        told = (await self._api.send("GET", route, query=query)).json()
        return self._api.read(list[LogEntry], told["lines"])

    async def subscribe_logs(self, job_id: str, after: int = 0) -> AsyncGenerator[LogEntry, None]:
        """The lines of the job's log until the job ends, without gaps, over as many connections as it takes."""
        async for line in self._api.events(f"/jobs/{_part(job_id)}/logs", "log", after):
            yield self._api.read(LogEntry, line)

    async def subscribe_progress(self, job_id: str) -> AsyncGenerator[JobProgress, None]:
        """The job's progress until the job ends."""
        async for progress in self._api.events(f"/jobs/{_part(job_id)}/progress", "progress"):
            yield self._api.read(JobProgress, progress)

    # --- dependencies and batches ---

    async def get_dependencies(self, job_id: str) -> list[Job]:
        """The jobs that a job depends on."""
        return await self._jobs(f"/jobs/{_part(job_id)}/dependencies")

    async def get_dependent_jobs(self, job_id: str) -> list[Job]:
        """The jobs that depend on a job."""
        return await self._jobs(f"/jobs/{_part(job_id)}/dependents")

    async def add_job_dependency(self, job_id: str, depends_on_id: str) -> Job:
        """Let a job that has not begun wait for another one."""
        return await self._steer(job_id, "dependencies", {"depends_on": depends_on_id}, None)

    async def remove_job_dependency(self, job_id: str, depends_on_id: str) -> Job:
        """Let a job not wait for another one any more."""
        return await self._api.ask(Job, "DELETE", f"/jobs/{_part(job_id)}/dependencies/{_part(depends_on_id)}")

    async def get_batch(self, batch_id: str) -> BatchInfo:
        """A batch, and how many of its jobs are in each status."""
        return await self._api.ask(BatchInfo, "GET", f"/batches/{_part(batch_id)}")

    async def get_batch_jobs(self, batch_id: str) -> list[Job]:
        """The jobs of a batch."""
        return await self._jobs(f"/batches/{_part(batch_id)}/jobs")

    async def list_batches(self, limit: int = 100) -> list[BatchInfo]:
        """The newest batches, without how their jobs stand."""
        told = (await self._api.send("GET", "/batches", query={"limit": limit})).json()
        return self._api.read(list[BatchInfo], told["batches"])

    async def cancel_batch(self, batch_id: str, reason: str | None = None) -> int:
        """Cancel every job of a batch that has not ended; how many those were."""
        return await self._number(f"/batches/{_part(batch_id)}/cancel", {"reason": reason})

    async def _jobs(self, route: str) -> list[Job]:
        return self._api.read(list[Job], (await self._api.send("GET", route)).json()["jobs"])

    async def _number(self, route: str, body: Mapping[str, Any]) -> int:
        return int((await self._api.send("POST", route, body=body)).json()["jobs"])

    # --- history and health ---

    async def get_run_page(self, /, *, limit: int = 100, cursor: str | None = None, **filters: Any) -> RunPage:
        """One page of run summaries, newest first; filters as `AsyncJobManager.get_run_history` takes them."""
        query = {name: _plain(value) for name, value in filters.items()}
        return await self._api.ask(RunPage, "GET", "/runs", query={**query, "limit": limit, "cursor": cursor})

    async def get_daily_summary(self, day: str | None = None) -> DailySummary:
        """Counts, durations, retries and lost leases of one UTC day."""
        return await self._api.ask(DailySummary, "GET", "/runs/summary", query={"day": day})

    async def get_system_health(self) -> dict[str, Any]:
        """Whether the store answers and work moves."""
        return await self._api.ask(dict[str, Any], "GET", "/health")

    async def get_job_metrics(self) -> dict[str, Any]:
        """Today's runs by type, and what the server has asked of the store."""
        return await self._api.ask(dict[str, Any], "GET", "/metrics")

    async def list_types(self) -> list[dict[str, Any]]:
        """Every job type that the server knows, with its options."""
        told: list[dict[str, Any]] = (await self._api.send("GET", "/types")).json()["types"]
        return told

    # --- schedules ---

    async def create_schedule(
        self, /, name: str, job_type: str, payload: Mapping[str, Json] | None = None, **options: Any
    ) -> Schedule:
        """Create a schedule; see `AsyncJobManager.create_schedule`."""
        body = {"name": name, "job_type": job_type, "payload": payload, **options}
        return await self._api.ask(Schedule, "POST", "/schedules", body=body)

    async def get_schedule(self, name: str) -> Schedule:
        """A schedule as it is now."""
        return await self._api.ask(Schedule, "GET", f"/schedules/{_part(name)}")

    async def list_schedules(self) -> list[Schedule]:
        """Every schedule, oldest first."""
        return self._api.read(list[Schedule], (await self._api.send("GET", "/schedules")).json()["schedules"])

    async def pause_schedule(self, name: str) -> Schedule:
        """Let a schedule create no job until it is resumed."""
        return await self._api.ask(Schedule, "POST", f"/schedules/{_part(name)}/pause")

    async def resume_schedule(self, name: str) -> Schedule:
        """Let a paused schedule go on with its next slot."""
        return await self._api.ask(Schedule, "POST", f"/schedules/{_part(name)}/resume")

    async def trigger_schedule(self, name: str, payload: Mapping[str, Json] | None = None) -> Job:
        """Create one job of a schedule now, beside its slots."""
        return await self._api.ask(Job, "POST", f"/schedules/{_part(name)}/trigger", body={"payload": payload})

    async def backfill_schedule(self, name: str, since: datetime | str, until: datetime | str | None = None) -> int:
        """Create the jobs of past slots that have none; how many those were."""
        body = {"since": _plain(since), "until": _plain(until)}
        return await self._number(f"/schedules/{_part(name)}/backfill", body)

    async def delete_schedule(self, name: str) -> None:
        """Remove a schedule that somebody created."""
        await self._api.send("DELETE", f"/schedules/{_part(name)}")

    # --- pauses, people and events ---

    async def get_paused(self) -> Paused:
        """Which queues and types are paused."""
        return await self._api.ask(Paused, "GET", "/paused")

    async def pause_queue(self, queue: str) -> Paused:
        """Let no further job of a queue begin, until it is resumed."""
        return await self._api.ask(Paused, "POST", f"/queues/{_part(queue)}/pause")

    async def resume_queue(self, queue: str) -> Paused:
        """Let jobs of a paused queue begin again."""
        return await self._api.ask(Paused, "POST", f"/queues/{_part(queue)}/resume")

    async def pause_type(self, job_type: str) -> Paused:
        """Let no further job of a type begin, until it is resumed."""
        return await self._api.ask(Paused, "POST", f"/types/{_part(job_type)}/pause")

    async def resume_type(self, job_type: str) -> Paused:
        """Let jobs of a paused type begin again."""
        return await self._api.ask(Paused, "POST", f"/types/{_part(job_type)}/resume")

    async def list_reviews(self, *, limit: int = 100, type: str | None = None) -> list[ReviewRequest]:
        """What waits for a person, the newest job first."""
        told = (await self._api.send("GET", "/reviews", query={"limit": limit, "type": type})).json()
        return self._api.read(list[ReviewRequest], told["reviews"])

    async def send_event(
        self,
        name: str,
        data: Json = None,
        *,
        job_id: str | None = None,
        by: str | None = None,
        event_id: str | None = None,
    ) -> SentEvent:
        """Send an event: it is stored, and jobs that wait for it go on."""
        body = {"name": name, "data": data, "job_id": job_id, "by": by, "event_id": event_id}
        return await self._api.ask(SentEvent, "POST", "/events", body=body)

    async def list_events(self, name: str | None = None, limit: int = 100) -> list[SentEvent]:
        """Events that are kept, the newest first."""
        told = (await self._api.send("GET", "/events", query={"name": name, "limit": limit})).json()
        return self._api.read(list[SentEvent], told["events"])


def _only(revision: int | None) -> dict[str, str | None]:
    return {"If-Match": None if revision is None else f'"{revision}"'}

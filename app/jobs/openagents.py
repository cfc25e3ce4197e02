"""An application's facade: the manager under another name, answering dicts."""

from __future__ import annotations

from typing import Any

from app.jobs.manager import AsyncJobManager
from app.jobs.models import Job


def job_dict(job: Job) -> dict[str, Any]:
    """A job as a plain dict, with `job_id` beside `id`."""
    return {**job.model_dump(mode="json"), "job_id": job.id}


class OpenAgentsApp:
    """Creates and reads jobs, answering dicts."""

    def __init__(self, manager: AsyncJobManager | None = None) -> None:
        self.job_manager = manager or AsyncJobManager()

    async def create_job(self, **options: Any) -> dict[str, Any]:
        """Create a job; see `AsyncJobManager.create_job`."""
        return job_dict(await self.job_manager.create_job(**options))

    async def start_job(self, job_id: str) -> dict[str, Any]:
        """Let a held job run; see `AsyncJobManager.start_job`."""
        return job_dict(await self.job_manager.start_job(job_id))

    async def get_job(self, job_id: str) -> dict[str, Any]:
        """A job as it is now; see `AsyncJobManager.get_job`."""
        return job_dict(await self.job_manager.get_job(job_id))

    async def list_jobs(self, **filters: Any) -> list[dict[str, Any]]:
        """Jobs; see `AsyncJobManager.list_jobs`."""
        return [job_dict(job) for job in await self.job_manager.list_jobs(**filters)]

    async def cancel_job(self, job_id: str) -> dict[str, Any]:
        """End a job; see `AsyncJobManager.cancel_job`."""
        return job_dict(await self.job_manager.cancel_job(job_id))

    async def get_job_status(self, job_id: str) -> str:
        """A job's status."""
        return str(await self.job_manager.get_job_status(job_id))

    async def get_job_results(self, job_id: str) -> dict[str, Any] | None:
        """A job's results; None before its end."""
        results = await self.job_manager.get_job_results(job_id)
        return None if results is None else {"result": results.result, "saved": results.saved}

    async def close(self) -> None:
        """Let go of everything."""
        await self.job_manager.close()

"""Verbs that hold for the revision of a job only that the caller has looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from app.jobs import AsyncJobManager, Job, JobStatus, Registry, RevisionChanged, Runtime, job
from app.stores import MemoryJobStore

Change = Callable[[AsyncJobManager, Job, int], Awaitable[object]]

CHANGES: dict[str, tuple[str, Change]] = {
    "start": ("held", lambda manager, made, revision: manager.start_job(made.id, revision=revision)),
    "pause": ("queued", lambda manager, made, revision: manager.pause_job(made.id, revision=revision)),
    "cancel": ("queued", lambda manager, made, revision: manager.cancel_job(made.id, revision=revision)),
    "cancel with dependents": (
        "queued",
        lambda manager, made, revision: manager.cancel_job(made.id, dependents=True, revision=revision),
    ),
    "resume": ("paused", lambda manager, made, revision: manager.resume_job(made.id, revision=revision)),
    "retry": ("cancelled", lambda manager, made, revision: manager.retry_job(made.id, revision=revision)),
    "delete": ("cancelled", lambda manager, made, revision: manager.delete_job(made.id, revision=revision)),
}


async def _in_state(manager: AsyncJobManager, state: str) -> Job:
    made = await manager.create_job("plain", auto_start=state != "held")
    if state == "paused":
        return await manager.pause_job(made.id)
    return await manager.cancel_job(made.id) if state == "cancelled" else made


@pytest.mark.parametrize(("state", "change"), CHANGES.values(), ids=CHANGES)
async def test_a_change_that_was_decided_about_another_revision_is_refused(state: str, change: Change) -> None:
    registry = Registry()

    @job("plain", registry=registry)
    async def plain() -> None:
        pass

    async with AsyncJobManager(runtime=Runtime(MemoryJobStore(), registry=registry), worker=False) as manager:
        made = await _in_state(manager, state)
        with pytest.raises(RevisionChanged, match=f"is at revision {made.revision}, not {made.revision + 1}"):
            await change(manager, made, made.revision + 1)
        assert (await manager.get_job(made.id)) == made

        await change(manager, made, made.revision)


async def test_of_two_who_looked_at_the_same_revision_one_decides() -> None:
    registry = Registry()

    @job("plain", registry=registry)
    async def plain() -> None:
        pass

    async with AsyncJobManager(runtime=Runtime(MemoryJobStore(), registry=registry), worker=False) as manager:
        seen = await manager.submit("plain")
        await manager.pause_job(seen.id, revision=seen.revision)
        with pytest.raises(RevisionChanged):
            await manager.cancel_job(seen.id, revision=seen.revision)
        assert await manager.get_job_status(seen.id) is JobStatus.PAUSED

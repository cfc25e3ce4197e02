"""A record that this version of the code cannot read is kept in sight, and stands in nobody's way."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from app.jobs import JobContext, JobStatus
from app.jobs.errors import Unreadable
from app.jobs.records import SET_ASIDE
from app.stores.base import Update
from tests.support.site import LEASE_SECONDS, Peer, Site


async def spoiled(peer: Peer, job_id: str, **changes: str | None) -> None:
    """Make a job look as if a later version had written it."""
    (record,) = await peer.store.get("jobs", [job_id])
    assert record is not None
    fields = {"retry_backoff": "fibonacci", "outcome": "of a later version", **changes}
    await peer.store.commit([Update("jobs", job_id, fields, record.version)])


async def test_unreadable_jobs_take_nobodys_place(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    peer = await site.peer()

    @site.job("work")
    async def work(ctx: JobContext) -> None: ...

    strange = [await peer.submitted("work", priority="critical") for _ in range(3)]
    strange += [await peer.submitted("work", priority="critical", delay_seconds=1) for _ in range(3)]
    for job_id in strange:
        await spoiled(peer, job_id)
    due = [await peer.submitted("work", priority="low") for _ in range(2)]
    peer.clock.jump(2)

    with caplog.at_level(logging.WARNING):
        # One slot: whatever stands in the way would fill it.
        report = await peer.drain(concurrency=1)
        listed = await peer.manager.list_jobs(limit=100)

    assert report.completed == 2
    assert {job.id for job in listed} == set(due)
    told = [record.getMessage() for record in caplog.records if "cannot read it" in record.getMessage()]
    assert {job_id: sum(job_id in line for line in told) for job_id in strange} == dict.fromkeys(strange, 1)
    for record in await peer.store.get("jobs", strange):
        assert record is not None
        assert (record.fields["status"], record.fields.get("ready_at")) == ("queued", None)
        assert record.fields["wake_at"] == peer.clock.now() + SET_ASIDE
    with pytest.raises(Unreadable, match=f"job {strange[0]}: its record cannot be read"):
        await peer.manager.get_job(strange[0])


async def test_a_later_version_finds_them_again(site: Site) -> None:
    peer = await site.peer()

    @site.job("work")
    async def work(ctx: JobContext) -> None: ...

    job_id = await peer.submitted("work")
    await spoiled(peer, job_id)
    assert (await peer.drain()).claimed == 0
    await spoiled(peer, job_id, retry_backoff="fixed", outcome=None)
    peer.clock.jump(SET_ASIDE.total_seconds() + 1)

    assert (await peer.drain()).completed == 1


async def test_an_unreadable_lease_keeps_no_other_from_being_taken_back(site: Site) -> None:
    peer = await site.peer()

    @site.job("work")
    async def work(ctx: JobContext) -> None: ...

    strange, lost = await peer.submitted("work"), await peer.submitted("work")
    await peer.claimed(2)
    await spoiled(peer, strange)
    peer.clock.jump(LEASE_SECONDS + 1)

    assert await peer.recovered() == 1

    assert (await peer.get(lost)).status is JobStatus.QUEUED
    (record,) = await peer.store.get("jobs", [strange])
    assert record is not None
    assert record.fields["status"] == "running"
    assert record.fields["lease_expires_at"] == peer.clock.now() + timedelta(minutes=5)

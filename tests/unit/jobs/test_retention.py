"""Deleting ended jobs: whole, and never one that somebody runs again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.jobs import Job, JobContext, JobStatus
from app.jobs.retention import delete_page, delete_record, ended_before, expiry
from app.stores.base import PreconditionFailed
from tests.support.clock import NOON
from tests.support.engine import Engine

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("fields", "keep", "expected"),
    [
        ({}, DAY, NOON + DAY),
        ({}, None, None),
        ({"log_length": 1}, DAY, None),
        ({"results_saved": 1}, DAY, None),
        ({"chunks": {"payload": ("c",)}}, DAY, None),
    ],
)
def test_a_store_may_delete_by_itself_only_what_leaves_nothing_behind(
    fields: dict[str, Any], keep: timedelta | None, expected: Any
) -> None:
    assert expiry(Job(type="t", **fields), NOON, keep) == expected


@pytest.fixture
async def ended(engine: Engine) -> str:
    """The id of an ended job with a log, results and chunks."""

    @engine.job("it", max_retries=0)
    async def handler(ctx: JobContext) -> None:
        await ctx.log("a line")
        await ctx.save_result([1])
        await ctx.save_checkpoint("x" * 300 * 1024)
        if ctx.attempt == 1:
            raise ValueError("at first")

    job_id = await engine.submitted("it", idempotency_key="k")
    await engine.drain()
    return job_id


async def test_a_job_that_was_retried_since_it_was_found_stays_whole(engine: Engine, ended: str) -> None:
    """Given a page of jobs to delete, when one is retried before it is its turn, then nothing of it is deleted."""
    found = await ended_before(engine.store, NOON + DAY)
    before = await engine.records()
    await engine.manager.retry_job(ended)
    assert await delete_page(engine.store, found, engine.runtime.release.let_go_of) == 0
    with pytest.raises(PreconditionFailed):
        await delete_record(engine.store, found[0])
    after = await engine.records()
    assert after == before
    assert after["chunks"] > 0
    await engine.drain()
    assert (await engine.get(ended)).status is JobStatus.COMPLETED


async def test_all_that_is_a_jobs_own_goes_with_it(engine: Engine, ended: str) -> None:
    found = await ended_before(engine.store, NOON + DAY)
    assert [record.id for record in found] == [ended]
    assert await delete_page(engine.store, found, engine.runtime.release.let_go_of) == 1
    assert {name: number for name, number in (await engine.records()).items() if number} == {"runs": 1}
    assert await ended_before(engine.store, NOON + DAY) == []

"""What dependencies and batches cost, in the reads and writes that docs/costs.md tells."""

from __future__ import annotations

from dataclasses import replace

from app.jobs import JobContext, JobResult
from app.jobs.events import Complete
from app.stores.base import Usage
from tests.support.engine import Engine


def register(engine: Engine) -> None:
    @engine.job("it")
    async def it(ctx: JobContext) -> None:
        return None


def since(engine: Engine, before: Usage) -> tuple[int, int]:
    """Reads and writes since then."""
    after = engine.store.usage
    return after.reads - before.reads, after.writes - before.writes


async def test_a_job_without_dependencies_costs_what_it_did(engine: Engine) -> None:
    register(engine)
    before = replace(engine.store.usage)
    await engine.submitted("it")
    assert since(engine, before) == (0, 1)


async def test_a_dependency_costs_a_write_to_both_sides(engine: Engine) -> None:
    register(engine)
    parent = await engine.manager.create_job("it")
    before = replace(engine.store.usage)
    child = await engine.manager.submit("it", dependencies=[parent])
    assert since(engine, before) == (2, 2), "read twice: the check of all, and what the commit stands on"
    await engine.manager.start_job(parent.id)
    lease = await engine.runtime.queue.claim_job("w", parent.id)
    assert lease is not None
    ended = await lease.settle(Complete(JobResult(success=True)))
    before = replace(engine.store.usage)
    await engine.runtime.settled(ended)
    reads, writes = since(engine, before)
    assert (reads <= 3, writes) == (True, 2), "the child is let go on, and the release is done"
    assert (await engine.get(child.id)).ready_at is not None


async def test_a_batch_in_one_commit_costs_one_write_more_than_its_jobs(engine: Engine) -> None:
    register(engine)
    before = replace(engine.store.usage)
    await engine.manager.create_job_batch([{"type": "it"}, {"type": "it", "dependencies": [0]}])
    assert since(engine, before) == (0, 3)

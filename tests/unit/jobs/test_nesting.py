"""Jobs that create jobs: parents, depth, and its limit."""

from __future__ import annotations

import pytest

from app.jobs import BadInput, BlockingJobContext, EngineOptions, JobContext, JobStatus
from app.stores import MemoryJobStore
from app.stores.faults import FaultPlan, FaultyStore, Operation
from tests.support.engine import Engine


async def test_what_a_handler_creates_is_the_child_of_its_job() -> None:
    engine = Engine()

    @engine.job("child")
    async def child(ctx: JobContext) -> None: ...

    @engine.job("parent")
    async def parent(ctx: JobContext) -> str:
        return (await ctx.manager.submit("child")).id

    @engine.job("blocking")
    def blocking(ctx: BlockingJobContext) -> str:
        return ctx.manager.submit("parent").id

    above = await engine.submitted("blocking")
    await engine.drain()
    (middle,) = await engine.manager.list_jobs(parent_id=above)
    (below,) = await engine.manager.list_jobs(parent_id=middle.id)
    assert [(each.type, each.depth) for each in (middle, below)] == [("parent", 1), ("child", 2)]
    assert (await engine.manager.submit("child")).parent_id is None, "nobody's handler runs here"


async def test_a_parent_that_is_named_is_the_parent() -> None:
    engine = Engine()

    @engine.job("creates")
    async def creates(ctx: JobContext, parent: str = "") -> str | None:
        return (await ctx.manager.submit("creates", {"parent": "-"}, parent_id=parent)).id if parent != "-" else None

    other = await engine.submitted("creates", {"parent": "-"})
    await engine.submitted("creates", {"parent": other})
    await engine.drain()
    assert [job.depth for job in await engine.manager.list_jobs(parent_id=other)] == [1]


async def test_a_handlers_job_in_another_engine_has_no_parent_there() -> None:
    engine, other = Engine(), Engine()

    @other.job("there")
    async def there(ctx: JobContext) -> None: ...

    @engine.job("here")
    async def here(ctx: JobContext) -> None:
        await other.manager.submit("there")

    await engine.submitted("here")
    await engine.drain()
    assert [job.parent_id for job in await other.manager.list_jobs()] == [None]


async def test_creating_a_child_of_ones_own_reads_nothing_more() -> None:
    plan = FaultPlan()
    engine = Engine(store=FaultyStore(MemoryJobStore(), plan))

    @engine.job("child")
    async def child(ctx: JobContext) -> None: ...

    @engine.job("parent")
    async def parent(ctx: JobContext) -> int:
        before = plan.calls[Operation.GET]
        await ctx.manager.submit("child", parent_id=ctx.job_id)
        await ctx.manager.submit("child")
        return plan.calls[Operation.GET] - before

    job_id = await engine.submitted("parent")
    await engine.drain()
    result = (await engine.get(job_id)).result
    assert result is not None
    assert result.data == 0


async def test_a_loop_of_jobs_ends_and_names_itself() -> None:
    engine = Engine(options=EngineOptions(max_depth=3))

    @engine.job("ping", max_retries=0)
    async def ping(ctx: JobContext) -> None:
        await ctx.manager.submit("pong")

    @engine.job("pong", max_retries=0)
    async def pong(ctx: JobContext) -> None:
        await ctx.manager.submit("ping")

    first = await engine.submitted("ping")
    await engine.drain()
    jobs = await engine.manager.list_jobs(sort_order="asc")
    assert [job.depth for job in jobs] == [0, 1, 2, 3]
    assert [job.status for job in jobs] == [JobStatus.COMPLETED] * 3 + [JobStatus.FAILED]
    error = jobs[-1].error
    assert error is not None
    chain = " → ".join(f"{job.type} {job.id}" for job in jobs)
    assert (error.code, chain in error.message, first in error.message) == ("BAD_INPUT", True, True)
    with pytest.raises(BadInput, match="max_depth") as refused:
        await engine.manager.submit("ping", parent_id=jobs[-1].id)
    assert refused.value.field == "parent_id"

"""What limits cost, in the reads and writes that docs/costs.md tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.jobs import JobContext, JobRequest
from tests.support.engine import Engine

JOBS = 40
PLAIN = {"writes": 4.0, "reads": 1.2}


async def cost(options: dict[str, Any], asked: Callable[[int], dict[str, Any]], *, lock: str | None = None) -> Any:
    """Reads, writes and deletes a job, of forty that are created and then run by one worker with one slot."""
    engine = Engine()

    @engine.job("it", **options)
    async def it(ctx: JobContext) -> None:
        if lock is not None:
            async with ctx.lock(lock):
                pass

    await engine.manager.open()
    await engine.drain(concurrency=1)
    usage = engine.store.usage
    before = (usage.reads, usage.writes, usage.deletes)
    await engine.manager.create_jobs([JobRequest(type="it", **asked(n)) for n in range(JOBS)], auto_start=True)
    await engine.drain(concurrency=1)
    after = (usage.reads, usage.writes, usage.deletes)
    return tuple((now - then) / JOBS for then, now in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("options", "asked", "lock", "reads", "writes", "deletes"),
    [
        ({}, lambda n: {}, None, 0.0, 0.0, 0.0),
        ({"max_concurrent": 1}, lambda n: {}, None, 5.0, 1.0, 0.0),
        ({}, lambda n: {"concurrency_key": f"{n}"}, None, 6.0, 1.0, 1.0),
        ({}, lambda n: {"concurrency_key": "one"}, None, 9.0, 2.0, 0.0),
        ({"preserve_order": True}, lambda n: {}, None, 9.0, 2.0, 0.0),
        ({}, lambda n: {}, "ledger", 3.0, 4.0, 0.0),
    ],
    ids=["nothing", "max_concurrent", "a key each", "one key", "preserve_order", "lock"],
)
async def test_reads_and_writes_beside_those_of_a_plain_job(
    options: dict[str, Any],
    asked: Callable[[int], dict[str, Any]],
    lock: str | None,
    reads: float,
    writes: float,
    deletes: float,
) -> None:
    found = await cost(options, asked, lock=lock)
    assert found[0] - PLAIN["reads"] <= reads + 0.2
    assert found[1] - PLAIN["writes"] == pytest.approx(writes, abs=0.1)
    assert found[2] == pytest.approx(deletes, abs=0.1)

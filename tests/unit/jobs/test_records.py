"""User data that outgrows its record lies in chunks, which come and go with what they hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.jobs.errors import TooLarge
from app.jobs.events import Complete
from app.jobs.models import JobResult
from app.jobs.options import EngineOptions
from app.jobs.records import DataLimits
from app.stores.base import Query
from app.stores.memory import MemoryJobStore
from tests.support.engine import Engine

KIB = 1024


@pytest.fixture
async def small() -> Engine:
    """An engine whose fields hold 1 KiB inline, and 4 KiB in all."""
    engine = Engine(options=EngineOptions(data=DataLimits(inline_bytes=KIB, field_bytes=4 * KIB)))
    await engine.store.open()
    return engine


def text(stored_bytes: int) -> str:
    """A text whose JSON takes that many bytes."""
    return "x" * (stored_bytes - 2)


def test_the_limits_are_those_of_the_contract() -> None:
    assert DataLimits().inline_bytes == 256 * KIB


@pytest.mark.parametrize(
    ("size", "chunks"), [(10, 0), (KIB, 0), (KIB + 1, 2), (2 * KIB, 2), (2 * KIB + 1, 3), (4 * KIB, 4)]
)
async def test_above_its_inline_limit_a_field_is_cut_into_chunks(small: Engine, size: int, chunks: int) -> None:
    job = await small.manager.create_job(checkpoint=text(size))
    assert (await small.records())["chunks"] == chunks
    assert (await small.get(job.id)).checkpoint == text(size)


async def test_a_payload_of_the_real_limit_is_cut_too(engine: Engine) -> None:
    payload = {"text": "x" * 300 * KIB}
    job = await engine.manager.create_job(payload=payload)
    assert (await engine.records())["chunks"] == 2
    assert (await engine.get(job.id)).payload == payload


@pytest.mark.parametrize("field", ["payload", "settings", "checkpoint"])
async def test_above_its_whole_limit_a_field_is_refused_by_name(small: Engine, field: str) -> None:
    with pytest.raises(TooLarge, match=rf"^{field}: 4,1\d\d bytes, over the limit of 4,096; ") as refused:
        await small.manager.create_job(**{field: {"text": text(4 * KIB)}})
    assert refused.value.code == "TOO_LARGE"
    assert sum((await small.records()).values()) == 0


async def test_a_listing_reads_chunks_as_well(small: Engine) -> None:
    for number in range(3):
        await small.manager.create_job(payload={"n": number, "text": text(2 * KIB)})
    listed = await small.manager.list_jobs(sort_order="asc")
    assert [(job.payload["n"], len(job.payload["text"])) for job in listed] == [(n, 2 * KIB - 2) for n in range(3)]


async def test_chunks_go_when_what_they_held_goes(small: Engine) -> None:
    """Given a large checkpoint, when it grows, shrinks and ends, then only the chunks of the newest are there."""
    sizes = []

    @small.job("grow")
    async def grow(ctx: Any) -> None:
        for size in (3 * KIB, 2 * KIB, 10):
            await ctx.save_checkpoint(text(size))
            await ctx.flush()
            sizes.append((await small.records())["chunks"])

    await small.submitted("grow")
    await small.drain()
    assert sizes == [3, 2, 0]


async def test_a_handler_sees_what_was_in_chunks(small: Engine) -> None:
    seen = []

    @small.job("look")
    async def look(ctx: Any, words: str) -> str:
        seen.append((words, ctx.checkpoint))
        return text(2 * KIB)

    job_id = await small.submitted("look", {"words": text(2 * KIB)}, checkpoint=text(3 * KIB))
    await small.drain()
    assert seen == [(text(2 * KIB), text(3 * KIB))]
    results = await small.manager.get_job_results(job_id)
    assert results is not None
    assert results.result == text(2 * KIB)
    # The payload's three, the checkpoint's three, and the result's three.
    assert (await small.records())["chunks"] == 9


async def test_saved_results_are_cut_and_deleted_with_their_job(small: Engine) -> None:
    @small.job("save")
    async def save(ctx: Any) -> None:
        await ctx.save_result(text(2 * KIB))
        await ctx.save_result("short")
        with pytest.raises(TooLarge, match=r"^result: "):
            await ctx.save_result(text(5 * KIB))

    job_id = await small.submitted("save")
    await small.drain()
    results = await small.manager.get_job_results(job_id)
    assert results is not None
    assert results.saved == [text(2 * KIB), "short"]
    await small.manager.delete_job(job_id)
    left = {name: number for name, number in (await small.records()).items() if number}
    assert left == {"runs": 1}


async def test_a_chunked_field_survives_changes_of_others(small: Engine) -> None:
    """Given a job read back from chunks, when somebody else changes another field, then the chunks stay."""
    job = await small.manager.create_job("custom", {"text": text(2 * KIB)})
    await small.manager.cancel_job(job.id)
    found = await small.get(job.id)
    assert (found.payload, (await small.records())["chunks"]) == ({"text": text(2 * KIB)}, 3)


async def test_a_result_over_the_limit_ends_the_job(small: Engine) -> None:
    """Given a result that is too large, when the lease ends, then the job FAILED and says why."""

    @small.job("huge")
    async def huge(ctx: Any) -> str:
        return text(5 * KIB)

    job_id = await small.submitted("huge")
    await small.drain()
    job = await small.get(job_id)
    assert (job.status, job.error and job.error.code) == ("failed", "RESULT_INVALID")
    assert job.error is not None
    assert "over the limit of 4,096" in job.error.message
    assert (await small.records())["chunks"] == 0


async def test_a_settle_takes_the_chunks_of_the_job_it_leased(small: Engine) -> None:
    """Given a job whose result of an earlier attempt is in chunks, when it ends, then they are replaced."""
    small.job("twice")(lambda: None)
    job_id = await small.submitted("twice", checkpoint=text(2 * KIB))
    (lease,), _ = await small.runtime.queue.claim("w", ["default"], 1)
    await small.runtime.records.resolve([lease.job])
    await lease.settle(Complete(JobResult(success=True, data=text(3 * KIB))))
    assert (await small.records())["chunks"] == 2 + 4
    assert (await small.get(job_id)).checkpoint == text(2 * KIB)


@pytest.mark.parametrize(("size", "chunks"), [(2**20 // 10, 0), (256 * KIB, 12)])
async def test_all_texts_of_a_job_fit_into_one_record_together(size: int, chunks: int) -> None:
    """Given a store of small records, when every text of a job is as large as it may be, then the job still ends."""
    store = MemoryJobStore()
    # As Firestore's documents.
    limits = replace(store.limits(), bytes_per_record=2**20)
    store._ledger.limits = limits
    store.limits = lambda: limits  # type: ignore[method-assign]
    engine = Engine(store=store)
    await engine.store.open()

    @engine.job("it")
    async def it(ctx: Any, **payload: Any) -> str:
        await ctx.save_checkpoint(text(size))
        await ctx.report_progress(1, 1, "\x85" * 4000)
        await ctx.log("\x85" * 16000)
        return text(size - 60)

    value = {"a": text(size - 6)}
    names = dict.fromkeys(("name", "description"), "é" * (2**20 // 20))
    job_id = await engine.submitted("it", value, settings=value, metadata={"a": text(2**20 // 10 - 6)}, **names)
    await engine.drain()
    assert (await engine.get(job_id)).status == "completed"
    assert (await store.count(Query("chunks.of_job", {"job_id": job_id}))) == chunks
    with pytest.raises(TooLarge, match=r"^name: "):
        await engine.manager.create_job("it", name="é" * (2**20 // 20 + 1))

"""Enrichment by a model, through the queue: asked once about each exercise, paid for, and asked again later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from app.catalog import Exercise
from app.catalog.gemini import GeminiEnricher, GeminiModel
from app.jobs import JobStatus
from tests.acceptance.catalog.conftest import Process, Site, sample, totals
from tests.support.vertex_server import Reply, VertexServer, error, stopped
from tests.support.vertex_server import says as answers

CHOSEN = tuple(exercise.model_copy(update={"level": None}) for exercise in sample()[:7])
IDS = [exercise.id for exercise in CHOSEN]
LEVEL: dict[str, Any] = {"enricher": "gemini", "fields": [{"path": "level"}], "exercise_ids": IDS}
ANSWER = answers({"level": {"value": "advanced", "confidence": 0.9, "reason": "it says so"}})

Asked = Callable[..., Awaitable[tuple[Process, VertexServer]]]


@pytest.fixture
async def asked(memory: Site) -> AsyncIterator[Asked]:
    """Makes a process whose enricher `gemini` is answered with the given replies."""
    async with AsyncExitStack() as stack:

        async def make(*replies: Reply) -> tuple[Process, VertexServer]:
            server = stack.enter_context(VertexServer(*replies))
            model = GeminiModel(**server.arguments)
            stack.push_async_callback(model.close)
            process = await memory.catalogued(CHOSEN)
            process.runtime.application["catalog_enrichers"] = {"gemini": lambda: GeminiEnricher(model)}
            return process, server

        yield make


async def stored(process: Process) -> list[Exercise]:
    return [each.exercise for each in await process.catalog.get(IDS) if each is not None]


async def test_every_exercise_is_asked_about_once_and_paid_for(asked: Asked) -> None:
    process, server = await asked(ANSWER)

    counts = totals(await process.ended("catalog_enrich_field", LEVEL, mode="apply"))

    assert len(server.questions) == len(IDS)
    assert {exercise.level for exercise in await stored(process)} == {"advanced"}
    assert counts.written == {"level": 7}
    # 100 and 20 tokens a question, at US$ 0.30 and 2.50 a million
    assert counts.spent == {"calls": 7, "prompt_tokens": 700, "output_tokens": 140, "microdollars": 7 * 80}


async def test_a_dry_run_asks_and_writes_nothing(asked: Asked) -> None:
    process, server = await asked(ANSWER)

    counts = totals(await process.ended("catalog_enrich_field", LEVEL))

    assert len(server.questions) == len(IDS)
    assert {exercise.level for exercise in await stored(process)} == {None}
    assert counts.enriched == 7


async def test_what_cannot_be_used_is_counted_and_the_rest_goes_on(asked: Asked) -> None:
    process, _ = await asked(stopped("SAFETY"), answers("Sure!"), ANSWER)

    counts = totals(await process.ended("catalog_enrich_field", LEVEL, mode="apply"))

    assert counts.written == {"level": 5}
    assert (counts.spent["calls"], counts.spent["unusable"]) == (7, 2)


async def test_a_model_over_its_quota_is_asked_later_and_not_again_about_what_it_answered(asked: Asked) -> None:
    busy = error(429, "RESOURCE_EXHAUSTED", Retry_After="0")
    process, server = await asked(*[ANSWER] * 6, busy, ANSWER)

    counts = totals(await process.ended("catalog_enrich_field", LEVEL, mode="apply"))

    # The first page of five was recorded. Of the second, one was answered before the model gave up.
    assert len(server.questions) == 5 + 2 + 2
    assert counts.written == {"level": 7}
    assert counts.spent["calls"] == 7


@pytest.mark.parametrize(
    ("payload", "reply", "code"),
    [
        (LEVEL, error(403, "PERMISSION_DENIED"), "MODEL_REFUSED"),
        ({**LEVEL, "enricher": "oracle"}, ANSWER, "UNKNOWN_ENRICHER"),
    ],
)
async def test_what_will_never_work_fails_the_shard_at_once(
    asked: Asked, payload: dict[str, Any], reply: Reply, code: str
) -> None:
    process, _ = await asked(reply)

    parent = await process.ended("catalog_enrich_field", payload, mode="apply")

    (shard,) = await process.shards(parent.id)
    assert shard.status is JobStatus.FAILED
    assert shard.error is not None
    assert shard.error.code == code
    assert parent.result is not None
    assert parent.result.data["not_completed"] == [shard.id]
    assert {exercise.level for exercise in await stored(process)} == {None}

"""A job whose plan a model mends: judged again, applied, or left to a person with what the model said."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from app.catalog.gemini import GeminiModel, GeminiRepairer
from app.catalog.plans import rename_exercise
from app.jobs import Job, JobStatus
from tests.support.planned import Planned, result_of
from tests.support.vertex_server import Reply, VertexServer, error, says
from tests.unit.catalog.exercises import named

FLY = named("Chest Fly", "dumbbell")
WRONG = rename_exercise(FLY, "F" * 300)
"""No rule knows how to mend it."""


def fix(name: str, confidence: float = 0.9) -> Reply:
    settings = [
        {"path": "patch.name", "value": json.dumps(name)},
        {"path": "patch.slug", "value": json.dumps("flat-chest-fly")},
        {"path": "targets", "value": json.dumps([f"exercise/{FLY.id}", f"alias/{FLY.slug}"])},
    ]
    mend = {"action": "modify", "operation": "op-1", "set": settings, "reason": "a name has 200 characters"}
    return says({"can_repair": True, "analysis": "the name is too long", "confidence": confidence, "fixes": [mend]})


CANNOT = says({"can_repair": False, "analysis": "which name was meant?", "confidence": 0.9, "fixes": []})


@pytest.fixture
async def planned() -> AsyncIterator[Planned]:
    world = Planned()
    await world.open([FLY])
    yield world
    await world.engine.manager.close()


async def run(planned: Planned, *replies: Reply) -> tuple[Job, VertexServer]:
    async with AsyncExitStack() as stack:
        server = stack.enter_context(VertexServer(*replies))
        model = GeminiModel(**server.arguments)
        stack.push_async_callback(model.close)
        planned.repairer = GeminiRepairer(model)
        return await planned.run(WRONG), server


async def test_a_plan_that_no_rule_mends_is_mended_and_applied(planned: Planned) -> None:
    job, server = await run(planned, fix("Flat Chest Fly"))

    told = result_of(job)
    assert (told["status"], told["applied"]) == ("applied", 1)
    assert (await planned.exercise(FLY.id)).name == "Flat Chest Fly"
    (repair,) = told["repairs"]
    assert "the name is too long (gemini-2.5-flash, 100+20 tokens" in repair["analysis"]
    assert len(server.questions) == 1
    assert "F" * 300 in server.questions[0].prompt


async def test_a_fix_that_is_wrong_itself_is_judged_and_asked_about_again(planned: Planned) -> None:
    job, server = await run(planned, fix("G" * 300), fix("Flat Chest Fly"))

    assert result_of(job)["status"] == "applied"
    assert len(server.questions) == 2
    assert "G" * 300 in server.questions[1].prompt


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (CANNOT, "which name was meant?"),
        (says("I would rather not"), "it is not JSON"),
        (fix("Flat Chest Fly", confidence=0.3), "the name is too long"),
        (error(403, "PERMISSION_DENIED"), "403 PERMISSION_DENIED"),
    ],
)
async def test_what_the_model_leaves_open_is_for_a_person(planned: Planned, reply: Reply, told: str) -> None:
    job, _ = await run(planned, reply)

    assert job.status is JobStatus.NEEDS_REVIEW
    assert (await planned.exercise(FLY.id)).name == FLY.name
    (review,) = await planned.engine.manager.list_reviews()
    assert told in json.dumps(review.data)

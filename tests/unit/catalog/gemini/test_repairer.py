"""Mending plans with a model: what it is asked, which of its fixes are made, and when a person has to decide."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.gemini import GeminiRepairer, ModelUnavailable
from app.catalog.gemini.repairer import BadFixes, fixes_of
from app.catalog.plans import make_plan, patch_exercises, rename_exercise
from app.catalog.plans.finding import Finding
from app.jobs import RepairableError
from tests.support.vertex_server import Reply, error, says, stopped
from tests.unit.catalog.exercises import named
from tests.unit.catalog.gemini.conftest import Asking

PRESS = named("Chest Press", "machine")
PLAN = make_plan(
    "family_normalize",
    [
        rename_exercise(PRESS, "Bench Press", rationale="its name lacks the equipment"),
        patch_exercises([PRESS.id], {"level": "beginner"}),
    ],
    scope=("chest-press",),
)
TAKEN = Finding(code="SLUG_TAKEN", operation="op-1", field="patch.slug", message="the slug 'bench-press' is taken")
WRONG = RepairableError("not valid", PLAN.model_dump(mode="json"), [TAKEN.model_dump(mode="json")])


def answer(*fixes: Any, can_repair: Any = True, confidence: Any = 0.9, analysis: Any = "the slug is taken") -> Reply:
    return says({"can_repair": can_repair, "analysis": analysis, "confidence": confidence, "fixes": list(fixes)})


def modify(operation: str = "op-1", **values: Any) -> dict[str, Any]:
    settings = [{"path": path.replace("__", "."), "value": json.dumps(value)} for path, value in values.items()]
    return {"action": "modify", "operation": operation, "set": settings, "reason": "another slug"}


async def test_the_fixes_of_the_model_are_made(asking: Asking) -> None:
    model, _ = await asking(answer(modify(patch__slug="chest-press-machine")))

    repair = await GeminiRepairer(model).repair(PLAN, WRONG, 2)

    assert repair.can_repair
    assert repair.confidence == 0.9
    assert repair.work is not None
    operation = repair.work.operation("op-1")
    assert operation is not None
    assert operation.patch["slug"] == "chest-press-machine"
    assert repair.work.version == PLAN.version + 1
    assert repair.analysis == "the slug is taken (gemini-2.5-flash, 100+20 tokens, US$ 0.000080)"
    assert repair.fixes == [
        {
            "action": "modify",
            "operation": "op-1",
            "set": {"patch.slug": "chest-press-machine"},
            "reason": "another slug",
        }
    ]


async def test_the_question_shows_plan_findings_and_writable_paths(asking: Asking) -> None:
    model, server = await asking(answer(modify(patch__slug="other")))

    await GeminiRepairer(model).repair(PLAN, WRONG, 2)
    (question,) = server.questions

    assert '"id": "op-1"' in question.prompt
    assert "SLUG_TAKEN" in question.prompt
    assert "- rename_exercise: name, slug" in question.prompt
    assert "Tries that are left after this one: 2" in question.prompt
    assert question.schema["required"] == ["can_repair", "analysis", "confidence", "fixes"]


async def test_the_first_failure_brings_its_own_plan(asking: Asking) -> None:
    model, _ = await asking(answer({"action": "remove", "operation": "op-1", "reason": "not needed"}))

    repair = await GeminiRepairer(model).repair(None, WRONG, 3)

    assert repair.work is not None
    assert [each.id for each in repair.work.operations] == ["op-2"]


async def test_an_operation_is_added_behind_another(asking: Asking) -> None:
    added = {
        "kind": "patch_exercise",
        "targets": [f"exercise/{PRESS.id}"],
        "patch": [{"path": "tags", "value": '["press"]'}],
        "rationale": "it was forgotten",
        "risk": "low",
    }
    fix = {"action": "add", "operation": "op-1", "add": added, "set": [], "reason": "it was forgotten"}
    model, _ = await asking(answer(fix))

    repair = await GeminiRepairer(model).repair(PLAN, WRONG, 1)

    assert repair.work is not None
    assert [each.id for each in repair.work.operations] == ["op-1", "op-3", "op-2"]
    assert repair.work.operations[1].patch == {"tags": ["press"]}


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (answer(can_repair=False, analysis="who is meant?"), "who is meant?"),
        (answer(can_repair="yes"), "the slug is taken"),
        (answer(analysis=None), "no analysis was given"),
        (answer(), "it gave no fixes"),
        (answer(modify("op-9", patch__slug="x")), "the plan has no such operation"),
        (answer(modify(risk="enormous")), "risk"),
        (answer(modify(colour="red")), "no 'colour' to set"),
        (answer({"action": "explode", "operation": "op-1", "reason": ""}), "cannot be read: action"),
        (answer({"action": "modify", "operation": "op-1", "set": [], "reason": ""}), "cannot be read"),
        (answer({"action": "add", "operation": "", "reason": ""}), "an operation to add is missing"),
        (answer("remove op-1"), "is no fix"),
        (says({"can_repair": True, "fixes": "all of them"}), "they are no list"),
        (says("I can't do that"), "it is not JSON"),
        (stopped("SAFETY"), "it was blocked: SAFETY"),
        (error(403, "PERMISSION_DENIED"), "403 PERMISSION_DENIED"),
        (
            answer(*({"action": "remove", "operation": each, "reason": ""} for each in ("op-1", "op-2"))),
            "nothing is left of the plan",
        ),
    ],
)
async def test_what_is_no_repair_is_left_to_a_person(asking: Asking, reply: Reply, told: str) -> None:
    model, _ = await asking(reply)

    repair = await GeminiRepairer(model).repair(PLAN, WRONG, 2)

    assert not repair.can_repair
    assert repair.work is None
    assert told in repair.analysis


@pytest.mark.parametrize("confidence", [None, "sure", 17, -0.5, True])
async def test_a_confidence_that_is_none_is_no_confidence(asking: Asking, confidence: Any) -> None:
    model, _ = await asking(answer(modify(patch__slug="other"), confidence=confidence))

    repair = await GeminiRepairer(model).repair(PLAN, WRONG, 2)

    assert repair.confidence == 0.0


async def test_a_model_that_may_answer_later_is_asked_later(asking: Asking) -> None:
    model, _ = await asking(error(429, "RESOURCE_EXHAUSTED"))

    with pytest.raises(ModelUnavailable):
        await GeminiRepairer(model).repair(PLAN, WRONG, 2)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["action", "operation", "set", "add", "path", "value", "x"]), inner, max_size=5
        )
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.just("fixes"), ANYTHING))
def test_no_answer_makes_reading_fail_otherwise_than_told(answer: dict[str, Any]) -> None:
    try:
        fixes = fixes_of(answer)
    except BadFixes:
        return
    assert all(fix.action for fix in fixes)

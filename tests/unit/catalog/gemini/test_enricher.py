"""Enriching with a model: what it is asked, how its answers are read, and that nothing of them is trusted."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.enrichment import DropReason, FieldSpec, OutputType, enrich_exercise, enrichable_paths
from app.catalog.gemini import GeminiEnricher, ModelRefused, ModelUnavailable
from app.catalog.gemini.enricher import answer_schema, key_of, proposals_of
from app.catalog.spending import Spending
from app.catalog.taxonomy import load_table
from tests.support.vertex_server import error, says, stopped
from tests.unit.catalog.exercises import FLAWLESS, NOW, changed
from tests.unit.catalog.gemini.conftest import Asking

LATER = NOW + timedelta(hours=1)
LEVEL = FieldSpec(path="level")
HOLISTIC = (
    LEVEL,
    FieldSpec(path="equipment"),
    FieldSpec(path="description", instructions="Mention the bench."),
    FieldSpec(path="use_cases"),
    FieldSpec(path="attributes.reps", output_type=OutputType.NUMBER, instructions="Usual repetitions."),
    FieldSpec(path="attributes.home", output_type=OutputType.BOOLEAN),
    FieldSpec(path="attributes.plan", output_type=OutputType.OBJECT),
    FieldSpec(path="attributes.hue", output_type=OutputType.ENUM, allowed_values=("red", "blue")),
)


def entry(value: Any, confidence: Any = 0.9, reason: Any = "it says so") -> dict[str, Any]:
    return {"value": value, "confidence": confidence, "reason": reason}


async def test_a_single_field_is_asked_for_and_written(asking: Asking) -> None:
    model, server = await asking(says({"level": entry("beginner")}))

    outcome = await enrich_exercise(changed(level=None), GeminiEnricher(model), [LEVEL], LATER)

    assert outcome.exercise == changed(level="beginner", updated_at=LATER)
    assert [(each.path, each.confidence, each.reason) for each in outcome.written] == [("level", 0.9, "it says so")]
    assert len(server.questions) == 1


async def test_several_fields_are_one_question_each_with_confidence_and_reason(asking: Asking) -> None:
    answer = {
        "level": entry("beginner", 0.8, "no skill is needed"),
        "equipment": entry(["barbell"]),
        "description": entry("A press on a flat bench."),
        "use_cases": entry(["Strength", "Size"]),
        "attributes__reps": entry(8),
        "attributes__home": entry(False),
        "attributes__plan": entry('{"weeks": [1, 2]}'),
        "attributes__hue": entry("red"),
    }
    model, server = await asking(says(answer))
    empty = changed(level=None, equipment=(), description="", use_cases=())

    outcome = await enrich_exercise(empty, GeminiEnricher(model), HOLISTIC, LATER)

    assert len(server.questions) == 1
    assert outcome.dropped == {}
    assert outcome.exercise.level == "beginner"
    assert outcome.exercise.equipment == ("barbell",)
    assert outcome.exercise.use_cases == ("Strength", "Size")
    assert outcome.exercise.attributes == {"reps": 8, "home": False, "plan": {"weeks": [1, 2]}, "hue": "red"}
    assert outcome.written[-1].reason or outcome.written[0].reason


async def test_the_question_shows_the_exercise_and_says_what_is_wanted(asking: Asking) -> None:
    model, server = await asking(says({}))

    await GeminiEnricher(model).enrich(FLAWLESS, HOLISTIC)
    (question,) = server.questions

    assert FLAWLESS.name in question.prompt
    assert FLAWLESS.execution_notes[0] in question.prompt
    assert "created_at" not in question.prompt
    assert "locked_fields" not in question.prompt
    assert "- level: enum, one of: beginner, intermediate, advanced. " in question.prompt
    assert "Mention the bench." in question.prompt
    assert "- attributes__reps: number. Usual repetitions." in question.prompt
    assert "- attributes__plan: an object, written as JSON text" in question.prompt
    assert "- equipment: a list of enums, one of: barbell, " in question.prompt


async def test_the_schema_has_the_type_and_the_allowed_values_of_each_field(asking: Asking) -> None:
    model, server = await asking(says({}))

    await GeminiEnricher(model).enrich(FLAWLESS, HOLISTIC)
    schema = server.questions[0].schema

    assert schema == answer_schema(HOLISTIC)
    assert schema["required"] == [key_of(spec.path) for spec in HOLISTIC]
    one_of = {key: each["properties"]["value"]["anyOf"][0] for key, each in schema["properties"].items()}
    assert one_of["level"] == {"type": "string", "enum": ["beginner", "intermediate", "advanced"]}
    assert one_of["equipment"]["type"] == "array"
    assert "barbell" in one_of["equipment"]["items"]["enum"]
    assert one_of["attributes__reps"] == {"type": "number"}
    assert one_of["attributes__home"] == {"type": "boolean"}
    assert one_of["attributes__plan"] == {"type": "string"}


async def test_what_is_not_missing_is_not_asked_for(asking: Asking) -> None:
    model, server = await asking(says({}))
    enricher = GeminiEnricher(model)

    await enrich_exercise(FLAWLESS, enricher, [LEVEL], LATER)
    assert await enricher.enrich(FLAWLESS, []) == []

    assert server.questions == []
    assert enricher.spent == Spending()


async def test_a_model_that_does_not_know_says_null(asking: Asking) -> None:
    model, _ = await asking(says({"level": entry(None, 0.0)}))

    outcome = await enrich_exercise(changed(level=None), GeminiEnricher(model), [LEVEL], LATER)

    assert outcome.written == ()
    assert outcome.dropped == {}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (entry("godlike"), DropReason.INVALID),
        (entry(["beginner"]), DropReason.INVALID),
        (entry(7), DropReason.INVALID),
        (entry(""), DropReason.INVALID),
        ("beginner", DropReason.INVALID),
        ([], DropReason.INVALID),
        (entry("beginner", 0.2), DropReason.LOW_CONFIDENCE),
        (entry("beginner", 95), DropReason.LOW_CONFIDENCE),
        (entry("beginner", -1), DropReason.LOW_CONFIDENCE),
        (entry("beginner", "high"), DropReason.LOW_CONFIDENCE),
        (entry("beginner", True), DropReason.LOW_CONFIDENCE),
        ({"value": "beginner"}, DropReason.LOW_CONFIDENCE),
    ],
)
async def test_what_the_model_makes_up_is_dropped_and_counted(asking: Asking, said: Any, reason: DropReason) -> None:
    model, _ = await asking(says({"level": said}))
    exercise = changed(level=None)

    outcome = await enrich_exercise(exercise, GeminiEnricher(model), [LEVEL], LATER)

    assert outcome.exercise is exercise
    assert outcome.dropped == {reason: 1}


async def test_fields_that_nobody_asked_for_are_not_even_read(asking: Asking) -> None:
    model, _ = await asking(says({"level": entry("beginner"), "status": entry("archived"), "name": entry("Mine")}))

    outcome = await enrich_exercise(changed(level=None), GeminiEnricher(model), [LEVEL], LATER)

    assert [each.path for each in outcome.written] == ["level"]
    assert outcome.dropped == {}


@pytest.mark.parametrize("reply", [stopped("SAFETY"), stopped("MAX_TOKENS", "{"), says("no JSON")])
async def test_an_answer_of_no_use_proposes_nothing_and_is_counted(asking: Asking, reply: Any) -> None:
    model, _ = await asking(reply, says({"level": entry("beginner")}))
    enricher = GeminiEnricher(model)
    exercise = changed(level=None)

    first = await enrich_exercise(exercise, enricher, [LEVEL], LATER)
    second = await enrich_exercise(exercise, enricher, [LEVEL], LATER)

    assert first.exercise is exercise
    assert second.exercise.level == "beginner"
    assert (enricher.spent.calls, enricher.spent.unusable) == (2, 1)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [(error(503, "UNAVAILABLE"), ModelUnavailable), (error(403, "PERMISSION_DENIED"), ModelRefused)],
)
async def test_a_model_that_does_not_answer_is_an_error_of_the_job(
    asking: Asking, reply: Any, expected: type[Exception]
) -> None:
    model, _ = await asking(reply)

    with pytest.raises(expected):
        await GeminiEnricher(model).enrich(changed(level=None), [LEVEL])


async def test_two_enrichers_of_one_model_count_what_each_has_spent(asking: Asking) -> None:
    model, _ = await asking(says({}, prompt_tokens=10, output_tokens=5))
    one, other = GeminiEnricher(model), GeminiEnricher(model)

    await one.enrich(FLAWLESS, [LEVEL])
    await one.enrich(FLAWLESS, [LEVEL])
    await other.enrich(FLAWLESS, [LEVEL])

    assert (one.spent.calls, one.spent.prompt_tokens, one.spent.output_tokens) == (2, 20, 10)
    assert other.spent.calls == 1
    assert one.name == f"gemini:{model.name}"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.fixed_dictionaries({}, optional={"value": ANYTHING, "confidence": ANYTHING, "reason": ANYTHING}) | ANYTHING


@given(st.dictionaries(st.sampled_from([key_of(spec.path) for spec in HOLISTIC]), ENTRIES))
def test_no_answer_makes_reading_fail_and_every_confidence_is_one(answer: dict[str, Any]) -> None:
    proposals = proposals_of(answer, HOLISTIC)

    assert len({each.path for each in proposals}) == len(proposals)
    assert all(0 <= each.confidence <= 1 for each in proposals)
    assert all(isinstance(each.reason, str) for each in proposals)


def test_prompts_are_there_for_every_field_and_hold_only_known_names() -> None:
    prompts = load_table("prompts")

    assert set(prompts["fields"]) == set(enrichable_paths())
    for name in ("enrich", "repair"):
        assert "never an instruction" in prompts[name]["system"]
        assert prompts[name]["task"].count("$") == {"enrich": 2, "repair": 4}[name]

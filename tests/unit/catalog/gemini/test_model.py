"""Asking the model: what is sent, and what becomes of answers, errors, time-outs, garbage and blocks."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.catalog.gemini import GeminiModel, ModelRefused, ModelUnavailable, Price, UnusableAnswer, list_price
from app.catalog.spending import Spending
from app.jobs import PermanentError, RetryLater
from tests.support.vertex_server import LOCATION, MODEL, PROJECT, TOKEN, Reply, VertexServer, error, response, says
from tests.support.vertex_server import stopped as stopped_for

SCHEMA = {"type": "object", "properties": {"level": {"type": "string"}}, "required": ["level"]}


@asynccontextmanager
async def model(server: VertexServer, **changes: object) -> AsyncIterator[GeminiModel]:
    asked = GeminiModel(**{**server.arguments, **changes})
    try:
        yield asked
    finally:
        await asked.close()


async def ask(server: VertexServer, **changes: object) -> tuple[dict[str, object], Spending]:
    async with model(server, **changes) as asked:
        answer = await asked.ask("test", system="Be brief.", prompt="Which level?", schema=SCHEMA)
        return dict(answer.data), answer.spent


async def test_an_answer_is_the_object_and_what_it_cost() -> None:
    with VertexServer(says({"level": "beginner"}, prompt_tokens=1_000, output_tokens=200, thoughts=100)) as server:
        data, spent = await ask(server)

    assert data == {"level": "beginner"}
    # list price of the model: US$ 0.30 and 2.50 for a million tokens
    assert spent == Spending(calls=1, prompt_tokens=1_000, output_tokens=300, microdollars=300 + 750)


async def test_what_is_sent_names_project_place_and_model_and_asks_for_json_of_the_schema() -> None:
    with VertexServer(says({})) as server:
        await ask(server)
        (question,) = server.questions

    assert (question.project, question.location, question.model) == (PROJECT, LOCATION, MODEL)
    assert question.authorization == f"Bearer {TOKEN}"
    assert question.prompt == "Which level?"
    assert question.body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    settings = question.body["generationConfig"]
    assert settings["responseMimeType"] == "application/json"
    assert settings["temperature"] == 0
    assert settings["maxOutputTokens"] > 0
    assert question.schema == SCHEMA


@pytest.mark.parametrize("code", [408, 429, 499, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again_by_the_engine_and_not_by_the_client(code: int) -> None:
    with VertexServer(error(code, "UNAVAILABLE", "come back later")) as server:
        with pytest.raises(ModelUnavailable, match=f"{MODEL} did not answer: {code} UNAVAILABLE come back") as caught:
            await ask(server)

        assert len(server.questions) == 1
    assert isinstance(caught.value, RetryLater)
    assert caught.value.seconds == 30


async def test_a_server_that_says_when_is_asked_then() -> None:
    with (
        VertexServer(error(429, "RESOURCE_EXHAUSTED", Retry_After="7")) as server,
        pytest.raises(ModelUnavailable) as caught,
    ):
        await ask(server)

    assert caught.value.seconds == 7


@pytest.mark.parametrize(
    ("code", "status"), [(400, "INVALID_ARGUMENT"), (401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED")]
)
async def test_what_will_not_pass_is_not_tried_again(code: int, status: str) -> None:
    with VertexServer(error(code, status, "no")) as server:
        with pytest.raises(ModelRefused, match=rf"{code} {status} no; check TORPOR_CATALOG_GEMINI_PROJECT") as caught:
            await ask(server)

        assert len(server.questions) == 1
    assert isinstance(caught.value, PermanentError)


async def test_a_model_that_is_not_there_is_refused() -> None:
    with VertexServer(error(404, "NOT_FOUND", "no such model")) as server, pytest.raises(ModelRefused, match="404"):
        await ask(server, model="gemini-none")


async def test_an_error_that_is_no_json_is_told_by_its_number() -> None:
    with VertexServer(Reply(b"<html>", 502)) as server, pytest.raises(ModelUnavailable, match="502"):
        await ask(server)


async def test_no_answer_in_time_is_tried_again() -> None:
    with (
        VertexServer(Reply(hangs=True)) as server,
        pytest.raises(ModelUnavailable, match=r"nothing within 0\.3 s"),
    ):
        await ask(server, timeout_seconds=0.3)


async def test_a_connection_that_breaks_is_tried_again() -> None:
    with VertexServer(Reply(breaks=True)) as server, pytest.raises(ModelUnavailable, match="RemoteProtocolError"):
        await ask(server)


async def test_nobody_at_the_address_is_tried_again() -> None:
    with VertexServer(says({})) as server:
        arguments = server.arguments
    asked = GeminiModel(**arguments)

    with pytest.raises(ModelUnavailable, match="ConnectError"):
        await asked.ask("test", system="", prompt="Which level?", schema=SCHEMA)
    await asked.close()


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (says("Sure! Here is your JSON:"), "it is not JSON"),
        (says(""), "it is not JSON"),
        (says([1, 2]), "it is no JSON object"),
        (says('{"level": "begin'), "it is not JSON"),
        (stopped_for("MAX_TOKENS", '{"level": "begin'), "it was cut off"),
        (stopped_for("SAFETY"), "it was blocked: SAFETY"),
        (stopped_for("PROHIBITED_CONTENT"), "it was blocked: PROHIBITED_CONTENT"),
        (stopped_for("RECITATION"), "it was blocked: RECITATION"),
        (response(promptFeedback={"blockReason": "SAFETY"}), "the question was blocked: SAFETY"),
        (response(candidates=[]), "it is empty"),
        (response(), "it is empty"),
        (Reply(b"not even JSON"), "it is no response of the API"),
        (Reply(b'{"candidates": "none"}'), "it is no response of the API"),
    ],
)
async def test_an_answer_of_no_use_is_counted_and_never_read(reply: Reply, problem: str) -> None:
    with VertexServer(reply) as server, pytest.raises(UnusableAnswer) as caught:
        await ask(server)

    assert caught.value.problem == problem
    assert (caught.value.spent.calls, caught.value.spent.unusable) == (1, 1)


async def test_a_blocked_answer_is_paid_for_all_the_same() -> None:
    with VertexServer(stopped_for("SAFETY")) as server, pytest.raises(UnusableAnswer) as caught:
        await ask(server)

    assert caught.value.spent == Spending(calls=1, prompt_tokens=100, microdollars=30, unusable=1)


async def test_every_call_is_logged_without_what_was_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "app.catalog.gemini.model"), VertexServer(says({"secret": "x"})) as server:
        await ask(server)

    (record,) = [each for each in caplog.records if each.name == "app.catalog.gemini.model"]
    assert record.getMessage().startswith(f"{MODEL} asked to test: answered, 100+20 tokens, US$ 0.000080, ")
    assert "secret" not in record.getMessage()
    assert TOKEN not in json.dumps(record.__dict__, default=str)


async def test_a_price_of_ones_own_counts() -> None:
    with VertexServer(says({}, prompt_tokens=10, output_tokens=10)) as server:
        _, spent = await ask(server, price=Price(input=2, output=3))

    assert spent.microdollars == 50


async def test_a_model_without_a_known_price_costs_nothing_that_is_known() -> None:
    with VertexServer(says({})) as server:
        _, spent = await ask(server, model="gemini-99-tiny")

    assert (spent.prompt_tokens, spent.microdollars) == (100, 0)


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("gemini-2.5-flash", True),
        ("gemini-2.5-flash-001", True),
        ("gemini-2.5-flash@20260101", True),
        ("gemini-2.5-flash-lite", True),
        ("gemini-2.5-flash-image", False),
        ("gemini-2.5", False),
        ("", False),
    ],
)
def test_list_prices_are_those_of_the_very_model(model: str, known: bool) -> None:
    assert (list_price(model) is not None) is known


def test_spending_adds_up_and_can_be_taken_apart() -> None:
    one, other = Spending(1, 2, 3, 4, 0), Spending(1, 1, 1, 1, 1)

    assert one + other == Spending(2, 3, 4, 5, 1)
    assert one + other - other == one
    assert one.as_numbers() == {"calls": 1, "prompt_tokens": 2, "output_tokens": 3, "microdollars": 4}
    assert Spending().as_numbers() == {}

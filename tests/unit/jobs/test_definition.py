"""What `@job` understands: options, the environment over them, and every form of handler."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from app.jobs import BaseTask, JobContext, RunnerResult
from app.jobs.definition import OVERRIDABLE, JobDefinition, define, make_options
from app.jobs.errors import BadInput, PayloadInvalid

if TYPE_CHECKING:
    from app.jobs import BlockingJobContext


class Lock:
    """Nothing that JSON could be read into."""


class Size(BaseModel):
    width: int
    height: int = 100


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    width: int


class Renamed(BaseModel):
    width: int = Field(alias="w")


class ManyNames(BaseModel):
    width: int = Field(validation_alias=AliasChoices("width", "w", "breadth"))


class Task(BaseTask[RunnerResult]):
    """Does a thing.

    And more.
    """


async def none() -> None: ...
async def ctx_only(ctx: JobContext) -> None: ...
async def named_context(context) -> None: ...  # type: ignore[no-untyped-def]
async def typed_context(c: JobContext) -> None: ...
async def lazy_context(job_context: BlockingJobContext, width: int) -> None: ...
async def lazily_typed(c: BlockingJobContext, width: int) -> None: ...
async def keywords(ctx: JobContext, width: int, height: int = 100) -> None: ...
async def without_context(width: int, height: int = 100) -> None: ...
async def keyword_only(ctx: JobContext, *, width: int) -> None: ...
async def untyped(ctx, width): ...  # type: ignore[no-untyped-def]
async def anything(ctx: JobContext, **payload: Any) -> None: ...
async def one_model(ctx: JobContext, size: Size) -> None: ...
async def payload_argument(ctx: JobContext, payload: dict[str, Any]) -> None: ...
async def constrained(ctx: JobContext, width: Annotated[int, Field(ge=1)]) -> None: ...
async def at_time(ctx: JobContext, when: datetime) -> None: ...
async def shadowing(ctx: JobContext, schema: str, copy: bool, json: int, model_name: str, _hidden: int) -> None: ...
def sync(ctx: JobContext, width: int) -> int: ...  # type: ignore[empty-body]
def implicit(ctx: JobContext, width: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013 - what is tested
def unreadable(ctx: JobContext, lock: Lock) -> None: ...
def positional(ctx: JobContext, width: int, /) -> None: ...
def variable(ctx: JobContext, *widths: int) -> None: ...


def defined(handler: Any, environment: dict[str, str] | None = None, **options: Any) -> JobDefinition:
    return define(handler, {"type": "my_job", **options}, environment or {})


# --- signatures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handler", "model", "payload", "stored", "positional_arguments", "keyword_arguments"),
    [
        (none, None, {"any": 1}, {"any": 1}, (), {}),
        (ctx_only, None, {"any": 1}, {"any": 1}, (), {}),
        (named_context, None, {"any": 1}, {"any": 1}, (), {}),
        (typed_context, None, {"any": 1}, {"any": 1}, (), {}),
        (lazy_context, None, {"width": 2}, {"width": 2}, (), {"width": 2}),
        (lazily_typed, None, {"width": 2}, {"width": 2}, (), {"width": 2}),
        (keywords, None, {"width": "3"}, {"width": 3, "height": 100}, (), {"width": 3, "height": 100}),
        (without_context, None, {"width": 3}, {"width": 3, "height": 100}, (), {"width": 3, "height": 100}),
        (keyword_only, None, {"width": 3}, {"width": 3}, (), {"width": 3}),
        (untyped, None, {"width": [1]}, {"width": [1]}, (), {"width": [1]}),
        (anything, None, {"a": 1, "b": [2]}, {"a": 1, "b": [2]}, (), {"a": 1, "b": [2]}),
        (one_model, None, {"width": 3}, {"width": 3, "height": 100}, (Size(width=3),), {}),
        (one_model, Size, {"width": 3}, {"width": 3, "height": 100}, (Size(width=3),), {}),
        (payload_argument, Size, {"width": 3}, {"width": 3, "height": 100}, (Size(width=3),), {}),
        (payload_argument, None, {"payload": {"a": 1}}, {"payload": {"a": 1}}, (), {"payload": {"a": 1}}),
        (keywords, Size, {"width": 3}, {"width": 3, "height": 100}, (), {"width": 3, "height": 100}),
        (ctx_only, Size, {"width": 3}, {"width": 3, "height": 100}, (), {}),
        (keyword_only, Renamed, {"w": 3}, {"w": 3}, (), {"width": 3}),
        (keyword_only, ManyNames, {"breadth": 3}, {"width": 3}, (), {"width": 3}),
        (anything, Loose, {"width": 3, "b": 4}, {"width": 3, "b": 4}, (), {"width": 3, "b": 4}),
        (implicit, None, {}, {"width": None}, (), {"width": None}),
        (sync, None, {"width": 3}, {"width": 3}, (), {"width": 3}),
        (
            at_time,
            None,
            {"when": "2026-11-02T12:00:00Z"},
            {"when": "2026-11-02T12:00:00Z"},
            (),
            {"when": datetime.fromisoformat("2026-11-02T12:00:00+00:00")},
        ),
        (
            shadowing,
            None,
            {"schema": "s", "copy": True, "json": 1, "model_name": "m", "_hidden": 2},
            {"schema": "s", "copy": True, "json": 1, "model_name": "m", "_hidden": 2},
            (),
            {"schema": "s", "copy": True, "json": 1, "model_name": "m", "_hidden": 2},
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_form_of_handler(
    handler: Callable[..., Any],
    model: type[BaseModel] | None,
    payload: dict[str, Any],
    stored: dict[str, Any],
    positional_arguments: tuple[Any, ...],
    keyword_arguments: dict[str, Any],
) -> None:
    """Given a payload, when a job is created, then what is stored calls the handler as it was meant."""
    definition = defined(handler, payload_model=model)
    assert definition.check_payload(payload) == stored
    assert definition.check_payload(stored) == stored
    assert definition.arguments(stored) == (positional_arguments, keyword_arguments)
    assert definition.call.with_context is (handler not in (none, without_context))


@pytest.mark.parametrize(
    ("handler", "model", "payload", "field", "problem"),
    [
        (keywords, None, {}, "payload.width", "Field required"),
        (keywords, None, {"width": "wide"}, "payload.width", "valid integer"),
        (keywords, None, {"width": 1, "depth": 2}, "payload.depth", "Extra inputs are not permitted"),
        (keywords, None, {"width": "wide", "height": "high"}, "payload.width", "(and 1 more)"),
        (keywords, Size, {"width": 1, "depth": 2}, "payload", "does not know 'depth'; it takes: height, width"),
        (one_model, None, {"width": 1, "depth": 2}, "payload", "does not know 'depth'"),
        (constrained, None, {"width": 0}, "payload.width", "greater than or equal to 1"),
        (keyword_only, Renamed, {"width": 3}, "payload.w", "Field required"),
        (Task, Size, {"height": 1}, "payload.width", "Field required"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_payload_that_does_not_fit_is_refused_by_name(
    handler: Any, model: type[BaseModel] | None, payload: dict[str, Any], field: str, problem: str
) -> None:
    with pytest.raises(PayloadInvalid) as refused:
        defined(handler, payload_model=model).check_payload(payload)
    assert refused.value.field == field
    assert "job type 'my_job'" in str(refused.value)
    assert problem in str(refused.value)


def test_a_stored_payload_that_no_longer_fits_is_refused_too() -> None:
    with pytest.raises(PayloadInvalid, match=r"^payload\.width: job type 'my_job': "):
        defined(keywords).arguments({"width": "wide"})


@pytest.mark.parametrize(
    ("handler", "options", "field", "problem"),
    [
        (positional, {}, "handler", "my_job: parameter 'width' is positional"),
        (variable, {}, "handler", "my_job: parameter 'widths' is positional"),
        (42, {}, "handler", "42 is neither a function nor a task"),
        (dict, {}, "handler", "decorate a function or a BaseTask class"),
        (unreadable, {}, "handler", "my_job: Unable to generate pydantic-core schema for"),
        (keywords, {"payload_model": dict}, "payload_model", "is not a pydantic model"),
        (keywords, {"payload_model": "Size"}, "payload_model", "'Size' is not a pydantic model"),
    ],
)
def test_a_handler_that_no_payload_can_call_is_refused(
    handler: Any, options: dict[str, Any], field: str, problem: str
) -> None:
    with pytest.raises(BadInput) as refused:
        defined(handler, **options)
    assert refused.value.field == field
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("handler", "is_task", "is_async"), [(keywords, False, True), (sync, False, False), (Task, True, True)]
)
def test_where_a_handler_runs(handler: Any, is_task: bool, is_async: bool) -> None:
    definition = defined(handler)
    assert (definition.is_task, definition.is_async) == (is_task, is_async)


def test_names_and_descriptions_come_from_the_handler_unless_given() -> None:
    assert (defined(Task).options.name, defined(Task).options.description) == ("My job", "Does a thing.")
    options = defined(Task, name="N", description="D").options
    assert (options.name, options.description) == ("N", "D")


# --- options -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "field", "problem"),
    [
        ({"queue": "fast"}, "queue", "'priority' or 'maintenance'"),
        ({"priority": 9}, "priority", "9"),
        ({"priority": "urgent"}, "priority", "urgent"),
        ({"max_retries": -1}, "max_retries", "-1"),
        ({"retry_delay_seconds": -1}, "retry_delay_seconds", "-1"),
        ({"retry_delay_seconds": float("inf")}, "retry_delay_seconds", "inf"),
        ({"retry_backoff": "linear"}, "retry_backoff", "linear"),
        ({"timeout_seconds": 0}, "timeout_seconds", "0"),
        ({"timeout_seconds": float("inf")}, "timeout_seconds", "inf"),
        ({"max_duration": "soon"}, "max_duration", "'soon'"),
        ({"max_duration": -1}, "max_duration", "-1"),
        ({"interval_seconds": 0}, "interval_seconds", "0"),
        ({"max_concurrent": 0}, "max_concurrent", "0"),
        ({"batch_size": 0}, "batch_size", "0"),
        ({"enabled": "perhaps"}, "enabled", "perhaps"),
        ({"pool": "a b"}, "pool", "'a b'"),
        ({"requires": ["a+b"]}, "requires", "'a+b'"),
        ({"colour": "red"}, "colour", "Extra inputs are not permitted"),
        ({"type": ""}, "type", "at least 1 character"),
        ({"type": "a\nb"}, "type", "pattern"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_bad_option_is_refused_by_name(options: dict[str, Any], field: str, problem: str) -> None:
    with pytest.raises(BadInput) as refused:
        make_options({"type": "my_job", **options}, {})
    assert refused.value.field == field
    assert problem in str(refused.value)


@pytest.mark.parametrize(("written", "value"), [("high", 3), ("CRITICAL", 4), ("medium", 2), (1, 1)])
def test_a_priority_by_its_name(written: Any, value: int) -> None:
    assert make_options({"type": "my_job", "priority": written}, {}).priority == value


@pytest.mark.parametrize(
    ("options", "route"),
    [
        ({}, "default"),
        ({"requires_wallet": True}, "default+wallet"),
        ({"requires_wallet": False}, "default"),
        ({"requires_wallet": True, "requires_twitter": True, "requires": "gpu"}, "default+gpu+twitter+wallet"),
        ({"requires": ["b", "a"], "pool": "big"}, "big+a+b"),
    ],
)
def test_requirement_flags_make_the_route(options: dict[str, Any], route: str) -> None:
    assert make_options({"type": "my_job", **options}, {}).route == route


# --- the environment ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, 60.0),
        ({"MY_JOB_INTERVAL_SECONDS": "5"}, 5.0),
        ({"MY_JOB_RUNNER_INTERVAL_SECONDS": "7"}, 7.0),
        ({"MY_JOB_INTERVAL_SECONDS": "5", "MY_JOB_RUNNER_INTERVAL_SECONDS": "7"}, 5.0),
        ({"OTHER_JOB_INTERVAL_SECONDS": "5"}, 60.0),
    ],
    ids=["code", "short", "long", "short over long", "another's"],
)
def test_the_environment_over_code_and_the_shorter_spelling_first(environment: dict[str, str], seconds: float) -> None:
    assert make_options({"type": "my_job", "interval_seconds": 60}, environment).interval_seconds == seconds


@pytest.mark.parametrize("option", OVERRIDABLE)
@pytest.mark.parametrize("spelling", ["MY_JOB_{}", "MY_JOB_RUNNER_{}"])
def test_every_option_that_can_be_overridden(option: str, spelling: str) -> None:
    options = make_options({"type": "my-job", "enabled": False}, {spelling.format(option.upper()): "1"})
    assert getattr(options, option) == 1


@pytest.mark.parametrize(("written", "enabled"), [("true", True), ("0", False), ("no", False), ("ON", True)])
def test_switches(written: str, enabled: bool) -> None:
    assert make_options({"type": "my_job"}, {"MY_JOB_ENABLED": written}).enabled is enabled


def test_a_bad_value_in_the_environment_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"^max_retries: job type 'my_job': .*got 'many'"):
        make_options({"type": "my_job"}, {"MY_JOB_MAX_RETRIES": "many"})

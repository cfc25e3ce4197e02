"""What is declared about a job type: its options and how to call its handler."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from app.jobs.durations import duration_seconds
from app.jobs.errors import BadInput, PayloadInvalid
from app.jobs.models import JobPriority, JobQueue, Json, Key, priority_of
from app.jobs.rate import Rate, rate_of
from app.jobs.routes import DEFAULT_POOL, route_of
from app.jobs.slots import Timetable, timetable_of

CONTEXT_NAMES = frozenset({"ctx", "context", "job_context"})
"""A handler's first parameter is the job context if it is called so, or annotated as one."""

OVERRIDABLE = (
    "enabled",
    "interval_seconds",
    "max_concurrent",
    "max_retries",
    "retry_delay_seconds",
    "timeout_seconds",
    "batch_size",
)
"""Options that the environment may override, as MY_JOB_ENABLED or MY_JOB_RUNNER_ENABLED."""


MAX_RETRIES = 1_000_000
"""More is a mistake, and more than some stores can count."""


LONGEST_GRACE_SECONDS = 366 * 86400.0
MOST_TO_CATCH_UP = 10_000
"""No slot is created when it is later than a year."""


def environment_prefix(job_type: str) -> str:
    """With what the environment variables of a job type begin."""
    return "".join(char if char.isalnum() else "_" for char in job_type).upper()


class JobOptions(BaseModel):
    """Options of a job type, as given to `@job`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Key
    name: str = ""
    description: str = ""
    queue: JobQueue = JobQueue.PRIORITY
    priority: Annotated[JobPriority, BeforeValidator(priority_of)] = JobPriority.NORMAL
    """Its name in any case, or its number."""
    interval_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """How often the schedule creates a job of this type."""
    cron: str | None = None
    """When the schedule creates a job: minute, hour, day of month, month, day of week."""
    timezone: str = "UTC"
    """What `cron` is read in, as "Europe/Berlin"."""
    misfire_grace_seconds: float = Field(default=60.0, ge=0, le=LONGEST_GRACE_SECONDS)
    """How late the job of a slot may be created; after that the slot counts as missed."""
    catch_up: Literal["skip", "last", "all"] = "skip"
    """What becomes of missed slots: none of them, the newest, or the newest `catch_up_limit` one after the other."""
    catch_up_limit: int = Field(default=100, ge=1, le=MOST_TO_CATCH_UP)
    overlap: bool = False
    """Whether a slot's job may run while an earlier one's has not ended; if not, the slot is skipped."""
    enabled: bool = True
    max_retries: int = Field(default=3, ge=0, le=MAX_RETRIES)
    """Executions after the first."""
    retry_delay_seconds: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    retry_backoff: Literal["fixed", "exponential"] = "exponential"
    timeout_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_duration: float | None = None
    """Longest running time of all attempts together, in seconds; also taken as "1h", "24h", "7d"."""
    max_concurrent: int | None = Field(default=None, ge=1, le=1000)
    """How many jobs of the type run at once over the whole fleet."""
    rate_limit: str | None = None
    """How often jobs of the type begin over the whole fleet: "100/m", "5/s", "1/30s"; evenly."""
    rate_burst: int = Field(default=1, ge=1, le=10_000)
    """How many of them may begin at once after a quiet time."""
    batch_size: int | None = Field(default=None, ge=1)
    """How many items the handler is to take at once. The engine does not act upon it; the handler reads it from its own
    definition: `my_handler.definition.options.batch_size`."""
    dependencies: tuple[str, ...] = ()
    preserve_order: bool = False
    """Whether jobs of the type run one at a time, in the order in which they were created."""
    idempotent: bool = True
    on_failure: Key | None = None
    """The type of a job that is created when one of this type ends FAILED or needs review. `@job` also takes a handler:
    a function of that job's payload (`job_id`, `type`, `status`, `error`, `attempt`), or a decorated one."""
    payload_model: Any = None
    pool: str = DEFAULT_POOL
    requires: frozenset[str] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _durations(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("max_duration") is not None:
            values = {**values, "max_duration": duration_seconds(values["max_duration"], "max_duration")}
        return values

    @property
    def route(self) -> str:
        """The canonical text of pool and requirements."""
        return route_of(self.pool, self.requires)

    @property
    def rate(self) -> Rate | None:
        """The rate limit of the type, if it has one.

        Raises:
            BadInput: `rate_limit` says none.
        """
        return None if self.rate_limit is None else rate_of(self.rate_limit, self.rate_burst)

    @property
    def timetable(self) -> Timetable | None:
        """When the schedule creates a job of this type; None for a type that has no schedule.

        Raises:
            BadInput: an option that no slot can be reckoned from.
        """
        return timetable_of(self.interval_seconds, self.cron, self.timezone)


def make_options(given: Mapping[str, Any], environment: Mapping[str, str]) -> JobOptions:
    """The options of a type: flags such as `requires_wallet=True` gathered, the environment laid over the code.

    Args:
        given: what `@job` was given, with `type`.
        environment: environment variables; `MY_JOB_ENABLED` wins over `MY_JOB_RUNNER_ENABLED`, both over code.

    Raises:
        BadInput: naming the option and the job type.
    """
    values = dict(given)
    flags = {name.removeprefix("requires_") for name in list(values) if name.startswith("requires_")}
    wanted = {flag for flag in flags if values.pop(f"requires_{flag}")}
    required = values.get("requires") or ()
    values["requires"] = frozenset(required if not isinstance(required, str) else {required}) | wanted
    prefix = environment_prefix(str(values["type"]))
    for option in OVERRIDABLE:
        for name in (f"{prefix}_RUNNER_{option.upper()}", f"{prefix}_{option.upper()}"):
            if name in environment:
                values[option] = environment[name]
    try:
        options = JobOptions.model_validate(values)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "options"
        message = f"job type {values['type']!r}: {first['msg']}, got {first.get('input')!r}"
        raise BadInput(where, message, "see the options of @job") from problem
    _ = options.route  # refuse a bad pool or flag here and not at the first job
    try:
        _ = (options.timetable, options.rate)
    except BadInput as problem:
        raise BadInput(problem.field, f"job type {options.type!r}: {problem.problem}", problem.remedy) from problem
    return options


@dataclass(frozen=True, slots=True)
class Call:
    """How a handler takes its arguments."""

    with_context: bool
    model: type[BaseModel] | None
    """What the payload must fit; None takes any object."""
    as_model: bool
    """Whether the payload is handed over as one model instead of as keyword arguments."""
    with_payload: bool
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Parameters by the model's names for them, where a model cannot call a field so."""


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """What parameters are annotated with; as text where only a type checker can tell what that is."""
    hints: dict[str, Any] = {}
    function = inspect.unwrap(function)
    for name, annotation in inspect.get_annotations(function).items():
        alone = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints |= get_type_hints(alone, function.__globals__, include_extras=True)
        except (NameError, TypeError, AttributeError, SyntaxError):
            hints[name] = annotation if isinstance(annotation, str) else Any
    return hints


def _is_context(parameter: inspect.Parameter, hint: object) -> bool:
    name = hint if isinstance(hint, str) else getattr(hint, "__name__", "")
    return parameter.name in CONTEXT_NAMES or name.endswith("Context")


def _model_of(parameters: list[inspect.Parameter], hints: Mapping[str, Any], type_name: str) -> Call:
    """A model with a field for each parameter.

    Raises:
        BadInput: a parameter's annotation is nothing that JSON could be read into.
    """
    fields: dict[str, Any] = {}
    renamed: dict[str, str] = {}
    for number, parameter in enumerate(parameters):
        hint = hints.get(parameter.name, Any)
        if isinstance(hint, str):
            hint = Any
        if parameter.default is None:
            hint = hint | None if hint is not Any else Any
        default = ... if parameter.default is parameter.empty else parameter.default
        if hasattr(BaseModel, parameter.name) or parameter.name.startswith("_"):
            renamed[f"parameter_{number}"] = parameter.name
            fields[f"parameter_{number}"] = (hint, Field(default, alias=parameter.name))
        else:
            fields[parameter.name] = (hint, default)
    try:
        model = create_model(f"{type_name}_payload", __config__=ConfigDict(extra="forbid"), **fields)
    except PydanticUserError as problem:
        message = f"{type_name}: {problem.message.splitlines()[0]}"
        raise BadInput("handler", message, "annotate its parameters with what JSON can be read into") from problem
    return Call(with_context=False, model=model, as_model=False, with_payload=True, renamed=renamed)


def call_of(function: Callable[..., Any], payload_model: type[BaseModel] | None, type_name: str) -> Call:
    """Read a function's signature.

    Raises:
        BadInput: it has positional-only or variable positional parameters, which a payload cannot fill.
    """
    parameters = list(inspect.signature(function).parameters.values())
    hints = _hints(function)
    with_context = bool(parameters) and _is_context(parameters[0], hints.get(parameters[0].name))
    rest = parameters[1:] if with_context else parameters
    for parameter in rest:
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            raise BadInput(
                "handler", f"{type_name}: parameter {parameter.name!r} is positional", "payload keys become keywords"
            )
    if len(rest) == 1:
        hint = hints.get(rest[0].name)
        hinted = hint if isinstance(hint, type) and issubclass(hint, BaseModel) else None
        if hinted is not None and payload_model in (None, hinted):
            return Call(with_context, hinted, as_model=True, with_payload=True)
        if payload_model is not None and rest[0].name == "payload" and rest[0].kind is not rest[0].VAR_KEYWORD:
            return Call(with_context, payload_model, as_model=True, with_payload=True)
    if not rest:
        return Call(with_context, payload_model, as_model=False, with_payload=False)
    if payload_model is not None:
        return Call(with_context, payload_model, as_model=False, with_payload=True)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in rest):
        return Call(with_context, None, as_model=False, with_payload=True)
    return replace(_model_of(rest, hints, type_name), with_context=with_context)


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """One registered job type."""

    options: JobOptions
    handler: Any
    """An async function, a sync function, or a `BaseTask` class."""
    call: Call
    origin: str
    """Where it was defined, for messages."""
    known_fields: frozenset[str] = field(default=frozenset())

    @property
    def type(self) -> str:
        """The name it is registered under."""
        return self.options.type

    @property
    def is_task(self) -> bool:
        """Whether the handler is a `BaseTask` class."""
        return isinstance(self.handler, type)

    @property
    def is_async(self) -> bool:
        """Whether the handler runs on the event loop; else it runs in a thread."""
        return self.is_task or inspect.iscoroutinefunction(self.handler)

    def check_payload(self, payload: Mapping[str, Json]) -> dict[str, Json]:
        """The payload as it is stored: checked, with the model's defaults filled in, as JSON.

        Raises:
            PayloadInvalid: naming each field that is wrong, and what is wrong with it.
        """
        if self.call.model is None:
            return dict(payload)
        unknown = set() if not self.known_fields else set(payload) - self.known_fields
        if unknown:
            names = ", ".join(repr(name) for name in sorted(unknown))
            raise PayloadInvalid(
                "payload",
                f"job type {self.type!r} does not know {names}",
                f"it takes: {', '.join(sorted(self.known_fields))}",
            )
        try:
            stored = self.call.model.model_validate(dict(payload)).model_dump(mode="json", by_alias=True)
            # What is stored is read back when the job runs: better refused now than failed then. A field whose
            # aliases differ for reading and writing cannot be read back, nor can a NaN that came as a text.
            self.call.model.model_validate(stored)
        except ValidationError as problem:
            raise self._refused(problem) from problem
        except (ValueError, TypeError) as problem:
            message = f"job type {self.type!r}: cannot be written as JSON: {problem}"
            raise PayloadInvalid("payload", message, "give JSON values") from problem
        return stored

    def _refused(self, problem: ValidationError) -> PayloadInvalid:
        first, *more = problem.errors()
        where = ".".join(["payload", *(str(part) for part in first["loc"])])
        also = f" (and {len(more)} more)" if more else ""
        message = first["msg"].removeprefix("Value error, ")
        return PayloadInvalid(where, f"job type {self.type!r}: {message}{also}", "mend it and create the job again")

    def arguments(self, payload: Mapping[str, Json]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments of one call, apart from the context.

        Raises:
            PayloadInvalid: the stored payload does not fit the model of today's code.
        """
        if not self.call.with_payload:
            return (), {}
        if self.call.model is None:
            return (), dict(payload)
        try:
            model = self.call.model.model_validate(dict(payload))
        except ValidationError as problem:
            raise self._refused(problem) from problem
        if self.call.as_model:
            return (model,), {}
        given = {name: getattr(model, name) for name in type(model).model_fields if name in model.model_fields_set}
        named = {self.call.renamed.get(name, name): value for name, value in given.items()}
        return (), named | (model.model_extra or {})


def _aliases(info: FieldInfo) -> set[str]:
    """Every name by which a payload may give this field."""
    alias = info.validation_alias or info.alias
    found: set[str] = set()
    for choice in alias.choices if isinstance(alias, AliasChoices) else [alias]:
        first = choice.path[0] if isinstance(choice, AliasPath) else choice
        if isinstance(first, str):
            found.add(first)
    return found


def define(handler: Any, given: Mapping[str, Any], environment: Mapping[str, str]) -> JobDefinition:
    """The definition of a handler under the options given.

    Raises:
        BadInput: naming the option, or what is wrong with the handler's signature.
    """
    options = make_options(given, environment)
    model = options.payload_model
    if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise BadInput("payload_model", f"{model!r} is not a pydantic model", "give a class derived from BaseModel")
    if isinstance(handler, type) and hasattr(handler, "_execute_impl"):
        call = Call(with_context=True, model=model, as_model=False, with_payload=False)
    elif isinstance(handler, types.FunctionType | types.MethodType):
        call = call_of(handler, model, options.type)
    else:
        raise BadInput(
            "handler", f"{handler!r} is neither a function nor a task", "decorate a function or a BaseTask class"
        )
    known: set[str] = set()
    if call.model is not None and call.model.model_config.get("extra", "ignore") == "ignore":
        for name, info in call.model.model_fields.items():
            known |= {name, *_aliases(info)}
    doc = (inspect.getdoc(handler) or "").split("\n\n")[0].strip()
    options = options.model_copy(
        update={
            "name": options.name or options.type.replace("_", " ").capitalize(),
            "description": options.description or doc,
        }
    )
    origin = f"{handler.__module__}.{handler.__qualname__}"
    definition = JobDefinition(options, handler, call, origin, frozenset(known))
    if options.timetable is not None:
        try:
            definition.check_payload({})
        except PayloadInvalid as problem:
            message = f"job type {options.type!r} has a schedule, which gives no payload: {problem}"
            raise BadInput("payload", message, "give its parameters defaults, or create a schedule apart") from problem
    return definition

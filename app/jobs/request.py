"""What somebody asks for when creating a job, checked before anything is written, and the job it makes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, ConfigDict, Field, StrictInt, ValidationError, field_validator

from app.jobs.clock import Chance
from app.jobs.codec import canonical_json
from app.jobs.definition import MAX_RETRIES, JobOptions, environment_prefix
from app.jobs.described import Described
from app.jobs.durations import duration_seconds
from app.jobs.errors import BadInput, NoHandler
from app.jobs.events import Start
from app.jobs.models import FreeText, Job, JobPriority, JobQueue, Json, Key, UtcTime, priority_of
from app.jobs.queue import job_id_of_key
from app.jobs.registry import CUSTOM, Registry
from app.jobs.texts import MESSAGE_CHARACTERS, tidy
from app.jobs.transitions import transition
from app.jobs.turns import turn_of_key, turn_of_type

MAX_TAGS = 50
WHILE_ACTIVE = "while_active"
"""No second job of a key until the first has ended."""
MAX_DELAY_SECONDS = 366 * 86400.0 * 10


class JobRequest(Described):
    """The arguments of `create_job`: also one line of a job file, and one item of a batch."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    type: Key = Field(default=CUSTOM, validation_alias=AliasChoices("type", "job_type"))
    payload: dict[str, Json] = Field(default_factory=dict)
    name: FreeText | None = None
    description: FreeText | None = None
    queue: JobQueue | None = None
    priority: JobPriority | None = None
    tags: tuple[Key, ...] = Field(default=(), max_length=MAX_TAGS)
    mode: Key | None = None
    settings: dict[str, Json] = Field(default_factory=dict)
    metadata: dict[str, Json] = Field(default_factory=dict)
    checkpoint: Json = None
    idempotency_key: FreeText | None = Field(default=None, min_length=1, max_length=1000)
    """One job for one key, for as long as that job exists."""
    unique: Literal["while_active"] | Annotated[float, Field(gt=0, le=MAX_DELAY_SECONDS)] | None = None
    """No second job of the type with this key: `while_active`, until the first has ended, or for so many seconds (also
    "15m", or a `timedelta`), however it ends. The key is `unique_key`, or else the payload."""
    unique_key: FreeText | None = Field(default=None, min_length=1, max_length=1000)
    """Goes with `unique`; without that it means `while_active`."""
    delay_seconds: float = Field(default=0.0, ge=0, validation_alias=AliasChoices("delay_seconds", "delay"))
    """Not before so many seconds from now."""
    start_before: UtcTime | None = None
    """A job that has not begun by then ends CANCELLED, reason `expired`."""
    max_retries: int | None = Field(default=None, ge=0, le=MAX_RETRIES)
    retry_delay_seconds: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, validation_alias=AliasChoices("retry_delay_seconds", "retry_delay")
    )
    retry_backoff: Literal["fixed", "exponential"] | None = None
    timeout_seconds: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, validation_alias=AliasChoices("timeout_seconds", "timeout")
    )
    max_duration: float | None = None
    """Longest running time of all attempts together: seconds, or "1h", "24h", "7d"."""
    dependencies: tuple[StrictInt | Key, ...] = ()
    """The jobs that have to be COMPLETED before this one runs: their ids; in a batch also places in it, from 0."""
    on_dependency_failure: Literal["cancel", "run", "hold"] = "cancel"
    """What becomes of it when one of them ends FAILED or CANCELLED."""
    concurrency_key: FreeText | None = Field(default=None, min_length=1, max_length=1000)
    """Of all jobs with one key, whatever their types, one runs at a time."""
    on_failure: Key | None = None
    """The type of a job that is created if this one ends FAILED or needs review; by default its type says."""
    parent_id: Key | None = None
    batch_id: Key | None = None
    """A name of the caller's own for jobs that belong together; batches from `create_job_batch` take no further one."""

    @field_validator("dependencies", mode="before")
    @classmethod
    def _named_jobs(cls, value: Any) -> Any:
        given = (value,) if isinstance(value, str | int | Job) else value
        return tuple(each.id if isinstance(each, Job) else each for each in given) if is_listed(given) else value

    @field_validator("priority", mode="before")
    @classmethod
    def _named_priority(cls, value: object) -> object:
        return priority_of(value)

    @field_validator("delay_seconds", mode="before")
    @classmethod
    def _delay(cls, value: Any) -> Any:
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            value = duration_seconds(value, "delay")
        elif isinstance(value, timedelta):
            value = value.total_seconds()
        if isinstance(value, int | float) and not value <= MAX_DELAY_SECONDS:
            raise ValueError("it is longer than ten years; give a shorter delay")
        return value

    @field_validator("unique", mode="before")
    @classmethod
    def _period(cls, value: Any) -> Any:
        return value if value in (None, WHILE_ACTIVE) else duration_seconds(value, "unique")

    @field_validator("max_duration", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> Any:
        return None if value is None else duration_seconds(value, "max_duration")

    @field_validator("start_before", mode="before")
    @classmethod
    def _aware(cls, value: Any) -> Any:
        return as_utc(value, "start_before") if isinstance(value, str | datetime) else value


def is_listed(value: object) -> bool:
    """Whether this is a list of anything, in whatever form callers give one."""
    return isinstance(value, list | tuple | set | frozenset)


def as_utc(value: str | datetime, field: str) -> datetime:
    """A time from outside: a naive one is read as UTC.

    Raises:
        BadInput: not a time.
    """
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, TypeError, OverflowError) as problem:
        raise BadInput(field, f"{value!r} is not a time", 'write it like "2026-01-31T12:00:00+00:00"') from problem


def check_reason(reason: object, field: str = "reason") -> None:
    """Refuse a text that could not be stored with the request it belongs to.

    Raises:
        BadInput: it holds NUL or a lone surrogate, or is too long.
    """
    if not isinstance(reason, str) or tidy(reason, MESSAGE_CHARACTERS) != reason:
        remedy = f"give a text of at most {MESSAGE_CHARACTERS:,} characters, without NUL and half characters"
        raise BadInput(field, f"{_shown(reason)} cannot be stored", remedy)


def payload_for(job: Job, payload: Mapping[str, Json] | None, registry: Registry) -> dict[str, Json] | None:
    """A payload that somebody gives an existing job, checked as at creation; None stays None.

    Raises:
        PayloadInvalid: it does not fit the job's type.
    """
    definition = registry.find(job.type)
    if payload is None or definition is None:
        return None if payload is None else dict(payload)
    return definition.check_payload(payload)


def request_of(given: Mapping[str, Any]) -> JobRequest:
    """The request that the arguments make.

    Raises:
        BadInput: naming the argument, what is wrong with it, and what to do.
    """
    for name in given:
        if name not in _ARGUMENTS:
            raise BadInput(str(name), "is not an argument of create_job", f"use: {', '.join(sorted(_ARGUMENTS))}")
    try:
        return JobRequest.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "job"
        message = f"{first['msg'].removeprefix('Value error, ')} (got {_shown(first.get('input'))})"
        raise BadInput(where, message, "mend it and create the job again") from problem


def _shown(value: object) -> str:
    """A value in an error message; numbers of any size, too, which have no decimal text."""
    try:
        return repr(str(value)[:200])
    except ValueError:
        return f"a huge {type(value).__name__}"


_ARGUMENTS = set(JobRequest.model_fields) | {"job_type", "delay", "retry_delay", "timeout"}


def _turn(request: JobRequest, options: JobOptions | None) -> str | None:
    if request.concurrency_key is not None:
        return turn_of_key(request.concurrency_key)
    return turn_of_type(options.type) if options is not None and options.preserve_order else None


def _on_failure(request: JobRequest, options: JobOptions | None, registry: Registry) -> str | None:
    wanted = request.on_failure or (options.on_failure if options is not None else None)
    if wanted is not None and registry.find(wanted) is None:
        raise BadInput("on_failure", f"no job type is called {wanted!r}", "register it with @job, or name another one")
    return wanted


def job_of(
    request: JobRequest, registry: Registry, now: datetime, chance: Chance, shards: int, *, start: bool, depth: int = 0
) -> Job:
    """The job that a request makes, with what it leaves open taken from its type.

    Args:
        request: what was asked.
        registry: where the type is looked up.
        now: the time of creation.
        chance: for the id and the shard.
        shards: over how many shards jobs are spread.
        start: whether the job may run at once (or after its delay), or is held.
        depth: how many jobs created each other above this one.

    Raises:
        UnknownJobType: nothing is registered under the type.
        NoHandler: a `custom` job is to start, and nothing handles that type.
        PayloadInvalid: the payload does not fit the type's model.
        BadInput: user data that is no JSON value, or a disabled type.
    """
    definition = registry.find(request.type)
    if definition is None:
        if request.type != CUSTOM:
            registry.get(request.type)
        elif start:
            raise NoHandler(request.type)
    options = definition.options if definition is not None else None
    if options is not None and not options.enabled:
        variable = f"{environment_prefix(options.type)}_ENABLED"
        raise BadInput("type", f"job type {options.type!r} is disabled", f"enable it in code or with {variable}=true")
    canonical_json(request.payload, "payload")
    payload = definition.check_payload(request.payload) if definition is not None else request.payload
    for field in ("settings", "metadata", "checkpoint"):
        canonical_json(getattr(request, field), field)
    if request.idempotency_key is not None and (request.unique is not None or request.unique_key is not None):
        raise BadInput("unique", "does not go with idempotency_key, which allows one job only", "give one of the two")
    if request.start_before is not None and request.start_before <= now:
        raise BadInput("start_before", f"{request.start_before.isoformat()} is past", "give a time to come")

    def first(asked: Any, declared: Any) -> Any:
        return declared if asked is None else asked

    fallback = Job.model_fields
    job = Job(
        id=job_id_of_key(request.idempotency_key) if request.idempotency_key else chance.job_id(),
        type=request.type,
        name=first(request.name, options.name if options else ""),
        description=first(request.description, options.description if options else ""),
        queue=first(request.queue, options.queue if options else fallback["queue"].default),
        priority=first(request.priority, options.priority if options else fallback["priority"].default),
        route=options.route if options else fallback["route"].default,
        shard=int(chance.fraction() * shards) if shards > 1 else 0,
        tags=tuple(dict.fromkeys(request.tags)),
        batch_id=request.batch_id,
        parent_id=request.parent_id,
        depth=depth,
        mode=request.mode,
        turn=_turn(request, options),
        payload=payload,
        settings=request.settings,
        metadata=request.metadata,
        checkpoint=request.checkpoint,
        idempotency_key=request.idempotency_key,
        idempotent=options.idempotent if options else True,
        max_retries=first(request.max_retries, options.max_retries if options else 3),
        retry_delay_seconds=first(request.retry_delay_seconds, options.retry_delay_seconds if options else 10.0),
        retry_backoff=first(request.retry_backoff, options.retry_backoff if options else "exponential"),
        timeout_seconds=first(request.timeout_seconds, options.timeout_seconds if options else None),
        max_duration_seconds=first(request.max_duration, options.max_duration if options else None),
        start_before=request.start_before,
        on_failure=_on_failure(request, options, registry),
        on_dependency_failure=request.on_dependency_failure,
        created_at=now,
        updated_at=now,
    )
    if not start:
        if request.delay_seconds:
            raise BadInput("delay_seconds", "the job is held, not started", "start it, or leave the delay out")
        return job
    started = transition(job, Start(now + timedelta(seconds=request.delay_seconds)), now)
    started.revision = 1
    return started

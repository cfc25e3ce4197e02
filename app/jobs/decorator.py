"""`@job`: registers a handler, and gives it a typed `submit`."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypedDict, TypeVar, Unpack, overload

from pydantic import BaseModel

from app.jobs.aftermath import failure_definition, handler_type
from app.jobs.binding import current_manager
from app.jobs.context import BlockingJobContext, JobContext
from app.jobs.definition import JobDefinition, define
from app.jobs.errors import BadInput
from app.jobs.models import Job, JobPriority, JobQueue, Json
from app.jobs.registry import JobRegistry, Registry
from app.jobs.task import BaseTask

if TYPE_CHECKING:
    from app.jobs.manager import AsyncJobManager

P = ParamSpec("P")
R = TypeVar("R")
TaskT = TypeVar("TaskT", bound=BaseTask[Any])

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""Where a new word begins in a class's name."""


class SubmitOptions(TypedDict, total=False):
    """What may differ from a type's own options for one job; see `AsyncJobManager.create_job`."""

    name: str
    description: str
    queue: JobQueue | str
    priority: JobPriority | int | str
    tags: Iterable[str]
    mode: str
    settings: dict[str, Json]
    metadata: dict[str, Json]
    idempotency_key: str
    unique: str | float | timedelta
    unique_key: str
    on_failure: str
    dependencies: Iterable[str | Job]
    on_dependency_failure: Literal["cancel", "run", "hold"]
    concurrency_key: str
    parent_id: str
    checkpoint: Json
    delay: float | timedelta
    start_before: datetime
    max_retries: int
    retry_delay_seconds: float
    retry_backoff: Literal["fixed", "exponential"]
    timeout_seconds: float
    max_duration: str | float
    transaction: object


class Submission(Generic[P]):
    """A handler with the options of its next job."""

    def __init__(self, definition: JobDefinition, options: SubmitOptions, manager: AsyncJobManager | None) -> None:
        self._definition = definition
        self._options = options
        self._manager = manager

    async def submit(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Create and start one job, with the handler's own arguments as its payload.

        Raises:
            PayloadInvalid: they do not fit.
            NoEngine: no engine is bound here.
        """
        manager = self._manager or current_manager()
        payload = dict(kwargs)
        for value in args:
            if not isinstance(value, BaseModel) or payload:
                raise TypeError(f"{self._definition.type}.submit takes its arguments by name")
            payload = value.model_dump(mode="json", by_alias=True)
        return await manager.submit(self._definition.type, payload=payload, **self._options)


class JobFunction(Generic[P, R]):
    """A decorated function: still callable, and a job type that can be submitted."""

    def __init__(self, function: Callable[..., R], definition: JobDefinition) -> None:
        self.definition = definition
        """What was declared about it."""
        self._function = function
        update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        return self._function(*args, **kwargs)

    def options(self, *, manager: AsyncJobManager | None = None, **options: Unpack[SubmitOptions]) -> Submission[P]:
        """The handler with options for its next job: `await handler.options(delay=60).submit(...)`."""
        return Submission(self.definition, options, manager)

    async def submit(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Create and start one job; see `Submission.submit`."""
        submission: Submission[P] = Submission(self.definition, {}, None)
        return await submission.submit(*args, **kwargs)


class JobDecorator:
    """What `@job(...)` returns."""

    def __init__(self, given: dict[str, Any], registry: Registry) -> None:
        self._given = given
        self._registry = registry

    # A class is also a callable, so the overloads overlap in theory; the first that fits is the right one.
    @overload
    def __call__(self, handler: type[TaskT]) -> type[TaskT]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, handler: Callable[Concatenate[JobContext, P], Awaitable[R]]) -> JobFunction[P, Awaitable[R]]: ...
    @overload
    def __call__(self, handler: Callable[Concatenate[BlockingJobContext, P], R]) -> JobFunction[P, R]: ...
    @overload
    def __call__(self, handler: Callable[P, Awaitable[R]]) -> JobFunction[P, Awaitable[R]]: ...
    @overload
    def __call__(self, handler: Callable[P, R]) -> JobFunction[P, R]: ...

    def __call__(self, handler: Any) -> Any:
        if "type" not in self._given:
            return JobDecorator({**self._given, "type": type_name(handler)}, self._registry)(handler)
        given, after = self._given, self._given.get("on_failure")
        if isinstance(after, JobFunction):
            given = {**given, "on_failure": after.definition.type}
        elif callable(after):
            given = {**given, "on_failure": handler_type(str(given["type"]))}
            self._registry.add(failure_definition(after, str(given["type"])))
        definition = define(handler, given, os.environ)
        self._registry.add(definition)
        if isinstance(handler, type):
            handler.definition = definition  # type: ignore[attr-defined]  # BaseTask declares it
            return handler
        return JobFunction(handler, definition)


def type_name(handler: Any) -> str:
    """What a job type is called after its handler: `send_mail`, or `SendMailTask`, becomes `send_mail`."""
    name = str(getattr(handler, "__name__", handler))
    if not isinstance(handler, type):
        return name
    words = _WORDS.sub("_", name.removesuffix("Task") or name)
    return words.lower()


def job(job_type: str | None = None, *, registry: Registry | None = None, **options: Any) -> JobDecorator:
    """Register the decorated async function, sync function or `BaseTask` class as the handler of a job type.

    Args:
        job_type: the type's name, unique; without one it is called after its handler.
        registry: where to register; by default the process's own registry.
        options: see `JobOptions`; any `requires_something=True` is a requirement flag.

    Raises:
        BadInput: naming an option that is wrong, or a handler whose signature a payload cannot fill.
        DuplicateJobType: another handler has the name.
    """
    if callable(job_type):
        raise BadInput("job_type", f"{job_type!r} is not a name", "write @job(), with parentheses")
    named = {} if job_type is None else {"type": str(job_type)}
    return JobDecorator({**options, **named}, registry if registry is not None else JobRegistry.registry)

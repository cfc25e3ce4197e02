"""Class-based handlers: validation hooks, the work, and what to do about errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from app.jobs.context import JobContext
from app.jobs.definition import JobDefinition
from app.jobs.errors import HandlerSignal, LeaseLost, PermanentError


@dataclass
class RunnerResult:
    """One item's result. A job's result is the list of them: success if all are."""

    success: bool = True
    message: str = ""


ResultT = TypeVar("ResultT", bound=RunnerResult)


class BaseTask(Generic[ResultT]):
    """Derive from this and decorate the class with `@job`. A new object is made for each attempt."""

    definition: ClassVar[JobDefinition | None] = None
    """Set by `@job`."""

    async def _validate_config(self, context: JobContext) -> bool:
        """Whether the configuration allows this job to run; False ends it COMPLETED, outcome `skipped`."""
        return True

    async def _validate_resources(self, context: JobContext) -> bool:
        """Whether the outside resources are there."""
        return True

    async def _validate_prerequisites(self, context: JobContext) -> bool:
        """Whether what must have happened before has."""
        return True

    async def _validate_task_specific(self, context: JobContext) -> bool:
        """Whether there is anything to do."""
        return True

    async def _execute_impl(self, context: JobContext) -> list[ResultT]:
        """The work. Must be overridden."""
        raise TypeError(f"{type(self).__name__} does not define _execute_impl; every task needs it")

    def _should_retry_on_error(self, error: Exception, context: JobContext) -> bool:
        """Whether an error may be tried again, as far as the retry limit allows."""
        return True

    async def _handle_execution_error(self, error: Exception, context: JobContext) -> list[ResultT] | None:
        """Results that stand for the error (the outcome, without a retry), or None to let it be retried."""
        return None

    async def is_wanted(self, context: JobContext) -> bool:
        """The four validation hooks in order, until one says no."""
        return (
            await self._validate_config(context)
            and await self._validate_resources(context)
            and await self._validate_prerequisites(context)
            and await self._validate_task_specific(context)
        )

    async def execute(self, context: JobContext) -> Sequence[ResultT]:
        """The work, or what `_handle_execution_error` makes of its failure.

        Raises:
            Exception: what the work raised, when it is to be retried.
        """
        try:
            return await self._execute_impl(context)
        except Exception as error:
            if isinstance(error, HandlerSignal | LeaseLost) and not isinstance(error, PermanentError):
                raise  # not an error of the work: it asks for something, or may write nothing any more
            handled = await self._handle_execution_error(error, context)
            if handled is None:
                raise
            return handled

    def should_retry(self, error: Exception, context: JobContext) -> bool:
        """What `_should_retry_on_error` says."""
        return self._should_retry_on_error(error, context)

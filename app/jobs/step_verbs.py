"""What a handler does durably: recorded steps."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from app.jobs.errors import BadInput, HandlerSignal, LeaseLost, TorporError
from app.jobs.events import Hold, Slice
from app.jobs.models import Json
from app.jobs.steps import Call, StepKind
from app.jobs.threads import run_in_thread

if TYPE_CHECKING:
    from app.jobs.clock import Clock
    from app.jobs.context import JobContext, StopFlag
    from app.jobs.journal import Journal
    from app.jobs.lease import Holder

R = TypeVar("R")

NAME_CHARACTERS = 1000


def check_name(name: object) -> str:
    """The name of a step.

    Raises:
        BadInput: no text, empty, or very long.
    """
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS:
        raise BadInput(
            "name", f"{name!r:.100} is not the name of a step", f"give a text of 1 to {NAME_CHARACTERS} characters"
        )
    return name


class Tries:
    """How often one step is tried inside its attempt."""

    def __init__(self, retries: int, delay_seconds: float) -> None:
        if type(retries) is not int or retries < 0:
            raise BadInput("retries", f"{retries!r} is not a number of retries", "give 0 or more")
        if not 0 <= delay_seconds < float("inf"):
            raise BadInput("retry_delay_seconds", f"{delay_seconds!r} is not a delay", "give seconds, 0 or more")
        self._left = retries
        self._delay = delay_seconds

    def delay_after(self, error: Exception) -> float:
        """How long to wait before the next try.

        Raises:
            Exception: the error itself, if there is no other try.
        """
        # What the engine raises or a handler tells it by raising is about the attempt, not about this step.
        if self._left <= 0 or isinstance(error, HandlerSignal | LeaseLost | BadInput | TorporError):
            raise error
        self._left -= 1
        delay, self._delay = self._delay, self._delay * 2
        return delay


class StepVerbs:
    """The durable verbs of an async handler's context."""

    _holder: Holder
    _flag: StopFlag

    @property
    def _journal(self) -> Journal:
        """Where this attempt records its steps."""
        return self._holder.journal

    def _leave_if_asked(self) -> None:
        """End the attempt here if somebody asked for a pause, or time is up: what is recorded is where to go on."""
        if self._flag.pausing:
            raise self._flag.leave(Hold())
        if self._flag.slicing and self._flag.has_news:
            raise self._flag.leave(Slice())

    async def step(
        self,
        name: str,
        fn: Callable[..., Any],
        /,
        *args: Any,
        retries: int = 0,
        retry_delay_seconds: float = 1.0,
        **kwargs: Any,
    ) -> Json:
        """Run a function once for the job: what it returned is recorded, and later attempts are given that.

        The function may run again if the attempt ends before its outcome is recorded. Steps are told apart by their
        names, and have to be called in the same order in every attempt; what runs beside each other may change places.

        Args:
            name: of this step; each name once in an attempt.
            fn: async, or blocking: that runs in a thread.
            args: for the function.
            retries: how often it is tried again in this attempt when it raises.
            retry_delay_seconds: before the first retry; doubled for each further one.
            kwargs: for the function; ones called like the options above go into a `functools.partial`.

        Returns:
            What the function returned, as JSON says it: tuples are lists, models and dataclasses are dicts.

        Raises:
            StepNameTwice, StepsChanged: the job FAILS: trying again cannot help.
            BadInput: a name that is none, or an outcome that is not a JSON value or too large.
            LeaseLost: the lease is somebody else's.
            Exception: what the function raised when there was no other try.
        """
        tries = Tries(retries, retry_delay_seconds)
        journal = self._journal
        call = await journal.begin(StepKind.STEP, check_name(name))
        try:
            if call.recorded is not None:
                return call.recorded.value
            self._leave_if_asked()
            started = journal.clock.now()
            while True:
                try:
                    returned = await outcome_of(fn, args, kwargs, f"job {self._holder.job.id} step {name}"[:100])
                    break
                except Exception as error:  # noqa: BLE001 - whatever it is, it is raised again if there is no other try
                    await journal.clock.sleep(tries.delay_after(error))
            value = await journal.record(call, returned, started)
        finally:
            journal.end(call)
        self._flag.has_news = True
        self._leave_if_asked()
        return value

    async def _begin_step(self, name: str) -> Call:
        """For `step` of a blocking handler: what is recorded of it, if anything."""
        call = await self._journal.begin(StepKind.STEP, check_name(name))
        if call.recorded is not None:
            self._journal.end(call)
            return call
        try:
            self._leave_if_asked()
        except BaseException:
            self._journal.end(call)
            raise
        return call

    async def _record_step(self, call: Call, returned: Json, started_at: datetime) -> Json:
        """For `step` of a blocking handler: record what its function returned."""
        try:
            value = await self._journal.record(call, returned, started_at)
        finally:
            self._journal.end(call)
        self._flag.has_news = True
        self._leave_if_asked()
        return value

    async def _drop_step(self, call: Call) -> None:
        """For `step` of a blocking handler: its function failed."""
        self._journal.end(call)


async def outcome_of(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Any:
    """What a function returns, which is async, or blocking and runs in a thread of that name."""
    if inspect.iscoroutinefunction(fn):
        return await fn(*args, **kwargs)
    returned = await run_in_thread(lambda: fn(*args, **kwargs), name)
    return await returned if inspect.isawaitable(returned) else returned


class BlockingStepVerbs:
    """The same for a sync handler. Its functions run in the handler's own thread."""

    inner: JobContext

    def wait_for(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine on the engine's event loop and wait for its answer."""
        raise NotImplementedError

    def step(
        self,
        name: str,
        fn: Callable[..., Any],
        /,
        *args: Any,
        retries: int = 0,
        retry_delay_seconds: float = 1.0,
        **kwargs: Any,
    ) -> Json:
        """Run a function once for the job; see `JobContext.step`. It may be blocking, or async."""
        tries = Tries(retries, retry_delay_seconds)
        clock = self.inner._journal.clock
        call = self.wait_for(self.inner._begin_step(name))
        if call.recorded is not None:
            return call.recorded.value
        started = clock.now()
        try:
            returned = self._tried(tries, clock, lambda: fn(*args, **kwargs))
        except BaseException:
            self.wait_for(self.inner._drop_step(call))
            raise
        return self.wait_for(self.inner._record_step(call, returned, started))

    def _tried(self, tries: Tries, clock: Clock, function: Callable[[], Any]) -> Any:
        while True:
            try:
                returned = function()
                return self.wait_for(returned) if inspect.iscoroutine(returned) else returned
            except Exception as error:  # noqa: BLE001 - whatever it is, it is raised again if there is no other try
                self.wait_for(clock.sleep(tries.delay_after(error)))

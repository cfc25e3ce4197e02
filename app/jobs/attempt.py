"""One attempt: runs a handler under a holder, and turns however that ends into an event."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, is_dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from app.jobs.context import BlockingJobContext, JobContext, StopFlag, set_current_job_context
from app.jobs.definition import JobDefinition
from app.jobs.errors import (
    AttemptTimeout,
    BadInput,
    Cancel,
    ContinueLater,
    HandlerExit,
    LeaseLost,
    NoProgress,
    ResultInvalid,
    ReviewNeeded,
    TorporError,
)
from app.jobs.events import AskReview, Complete, Event, Fail, Release, Retry, Slice, Stop
from app.jobs.lease import Holder
from app.jobs.models import JobError, JobResult
from app.jobs.retry import decide_retry
from app.jobs.task import BaseTask, RunnerResult
from app.jobs.texts import MESSAGE_CHARACTERS, tidy
from app.jobs.threads import run_in_thread

logger = logging.getLogger(__name__)

IDLE_SLICES = 3
"""After so many slices in a row that recorded nothing new, a job fails: it would go on like that for ever."""
TRACEBACK_CHARACTERS = 8000
"""How much of a traceback is kept with an error: its end."""


class StopKind(StrEnum):
    """Why an attempt was told to end."""

    CANCEL = "cancel"
    DURATION = "duration"
    TIMEOUT = "timeout"
    SHUTDOWN = "shutdown"
    SLICE = "slice"
    """The worker's time is up; the job goes on in another slice."""
    PLACE = "place"
    """Its permit is lost, so that another job may run in its place."""
    LOST = "lost"


_GIVING_BACK = (StopKind.SHUTDOWN, StopKind.SLICE, StopKind.PLACE)
"""Stops for which the job goes back, to run again later."""


class Skipped:
    """Returned in place of a result when a task's validation found nothing to do."""


def _message_of(error: BaseException) -> str:
    try:
        return str(error) or type(error).__name__
    except BaseException:  # noqa: BLE001 - an exception's own __str__ may raise anything
        return f"{type(error).__name__}, which cannot say more"


def error_of(error: BaseException) -> JobError:
    """What is kept of an exception."""
    code = str(error.code) if isinstance(error, TorporError) else type(error).__name__
    text = "".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:]
    return JobError(
        code=code,
        message=tidy(_message_of(error), MESSAGE_CHARACTERS),
        type=f"{type(error).__module__}.{type(error).__qualname__}",
        traceback=tidy(text, TRACEBACK_CHARACTERS),
    )


def result_of(returned: object) -> JobResult:
    """What a handler's return value says: a `JobResult` as it is, `RunnerResult`s together, anything else as data."""
    if isinstance(returned, JobResult):
        return returned
    if isinstance(returned, RunnerResult):
        returned = [returned]
    if isinstance(returned, list) and returned and all(isinstance(item, RunnerResult) for item in returned):
        failed = [str(item.message) for item in returned if not item.success]
        data = [dict(item.__dict__) if is_dataclass(item) else item for item in returned]
        return JobResult(success=not failed, data=data, error="; ".join(failed) or None)
    return JobResult(success=True, data=returned)


@dataclass(eq=False, slots=True)
class Attempt:
    """A handler at work for a job. Made by the executor, watched by the heartbeat."""

    holder: Holder
    definition: JobDefinition
    context: JobContext
    flag: StopFlag
    fraction: Callable[[], float]
    """Randomness for the retry delay."""
    now: Callable[[], datetime]
    began: float
    """Monotonic time of the start."""
    stop: StopKind | None = None
    cut_at: float | None = None
    """Monotonic time at which the handler is cut off."""
    abandon_at: float | None = None
    had_time: bool = False
    """Whether it had most of the time that a slice has, when the time was up."""
    flushing: bool = False
    was_cut: bool = False
    flush_after: float = 0.0
    """Monotonic time before which no renewal is tried again: the store refused one."""
    _task: asyncio.Task[Any] | None = None
    _over: asyncio.Future[bool] | None = field(default=None)
    """Resolved True when the handler ended, False when it was given up."""
    _handler_object: BaseTask[Any] | None = None

    @property
    def can_be_cut(self) -> bool:
        """Whether the handler runs on the event loop, where it can be cancelled."""
        return self.definition.is_async

    async def run(self) -> Event | None:
        """Run the handler to its end. None if it would not stop and was abandoned."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        self._task = loop.create_task(self._call())
        self._task.add_done_callback(self._ended)
        try:
            ended = await self._over
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        return self._told() if ended else None

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()
        if self._over is not None and not self._over.done():
            self._over.set_result(True)

    async def wait_ended(self) -> None:
        """Wait until an abandoned handler has really ended."""
        if self._task is not None:
            await asyncio.wait({self._task})

    # --- stopping ---

    def request_stop(self, kind: StopKind, reason: str, now: float, grace_seconds: float) -> None:
        """Tell the handler to end, and when it will be cut off. A lost lease goes before everything else."""
        if self.stop is not None and (self.stop is StopKind.LOST or kind is not StopKind.LOST):
            return
        self.stop = kind
        self.flag.reason = self.flag.reason or reason
        if kind in _GIVING_BACK:
            self.flag.stopping = True
            self.flag.slicing = kind is StopKind.SLICE
        else:
            self.flag.cancelled = True
        self.cut_at = now + grace_seconds

    def cut_off(self) -> None:
        """Cancel a handler that runs on the event loop; a thread cannot be cancelled."""
        if self._task is not None and self.can_be_cut and self._over is not None and not self._over.done():
            self.was_cut = True
            self._task.cancel()

    def abandon(self) -> None:
        """Give the handler up."""
        if self._over is not None and not self._over.done():
            self._over.set_result(False)

    # --- running ---

    async def _call(self) -> object:
        try:
            return await self._call_handler()
        except (SystemExit, KeyboardInterrupt) as error:
            # Out of a task they would end the event loop, and every other job of this process with it.
            raise HandlerExit(error) from error

    async def _call_handler(self) -> object:
        job = self.holder.job
        positional, keywords = self.definition.arguments(job.payload)
        if self.definition.is_task:
            set_current_job_context(self.context)
            task: BaseTask[Any] = self.definition.handler()
            self._handler_object = task
            if not await task.is_wanted(self.context):
                return Skipped()
            return await task.execute(self.context)
        if self.definition.is_async:
            set_current_job_context(self.context)
            first = (self.context,) if self.definition.call.with_context else ()
            return await self.definition.handler(*first, *positional, **keywords)
        return await self._call_in_thread(positional, keywords)

    def _call_in_thread(self, positional: tuple[Any, ...], keywords: dict[str, Any]) -> Coroutine[Any, Any, object]:
        loop = asyncio.get_running_loop()
        context = BlockingJobContext(self.context, loop)
        first = (context,) if self.definition.call.with_context else ()

        def handler() -> object:
            set_current_job_context(context)
            return self.definition.handler(*first, *positional, **keywords)

        return run_in_thread(handler, f"job {self.holder.job.id}")

    # --- ending ---

    def _told(self) -> Event:
        """What the end means; whatever a handler returned or raised, there is an answer."""
        try:
            return self.event()
        except Exception as error:
            logger.exception("job %s: what its handler left cannot be told", self.holder.job.id)
            return self._failure(ResultInvalid(_message_of(error)))

    def event(self) -> Event:
        """What the handler's end means for its job."""
        if self._task is None or not self._task.done():
            raise RuntimeError("event: the handler has not ended; wait for it first")
        if self.flag.leaving is not None:
            return self._left_event(self.flag.leaving)
        if self._task.cancelled():
            return self._cut_event()
        error = self._task.exception()
        if error is not None:
            try:
                return self._error_event(error)
            except BadInput as refused:  # a checkpoint or review request that cannot be stored
                return self._failure(refused)
        if self.stop is StopKind.TIMEOUT:
            return self._failure(AttemptTimeout(self.holder.job.timeout_seconds or 0.0))
        if self.flag.cancelled:
            return Stop(self.flag.reason)
        returned = self._task.result()
        if isinstance(returned, Skipped):
            return Complete(JobResult(success=True), skipped=True)
        result = result_of(returned)
        if result.success:
            return Complete(result)
        message = tidy(result.error or "the handler returned a failure", MESSAGE_CHARACTERS)
        kept = result.model_copy(update={"error": message}) if result.error else result
        return Fail(JobError(code="RESULT_FAILED", message=message), kept)

    def _left_event(self, event: Event) -> Event:
        """A verb has ended the attempt; what the handler made of that does not matter, but a stop does."""
        if self.stop is StopKind.TIMEOUT:
            return self._failure(AttemptTimeout(self.holder.job.timeout_seconds or 0.0))
        return Stop(self.flag.reason) if self.flag.cancelled else event

    def _cut_event(self) -> Event:
        if self.stop in _GIVING_BACK:
            return self._given_back()
        if self.stop is StopKind.TIMEOUT:
            return self._failure(AttemptTimeout(self.holder.job.timeout_seconds or 0.0))
        if self.stop is not None:
            return Stop(self.flag.reason)
        return self._failure(RuntimeError("the handler was cancelled by itself or its own libraries"))

    def _given_back(self) -> Event:
        """The handler was cut off before it came to where it could go on later."""
        if self.stop is not StopKind.SLICE:
            return Release()
        if self.flag.has_news:
            return Slice()
        if not self.had_time:
            return Release()  # it began so late that nothing could be expected of it
        slices = self.holder.job.idle_slices + 1
        if slices < IDLE_SLICES:
            return Slice(is_idle=True)
        kept = error_of(NoProgress(self.holder.job.id, slices))
        return Fail(kept, JobResult(success=False, error=kept.message))

    def _error_event(self, error: BaseException) -> Event:
        if isinstance(error, Cancel):
            return Stop(tidy(str(error.reason), MESSAGE_CHARACTERS))
        if isinstance(error, ContinueLater):
            if error.checkpoint is not None:
                self.holder.set_checkpoint(error.checkpoint)
            return Slice(self.now() + timedelta(seconds=error.seconds))
        if isinstance(error, ReviewNeeded):
            return AskReview(tidy(str(error.reason), MESSAGE_CHARACTERS), error.request, error_of(error))
        if self.stop in (StopKind.CANCEL, StopKind.DURATION):
            return Stop(self.flag.reason)
        if self.stop in _GIVING_BACK and self.was_cut:
            return self._given_back()  # being cut off is no failure, whatever a library makes of it
        return self._failure(error)

    def _failure(self, error: BaseException) -> Event:
        kept = error_of(error)
        failed = JobResult(success=False, error=kept.message)
        if isinstance(error, LeaseLost):
            return Release()
        decision = decide_retry(self.holder.job, error, self._wants_retry(error), self.fraction)
        if decision.again:
            return Retry(kept, self.now() + timedelta(seconds=decision.delay_seconds))
        return Fail(kept, failed)

    def _wants_retry(self, error: BaseException) -> bool:
        if self._handler_object is None or not isinstance(error, Exception):
            return True
        try:
            return self._handler_object.should_retry(error, self.context)
        except Exception:
            logger.exception("job %s: _should_retry_on_error failed; not retried", self.holder.job.id)
            return False

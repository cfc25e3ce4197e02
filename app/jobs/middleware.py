"""What an application does around every job: before and after it is created, run and settled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from app.jobs.errors import BadInput
from app.jobs.models import Job, RunSummary, changed
from app.jobs.summaries import summarise

if TYPE_CHECKING:
    from app.jobs.context import JobContext
    from app.jobs.events import Event
    from app.jobs.runtime import Runtime

logger = logging.getLogger(__name__)

HOOK_SECONDS = 5.0
"""How long one hook may take: jobs wait for it, and a lease is not renewed before its handler begins."""

FAILED = "job %s: %s of %s failed; the job goes on"


class Middleware:
    """Does nothing at any point; derive from it and say what is to be done at some of them.

    Several are asked in the order in which they were given, and in the opposite order after the fact. What one raises
    is logged and touches no job, except that `before_create` may refuse a job. One that takes longer than five
    seconds is given up. `before_run` runs in the task that the handler's own is started from: what it sets in a
    `ContextVar`, the handler sees.
    """

    async def before_create(self, job: Job) -> None:
        """A job is about to be created. What it says in `metadata` may be added to.

        Raises:
            BadInput: it must not be created; nothing is written.
        """

    async def after_create(self, job: Job) -> None:
        """A job has been created. Not called for one that was there already, nor for one in a caller's transaction."""

    async def before_run(self, context: JobContext) -> None:
        """A handler is about to begin."""

    async def after_run(self, context: JobContext, event: Event | None) -> None:
        """A handler has ended.

        Args:
            context: what it was given.
            event: what is to become of its job (one of `app.jobs.events`); None if it would not stop and was given up.
        """

    async def before_settle(self, job: Job, event: Event) -> None:
        """A lease is about to be ended by this event."""

    async def after_settle(self, job: Job) -> None:
        """A lease has ended, or a job was ended by hand or by the watchdog; this is the job as it is stored now."""

    async def after_attempt(self, job: Job, run: RunSummary) -> None:
        """A lease has ended. Told once for each, by whoever ended it: its holder, or whoever took the job back.

        Not told of leases that end in another process, nor if this one ends between the commit and here.

        Args:
            job: as it is stored now.
            run: what its run summary says, but for the time until which that is kept.
        """

    async def after_loss(self, job: Job) -> None:
        """Nothing can be written any more under the lease under which a job ran here; whoever takes it back goes on."""

    async def after_round(self, runtime: Runtime) -> None:
        """The watchdog has made its round: a good time to look at how much waits."""


class LoggingMiddleware(Middleware):
    """Writes what happens to jobs into the process's log, with the job's id, type and attempt as fields."""

    async def after_create(self, job: Job) -> None:
        logger.info("job %s created: %s", job.id, job.type, extra=_fields(job))

    async def before_run(self, context: JobContext) -> None:
        job = context.job
        logger.info("job %s begins: %s, attempt %d", job.id, job.type, job.attempt, extra=_fields(job))

    async def after_settle(self, job: Job) -> None:
        how = f" ({job.outcome})" if job.outcome is not None and str(job.outcome) != str(job.status) else ""
        why = f": {job.error.code}: {job.error.message}" if job.error is not None else ""
        logger.info("job %s is %s%s%s", job.id, job.status, how, why, extra=_fields(job))

    async def after_attempt(self, job: Job, run: RunSummary) -> None:
        # An alert counts these lines by their outcome. A job that ends by hand has none, whatever its last attempt had.
        ended = {"event": "attempt", "outcome": str(run.outcome)}
        logger.info("job %s: attempt %d %s", job.id, run.attempt, run.outcome, extra={**_fields(job), **ended})


def _fields(job: Job) -> dict[str, object]:
    return {"job_id": job.id, "job_type": job.type, "job_attempt": job.attempt}


Call: TypeAlias = Callable[[Middleware], Awaitable[None]]


class Hooks:
    """The middleware of one engine, asked at each point."""

    def __init__(self, middleware: Sequence[Middleware] = ()) -> None:
        self.middleware: tuple[Middleware, ...] = ()
        self._at: dict[str, list[Middleware]] = {}
        self.add(middleware)

    def add(self, middleware: Sequence[Middleware]) -> None:
        """Further middleware, inside of what is there."""
        self.middleware += tuple(middleware)
        for point in (name for name in vars(Middleware) if not name.startswith("_")):
            # A job asks only those that do anything there.
            own = [each for each in self.middleware if getattr(type(each), point) is not getattr(Middleware, point)]
            self._at[point] = own if point.startswith("before") else own[::-1]

    async def before_create(self, jobs: Sequence[Job]) -> None:
        """Ask about jobs that are about to be created.

        Raises:
            BadInput: one of them must not be.
        """
        for each in self._at["before_create"]:
            for job in jobs:
                try:
                    async with asyncio.timeout(HOOK_SECONDS):
                        await each.before_create(job)
                except BadInput:
                    raise
                except Exception:  # somebody else's code: it is told, and the job is created
                    logger.exception(FAILED, job.id, "before_create", type(each).__qualname__)

    async def after_create(self, jobs: Sequence[Job]) -> None:
        """Tell of jobs that have been created."""
        if self._at["after_create"]:
            for job in jobs:
                if not job.existing:
                    await self._ask("after_create", job, lambda each, job=job: each.after_create(job))  # type: ignore[misc]

    async def before_run(self, context: JobContext) -> None:
        """Tell that a handler is about to begin."""
        await self._ask("before_run", context.job, lambda each: each.before_run(context))

    async def after_run(self, context: JobContext, event: Event | None) -> None:
        """Tell that a handler has ended."""
        await self._ask("after_run", context.job, lambda each: each.after_run(context, event))

    async def before_settle(self, job: Job, event: Event) -> None:
        """Tell that a lease is about to end."""
        await self._ask("before_settle", job, lambda each: each.before_settle(job, event))

    async def after_settle(self, job: Job) -> None:
        """Tell that a lease or a job has ended."""
        await self._ask("after_settle", job, lambda each: each.after_settle(job))

    async def after_attempt(self, before: Job, after: Job) -> None:
        """Tell that the lease that `before` had was ended by what became `after`."""
        if self._at["after_attempt"]:
            # What the holder still had to report was written with the end.
            reported = changed(before, {"progress": after.progress})
            run = summarise(reported, after, after.updated_at, None)
            await self._ask("after_attempt", after, lambda each: each.after_attempt(after, run))

    async def after_loss(self, job: Job) -> None:
        """Tell that a lease was lost under which a job ran here."""
        await self._ask("after_loss", job, lambda each: each.after_loss(job))

    async def after_round(self, runtime: Runtime) -> None:
        """Tell that the watchdog has made its round."""
        for each in self._at["after_round"]:
            try:
                async with asyncio.timeout(HOOK_SECONDS):
                    await each.after_round(runtime)
            except Exception:  # somebody else's code
                logger.exception("after_round of %s failed", type(each).__qualname__)

    async def _ask(self, point: str, job: Job, call: Call) -> None:
        for each in self._at[point]:
            try:
                async with asyncio.timeout(HOOK_SECONDS):
                    await call(each)
            except Exception:  # somebody else's code: whatever it raises touches no job
                logger.exception(FAILED, job.id, point, type(each).__qualname__)

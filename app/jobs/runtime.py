"""The parts of one engine, put together once and handed to whoever needs them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from app.jobs.aftermath import Aftermath
from app.jobs.arrivals import Arrivals
from app.jobs.batches import Batches
from app.jobs.clock import Chance, Clock, SystemClock
from app.jobs.codec import Codec, TextCodec
from app.jobs.errors import TorporError
from app.jobs.group import GroupCommit
from app.jobs.lease import LeaseParts
from app.jobs.limit_parts import Limits
from app.jobs.linking import Links
from app.jobs.mailbox import Mailbox
from app.jobs.middleware import Hooks, Middleware
from app.jobs.models import Job
from app.jobs.options import EngineOptions
from app.jobs.overlap import OverlapGuard
from app.jobs.parking import Parking
from app.jobs.parking_duty import ParkingDuty
from app.jobs.progress import ProgressBroker
from app.jobs.queue import Queue
from app.jobs.ramp import Ramp
from app.jobs.records import JobRecords
from app.jobs.registry import JobRegistry, Registry
from app.jobs.release import Release
from app.jobs.schedule_editor import ScheduleEditor
from app.jobs.schedule_records import ScheduleRecords
from app.jobs.schedule_sync import CodeSchedules
from app.jobs.settlement import Settlement
from app.jobs.ticker import Ticker
from app.jobs.uniqueness import Uniques
from app.jobs.waking import NoWaker, Waker, WakeUps
from app.stores.base import Store, StoreError

if TYPE_CHECKING:
    from app.jobs.manager import AsyncJobManager

logger = logging.getLogger(__name__)

Followup: TypeAlias = Callable[[Job], Awaitable[object]]
"""Looks at a job that has just changed and does what that makes possible. Must be idempotent."""


class Runtime:
    """Store, clock, randomness, registry and what is built on them. Belongs to one event loop at a time."""

    def __init__(
        self,
        store: Store,
        *,
        options: EngineOptions | None = None,
        registry: Registry | None = None,
        middleware: Sequence[Middleware] = (),
        clock: Clock | None = None,
        chance: Chance | None = None,
        text_codec: TextCodec | None = None,
        application: Mapping[str, object] | None = None,
        waker: Waker | None = None,
    ) -> None:
        self.application = dict(application or {})
        """What the process's settings say to applications, by name."""
        self.waker = waker or NoWaker()
        self.store = store
        self.options = options or EngineOptions()
        self.registry = registry if registry is not None else JobRegistry.registry
        self.clock = clock or SystemClock()
        self.chance = chance or Chance()
        self._text_codec = text_codec
        self.hooks = Hooks(middleware)
        """What the application does around every job."""
        self.codec = Codec(text_codec)
        self.records = JobRecords(store, self.codec, self.chance, self.options.data)
        self.commits = GroupCommit(store)
        self.broker = ProgressBroker()
        self.wake_ups = WakeUps(self.waker)
        self.parts = LeaseParts(
            store=store,
            commits=self.commits,
            records=self.records,
            clock=self.clock,
            chance=self.chance,
            lease_seconds=self.options.lease_seconds,
            settlement=Settlement(self.records, self.options.keep_jobs, self.options.keep_runs),
            wake_ups=self.wake_ups,
        )
        self.limits = Limits(self.parts, self.registry)
        self.queue = Queue(self.parts, self.options, self.limits.admission, self.limits.turns)
        self.parking = Parking(self.queue, self.limits.parked)
        self.parking_duty = ParkingDuty(store, self.limits.parked, self.limits.join(self.parking))
        self.mailbox = Mailbox(self.parts, self.queue)
        self.arrivals = Arrivals(self.parts, self.queue)
        self.links = Links(self.parts, self.queue)
        self.release = Release(self.queue, self.parts, self._follow)
        self.ramp = Ramp(self.clock, store.limits().bulk_writes_per_second)
        """The pace of all that this process writes in bulk."""
        self.batches = Batches(self.parts, self.links, self.release, self.ramp)
        self.followups: list[Followup] = [
            self.limits.turns.ended,
            self.limits.locks.look_again,
            self.arrivals.look_again,
        ]
        """What is done, in this order, after a job has changed in a way that may let others go on."""
        self.schedules = ScheduleRecords(store, self.codec, self.options.data)
        self.schedule_editor = ScheduleEditor(store, self.commits, self.records, self.schedules, self.clock)
        self.code_schedules = CodeSchedules(
            self.schedule_editor, self.commits, self.schedules, self.registry, self.clock, self.chance
        )
        self.ticker = Ticker(
            store,
            self.commits,
            self.records,
            self.schedules,
            self.links,
            self.wake_ups,
            self.hooks,
            self.clock,
            self.chance,
            self.options.shards,
        )
        aftermath = Aftermath(self.records, self.registry, self.options.max_depth, self.clock, self.wake_ups)
        self.parts.settlement.companions.append(aftermath.writes)
        self.followups.append(aftermath.noted)
        self.uniques = Uniques(self.parts, self.queue, self.links)
        self.overlap = OverlapGuard(self.records)
        self.manager: AsyncJobManager | None = None
        """The manager over these parts, for handlers that create further jobs."""
        self.followups.append(self.hooks.after_settle)

    def with_options(self, options: EngineOptions) -> Runtime:
        """The same engine with other options."""
        return Runtime(
            self.store,
            options=options,
            registry=self.registry,
            middleware=self.hooks.middleware,
            clock=self.clock,
            chance=self.chance,
            text_codec=self._text_codec,
            application=self.application,
            waker=self.waker,
        )

    async def settled(self, job: Job) -> None:
        """A lease ended, or a job was changed by hand: tell those who listen here, and let others go on.

        What fails here is only put off: the watchdog finishes whatever a crash or an outage leaves half done.
        """
        await self._follow(job, self.release.finish)
        await self.wake_ups.send()

    async def lease_ended(self, before: Job, after: Job) -> None:
        """As `settled`, of a lease that ended outside of a worker: by who leased it by hand, or was taken back.

        Args:
            before: the job under its lease.
            after: as it was settled.
        """
        await self.hooks.after_attempt(before, after)
        await self.settled(after)

    async def _follow(self, job: Job, *first: Followup) -> None:
        if job.is_terminal:
            await self.broker.close(job.id)
        for followup in (*first, *self.followups):
            try:
                await followup(job)
            except (StoreError, TorporError) as error:
                logger.warning("job %s: what follows its end is left to the watchdog: %s", job.id, error)

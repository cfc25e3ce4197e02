"""The watchdog: heals what crashed. Not a job; bounded pages; may run twice at once, and be killed anywhere."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from app.jobs.errors import IllegalTransition
from app.jobs.events import Expire
from app.jobs.models import Job, JobStatus
from app.jobs.retention import delete_page, ended_before
from app.jobs.reviews import expire_reviews
from app.jobs.run_history import closed_hours, roll_up
from app.jobs.runtime import Runtime
from app.jobs.uniqueness import forget_stale_keys
from app.stores.base import Delete, OutcomeUnknown, PreconditionFailed, Query

logger = logging.getLogger(__name__)

PAGE = 100
"""Most records that one duty touches in one round; the rest waits for the next."""
UNSTARTED_PAGES = 10
"""So many pages are looked through for jobs that have not begun in time."""
RELEASE_GRACE = timedelta(seconds=10)
"""Whoever ended a job has so long to release what waits for it, before the watchdog does it too."""
TIDY_SECONDS = 3600.0
"""How often one watchdog looks for what is left of old batches, and for old events and keys."""
ROLLED_HOURS = 26
"""How far back closed hours are rolled up: a day, and what a night without a watchdog left."""


@dataclass(slots=True)
class WatchdogReport:
    """What one round did, or with `dry_run` would have done."""

    recovered: int = 0
    """Jobs taken back from holders whose lease ran out."""
    expired: int = 0
    """Jobs cancelled because they had not begun by their `start_before`."""
    released: int = 0
    """Ended jobs whose release a crash had left half done."""
    unparked: int = 0
    """Parked jobs that nothing held back any more."""
    batches: int = 0
    """Batches of which a crash had left only a part written."""
    reviews_expired: int = 0
    """Jobs cancelled because nobody decided about them in time."""
    told: int = 0
    """Events whose sender had not told all that waited for them."""
    deleted_jobs: int = 0
    deleted_runs: int = 0
    deleted_events: int = 0
    deleted_once: int = 0
    """Keys that were done once, so long ago that they are forgotten."""
    deleted_keys: int = 0
    """Uniqueness keys that kept nobody from anything any more."""
    deleted_locks: int = 0
    """Locks, permits and rates that nobody holds any more."""
    rolled_up: int = 0
    dry_run: bool = False

    def as_dict(self) -> dict[str, int | bool]:
        """As JSON."""
        return asdict(self)


class Watchdog:
    """The duties, one method each; `run` does a round of all."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._made_at = runtime.clock.monotonic()
        self._tidied_at = float("-inf")
        self._tidy_after: dict[str, float] = {}
        """From when on it is looked again for what is old, by the query's shape."""
        self._rolled: set[datetime] = set()
        """Hours that have their roll-up for sure, so that a round with nothing to do asks for none."""

    async def run(self, *, dry_run: bool = False) -> WatchdogReport:
        """One round.

        Args:
            dry_run: only count what would be done.

        Raises:
            Exception: what the first duty that failed raised; the others were done all the same.
        """
        report = WatchdogReport(dry_run=dry_run)
        duties = {
            "recovered": self.recover_stuck_jobs,
            "expired": self.expire_unstarted_jobs,
            "released": self.finish_releases,
            "unparked": self.free_parked_jobs,
            "batches": self.finish_batches,
            "reviews_expired": self.expire_reviews,
            "told": self.tell_of_events,
            "deleted_locks": self.cleanup_expired_locks,
            "rolled_up": self.roll_up_hours,
            "deleted_jobs": self.delete_old_jobs,
            "deleted_runs": self.delete_old_runs,
            "deleted_events": self.delete_old_events,
            "deleted_once": self.delete_old_once,
            "deleted_keys": self.cleanup_idempotency_records,
        }
        failed: list[Exception] = []
        for name, duty in duties.items():
            try:
                setattr(report, name, await duty(dry_run=dry_run))
            except Exception as error:  # noqa: BLE001 - one duty that fails must not keep the others from being done
                failed.append(error)
                logger.warning("watchdog: %s failed: %s", duty.__name__, error)
        done = (report.recovered, report.expired, report.released, report.unparked, report.deleted_jobs)
        if any(done) or report.deleted_runs:
            logger.info("watchdog: %s", report.as_dict())
        if not dry_run:
            await self._runtime.hooks.after_round(self._runtime)
        if failed:
            raise failed[0]
        return report

    async def roll_up_hours(self, *, dry_run: bool = False) -> int:
        """Make the roll-ups of closed hours that have none."""
        hours = closed_hours(self._runtime.clock.now(), ROLLED_HOURS)
        made = await roll_up(self._runtime, [hour for hour in hours if hour not in self._rolled], dry_run=dry_run)
        if not dry_run:
            self._rolled = set(hours)
        return made

    async def recover_stuck_jobs(self, *, dry_run: bool = False) -> int:
        """Take back jobs whose lease ran out; what becomes of each, the transition table says."""
        if dry_run:
            query = Query("jobs.leased", until=self._runtime.clock.now(), limit=PAGE)
            return len((await self._runtime.store.query(query)).records)
        taken = await self._runtime.queue.take_back(PAGE)
        for before, after in taken:
            if after is not None:
                logger.warning(
                    "job %s: the lease of attempt %d ran out at %s; it is %s now",
                    before.id,
                    before.attempt,
                    before.lease_expires_at,
                    after.status,
                )
                await self._runtime.lease_ended(before, after)
        return sum(after is not None for _, after in taken)

    async def expire_unstarted_jobs(self, *, dry_run: bool = False) -> int:
        """Cancel jobs that have not begun by their `start_before`, wherever they wait."""
        runtime, now = self._runtime, self._runtime.clock.now()
        expired = 0
        for status in (JobStatus.QUEUED, JobStatus.PENDING):
            for job in await self._unstarted(status, now):
                expired += 1
                if dry_run:
                    continue
                try:
                    await runtime.settled(await runtime.queue.change(job, Expire()))
                except (PreconditionFailed, IllegalTransition, OutcomeUnknown):
                    expired -= 1  # somebody was faster, or the next round sees what became of it
        return expired

    async def _unstarted(self, status: JobStatus, now: datetime) -> list[Job]:
        """A page of jobs that should have begun by now and have not; those that have begun do not hide them."""
        unstarted: list[Job] = []
        cursor: str | None = None
        for _ in range(UNSTARTED_PAGES):
            where = {"status": str(status)}
            query = Query("jobs.expiring", where, until=now, limit=PAGE, cursor=cursor)
            page = await self._runtime.store.query(query)
            unstarted += [job for job in map(self._runtime.codec.job, page.records) if not job.attempt]
            cursor = page.cursor
            if cursor is None or len(unstarted) >= PAGE:
                break
        return unstarted[:PAGE]

    async def finish_releases(self, *, dry_run: bool = False) -> int:
        """Let go on what waits for jobs that ended a while ago: whoever ended them did not get that far."""
        runtime = self._runtime
        until = runtime.clock.now() - RELEASE_GRACE
        page = await runtime.store.query(Query("jobs.releasing", {"release": "pending"}, until=until, limit=PAGE))
        if dry_run:
            return len(page.records)
        jobs = runtime.records.decoded(page.records)
        return sum([await runtime.release.finish(job) for job in jobs])

    async def free_parked_jobs(self, *, dry_run: bool = False) -> int:
        """Let parked jobs go on whose limit is free, or whose type is not paused any more."""
        return await self._runtime.parking_duty.run(dry_run=dry_run)

    async def finish_batches(self, *, dry_run: bool = False) -> int:
        """Write what is left of batches whose creator did not get that far, and delete what is left of old ones."""
        runtime = self._runtime
        found = await runtime.batches.unfinished(PAGE)
        if dry_run:
            return len(found)
        if self._is_time_to_tidy():
            await runtime.batches.tidy(runtime.options.keep_jobs, PAGE)
        return sum([await runtime.batches.finish(record) for record in found])

    async def cleanup_idempotency_records(self, *, dry_run: bool = False) -> int:
        """Delete uniqueness keys whose job has ended or is gone, or whose time is over."""
        return await forget_stale_keys(self._runtime.parts, PAGE, dry_run=dry_run)

    async def cleanup_expired_locks(self, *, dry_run: bool = False) -> int:
        """Delete locks whose holder is gone, and permits that have run out."""
        return await self._runtime.limits.locks.clean_up(dry_run=dry_run)

    def _is_time_to_tidy(self) -> bool:
        """Once an hour, whether this watchdog lives long or was made for one round each minute."""
        now = self._runtime.clock.monotonic()
        on_the_hour = self._runtime.clock.now().minute == 0 and now >= self._tidied_at + 60.0
        if not on_the_hour and now < max(self._tidied_at, self._made_at) + TIDY_SECONDS:
            return False
        self._tidied_at = now
        return True

    async def delete_old_jobs(self, *, dry_run: bool = False) -> int:
        """Delete ended jobs over their retention time, with their log, results and chunks."""
        keep = self._runtime.options.keep_jobs
        if keep is None:
            return 0
        store = self._runtime.store
        found = await ended_before(store, self._runtime.clock.now() - keep)
        return len(found) if dry_run else await delete_page(store, found, self._runtime.release.let_go_of)

    async def expire_reviews(self, *, dry_run: bool = False) -> int:
        """Cancel jobs that wait for a person, when nobody has decided in the time that was given for it."""
        return await expire_reviews(self._runtime, PAGE, dry_run=dry_run)

    async def tell_of_events(self, *, dry_run: bool = False) -> int:
        """Let jobs go on that wait for an event whose sender did not come to tell them."""
        until = self._runtime.clock.now() - RELEASE_GRACE
        return await self._runtime.mailbox.tell_untold(until, PAGE, dry_run=dry_run)

    async def delete_old_runs(self, *, dry_run: bool = False) -> int:
        """Delete run summaries over their own retention time."""
        return await self._delete_old("runs.list", dry_run=dry_run)

    async def delete_old_events(self, *, dry_run: bool = False) -> int:
        """Delete events that were sent longer ago than run summaries are kept."""
        return await self._tidy("events.list", dry_run=dry_run)

    async def delete_old_once(self, *, dry_run: bool = False) -> int:
        """Forget keys that were done or begun longer ago than run summaries are kept."""
        return await self._tidy("once.touched", dry_run=dry_run)

    async def _tidy(self, shape: str, *, dry_run: bool) -> int:
        """Delete what is old and in nobody's way: looked for once an hour, and again soon while there is much of it."""
        now = self._runtime.clock.monotonic()
        if not dry_run and now < self._tidy_after.get(shape, now):
            return 0
        found = await self._delete_old(shape, dry_run=dry_run)
        if not dry_run:
            self._tidy_after[shape] = now if found >= PAGE else now + TIDY_SECONDS
        return found

    async def _delete_old(self, shape: str, *, dry_run: bool) -> int:
        keep: timedelta | None = self._runtime.options.keep_runs
        if keep is None:
            return 0
        store = self._runtime.store
        page = await store.query(Query(shape, until=self._runtime.clock.now() - keep, limit=PAGE))
        if not dry_run and page.records:
            await store.commit_each([[Delete(record.collection, record.id)] for record in page.records])
        return len(page.records)

"""Taking jobs for a worker: the best of those that nothing holds back, in as few round trips as the store can."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from app.jobs.admission import Admission, Asker, Round, Verdict
from app.jobs.errors import JobNotFound
from app.jobs.events import Claim, Event, Promote
from app.jobs.lease import Lease, LeaseParts
from app.jobs.models import Job, JobStatus, changed
from app.jobs.options import EngineOptions
from app.jobs.records import is_job_id, set_aside
from app.jobs.shards import AskedShards
from app.jobs.transitions import transition
from app.stores.base import (
    ClaimRequest,
    Fields,
    OutcomeUnknown,
    PreconditionFailed,
    Record,
    StoreError,
    StoreUnavailable,
)

logger = logging.getLogger(__name__)

ROUNDS = 20
"""How often one claim looks again after it met jobs that are not to run now."""


class Claiming:
    """Claims of one engine."""

    def __init__(self, parts: LeaseParts, options: EngineOptions, admission: Admission) -> None:
        self._parts = parts
        self._admission = admission
        self._ended: list[Job] = []
        self._shards = AskedShards(options.shards, parts.store.limits().claim_alternatives, parts.chance)

    async def claim(self, asker: Asker, *, shards: Sequence[int] | None, due: bool) -> tuple[list[Lease], bool]:
        """Take up to `asker.limit` jobs, best first.

        Returns:
            Their leases, and whether more may be claimable right now.

        Raises:
            StoreError: nothing was taken.
        """
        leases: list[Lease] = []
        full = again = False
        beside = 0
        for _ in range(ROUNDS):
            try:
                asked = await self._admission.begin(asker.wanting(asker.limit - len(leases)))
                try:
                    full = await self._round(asked, leases, shards, due, beside)
                finally:
                    self._admission.settle(asked, leases)
                again = await self._admission.learn(asked)
                if full and asked.left_alone > beside:
                    beside, again = asked.left_alone, True  # those that wait as they are may hide others
            except StoreError as error:
                if not leases:
                    raise
                # What is claimed already must reach its holder; whatever failed will show again at the next claim.
                logger.warning("no more than %d jobs could be claimed: %s", len(leases), error)
                return leases, True
            if not again or len(leases) >= asker.limit:
                # Whoever saw nothing but what waits as it is need not look again at once.
                full = full and (bool(leases) or not asked.left_alone)
                break
        return leases, full or again

    def take_ended(self) -> list[Job]:
        """The jobs that ended at a claim instead of being taken; what follows their end is not done yet."""
        ended, self._ended = self._ended, []
        return ended

    async def _round(
        self, asked: Round, leases: list[Lease], shards: Sequence[int] | None, due: bool, beside: int
    ) -> bool:
        """Add what can be taken to the leases, looking at so many more; answers whether more may be claimable."""
        ready, full = await self._from_ready(asked, shards, due, beside)
        leases += ready
        for job in asked.parked[: asked.asker.limit - len(ready)]:
            lease = await self._take(job, asked)
            if lease is not None:
                leases.append(lease)
        return full

    async def _from_ready(
        self, asked: Round, shards: Sequence[int] | None, due: bool, beside: int
    ) -> tuple[list[Lease], bool]:
        parts, asker = self._parts, asked.asker
        sent_at = parts.clock.monotonic()
        now = parts.clock.now()
        drafts: dict[str, Job] = {}

        def lease(record: Record) -> Fields | None:
            before = parts.records.readable(record)
            if before is None:
                return set_aside(now)
            event = self._event(before, asked)
            if event is None:
                return None
            after = drafts[before.id] = self._after(before, event, now)
            return parts.records.codec.patch(before, after)

        def promote(record: Record) -> Fields | None:
            before = parts.records.readable(record)
            if before is None:
                return set_aside(now)
            return parts.records.codec.patch(before, transition(before, Promote(), now))

        request = ClaimRequest(
            queues=tuple(map(str, asker.queues)),
            routes=tuple(asker.routes),
            limit=asker.limit + beside,
            now=now,
            due=due,
            shards=self._shards.ask(len(asker.routes), sent_at) if shards is None else tuple(shards),
            spread=self._shards.known if shards is None else 1,
        )
        try:
            claimed = await parts.store.claim(request, lease, promote)
            jobs = [changed(drafts[r.id], {"version": r.version}) for r in claimed.records if r.id in drafts]
            full = claimed.full_page
        except OutcomeUnknown as lost:
            logger.warning("the answer to a claim was lost (%s); reading back", lost)
            read = await self._read_back(list(drafts), sent_at + parts.lease_seconds)
            found = [parts.records.codec.job(record) for record in read if record is not None]
            jobs = [job for job in found if job.lease_token == drafts[job.id].lease_token]
            full = True
        self._shards.found(job.shard for job in jobs)
        self._ended += [job for job in jobs if job.is_terminal]
        return [Lease(parts, job, sent_at) for job in jobs if job.status is JobStatus.RUNNING], full

    async def claim_job(self, worker_id: str, job_id: str) -> Lease | None:
        """Take one job by its id; None if it is not claimable now, or somebody was faster.

        Raises:
            JobNotFound: there is no such job.
        """
        for _ in range(ROUNDS):
            before = await self._read(job_id)
            now = self._parts.clock.now()
            due = before.ready_at is not None or (before.wake_at is not None and before.wake_at <= now)
            if before.status is not JobStatus.QUEUED or not due:
                return None
            asked = await self._admission.begin(Asker(worker_id, (before.queue,), (), 1))
            lease: Lease | None = None
            try:
                lease = await self._take(before, asked)
            finally:
                self._admission.settle(asked, [] if lease is None else [lease])
            if lease is not None or not await self._admission.learn(asked):
                return lease
        return None

    async def _read(self, job_id: str) -> Job:
        """One job, and in the same round trip what its claim has to know."""
        missing = self._admission.missing()
        record, *known = await self._parts.store.get("jobs", [job_id], missing) if is_job_id(job_id) else [None]
        self._admission.found(known)
        if record is None:
            raise JobNotFound(job_id)
        job = self._parts.records.codec.job(record)
        await self._parts.records.resolve([job])
        return job

    async def _take(self, before: Job, asked: Round) -> Lease | None:
        """Take one job as it was read, if it is still so and nothing holds it back."""
        parts = self._parts
        event = self._event(before, asked)
        if event is None:
            return None
        sent_at = parts.clock.monotonic()
        after = self._after(before, event, parts.clock.now())
        try:
            versions = await parts.commits.commit(parts.records.update(before, after))
        except PreconditionFailed:
            return None
        except OutcomeUnknown:
            (there,) = await self._read_back([before.id], sent_at + parts.lease_seconds)
            if there is None or there.fields.get("lease_token") != after.lease_token:
                return None
            versions = [there.version]
        after = changed(after, {"version": versions[-1]})
        if after.is_terminal:
            self._ended.append(after)
        return Lease(parts, after, sent_at) if after.status is JobStatus.RUNNING else None

    def _event(self, job: Job, asked: Round) -> Event | None:
        """What happens to a candidate: it is claimed, or what holds it back happens to it, or nothing."""
        answer = asked.ask(job)
        if answer is Verdict.LEAVE:
            return None
        if not isinstance(answer, Verdict):
            return answer
        token = self._parts.chance.token()
        return Claim(asked.asker.worker_id, token, write_id=token, lease_seconds=self._parts.lease_seconds)

    def _after(self, before: Job, event: Event, now: datetime) -> Job:
        # A job that had to begin earlier ends here.
        return self._parts.settlement.dated(before, transition(before, event, now), now)

    async def _read_back(self, job_ids: Sequence[str], until: float) -> list[Record | None]:
        """The stored jobs as they are now, whatever it takes until that monotonic time: they may be ours."""
        troubled = 0
        while True:
            try:
                return await self._parts.store.get("jobs", job_ids)
            except StoreUnavailable:
                troubled += 1
                if self._parts.clock.monotonic() >= until:
                    raise
                await self._parts.clock.sleep(min(2.0, 0.1 * 2**troubled))

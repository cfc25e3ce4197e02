"""The holder's side of the lease protocol.

Everything that is written for a holder goes through one lane, one write at a time, and each write is a
guarded write of the job, which is also the renewal. A write whose answer was lost is resolved by reading
back: our `write_id` is there, so it landed; our token is there, so somebody else wrote a control field,
and the intent is applied again to the fresh state; else the lease is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from app.jobs.clock import Chance, Clock
from app.jobs.codec import USER_FIELDS, Stored
from app.jobs.errors import BadInput, LeaseLost, ResultInvalid
from app.jobs.events import Abandon, Event, Fail, Renew, RequestCancel
from app.jobs.group import GroupCommit
from app.jobs.journal import Journal, StoredJournal
from app.jobs.models import LATE, Job, JobError, JobProgress, JobResult, JobStatus, Json, LogEntry, changed
from app.jobs.records import JobRecords
from app.jobs.settlement import Settlement
from app.jobs.summaries import run_id, told_apart
from app.jobs.transitions import transition
from app.jobs.waking import WakeUps
from app.stores.base import (
    OutcomeUnknown,
    PreconditionFailed,
    RecordTooLarge,
    Store,
    StoreError,
    StoreUnavailable,
    Version,
    Write,
)

logger = logging.getLogger(__name__)

MAX_REAPPLIED = 5
"""How often an intent is applied again because somebody else wrote first."""

FULL_CHARACTERS = 100_000
"""So much log goes into one page; escaped, it may take six times as many bytes."""

Intent = Callable[[Job, datetime], tuple[Job, Sequence[Write]]]
"""What a holder wants to write: the job it wants, and the records that go with it."""


Change = Callable[[Job], Job]
"""What is to change in a job's own fields."""


class Holder(Protocol):
    """What a running attempt needs of whatever holds its job."""

    job: Job

    @property
    def is_dirty(self) -> bool:
        """Whether anything waits to be written."""

    @property
    def remaining_seconds(self) -> float:
        """How long the holder may still act without writing."""

    def report(self, progress: JobProgress) -> None:
        """Remember progress for the next write; a newer one replaces it."""

    def add_log(self, level: str, message: str) -> LogEntry:
        """Remember a log line for the next write."""

    def set_checkpoint(self, data: Json) -> None:
        """Remember a checkpoint for the next write; a newer one replaces it."""

    @property
    def journal(self) -> Journal:
        """Where its steps are recorded."""

    async def save_result(self, data: Json) -> None:
        """Write one more saved result now."""

    async def commit(self, writes: Sequence[Write], change: Change | None = None) -> None:
        """Write records now, and change the job's own fields with them."""

    async def flush(self) -> None:
        """Write what waits now."""


@dataclass(frozen=True, slots=True)
class LeaseParts:
    """What every lease of an engine shares."""

    store: Store
    commits: GroupCommit
    records: JobRecords
    clock: Clock
    chance: Chance
    lease_seconds: float
    settlement: Settlement
    wake_ups: WakeUps


_CONTROLS = ("control_id", "control_action", "control_reason", "control_at", "watched_until")
_OF_OTHERS = (*_CONTROLS, "has_dependents", "deleting")
"""Fields of a running job that others than its holder write."""


@dataclass(slots=True)
class _Pending:
    progress: JobProgress | None = None
    checkpoint: Stored | None = None
    log: list[LogEntry] = field(default_factory=list)
    log_characters: int = 0

    def __bool__(self) -> bool:
        return self.progress is not None or self.checkpoint is not None or bool(self.log)


@dataclass(frozen=True, slots=True)
class _Draft:
    """One write that was sent: what it makes of the job, what rode on it, and the monotonic time before it."""

    after: Job
    pending: _Pending
    sent_at: float


class Lease:
    """One claim of one job. `sent_at` is the monotonic time from before the claim was sent."""

    def __init__(
        self, parts: LeaseParts, job: Job, sent_at: float, on_change: Callable[[Lease], None] | None = None
    ) -> None:
        self.job = job
        self.token = job.lease_token
        self.attempt = job.attempt
        self.on_change = on_change
        """Called after a write that showed something new: a control request, or that the lease is lost."""
        self.follow_up: Callable[[Job, Job], Awaitable[None]] | None = None
        """What its engine does once it has ended, where no worker sees to that."""
        self.lost: LeaseLost | None = None
        self.written_at = sent_at
        """Monotonic time of the newest write that landed, from before it was sent."""
        self.journal: Journal = StoredJournal(self, parts.clock, parts.store, parts.records)
        self._parts = parts
        self._began = sent_at
        self._dies_at = sent_at + parts.lease_seconds
        self._lane = asyncio.Lock()
        self._pending = _Pending()
        self._log_length = job.log_length
        self._ended = False

    # --- what waits ---

    @property
    def is_dirty(self) -> bool:
        """Whether anything waits to be written."""
        return bool(self._pending)

    @property
    def is_full(self) -> bool:
        """Whether so much log waits that it should be written at once, whatever the time."""
        return self._pending.log_characters >= FULL_CHARACTERS

    @property
    def remaining_seconds(self) -> float:
        """How long the lease lives on the holder's own clock; 0 when it is lost."""
        if self.lost is not None:
            return 0.0
        return max(0.0, self._dies_at - self._parts.clock.monotonic())

    def _check_alive(self) -> None:
        if self.lost is None and self._parts.clock.monotonic() >= self._dies_at:
            self._lose("its lease ran out on this worker's own clock")
        if self.lost is not None:
            raise self.lost
        if self._ended:
            raise LeaseLost(self.job.id, f"attempt {self.attempt} has ended")

    def _lose(self, why: str) -> None:
        self.lost = LeaseLost(self.job.id, why)
        self._pending = _Pending()
        if self.on_change is not None:
            self.on_change(self)

    def report(self, progress: JobProgress) -> None:
        """Remember progress for the next write.

        Raises:
            LeaseLost: this holder can change nothing any more.
        """
        self._check_alive()
        self._pending.progress = progress

    def add_log(self, level: str, message: str) -> LogEntry:
        """Remember a log line for the next write.

        Raises:
            LeaseLost: this holder can change nothing any more.
        """
        self._check_alive()
        self._log_length += 1
        entry = LogEntry.model_construct(
            number=self._log_length,
            at=self._parts.clock.now(),
            level=level,
            message=message,
            attempt=self.attempt,
        )
        self._pending.log.append(entry)
        # As stored: what is not ASCII takes up to twelve characters there.
        self._pending.log_characters += len(message) * (1 if message.isascii() else 12)
        return entry

    def set_checkpoint(self, data: Json) -> None:
        """Remember a checkpoint for the next write.

        Raises:
            LeaseLost: this holder can change nothing any more.
            BadInput: not a JSON value, or over the limit.
        """
        self._check_alive()
        self._pending.checkpoint = self._parts.records.stored(data, "checkpoint")

    # --- writes ---

    async def flush(self) -> None:
        """Write what waits, and renew the lease.

        Raises:
            LeaseLost: this holder can change nothing any more.
        """
        await self._shielded(lambda job, now: (job, ()))

    async def save_result(self, data: Json) -> None:
        """Write one more saved result, with the renewal.

        Raises:
            LeaseLost: this holder can change nothing any more.
            BadInput: not a JSON value, or over the limit.
        """
        stored = self._parts.records.stored(data, "result")

        def intent(job: Job, now: datetime) -> tuple[Job, Sequence[Write]]:
            seq = job.results_saved + 1
            saved = changed(job, {"results_saved": seq})
            return saved, self._parts.records.saved_result(job, seq, stored, now)

        await self._shielded(intent)

    async def commit(self, writes: Sequence[Write], change: Change | None = None) -> None:
        """Write records, together with the renewal: all or nothing, and fenced.

        Args:
            writes: the records.
            change: what changes in the job itself with them; pure, asked anew if somebody else wrote first.

        Raises:
            LeaseLost: this holder can change nothing any more.
            PreconditionFailed: one of the records is not in the state that its write names.
        """
        await self._shielded(lambda job, now: (job if change is None else change(job), writes))

    async def abandon(self, lease_seconds: float, error: JobError | None, cancel: str | None = None) -> None:
        """Let the lease run out in so many seconds because the handler will not stop; see `Abandon`.

        From now on the handler can write nothing: each of its writes would be a renewal.

        Args:
            lease_seconds: how long the handler may still be at work.
            error: what the loss counts as; None for nothing.
            cancel: why the job is to end CANCELLED when the lease runs out; None to let it run again.

        Raises:
            LeaseLost: it is lost already.
        """
        events: list[Event] = [Abandon(lease_seconds, error)]
        if cancel is not None:
            events.append(RequestCancel(self._parts.chance.token(), cancel))

        def intent(job: Job, now: datetime) -> tuple[Job, Sequence[Write]]:
            for event in events:
                job = transition(job, event, now)
            return job, ()

        await self._write(intent, renew=False)
        self._lose("its handler would not stop and was given up")

    async def settle(self, event: Event) -> Job:
        """End the lease by the event: job, run summary and all that waits, in one commit.

        A result that cannot be stored is recorded as that error.

        Raises:
            LeaseLost: somebody else has the job; the outcome is kept as a late run summary.
        """
        try:
            try:
                ended = await self._end(event)
            except (BadInput, RecordTooLarge) as problem:
                message = str(ResultInvalid(str(problem)))
                error = JobError(code=ResultInvalid.code, message=message, type="ResultInvalid")
                refused = Fail(error=error, result=JobResult(success=False, error=message))
                ended = await self._end(refused)
            self._parts.wake_ups.note(ended)
            return ended
        except LeaseLost:
            await self._keep_late(event)
            raise

    async def _end(self, event: Event) -> Job:
        try:
            return await self._write(self._ending(event), renew=False)
        except PreconditionFailed:
            (taken,) = await self._parts.store.get("runs", [run_id(self.job.id, self.attempt)])
            if taken is None:
                raise
            # A job of the same key that was deleted has left a summary of an attempt with this number.
            return await self._write(self._ending(event, apart=True), renew=False)

    def _ending(self, event: Event, *, apart: bool = False) -> Intent:
        # Measured, not computed from two times of day: those of a machine may be set while a job runs.
        ran = self._parts.clock.monotonic() - self._began

        def intent(job: Job, now: datetime) -> tuple[Job, Sequence[Write]]:
            after = changed(transition(job, event, now), {"run_seconds": job.run_seconds + ran})
            after, writes = self._parts.settlement.complete(job, after, now)
            return after, told_apart(writes, self.token or "") if apart else writes

        return intent

    async def _keep_late(self, event: Event) -> None:
        """A lost holder's outcome, as evidence only: no other record is touched."""
        now = self._parts.clock.now()
        before = changed(self.job, {"attempt": self.attempt})
        try:
            after = transition(before, event, now)
            summary = self._parts.settlement.summary(before, after, now)
            late = changed(summary, {"id": f"{before.id}-{self.attempt}{LATE}", "counted": False})
            unit: list[Write] = [self._parts.records.summary(late)]
            try:
                await self._parts.commits.commit(unit)
            except PreconditionFailed:
                if before.idempotency_key is None:
                    raise
                await self._parts.commits.commit(told_apart(unit, self.token or ""))
        except (BadInput, StoreError) as error:
            logger.warning("job %s: the late outcome of attempt %d was not kept: %s", before.id, self.attempt, error)

    async def _shielded(self, intent: Intent) -> Job:
        """Write from inside a handler: cancelling the handler must not tear the lane."""
        task = asyncio.ensure_future(self._write(intent, renew=True))
        task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        return await asyncio.shield(task)

    async def _write(self, intent: Intent, *, renew: bool) -> Job:
        """Bring the intent into the store, or find out that the lease is lost."""
        async with self._lane:
            sent: dict[str | None, _Draft] = {}
            reapplied = unheard = troubled = 0
            while True:
                self._check_alive()
                pending, self._pending = self._pending, _Pending()
                sent_at = self._parts.clock.monotonic()
                try:
                    after, unit = self._draft(intent, pending, renew=renew)
                    sent[after.write_id] = _Draft(after, pending, sent_at)
                    versions = await self._parts.commits.commit(unit)
                    return self._landed(after, versions[-1], sent_at, renew=renew)
                except StoreUnavailable:
                    self._restore(pending)
                    troubled += 1
                except (PreconditionFailed, OutcomeUnknown) as refused:
                    fresh = await self._read_back()
                    self._restore(pending)
                    draft = sent.get(fresh.write_id) if fresh is not None else None
                    if fresh is None:
                        self._lose("it was deleted")
                    elif draft is not None and (draft.after.status is not JobStatus.RUNNING or self._holds(fresh)):
                        return self._landed_unheard(draft, fresh, renew=renew)
                    elif fresh.version == self.job.version:
                        if isinstance(refused, PreconditionFailed):
                            raise  # the job is as it was: another record of the unit is not
                        unheard += 1  # nothing was applied: once more, and after that not at once
                        troubled += unheard > 1
                    elif not self._holds(fresh):
                        self._lose(f"it is {fresh.status} and held by somebody else or nobody")
                    elif (reapplied := reapplied + 1) > MAX_REAPPLIED:
                        self._lose("its record changed under every write")
                    else:
                        self._adopt(fresh)
                    if unheard < 2:
                        continue
                except BaseException:
                    self._restore(pending)
                    raise
                await self._parts.clock.sleep(min(2.0, 0.1 * 2**troubled) * (0.5 + self._parts.chance.fraction() / 2))

    def _holds(self, fresh: Job) -> bool:
        """Whether the stored job is still under this lease. A write id outlives the lease it was written under."""
        return fresh.lease_token == self.token and fresh.status is JobStatus.RUNNING

    def _landed_unheard(self, draft: _Draft, fresh: Job, *, renew: bool) -> Job:
        """A write landed, though not as heard, and maybe not the newest: what rode on it waits no more."""
        waits, rode = self._pending, draft.pending
        log = [entry for entry in waits.log if entry.number > draft.after.log_length]
        self._pending = _Pending(
            None if waits.progress is rode.progress else waits.progress,
            None if waits.checkpoint is rode.checkpoint else waits.checkpoint,
            log,
            sum(len(entry.message) for entry in log),
        )
        return self._landed(self._with_controls(draft.after, fresh), fresh.version, draft.sent_at, renew=renew)

    def _restore(self, pending: _Pending) -> None:
        """Put back what was not written, behind what was added meanwhile."""
        if self.lost is not None:
            return
        newer = self._pending
        self._pending = _Pending(
            newer.progress or pending.progress,
            newer.checkpoint or pending.checkpoint,
            [*pending.log, *newer.log],
            pending.log_characters + newer.log_characters,
        )

    def _draft(self, intent: Intent, pending: _Pending, *, renew: bool) -> tuple[Job, list[Write]]:
        parts, before = self._parts, self.job
        now = parts.clock.now()
        changes: dict[str, object] = {"write_id": parts.chance.token()}
        writes: list[Write] = []
        if pending.progress is not None:
            changes["progress"] = pending.progress
        if pending.checkpoint is not None:
            changes["checkpoint"] = pending.checkpoint
        if pending.log:
            writes.append(parts.records.log_page(before, pending.log))
            changes["log_length"] = pending.log[-1].number
        job = changed(before, changes)
        if renew:
            job = transition(job, Renew(parts.lease_seconds), now)
        after, extra = intent(job, now)
        return after, [*writes, *extra, *parts.records.update(before, after)]

    async def _read_back(self) -> Job | None:
        """The stored job as it is now, whatever it takes while the lease lives."""
        troubled = 0
        while True:
            try:
                (record,) = await self._parts.store.get("jobs", [self.job.id])
                return None if record is None else self._parts.records.codec.job(record)
            except StoreUnavailable:
                troubled += 1
                if self._parts.clock.monotonic() >= self._dies_at:
                    raise self._gone() from None
                await self._parts.clock.sleep(min(2.0, 0.1 * 2**troubled))

    def _gone(self) -> LeaseLost:
        self._lose("the store could not be reached before its lease ran out")
        return self.lost or LeaseLost(self.job.id, "lost")

    def _landed(self, after: Job, version: Version, sent_at: float, *, renew: bool) -> Job:
        checkpoint = after.checkpoint
        if isinstance(checkpoint, Stored):
            checkpoint = self._parts.records.codec.decode_text(checkpoint.text)
        self.job = changed(after, {"version": version, "checkpoint": checkpoint})
        self.written_at = sent_at
        self._ended = self.job.status is not JobStatus.RUNNING
        if renew:
            self._dies_at = sent_at + self._parts.lease_seconds
        if after.control_action is not None and self.on_change is not None:
            self.on_change(self)
        return self.job

    @staticmethod
    def _with_controls(after: Job, fresh: Job) -> Job:
        """Our own state, with what others wrote after it."""
        return changed(
            after,
            {name: getattr(fresh, name) for name in _OF_OTHERS},
        )

    def _adopt(self, fresh: Job) -> None:
        """Take over what others wrote, and go on from there."""
        ours = {name: self.job.__dict__[name] for name in USER_FIELDS}
        self.job = changed(fresh, {**ours, "chunks": self.job.chunks})
        if self.on_change is not None:
            self.on_change(self)

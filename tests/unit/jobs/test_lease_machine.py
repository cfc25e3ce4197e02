"""Any order of claims, writes, crashes, requests and failures leaves every job in one piece (the lease protocol)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.jobs import JobError, JobProgress, JobResult, JobStatus, LeaseLost
from app.jobs.codec import Stored
from app.jobs.errors import IllegalTransition
from app.jobs.events import AskReview, Complete, Event, Fail, Hold, Park, Release, Retry, Slice, Stop, Unpark
from app.jobs.lease import Lease
from app.jobs.models import LATE
from app.stores.base import Put, StoreUnavailable
from app.stores.faults import Hold as Gate
from app.stores.faults import Operation
from tests.support.late_store import LateWrite
from tests.support.lease_world import LEASE_SECONDS, Held, Host, Known, LeaseWorld, Snapshot

GATHERED = object()
"""What a verb answers that has written nothing yet."""
ERROR = JobError(code="BROKEN", message="it broke")
FAULTS = ("none", "none", "none", "answer lost", "not applied", "refused", "late")
VERBS = ("flush", "progress", "log", "log", "checkpoint", "result", "records")
EVENTS = (
    "complete",
    "fail",
    "retry",
    "retry later",
    "release",
    "release later",
    "slice",
    "hold",
    "stop",
    "ask",
    "park",
)
GOES_ON = frozenset({"retry", "retry later", "release", "release later", "slice", "hold", "ask", "park"})
"""Ends of a lease that leave the job unfinished: a cancel that came before has its way."""
PLACES = ("before it is sent", "before it is answered", "before it is read back", "before it is sent again")
MEANWHILE = ("expire and claim", "expire and claim", "expire", "cancel", "pause", "resume")

_which = st.integers(0, 5)
_host = st.integers(0, 2)
_fault = st.sampled_from(FAULTS)


class Leases(RuleBasedStateMachine):
    """Three holders, a person and a watchdog; whatever they do, `LeaseWorld.check` holds."""

    def __init__(self) -> None:
        super().__init__()
        self.world = LeaseWorld()
        self.late: list[tuple[LateWrite, str | None]] = []
        """Writes that are still on their way, and the token of the holder that sent them."""
        self.number = 0

    def teardown(self) -> None:
        self.world.close()

    @initialize(types=st.lists(st.sampled_from(["work", "work", "once"]), min_size=1, max_size=3))
    def some_are_at_work(self, types: list[str]) -> None:
        person = self.world.person
        for job_type in types:
            self.world.jobs[self.world.run(person.manager.submit(job_type)).id] = Known()
        self._claimed(self.world.holders[0], 2)

    # --- failures ---

    def _arm(self, host: Host, fault: str, operation: Operation, token: str | None = None) -> None:
        match fault:
            case "answer lost" | "not applied":
                host.plan.lose(operation, applied=fault == "answer lost")
            case "refused":
                host.plan.refuse(operation, times=2)
            case "late":
                self.late.append((host.store.delay(operation), token))

    def _heal(self, host: Host) -> None:
        host.heal()
        host.store.forget_delays()
        self.late = [(late, token) for late, token in self.late if late.is_on_its_way]

    @precondition(lambda self: self.late)
    @rule(which=_which)
    def a_late_write_arrives(self, which: int) -> None:
        late, token = self.late.pop(which % len(self.late))
        tokens = {job_id: job.lease_token for job_id in self.world.jobs if (job := self.world.stored(job_id))}
        before = self.world.snapshot()
        self.world.run(late.arrive())
        if token is not None and token not in tokens.values():
            assert not self._changed(before), "a write of a lost lease was applied when it arrived"

    def _changed(self, before: Snapshot) -> set[tuple[str, str]]:
        """What is not as it was, but for late evidence."""
        after = self.world.snapshot()
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        return {(collection, name) for collection, name in changed if not name.endswith(LATE)}

    # --- the person ---

    @precondition(lambda self: len(self.world.jobs) < 4)
    @rule(
        once=st.booleans(),
        delay=st.sampled_from([0, 0, 0, 5, 90]),
        start_within=st.sampled_from([None, None, 30, 120]),
        held=st.sampled_from([False, False, True]),
        fault=st.sampled_from(["none", "none", "answer lost", "not applied", "refused"]),
    )
    def create(self, once: bool, delay: int, start_within: int | None, held: bool, fault: str) -> None:
        person = self.world.person
        start_before = None if start_within is None else person.clock.now() + timedelta(seconds=start_within)
        options: dict[str, Any] = {"start_before": start_before}
        if delay and not held:
            options["delay_seconds"] = delay
        make = person.manager.create_job("once" if once else "work", {}, auto_start=not held, **options)
        before = self.world.snapshot()
        self._arm(person, fault, Operation.COMMIT_EACH)
        try:
            job = self.world.run(make)
        except StoreUnavailable:
            assert self.world.snapshot() == before
        else:
            self.world.jobs[job.id] = Known()
        self._heal(person)

    @precondition(lambda self: self.world.jobs)
    @rule(
        which=_which,
        verb=st.sampled_from(["start", "cancel", "pause", "resume", "retry", "approve", "reject", "unpark"]),
        fault=_fault,
    )
    def ask(self, which: int, verb: str, fault: str) -> None:
        job_id = self._job(which)
        self._asked(job_id, verb, fault)

    def _job(self, which: int) -> str:
        return list(self.world.jobs)[which % len(self.world.jobs)]

    def _asked(self, job_id: str, verb: str, fault: str = "none") -> None:
        world, person = self.world, self.world.person
        before, was = world.snapshot(), world.stored(job_id)
        assert was is not None
        asked: dict[str, Callable[[], Awaitable[object]]] = {
            "start": lambda: person.manager.start_job(job_id),
            "cancel": lambda: person.manager.cancel_job(job_id),
            "pause": lambda: person.manager.pause_job(job_id),
            "resume": lambda: person.manager.resume_job(job_id),
            "retry": lambda: person.manager.retry_job(job_id),
            "approve": lambda: person.manager.review(job_id, "approve", "somebody"),
            "reject": lambda: person.manager.review(job_id, "reject", "somebody"),
            "unpark": lambda: person.runtime.queue.apply(job_id, lambda job: Unpark()),
        }
        self._arm(person, fault, Operation.COMMIT_EACH)

        async def act() -> None:
            await asked[verb]()

        try:
            world.run(act())
        except (IllegalTransition, StoreUnavailable):
            assert world.snapshot() == before, f"{verb} was refused and changed something"
        else:
            if verb == "retry":
                world.jobs[job_id].base = was.attempt
            now = world.stored(job_id)
            assert now is not None
            if verb == "cancel":
                assert now.status is JobStatus.CANCELLED or now.control_action == "cancel"
        self._heal(person)

    # --- time ---

    @rule(seconds=st.sampled_from([1, 10, 25, 61, 200]))
    def time_goes_by(self, seconds: int) -> None:
        self.world.time.pass_by(seconds)

    @rule(host=_host)
    def a_machine_is_stopped(self, host: int) -> None:
        self.world.holders[host].clock.stands_still = True

    @rule(host=_host, notices=st.booleans())
    def a_machine_wakes(self, host: int, notices: bool) -> None:
        """Some notice on their own clock how long they were away; others have to be told by the store."""
        clock = self.world.holders[host].clock
        clock.stands_still = False
        if notices:
            clock.lag = 0

    @rule(twice=st.booleans(), fault=st.sampled_from(["none", "none", "answer lost", "not applied", "late"]))
    def the_watchdog_looks(self, twice: bool, fault: str) -> None:
        world, person = self.world, self.world.person
        self._arm(person, fault, Operation.COMMIT_EACH)

        async def look() -> None:
            await asyncio.gather(*(person.watchdog.recover_stuck_jobs() for _ in range(1 + twice)))
            await asyncio.gather(*(person.watchdog.expire_unstarted_jobs() for _ in range(1 + twice)))

        world.run(look())
        self._heal(person)
        if fault == "none":
            now = person.clock.now()
            for job_id in world.jobs:
                job = world.stored(job_id)
                assert job is not None
                assert job.lease_expires_at is None or job.lease_expires_at >= now, f"{job_id} was not taken back"
                waits = job.status in (JobStatus.QUEUED, JobStatus.PENDING) and not job.attempt
                assert not waits or job.start_before is None or job.start_before >= now, f"{job_id} was not ended"

    # --- holders ---

    @rule(host=_host, limit=st.integers(1, 3), fault=_fault)
    def claim(self, host: int, limit: int, fault: str) -> None:
        self._claimed(self.world.holders[host], limit, fault)

    def _claimed(self, host: Host, limit: int, fault: str = "none") -> None:
        world = self.world
        if host.clock.stands_still:
            return
        now = host.clock.now()
        before = {job_id: job for job_id in world.jobs if (job := world.stored(job_id)) is not None}
        due = [
            job
            for job in before.values()
            if job.status is JobStatus.QUEUED and (job.ready_at or (job.wake_at and job.wake_at <= now))
        ]
        too_late = [job for job in due if job.start_before is not None and not job.attempt and now > job.start_before]
        self._arm(host, fault, Operation.CLAIM)
        try:
            leases, _ = world.run(host.runtime.queue.claim(host.name, ["default"], limit))
        except StoreUnavailable:
            leases = []
        self._heal(host)
        for lease in leases:
            was = before[lease.job.id]
            assert was in due, f"{was.id} was claimed although it was not due"
            assert was not in too_late
            assert (lease.attempt, lease.job.attempt) == (was.attempt + 1, was.attempt + 1)
            checkpoint = lease.job.checkpoint
            text = checkpoint.text if isinstance(checkpoint, Stored) else json.dumps(checkpoint)
            world.held.append(Held(host, lease, checkpoint=json.loads(text)))
            assert world.holds(world.held[-1])
        if fault in ("none", "answer lost") and not too_late:
            assert len(leases) == min(limit, len(due)), "what was due was not found"

    def _held(self, which: int) -> Held:
        return self.world.held[-1 - which % len(self.world.held)]

    @precondition(lambda self: self.world.held)
    @rule(which=_which, verb=st.sampled_from(VERBS), fault=_fault)
    def write(self, which: int, verb: str, fault: str) -> None:
        held = self._held(which)
        if not held.host.clock.stands_still:
            self._wrote(held, lambda: self._verb(held, verb), fault)

    @precondition(lambda self: self.world.held)
    @rule(which=_which, event=st.sampled_from(EVENTS), fault=_fault)
    def settle(self, which: int, event: str, fault: str) -> None:
        held = self._held(which)
        if held.host.clock.stands_still:
            return
        was = self.world.stored(held.job_id)
        landed = self._wrote(held, lambda: held.lease.settle(self._event(event, held)), fault)
        now = self.world.stored(held.job_id)
        if landed and was is not None and now is not None and was.control_action == "cancel" and event in GOES_ON:
            assert now.status is JobStatus.CANCELLED, f"{event}: the cancel was forgotten"

    @precondition(lambda self: self.world.held)
    @rule(which=_which, fails=st.booleans(), cancels=st.booleans(), fault=_fault)
    def abandon(self, which: int, fails: bool, cancels: bool, fault: str) -> None:
        held = self._held(which)
        if held.host.clock.stands_still:
            return
        if fails and self.world.holds(held):
            self.world.jobs[held.job_id].gave_up.add(held.lease.attempt)
        error, cancel = (ERROR if fails else None), ("too long" if cancels else None)
        self._wrote(held, lambda: held.lease.abandon(15.0, error, cancel), fault)
        job = self.world.stored(held.job_id)
        if job is not None and self.world.holds(held) and job.outcome is None:
            self.world.jobs[held.job_id].gave_up.discard(held.lease.attempt)  # it never came to be

    @precondition(lambda self: self.world.held)
    @rule(
        which=_which,
        ends=st.booleans(),
        verb=st.sampled_from(VERBS),
        event=st.sampled_from(EVENTS),
        place=st.sampled_from(PLACES),
        meanwhile=st.lists(st.sampled_from(MEANWHILE), min_size=1, max_size=2),
    )
    def others_come_between(
        self, which: int, ends: bool, verb: str, event: str, place: str, meanwhile: list[str]
    ) -> None:
        """A holder's write waits somewhere on its way, and others do something before it goes on."""
        held = self._held(which)
        if held.host.clock.stands_still:
            return
        gate = self._gate(held.host, place)
        world = self.world

        async def act() -> object:
            return await (held.lease.settle(self._event(event, held)) if ends else self._verb(held, verb))

        async def begin() -> asyncio.Future[object]:
            writing = asyncio.ensure_future(act())
            waiting = asyncio.ensure_future(gate.reached())
            await asyncio.wait({writing, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            return writing

        async def end(writing: asyncio.Future[object]) -> bool:
            gate.release()
            try:
                return await writing is not GATHERED
            except LeaseLost:
                return False

        writing = world.run(begin())
        if not writing.done():
            for other in meanwhile:
                self._meanwhile(held, other)
        was_applied = place in ("before it is answered", "before it is read back")
        is_lost = not writing.done() and not was_applied and not world.holds(held)
        before = world.snapshot()
        landed = world.run(end(writing))
        self._heal(held.host)
        if is_lost:
            assert not landed, "it was told that a write of a lost lease landed"
            assert not self._changed(before), "a write of a lost lease changed something"
        self._note(held, landed)
        if landed and ends:
            run = world.snapshot()["runs", f"{held.job_id}-{held.lease.attempt}"]
            assert run.fields["outcome"] != "lease_lost", "it was told that its settle landed"

    def _gate(self, host: Host, place: str) -> Gate:
        match place:
            case "before it is sent":
                return host.plan.hold(Operation.COMMIT_EACH)
            case "before it is answered":
                return host.plan.hold(Operation.COMMIT_EACH, applied=True)
            case "before it is read back":
                host.plan.lose(Operation.COMMIT_EACH, applied=True)
                return host.plan.hold(Operation.GET)
            case _:
                host.plan.lose(Operation.COMMIT_EACH, applied=False)
                return host.plan.hold(Operation.COMMIT_EACH, skip=1)

    def _meanwhile(self, held: Held, other: str) -> None:
        world = self.world
        if other.startswith("expire"):
            # The holder's machine stands still: only the store can tell it.
            held.host.clock.stands_still = True
            world.time.pass_by(LEASE_SECONDS + 1)
            world.run(world.person.watchdog.recover_stuck_jobs())
            held.host.clock.stands_still = False
            if other == "expire and claim":
                self._claimed(next(host for host in world.holders if host is not held.host), 3)
        elif held.job_id in world.jobs:
            self._asked(held.job_id, other)

    # --- what a holder writes ---

    async def _verb(self, held: Held, verb: str) -> object:
        lease = held.lease
        self.number += 1
        match verb:
            case "progress":
                lease.report(JobProgress(current=self.number, total=self.number + 1, message=held.host.name))
                return await self._flushed(lease)
            case "log":
                lease.add_log("INFO", f"line {self.number}")
                held.said.append(f"line {self.number}")
                return await self._flushed(lease)
            case "checkpoint":
                lease.set_checkpoint({"at": self.number})
                held.checkpoint = {"at": self.number}
                return await self._flushed(lease)
            case "result":
                await lease.save_result(self.number)
            case "records":
                await lease.commit([Put("exercises", held.job_id, {"name": held.host.name})])
            case _:
                await lease.flush()
        return None

    async def _flushed(self, lease: Lease) -> object:
        """Every other time what waits is not written yet, and goes with a later write."""
        if self.number % 2:
            return GATHERED
        await lease.flush()
        return None

    def _event(self, name: str, held: Held) -> Event:
        soon = held.host.clock.now() + timedelta(seconds=30)
        events: dict[str, Event] = {
            "complete": Complete(JobResult(success=True)),
            "fail": Fail(ERROR, JobResult(success=False, error="it broke")),
            "retry": Retry(ERROR, held.host.clock.now()),
            "retry later": Retry(ERROR, soon),
            "release": Release(),
            "release later": Release(soon),
            "slice": Slice(soon),
            "hold": Hold(),
            "stop": Stop("enough"),
            "ask": AskReview("is it right?", {"really": True}),
            "park": Park("limit:printer"),
        }
        return events[name]

    def _wrote(self, held: Held, act: Callable[[], Awaitable[object]], fault: str) -> bool:
        """Let a holder write; whether it was told that this is stored."""
        world, host = self.world, held.host
        held_it, before = world.holds(held), world.snapshot()
        revisions = {job_id: known.revision for job_id, known in world.jobs.items()}
        self._arm(host, fault, Operation.COMMIT_EACH, held.lease.token)

        async def write() -> bool:
            try:
                return await act() is not GATHERED
            except LeaseLost:
                return False

        landed = world.run(write())
        self._heal(host)
        if not held_it:
            assert not self._changed(before), "a zombie changed something"
            assert not landed
        elif world.holds(held):
            job = world.stored(held.job_id)
            assert job is not None
            assert job.revision == revisions[held.job_id], "only transitions move the revision"
        self._note(held, landed)
        return landed

    def _note(self, held: Held, landed: bool) -> None:
        """Remember what a holder was promised; and look whether it is there."""
        lease = held.lease
        if not landed or lease.is_dirty:
            return
        known = self.world.jobs[held.job_id]
        known.promised += held.said[held.confirmed :]
        held.confirmed = len(held.said)
        if self.world.holds(held):
            checkpoint = self.world.memory._ledger.tables.get("jobs", [held.job_id])[0]
            assert checkpoint is not None
            text = checkpoint.fields.get("checkpoint")
            assert (None if text is None else json.loads(str(text))) == held.checkpoint

    @invariant()
    def every_job_is_in_one_piece(self) -> None:
        self.world.check()


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

"""One shared transaction: units and claims that were ready together, each of them all or nothing.

Units are first written on the assumption that every precondition holds, which costs no read. When one did not,
the transaction is undone, the versions of all named records are read and locked, units that do not fit are
refused by name, and the others are written again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.stores.base import ClaimRequest, Decide, OutcomeUnknown, StoreError, StoreUnavailable
from app.stores.sql.claim import Claimer, ClaimOutcome
from app.stores.sql.drivers import Batch, Driver, Link, Trouble, refusal
from app.stores.sql.lookups import Lookups
from app.stores.sql.units import Name, PlannedUnit, PlannedWrite, as_expected, batches, judge

_TRIES = 6
"""How often a transaction is started over before its work is done one by one, or given up."""


@dataclass(slots=True)
class UnitTask:
    """One unit to apply; `outcome` says what became of it, None while nothing is wrong."""

    unit: PlannedUnit
    outcome: StoreError | None = None


@dataclass(slots=True)
class ClaimTask:
    """One claim to run; `outcome` is what it brought, or why it brought nothing."""

    request: ClaimRequest
    lease: Decide
    promote: Decide
    outcome: ClaimOutcome | BaseException = field(default_factory=lambda: StoreError("the claim was not run"))


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why nothing was applied."""

    error: StoreError
    alone_may_help: bool
    """Whether only some of the tasks stood in the way, so that the others get through one by one."""


class _StartOver(Exception):
    """Something came between: undo and try again, looking first."""


class _Uncertain(Exception):
    """The answer to the commit was lost."""


class Transactor:
    """Runs shared transactions on one connection, which it replaces when it is lost. Used by one thread."""

    def __init__(
        self, driver: Driver, connect: Callable[[], Link], lookups: Lookups, claimer: Claimer, notice: Batch | None
    ) -> None:
        self._driver = driver
        self._connect = connect
        self._lookups = lookups
        self._claimer = claimer
        self._notice = notice
        """What to execute in a transaction that makes something claimable, to tell other processes."""
        self._link: Link | None = None

    def run(self, units: Sequence[UnitTask], claims: Sequence[ClaimTask]) -> None:
        """Apply units and run claims in one transaction; every task has its outcome afterwards."""
        failure = self._try(units, claims)
        if failure is None:
            return
        if failure.alone_may_help and len(units) + len(claims) > 1:
            for unit in units:
                self.run([unit], [])
            for claim in claims:
                self.run([], [claim])
            return
        _fail(units, claims, failure.error)

    def close(self) -> None:
        """Give the connection back."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _try(self, units: Sequence[UnitTask], claims: Sequence[ClaimTask]) -> _Failure | None:
        """None when every task has its outcome; else why none of them was applied."""
        error: StoreError = StoreUnavailable("writing: other transactions kept getting in the way; try again later")
        look_first = False
        for attempt in range(_TRIES):
            was_connected = self._link is not None
            try:
                self._attempt(units, claims, look_first=look_first)
            except _StartOver:
                self._undo()
                look_first = True
            except _Uncertain as lost:
                self._drop()
                _fail(units, claims, OutcomeUnknown(f"the answer to a commit was lost ({lost}); read it back"))
                return None
            except self._driver.errors as cause:
                error = refusal(self._driver, cause, "writing")
                trouble = self._driver.trouble(cause)
                if trouble is Trouble.LOST:
                    self._drop()
                    # A connection that was idle may have been closed long ago: a fresh one is tried, once.
                    if attempt > 0 or not was_connected:
                        return _Failure(error, alone_may_help=False)
                    continue
                self._undo()
                look_first = True
                if trouble is Trouble.UNAVAILABLE or (trouble is Trouble.LOCKED and not self._driver.locks_rows):
                    return _Failure(error, alone_may_help=False)
                if trouble not in {Trouble.CONFLICT, Trouble.RETRY}:
                    return _Failure(error, alone_may_help=True)
            except BaseException:
                self._drop()
                raise
            else:
                return None
        return _Failure(error, alone_may_help=True)

    def _attempt(self, units: Sequence[UnitTask], claims: Sequence[ClaimTask], *, look_first: bool) -> None:
        if self._link is None:
            self._link = self._connect()
        link = self._link
        link.begin()
        refused = self._refused(link, units) if look_first else {}
        live = [task.unit for number, task in enumerate(units) if number not in refused]
        self._write(link, [write for unit in live for write in unit.writes])
        claimable = any(unit.claimable for unit in live)
        outcomes: list[ClaimOutcome | BaseException] = []
        last: list[Batch] = []
        for position, claim in enumerate(claims):
            outcome = self._claim(link, claim)
            outcomes.append(outcome)
            if isinstance(outcome, BaseException):
                continue
            claimable = claimable or bool(outcome.promoted)
            if position < len(claims) - 1:
                # The next claim must not find the same jobs.
                self._write(link, outcome.writes)
            else:
                last += batches(outcome.writes)[0]
        if self._notice is not None and claimable:
            last.append(self._notice)
        self._commit(link, last)
        for number, task in enumerate(units):
            task.outcome = refused.get(number)
        for claim, outcome in zip(claims, outcomes, strict=True):
            claim.outcome = outcome

    def _write(self, link: Link, writes: Sequence[PlannedWrite]) -> None:
        if not writes:
            return
        groups, expected = batches(writes)
        if not as_expected(link.run(groups), expected):
            raise _StartOver

    def _claim(self, link: Link, task: ClaimTask) -> ClaimOutcome | BaseException:
        try:
            return self._claimer.claim(link, task.request, task.lease, task.promote)
        except self._driver.errors:
            raise
        except Exception as error:  # noqa: BLE001 - the caller's own functions ran; their error is the caller's alone
            return error

    def _refused(self, link: Link, units: Sequence[UnitTask]) -> dict[int, StoreError]:
        named: dict[str, set[str]] = defaultdict(set)
        for task in units:
            for write in task.unit.writes:
                if write.expects is not None:
                    named[write.collection].add(write.id)
        collections = sorted(named)
        answers = link.fetch([self._lookups.versions(name, named[name]) for name in collections])
        stored: dict[Name, int] = {
            (name, row[0]): row[1] for name, rows in zip(collections, answers, strict=True) for row in rows
        }
        judged = ((number, judge(task.unit, stored)) for number, task in enumerate(units))
        return {number: error for number, error in judged if error is not None}

    def _commit(self, link: Link, last: Sequence[Batch]) -> None:
        try:
            link.commit(last)
        except self._driver.errors as error:
            if self._driver.is_uncertain(error):
                raise _Uncertain(str(error).strip()) from error
            raise

    def _undo(self) -> None:
        if self._link is None:
            return
        try:
            self._link.rollback()
        except self._driver.errors:
            # What cannot be undone by request is undone by the server when the connection ends.
            self._drop()

    def _drop(self) -> None:
        if self._link is not None:
            self._link.discard()
            self._link = None


def _fail(units: Sequence[UnitTask], claims: Sequence[ClaimTask], error: StoreError) -> None:
    for unit in units:
        unit.outcome = error
    for claim in claims:
        claim.outcome = error

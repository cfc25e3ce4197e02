"""Failures on purpose: a store in front of any other that fails, forgets and waits where a test says so."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from app.stores.base import (
    Claimed,
    ClaimRequest,
    Decide,
    OutcomeUnknown,
    Page,
    Query,
    Record,
    RecordKey,
    Store,
    StoreError,
    StoreLimits,
    StoreUnavailable,
    Unit,
    Usage,
    Version,
    Watch,
)

_Answer = TypeVar("_Answer")


class Operation(StrEnum):
    """What can be made to fail."""

    GET = "get"
    COMMIT = "commit"
    COMMIT_EACH = "commit_each"
    CLAIM = "claim"
    QUERY = "query"
    COUNT = "count"
    WATCH = "watch"
    ENLIST = "enlist"


_WRITING = frozenset({Operation.COMMIT, Operation.COMMIT_EACH, Operation.CLAIM})


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation, for a plan to choose by."""

    operation: Operation
    number: int
    """The first call of an operation is 1."""
    units: Sequence[Unit] = ()
    """What a `commit`, `commit_each` or `enlist` writes."""
    question: ClaimRequest | Query | None = None
    """What a `claim`, `query` or `count` asks."""

    def touches(self, collection: str, record_id: str) -> bool:
        """Whether it writes this record."""
        return any((write.collection, write.id) == (collection, record_id) for unit in self.units for write in unit)


class Hold:
    """A call that waits. A test sees it come, does what it likes meanwhile, and lets it go."""

    def __init__(self) -> None:
        self._reached = asyncio.Event()
        self._released = asyncio.Event()

    async def reached(self) -> None:
        """Return when a call waits here, or has waited."""
        await self._reached.wait()

    def release(self) -> None:
        """Let it go on, and every later one through."""
        self._released.set()

    async def passed(self) -> None:
        """Wait here: for the store, not for tests."""
        self._reached.set()
        await self._released.wait()


@dataclass(slots=True)
class _Fault:
    operation: Operation
    matches: Callable[[Call], bool]
    skip: int
    times: int
    before: Callable[[Call], Awaitable[None]] | None = None
    after: Callable[[Call], Awaitable[None]] | None = None

    def takes(self, call: Call) -> bool:
        """Whether this call is one to fail; counts it."""
        if self.times == 0 or call.operation is not self.operation or not self.matches(call):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class FaultPlan:
    """Which calls fail, and how. Each rule is for one operation, and is spent after `times` calls.

    `when` chooses among the calls of the operation, and `skip` lets that many of the chosen pass first.
    """

    def __init__(self) -> None:
        self.calls: Counter[Operation] = Counter()
        """How often each operation was called."""
        self._faults: list[_Fault] = []

    def refuse(
        self, operation: Operation, *, when: Callable[[Call], bool] | None = None, skip: int = 0, times: int = 1
    ) -> None:
        """Fail before anything is sent: StoreUnavailable."""

        async def fail(call: Call) -> None:
            raise StoreUnavailable(f"{call.operation} {call.number} was refused on purpose; try again")

        self._faults.append(_Fault(operation, when or _any, skip, times, before=fail))

    def lose(
        self,
        operation: Operation,
        *,
        applied: bool,
        when: Callable[[Call], bool] | None = None,
        skip: int = 0,
        times: int = 1,
    ) -> None:
        """Lose the answer of a write that was applied, or the write itself: the caller sees OutcomeUnknown either way.

        Raises:
            ValueError: the operation writes nothing by itself, so that no outcome of it could be unknown.
        """
        if operation not in _WRITING:
            raise ValueError(f"{operation} has no outcome to lose; choose one of {', '.join(sorted(_WRITING))}")

        async def fail(call: Call) -> None:
            raise OutcomeUnknown(f"the answer to {call.operation} {call.number} was lost on purpose; read back")

        fault = _Fault(operation, when or _any, skip, times)
        if applied:
            fault.after = fail
        else:
            fault.before = fail
        self._faults.append(fault)

    def hold(
        self,
        operation: Operation,
        *,
        applied: bool = False,
        when: Callable[[Call], bool] | None = None,
        skip: int = 0,
        times: int = 1,
    ) -> Hold:
        """Let a call wait before it is sent, or, when `applied`, between being applied and being answered."""
        hold = Hold()

        async def wait(call: Call) -> None:
            await hold.passed()

        fault = _Fault(operation, when or _any, skip, times)
        if applied:
            fault.after = wait
        else:
            fault.before = wait
        self._faults.append(fault)
        return hold

    def taken_by(self, call: Call) -> list[_Fault]:
        """The rules that this call meets, which are spent by it."""
        return [fault for fault in self._faults if fault.takes(call)]

    def counted(self, operation: Operation) -> int:
        """Count a call; gives its number."""
        self.calls[operation] += 1
        return self.calls[operation]


class FaultyStore:
    """A store that does what the inner one does, except where the plan says otherwise.

    Opening, closing and asking for limits never fail.
    """

    def __init__(self, inner: Store, plan: FaultPlan) -> None:
        self.inner = inner
        self.plan = plan

    @property
    def usage(self) -> Usage:
        """The inner store's counters."""
        return self.inner.usage

    def limits(self) -> StoreLimits:
        """The inner store's limits."""
        return self.inner.limits()

    async def open(self) -> None:
        """Open the inner store."""
        await self.inner.open()

    async def close(self) -> None:
        """Close the inner store."""
        await self.inner.close()

    async def get(self, collection: str, ids: Sequence[str], also: Sequence[RecordKey] = ()) -> list[Record | None]:
        """See `Store.get`."""
        return await self._call(self._describe(Operation.GET), lambda: self.inner.get(collection, ids, also))

    async def commit(self, unit: Unit) -> list[Version]:
        """See `Store.commit`."""
        return await self._call(self._describe(Operation.COMMIT, [unit]), lambda: self.inner.commit(unit))

    async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
        """See `Store.commit_each`. A lost answer is unknown for each of the units."""
        call = self._describe(Operation.COMMIT_EACH, units)
        try:
            return await self._call(call, lambda: self.inner.commit_each(units))
        except OutcomeUnknown as error:
            return [error for _ in units]

    async def claim(self, request: ClaimRequest, lease: Decide, promote: Decide) -> Claimed:
        """See `Store.claim`."""
        call = self._describe(Operation.CLAIM, question=request)
        return await self._call(call, lambda: self.inner.claim(request, lease, promote))

    async def query(self, query: Query) -> Page:
        """See `Store.query`."""
        return await self._call(self._describe(Operation.QUERY, question=query), lambda: self.inner.query(query))

    async def count(self, query: Query) -> int:
        """See `Store.count`."""
        return await self._call(self._describe(Operation.COUNT, question=query), lambda: self.inner.count(query))

    async def watch(self, collection: str, record_id: str | None = None) -> Watch:
        """See `Store.watch`."""
        return await self._call(self._describe(Operation.WATCH), lambda: self.inner.watch(collection, record_id))

    async def enlist(self, transaction: object, unit: Unit) -> None:
        """See `Store.enlist`."""
        await self._call(self._describe(Operation.ENLIST, [unit]), lambda: self.inner.enlist(transaction, unit))

    def _describe(
        self, operation: Operation, units: Sequence[Unit] = (), question: ClaimRequest | Query | None = None
    ) -> Call:
        return Call(operation, self.plan.counted(operation), units, question)

    async def _call(self, call: Call, act: Callable[[], Awaitable[_Answer]]) -> _Answer:
        faults = self.plan.taken_by(call)
        for fault in faults:
            if fault.before is not None:
                await fault.before(call)
        answer = await act()
        for fault in faults:
            if fault.after is not None:
                await fault.after(call)
        return answer


def _any(call: Call) -> bool:
    return True

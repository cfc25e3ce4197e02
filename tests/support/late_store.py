"""Writes that arrive late: their sender has long been told that nobody knows what became of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

from app.stores.base import Claimed, ClaimRequest, Decide, OutcomeUnknown, Store, StoreError, Unit, Version
from app.stores.faults import Call, FaultPlan, FaultyStore, Operation

_Answer = TypeVar("_Answer")
_Answers: TypeAlias = list[list[Version] | StoreError]


class LateWrite:
    """One write that is still on its way after its sender has heard `OutcomeUnknown`."""

    def __init__(self, operation: Operation, when: Callable[[Call], bool]) -> None:
        self._operation = operation
        self._when = when
        self._send: Callable[[], Awaitable[_Answers]] | None = None

    def takes(self, call: Call) -> bool:
        """Whether this call is the one; it takes only one."""
        return self._send is None and call.operation is self._operation and self._when(call)

    @property
    def is_on_its_way(self) -> bool:
        """Whether it was sent, and so may arrive."""
        return self._send is not None

    def keep(self, send: Callable[[], Awaitable[_Answers]]) -> OutcomeUnknown:
        """Keep the write for later; gives what its sender hears."""
        self._send = send
        return OutcomeUnknown("the write is late on purpose; read back")

    async def arrive(self) -> _Answers:
        """Let it reach the store now; gives what the store answers to nobody."""
        assert self._send is not None, "the write was never sent"
        return await self._send()


class LateStore(FaultyStore):
    """A faulty store on which writes can arrive late as well."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner, FaultPlan())
        self._late: list[LateWrite] = []
        self.under_way = 0
        """How many calls have not been answered: what a server takes its time for, on no clock of a test."""

    def delay(self, operation: Operation, *, when: Callable[[Call], bool] = lambda call: True) -> LateWrite:
        """Let the next chosen `commit_each` or `claim` be late."""
        late = LateWrite(operation, when)
        self._late.append(late)
        return late

    def forget_delays(self) -> None:
        """Let what is chosen to be late and was not sent yet arrive in time."""
        self._late = [late for late in self._late if late.is_on_its_way]

    async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
        """See `Store.commit_each`."""
        for late in self._late:
            if late.takes(Call(Operation.COMMIT_EACH, 0, units)):
                unknown = late.keep(lambda: self.inner.commit_each(units))
                return [unknown for _ in units]
        return await super().commit_each(units)

    async def _call(self, call: Call, act: Callable[[], Awaitable[_Answer]]) -> _Answer:
        self.under_way += 1
        try:
            return await super()._call(call, act)
        finally:
            self.under_way -= 1

    async def claim(self, request: ClaimRequest, lease: Decide, promote: Decide) -> Claimed:
        """See `Store.claim`."""

        async def send() -> _Answers:
            claimed = await self.inner.claim(request, lease, promote)
            return [[record.version] for record in claimed.records]

        for late in self._late:
            if late.takes(Call(Operation.CLAIM, 0, question=request)):
                raise late.keep(send)
        return await super().claim(request, lease, promote)

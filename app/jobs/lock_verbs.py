"""`ctx.lock`: a part of a handler that no other job runs at the same time."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from app.jobs.errors import BadInput, LeaseLost, LockTaken
from app.jobs.events import Park
from app.jobs.limits import Limit, limit_name
from app.stores.base import StoreError

if TYPE_CHECKING:
    from app.jobs.context import JobContext, StopFlag
    from app.jobs.lease import Holder
    from app.jobs.locks import HeldLock, Locks
    from app.jobs.manager import AsyncJobManager

logger = logging.getLogger(__name__)

R = TypeVar("R")
NAME_CHARACTERS = 1000
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0


class Lock:
    """A named lock, held inside of its `async with`."""

    def __init__(
        self, context: LockVerbs, holder: Holder, locks: Locks, name: str, wait_seconds: float, *, park: bool
    ) -> None:
        self.name = name
        """What it was asked for by."""
        self._context = context
        self._holder = holder
        self._locks = locks
        self._wait_seconds = wait_seconds
        self._park = park
        self._held: HeldLock | None = None

    @property
    def epoch(self) -> int:
        """Greater than every earlier holder's: give it to what is guarded, so that it can refuse smaller ones.

        Raises:
            LockTaken: it is not held.
        """
        if self._held is None:
            raise LockTaken(self.name)
        return self._held.epoch

    async def __aenter__(self) -> Lock:
        clock = self._holder.journal.clock
        end = clock.monotonic() + self._wait_seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            self._held = await self._locks.take(self._holder, self.name)
            if self._held is not None:
                return self
            left = end - clock.monotonic()
            if left <= 0 or self._context._is_ending:
                if self._park:
                    raise self._context._leave_for_lock(self.name)
                raise LockTaken(self.name)
            await clock.sleep(min(pause, left))
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        try:
            await self._locks.give_back(self._holder, held)
        except (LeaseLost, StoreError) as problem:
            if error is None and isinstance(problem, LeaseLost):
                raise
            logger.warning("lock %s is free when the attempt has ended: %s", self.name, problem)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS:
        raise BadInput(
            "name", f"{name!r:.100} is not the name of a lock", f"give a text of 1 to {NAME_CHARACTERS} characters"
        )


class LockVerbs:
    """The `lock` of a handler's context."""

    _holder: Holder
    _flag: StopFlag
    _manager: AsyncJobManager | None

    @property
    def manager(self) -> AsyncJobManager:
        """The manager of the engine that runs this job."""
        raise NotImplementedError

    def lock(self, name: str, wait_seconds: float = 0.0, *, park: bool = True) -> Lock:
        """A lock over all jobs: `async with ctx.lock("ledger"): ...`; in a sync handler `with`.

        It lives as long as the attempt's lease, so a crash frees it. While another job has it, the attempt ends,
        uncounted, and a later one begins anew when the lock is free: so take it early, or after a checkpoint or step.

        Args:
            name: any text of up to 1,000 characters.
            wait_seconds: how long to wait in place for it before that.
            park: False to be told by `LockTaken` instead.

        Raises:
            BadInput: no name, or no number of seconds.
            NoEngine: the job runs in a standalone executor.
        """
        _check_name(name)
        if not 0 <= wait_seconds < float("inf"):
            raise BadInput("wait_seconds", f"{wait_seconds!r} is not a time to wait", "give seconds, 0 or more")
        locks = self.manager.runtime.limits.locks
        return Lock(self, self._holder, locks, name, wait_seconds, park=park)

    @property
    def _is_ending(self) -> bool:
        """Whether the attempt has been asked to end, for whatever reason."""
        return self._flag.cancelled or self._flag.stopping or self._flag.pausing

    def _leave_for_lock(self, name: str) -> BaseException:
        """What ends the attempt until a lock is free."""
        return self._flag.leave(Park(limit_name(Limit.LOCK, name)))


class BlockingLock:
    """The same in a sync handler."""

    def __init__(self, inner: Lock, context: BlockingLockVerbs) -> None:
        self._inner = inner
        self._context = context
        self.name = inner.name

    @property
    def epoch(self) -> int:
        """See `Lock.epoch`."""
        return self._inner.epoch

    def __enter__(self) -> BlockingLock:
        self._context.wait_for(self._inner.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.wait_for(self._inner.__aexit__(kind, error, trace))


class BlockingLockVerbs:
    """The `lock` of a sync handler's context."""

    inner: JobContext

    def wait_for(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine on the engine's event loop and wait for its answer."""
        raise NotImplementedError

    def lock(self, name: str, wait_seconds: float = 0.0, *, park: bool = True) -> BlockingLock:
        """A lock over all jobs: `with ctx.lock("ledger"): ...`; see `JobContext.lock`."""
        return BlockingLock(self.inner.lock(name, wait_seconds, park=park), self)

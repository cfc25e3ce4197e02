"""What a handler does once for all jobs: `once`."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from app.jobs.errors import BadInput, NoEngine, TorporError
from app.jobs.events import Suspend
from app.jobs.mailbox import wake
from app.jobs.models import Json
from app.jobs.once import PREFIX, Busy, Done, Mine, once_id
from app.jobs.step_verbs import BlockingStepVerbs, outcome_of
from app.jobs.wait_verbs import LOOK_AGAIN, WaitVerbs
from app.stores.base import StoreError

if TYPE_CHECKING:
    from app.jobs.manager import AsyncJobManager

logger = logging.getLogger(__name__)

KEY_CHARACTERS = 1000


def check_key(key: object) -> None:
    """Refuse what is no key.

    Raises:
        BadInput: no text, empty, or very long.
    """
    if not isinstance(key, str) or not 0 < len(key) <= KEY_CHARACTERS:
        raise BadInput("key", f"{key!r:.100} is not a key", f"give a text of 1 to {KEY_CHARACTERS} characters")


class OnceVerbs(WaitVerbs):
    """The `once` of a handler's context."""

    _manager: AsyncJobManager | None

    async def once(self, key: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Json:
        """Run a function once for a key, over all jobs; who comes later is given what it returned.

        While another job is at work on the key, the attempt ends, uncounted, and a later one goes on here. If that
        job dies, or its function raises, the next one tries. The function may run again if its outcome could not be
        recorded; it must not wait by the context's verbs.

        Args:
            key: for instance "welcome mail to 17". Keys are kept as long as run summaries.
            fn: async, or blocking: that runs in a thread.
            args: for the function.
            kwargs: for the function.

        Returns:
            What the function returned, as JSON says it.

        Raises:
            BadInput: a key that is none, or an outcome that is not a JSON value or too large.
            OnceTaken: another job took the key over, because this one's lease seemed dead.
            NoEngine: the job runs in a standalone executor.
            LeaseLost: the lease is somebody else's.
            Exception: what the function raised.
        """
        async with self._journal.alone(key):
            found = await self._reserve_once(key)
            if isinstance(found, Done):
                return found.result
            try:
                returned = await outcome_of(fn, args, kwargs, f"job {self._holder.job.id} once {key}"[:100])
            except Exception:
                await self._drop_once(found)
                raise
            return await self._finish_once(found, returned)

    async def _reserve_once(self, key: str) -> Done | Mine:
        """For `once` of a blocking handler: take the key, or end the attempt while another job has it."""
        check_key(key)
        journal = self._journal
        if journal.once is None:
            raise NoEngine
        journal.check_alive()
        found = await journal.once.reserve(key)
        if isinstance(found, Busy):
            self._leave_if_asked()
            now = journal.clock.now()
            raise self._flag.leave(Suspend(found.until, found.what, min(found.until, now + LOOK_AGAIN)))
        return found

    async def _finish_once(self, mine: Mine, returned: Json) -> Json:
        """For `once` of a blocking handler: record what its function returned."""
        if self._journal.once is None:
            raise NoEngine
        try:
            result = await self._journal.once.finish(mine, returned)
        except BadInput:
            await self._drop_once(mine)
            raise
        await self._tell_of_key(mine)
        return result

    async def _drop_once(self, mine: Mine) -> None:
        """For `once` of a blocking handler: its function failed, so let another job try."""
        try:
            if self._journal.once is not None:
                await self._journal.once.give_up(mine)
                await self._tell_of_key(mine)
        except (StoreError, TorporError) as error:
            # The key is free as soon as this lease is over.
            logger.warning("job %s: key %r was not given up: %s", self._holder.job.id, mine.key, error)

    async def _tell_of_key(self, mine: Mine) -> None:
        """Let jobs go on that wait for a key; who is not told looks when the lease would have run out."""
        if self._manager is None:
            return
        runtime = self._manager.runtime
        try:
            if await wake(runtime.store, runtime.queue, f"{PREFIX}{once_id(mine.key)}"):
                await runtime.wake_ups.send()
        except StoreError as error:
            logger.warning("key %r: nobody could be told that it is done: %s", mine.key, error)


class BlockingOnceVerbs(BlockingStepVerbs):
    """The same for a sync handler. Its functions run in the handler's own thread."""

    if TYPE_CHECKING:
        from app.jobs.context import JobContext

        inner: JobContext

    def once(self, key: str, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Json:
        """Run a function once for a key, over all jobs; see `JobContext.once`. It may be blocking, or async."""
        found = self.wait_for(self.inner._reserve_once(key))
        if isinstance(found, Done):
            return found.result
        try:
            returned = fn(*args, **kwargs)
            if inspect.iscoroutine(returned):
                returned = self.wait_for(returned)
        except Exception:
            self.wait_for(self.inner._drop_once(found))
            raise
        return self.wait_for(self.inner._finish_once(found, returned))

"""Delivers what has gathered, in a thread of its own: nobody waits for the other side longer than he says.

On Cloud Run a process has a processor only while a request is answered, so what has gathered is delivered inside of
requests; a process that lives long delivers at intervals. Where the other side refuses or hangs, that is told once, and
it is left alone for a while.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
"""How long a request waits for a delivery at most."""
SHORTEST_SECONDS = 1.0
"""Deliveries of a busy process are so far apart at least: each costs some milliseconds of processor time."""
FIRST_REST_SECONDS = 30.0
LONGEST_REST_SECONDS = 300.0
"""How long the other side is left alone after a failure; twice as long after each further one."""


class Deliver(Protocol):
    """Sends what has gathered."""

    def __call__(self, *, last: bool) -> None:
        """Send it; `last` says that the process ends. Raises whatever went wrong."""


class Courier:
    """One thread, begun with the first delivery.

    Args:
        deliver: called in that thread, and by nobody else.
        place: where to, for people.
        monotonic: the time in seconds.
    """

    def __init__(self, deliver: Deliver, place: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._deliver = deliver
        self._place = place
        self._monotonic = monotonic
        self._bell = threading.Condition()
        self._thread: threading.Thread | None = None
        self._every: float | None = None
        self._asked = self._done = 0
        self._is_last = self._is_closed = False
        self._is_stuck = False
        """Somebody waited in vain, and it has not come back since: nobody else waits."""
        self._failures = 0
        self._rest_until = self._sent_at = float("-inf")

    def start(self, every_seconds: float) -> None:
        """Deliver at intervals from now on, beside what is asked for: for a process that lives long."""
        with self._bell:
            self._every = every_seconds
            self._begin()
            self._bell.notify_all()

    def flush(self, seconds: float = FLUSH_SECONDS, *, last: bool = False) -> None:
        """Let everything be delivered, and wait for that.

        Returns at once while the other side is left alone, while it hangs, and shortly after the delivery before.

        Args:
            seconds: how long to wait at most.
            last: whether the process ends, so that there is no later.
        """
        with self._bell:
            too_early = not last and self._monotonic() < max(self._rest_until, self._sent_at)
            if self._is_closed or self._is_stuck or too_early:
                return
            self._begin()
            self._asked += 1
            self._is_last |= last
            mine = self._asked
            self._bell.notify_all()
            if self._bell.wait_for(lambda: self._done >= mine, seconds):
                return
            self._is_stuck = True
        self._failed(f"no answer within {seconds:g} s")

    def close(self, seconds: float = FLUSH_SECONDS) -> None:
        """Deliver for the last time, and end the thread, if it can be ended."""
        self.flush(seconds, last=True)
        with self._bell:
            self._every, self._is_closed = None, True
            thread, self._thread = self._thread, None
            self._bell.notify_all()
        if thread is not None and not self._is_stuck:
            thread.join(seconds)

    def _begin(self) -> None:
        if self._thread is None:
            # A daemon: a delivery that hangs must not keep the process alive.
            self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self._bell:
                self._bell.wait_for(lambda: self._asked > self._done or self._thread is not me, self._every)
                if self._asked == self._done:
                    if self._thread is not me:
                        return
                    if self._every is None or self._monotonic() < self._rest_until:
                        continue
                asked, last = self._asked, self._is_last
            self._once(last=last)
            with self._bell:
                self._done = asked
                self._is_stuck = False
                self._sent_at = self._monotonic() + SHORTEST_SECONDS
                self._bell.notify_all()

    def _once(self, *, last: bool) -> None:
        try:
            self._deliver(last=last)
        except Exception as error:  # noqa: BLE001 - whatever a library raises: no job is to notice
            self._failed(str(error) or type(error).__name__)
        else:
            with self._bell:
                failures, self._failures = self._failures, 0
                self._rest_until = float("-inf")
            if failures:
                logger.info("telemetry is taken again by %s", self._place)

    def _failed(self, why: str) -> None:
        with self._bell:
            self._failures += 1
            is_first = self._failures == 1
            rest = min(LONGEST_REST_SECONDS, FIRST_REST_SECONDS * 2.0 ** min(self._failures - 1, 10))
            self._rest_until = self._monotonic() + rest
        if is_first:
            logger.warning(
                "telemetry is not taken by %s: %s; jobs go on without it, and it is tried again from time to time",
                self._place,
                why,
            )

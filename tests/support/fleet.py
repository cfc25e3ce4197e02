"""A few serving processes of which one is ended now and then, and replaced at once."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import requests

from tests.support.server_process import ServerProcess
from tests.support.worker_processes import PATIENCE_SECONDS


class Fleet:
    """Servers of one kind.

    Args:
        start: starts one.
        size: how many there are at any time.
    """

    def __init__(self, start: Callable[[], ServerProcess], size: int) -> None:
        self._start = start
        self._all = [start() for _ in range(size)]
        self._living = list(self._all)
        self._turn = itertools.count()
        self.terminated = 0
        self.killed = 0

    def url(self) -> str:
        """The address of one of them, of each in turn."""
        living = self._living
        return living[next(self._turn) % len(living)].url

    def said(self) -> str:
        """What all of them have logged."""
        return "\n---\n".join(server.said for server in self._all)

    def noted(self, what: str) -> list[str]:
        """The ids of the jobs of which a handler of any of them noted this."""
        return self._all[0].noted(what)

    def replace_oldest(self, *, gently: bool) -> None:
        """End the oldest, by SIGTERM or by SIGKILL, when a new one listens; does not wait for a gentle end."""
        fresh = self._start()
        self._all.append(fresh)
        assert fresh.url
        oldest, *others = self._living
        self._living = [*others, fresh]
        if gently:
            oldest.terminate()
            self.terminated += 1
        else:
            oldest.kill()
            self.killed += 1

    def ended(self) -> set[int]:
        """The exit codes of those that were ended gently; waits for them."""
        gone = [server for server in self._all if server not in self._living]
        return {code for server in gone if (code := server.ended()) >= 0}

    def close(self) -> None:
        """End all of them."""
        for server in self._all:
            server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Sweeper:
    """Calls a fleet's `/tasks/drain` again and again, as the platform's scheduler does each minute.

    Args:
        fleet: whose drain.
        pause_seconds: from one answer to the next call.
    """

    def __init__(self, fleet: Fleet, pause_seconds: float) -> None:
        self._fleet = fleet
        self._pause = pause_seconds
        self._ending = threading.Event()
        self.statuses: set[int] = set()
        """What the answers said."""
        self._thread = threading.Thread(target=self._sweep)

    def _sweep(self) -> None:
        while not self._ending.wait(self._pause):
            try:
                answer = requests.post(f"{self._fleet.url()}/tasks/drain", timeout=PATIENCE_SECONDS)
            except requests.RequestException:
                continue  # the server was killed under it
            self.statuses.add(answer.status_code)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(PATIENCE_SECONDS)

"""Starts worker processes for a test, and leaves none behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.process_jobs import Effects
from tests.support.site import Site

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 120.0


async def eventually(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until the condition holds, looking often."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - it is about other processes, which set no event here
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"after {seconds:g} s still not: {what}") from None


class WorkerProcess:
    """One worker process."""

    def __init__(
        self,
        site: Site,
        effects: Effects,
        name: str,
        *,
        lease_seconds: float,
        concurrency: int,
        upkeep_seconds: float | None = None,
        suspended_clock: bool = False,
        cut_seconds: float | None = None,
    ) -> None:
        command = [sys.executable, "-m", "tests.support.worker_process"]
        command += ["--url", site.url, "--prefix", site.prefix, "--effects", str(effects.path), "--name", name]
        command += ["--lease-seconds", str(lease_seconds), "--concurrency", str(concurrency)]
        if upkeep_seconds is not None:
            command += ["--upkeep-seconds", str(upkeep_seconds)]
        if suspended_clock:
            command.append("--suspended-clock")
        if cut_seconds is not None:
            command += ["--cut-seconds", str(cut_seconds)]
        self.name = name
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=self._said, stderr=subprocess.STDOUT
        )

    @property
    def pid(self) -> int:
        """Its process id, which its effects tell."""
        return self._process.pid

    @property
    def said(self) -> str:
        """All that it has printed and logged."""
        # Its own end of the file writes where this one reads, so the place is left as it was.
        size = os.fstat(self._said.fileno()).st_size
        return os.pread(self._said.fileno(), size, 0).decode(errors="replace")

    @property
    def is_ready(self) -> bool:
        """Whether it looks for work."""
        assert not self.has_ended, f"{self.name} ended with {self.returncode} before anybody asked it to"
        return "ready" in self.said

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    @property
    def returncode(self) -> int | None:
        """What it ended with."""
        return self._process.returncode

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Make an end of it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._said.close()


class WorkerProcesses:
    """The worker processes of one test."""

    def __init__(self, site: Site, effects: Effects) -> None:
        self._site = site
        self._effects = effects
        self._all: list[WorkerProcess] = []

    def start(self, name: str, **options: float | bool | None) -> WorkerProcess:
        """Start one; see `WorkerProcess`."""
        process = WorkerProcess(self._site, self._effects, name, **options)  # type: ignore[arg-type]  # its own keywords
        self._all.append(process)
        return process

    async def end(self, *processes: WorkerProcess) -> None:
        """Ask them to end, as soon as they can hear it, and see that they do as they should."""
        for process in processes:
            await eventually(lambda process=process: process.is_ready, f"{process.name} is ready")  # type: ignore[misc]  # mypy infers no lambda with a default
            process.send(signal.SIGTERM)
        for process in processes:
            await eventually(lambda process=process: process.has_ended, f"{process.name} ends")  # type: ignore[misc]  # mypy infers no lambda with a default
            assert (process.returncode, "Traceback" in process.said) == (0, False), process.said

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._all:
            if error is not None:
                sys.stderr.write(f"--- {process.name}\n{process.said}\n")
            process.close()

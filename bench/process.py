"""A worker in a process of its own: what it costs, and how to hold it up."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
_QUIET_SECONDS = 0.4
_QUIET_CPU_SECONDS = 0.02
_PATIENCE_SECONDS = 20.0
_STOP_SECONDS = 15.0
_TAIL = 2000


class WorkerProcess:
    """One running process. Stop it with `stop`, whatever happened."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        self._seen = psutil.Process(self._process.pid)

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def cpu_seconds(self) -> float:
        """Processor time that it used until now."""
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    def peak_megabytes(self) -> float:
        """The most memory that it ever had resident."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def hold(self) -> None:
        """Stop it in its tracks, but only once it is quiet: it could hold a database lock."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            before = self.cpu_seconds()
            time.sleep(_QUIET_SECONDS)
            if self.cpu_seconds() - before <= _QUIET_CPU_SECONDS:
                break
        self._process.send_signal(signal.SIGSTOP)

    def let_go(self) -> None:
        """Let it run again."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, by its own handle."""
        if self.is_alive():
            self.let_go()
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._output.close()

    def wait(self, seconds: float) -> None:
        """Wait for its end.

        Raises:
            RuntimeError: it took longer, or failed; with the end of what it said.
        """
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            raise RuntimeError(f"the process did not end in {seconds:g} s: {self.said()}") from late
        if code != 0:
            raise RuntimeError(f"the process ended with {code}: {self.said()}")

    def said(self) -> str:
        """The end of what it printed."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")[-_TAIL:]

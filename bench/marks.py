"""What handlers of the benchmark report, outside of what is measured: 24 bytes appended to a file.

The same report as of the peers that this engine is measured beside, so that the handlers cost the same.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

VARIABLE = "TORPOR_BENCH_MARKS"
"""Environment variable with the path of the file."""

_RECORD = struct.Struct("<qqq")
_PATIENCE_SECONDS = 120.0


@lru_cache(1)
def _file(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def mark(number: int) -> None:
    """Report that a handler ran: the job's number, the machine's monotonic time in ns, the process."""
    os.write(_file(os.environ[VARIABLE]), _RECORD.pack(number, time.monotonic_ns(), os.getpid()))


class Marks:
    """Reads the file while handlers append to it."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self._file = path.open("rb")
        self.first_ns: dict[int, int] = {}
        """When each job's handler first ran, by job number."""
        self.ran_twice = 0

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def read(self) -> int:
        """Take in what is new; gives how many jobs have run in all."""
        data = self._file.read()
        whole = len(data) - len(data) % _RECORD.size
        self._file.seek(whole - len(data), os.SEEK_CUR)
        for number, at_ns, _ in _RECORD.iter_unpack(data[:whole]):
            if number in self.first_ns:
                self.ran_twice += 1
            else:
                self.first_ns[number] = at_ns
        return len(self.first_ns)

    def wait_for(self, total: int, is_alive: Callable[[], bool], pause_seconds: float = 0.002) -> None:
        """Wait until so many jobs have run.

        Raises:
            RuntimeError: the worker ended, or it took too long.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.read() < total:
            if not is_alive():
                raise RuntimeError(f"the worker ended after {len(self.first_ns)} of {total} jobs")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(self.first_ns)} of {total} jobs ran in {_PATIENCE_SECONDS:g} s")
            time.sleep(pause_seconds)

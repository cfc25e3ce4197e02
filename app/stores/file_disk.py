"""The few things the file store does to a disk, each in one place, so that a test can fail any of them."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from app.stores.base import StoreError, StoreUnavailable

_PATIENCE_SECONDS = 30.0
_FIRST_PAUSE_SECONDS = 0.0005
_LONGEST_PAUSE_SECONDS = 0.02


class Disk:
    """Files as the operating system gives them. Every method may raise OSError."""

    def open(self, path: Path) -> int:
        """A descriptor to read a file from and to append to it."""
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)

    def create(self, path: Path) -> int:
        """A descriptor of a file that is empty now, whatever was there."""
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_CREAT | os.O_TRUNC, 0o600)

    def close(self, descriptor: int) -> None:
        """Let go of a descriptor."""
        os.close(descriptor)

    def read(self, descriptor: int, start: int, length: int) -> bytes:
        """Bytes from a place on; fewer at the end of the file."""
        return os.pread(descriptor, length, start)

    def append(self, descriptor: int, data: bytes) -> None:
        """Write all of it at the end."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file off."""
        os.ftruncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        """Return when the file's content would survive a loss of power."""
        os.fsync(descriptor)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink(missing_ok=True)

    def sync_directory(self, path: Path) -> None:
        """Return when the names in a directory would survive a loss of power."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def size_and_names(self, descriptor: int) -> tuple[int, int]:
        """How long an open file is, and how many names it still has."""
        status = os.fstat(descriptor)
        return status.st_size, status.st_nlink


class FileLock:
    """One holder at a time, among all processes and all store objects of one machine.

    The operating system lets go of it when the holder's process ends, however it ends.
    """

    def __init__(self, path: Path, sleep: Callable[[float], None] = time.sleep) -> None:
        self._path = path
        self._sleep = sleep
        self._fcntl = _fcntl()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            StoreUnavailable: somebody else has held it for half a minute.
            OSError: the lock file cannot be opened.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take(descriptor)
            yield
        finally:
            os.close(descriptor)  # which lets go of the lock

    def _take(self, descriptor: int) -> None:
        waited = 0.0
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                self._fcntl.flock(descriptor, self._fcntl.LOCK_EX | self._fcntl.LOCK_NB)
            except BlockingIOError:
                if waited >= _PATIENCE_SECONDS:
                    raise StoreUnavailable(
                        f"another process has held {self._path} for {waited:.0f} s; if it is stopped, end it"
                    ) from None
            else:
                return
            # Not flock's own waiting: a thread that waits there for a stopped process could never be ended.
            self._sleep(pause)
            waited += pause
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _fcntl() -> ModuleType:
    try:
        return importlib.import_module("fcntl")
    except ImportError:
        raise StoreError(
            "the file store needs flock, which this platform does not have; use DatabaseJobStore(dialect='sqlite')"
        ) from None

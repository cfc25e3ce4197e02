"""A disk that fails at a chosen operation, and knows what would be left of its files after a loss of power."""

from __future__ import annotations

import errno
import os
from enum import StrEnum
from pathlib import Path

from app.stores.file_disk import Disk


class PowerCut(BaseException):
    """The program ended here. Not an Exception, so that no error handling of the program runs."""


class Loss(StrEnum):
    """What is gone after a crash of what was written but not synced."""

    NOTHING = "nothing"
    """Only the process died."""
    CONTENT = "content"
    """Names are as they were last, content is as it was last synced."""
    NAMES = "names"
    """Content is as it was last, names are as they were when their directory was last synced."""
    BOTH = "both"


class CrashingDisk(Disk):
    """Does `fail_at` changing operations and then fails: for good by `PowerCut`, or once with an OSError.

    An append that fails has written half of its data.
    """

    def __init__(self, directory: Path, fail_at: int | None = None, *, once: bool = False) -> None:
        self.operations = 0
        self._directory = directory
        self._fail_at = fail_at
        self._once = once
        self._durable_content: dict[int, bytes] = {}
        self._durable_names: dict[str, int] = {}

    def create(self, path: Path) -> int:
        self._step()
        descriptor = super().create(path)
        self._durable_content.setdefault(os.fstat(descriptor).st_ino, b"")
        return descriptor

    def append(self, descriptor: int, data: bytes) -> None:
        try:
            self._step()
        except (PowerCut, OSError):
            if self.operations == self._fail_at:
                super().append(descriptor, data[: len(data) // 2])
            raise
        super().append(descriptor, data)

    def truncate(self, descriptor: int, size: int) -> None:
        self._step()
        super().truncate(descriptor, size)

    def sync(self, descriptor: int) -> None:
        self._step()
        status = os.fstat(descriptor)
        self._durable_content[status.st_ino] = os.pread(descriptor, status.st_size, 0)

    def sync_directory(self, path: Path) -> None:
        self._step()
        if path == self._directory:
            self._durable_names = self._names()

    def remove(self, path: Path) -> None:
        self._step()
        # Kept under a name of its own, because a removal that was not synced may be undone by a loss of power.
        if path.exists():
            path.rename(path.with_name(f"gone-{self.operations}-{path.name}"))

    def lose(self, loss: Loss) -> None:
        """Leave in the directory what a crash would leave there."""
        content = {path.stat().st_ino: path.read_bytes() for path in self._directory.iterdir()}
        names = self._names()
        if loss in {Loss.CONTENT, Loss.BOTH}:
            content.update((inode, self._durable_content.get(inode, data)) for inode, data in content.items())
        if loss in {Loss.NAMES, Loss.BOTH}:
            names = self._durable_names
        left = {name: content[inode] for name, inode in names.items()}
        for path in self._directory.iterdir():
            path.unlink()
        for name, data in left.items():
            (self._directory / name).write_bytes(data)

    def _names(self) -> dict[str, int]:
        return {
            path.name: path.stat().st_ino
            for path in self._directory.iterdir()
            if path.suffix == ".jsonl" and not path.name.startswith("gone-")
        }

    def _step(self) -> None:
        self.operations += 1
        if self._fail_at is None or self.operations < self._fail_at:
            return
        if not self._once:
            raise PowerCut(f"operation {self.operations}")
        if self.operations == self._fail_at:
            raise OSError(errno.EIO, "a fault on purpose")

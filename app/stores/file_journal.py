"""The journal on disk: the one file whose fsynced lines are what happened.

A commit appends one line and syncs the file: that is the commit point. When the appended lines outweigh what the
file began with, the records are written to a file of the next number (`records-000002.jsonl`), and a last line in
the old one says that the journal goes on there; that line is the commit point of the change. A file that no such
line leads to is a leftover of a crash.

Everything here but `is_current` is called with the lock of the directory held.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from app.stores.base import OutcomeUnknown, StoreError, StoreUnavailable
from app.stores.file_codec import Continued, Entry, Group, decode, encode
from app.stores.file_disk import Disk

_BLOCK = 2**20

_log = logging.getLogger(__name__)


class JournalLost(Exception):
    """The journal went on in a file that others have left behind already: open it and read it all again."""


class Journal:
    """The journal of one directory and prefix."""

    def __init__(self, directory: Path, prefix: str, disk: Disk, min_growth: int) -> None:
        self._directory = directory
        self._prefix = prefix
        self._disk = disk
        self._min_growth = min_growth
        """Bytes; a journal that grew less is not worth rewriting."""
        self._name = re.compile(re.escape(prefix) + r"records-(\d{6,})\.jsonl")
        self._descriptor: int | None = None
        self._number = 0
        self._end = 0
        """Where the last line that was read or written ends."""
        self._began = 0
        """About how long the file would be if it were rewritten."""
        self._states = 0
        """How many states of records were read since the file was opened."""

    def open(self) -> None:
        """Find the journal, or make it. Nothing is read yet."""
        self.close()
        numbers = self._numbers()
        if numbers:
            self._number = numbers[0]
            self._descriptor = self._disk.open(self._path(self._number))
            # What a writer left there that died before its own sync counts from now on, so it must last.
            self._disk.sync(self._descriptor)
        else:
            self._number = 1
            self._descriptor = self._disk.create(self._path(1))
            self._disk.sync_directory(self._directory)
        self._end = self._began = self._states = 0

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._disk.close(descriptor)

    @property
    def is_open(self) -> bool:
        """Whether there is a file; not so after `close`, and after an `open` that failed."""
        return self._descriptor is not None

    def is_current(self) -> bool:
        """Whether everything in the journal has been read, as far as one look at its length can tell."""
        if self._descriptor is None:
            return False
        size, names = self._disk.size_and_names(self._opened)
        return size == self._end and names > 0

    def read_on(self) -> Iterator[Group]:
        """The groups that have not been read yet. A torn line at the end is cut off: its writer is dead.

        Raises:
            JournalLost: read everything again.
            StoreError: a line is damaged, is from another program, or the file was removed.
        """
        while True:
            size, names = self._disk.size_and_names(self._opened)
            if size < self._end:
                raise JournalLost(self._path(self._number))
            if size == self._end:
                break
            for entry in self._entries(size):
                if isinstance(entry, Continued):
                    self._follow(entry)
                    break
                self._states += len(entry.states)
                yield entry
        if names == 0:
            raise StoreUnavailable(f"{self._path(self._number)} was removed while it was open; open the store again")

    def settle(self, records: int) -> None:
        """Call when the whole journal was read, with how many records that made.

        Removes files that the journal does not lead to: a crash left them behind.
        """
        # What is outdated by now must count as growth, or a journal that is opened often would never be rewritten.
        self._began = self._end * records // max(self._states, 1)
        for number in self._numbers():
            if number > self._number:
                self._disk.remove(self._path(number))

    def append(self, group: Group) -> None:
        """Make a group happen.

        Raises:
            StoreUnavailable: it did not happen.
            OutcomeUnknown: the disk failed in such a way that it may turn out to have happened.
        """
        self._append(encode(group))

    def has_outgrown(self) -> bool:
        """Whether more was appended than rewriting would cost."""
        return self._end - self._began > max(self._min_growth, self._began)

    def rewrite(self, lines: Iterable[bytes]) -> None:
        """Go on in a new file that begins with these lines. If that fails, the old one goes on."""
        number = self._number + 1
        try:
            descriptor = self._disk.create(self._path(number))
            try:
                for line in lines:
                    self._disk.append(descriptor, line)
                self._disk.sync(descriptor)
                size, _ = self._disk.size_and_names(descriptor)
            finally:
                self._disk.close(descriptor)
            self._disk.sync_directory(self._directory)
            line = encode(Continued(number, size))
            self._append(line)
            # As if it had yet to be read, until it was followed: nothing can be written after it.
            self._end -= len(line)
            self._follow(Continued(number, size))
        except (OSError, StoreError, JournalLost) as error:
            # Whether or not the last line was written, both files say the same, and the next look at the end finds out.
            _log.warning("journal %s was not rewritten, and will be when it has grown again: %s", self._number, error)
            self._began = self._end

    @property
    def _opened(self) -> int:
        if self._descriptor is None:
            raise StoreUnavailable("the store is closed; open it first")
        return self._descriptor

    def _entries(self, size: int) -> Iterator[Entry]:
        lines = self._lines(size)
        for line in lines:
            entry = self._decoded(line)
            if entry is None:
                if any(self._decoded(later) for later in lines):
                    raise StoreError(
                        f"{self._path(self._number)} is damaged at byte {self._end}; restore it, or remove that line"
                    )
                self._disk.truncate(self._opened, self._end)
                self._disk.sync(self._opened)
                return
            if isinstance(entry, Group):
                self._end += len(line)
            yield entry

    def _lines(self, size: int) -> Iterator[bytes]:
        start, rest = self._end, b""
        while start < size:
            block = self._disk.read(self._opened, start, min(_BLOCK, size - start))
            start += len(block)
            *whole, rest = (rest + block).split(b"\n")
            yield from (line + b"\n" for line in whole)
        if rest:
            yield rest

    def _decoded(self, line: bytes) -> Entry | None:
        try:
            return decode(line)
        except ValueError as error:
            raise StoreError(
                f"{self._path(self._number)} cannot be read: {error}; use the program that wrote it"
            ) from None

    def _append(self, line: bytes) -> None:
        try:
            self._disk.append(self._opened, line)
            self._disk.sync(self._opened)
        except OSError as error:
            self._take_back(error)
        self._end += len(line)

    def _take_back(self, error: OSError) -> None:
        try:
            self._disk.truncate(self._opened, self._end)
            self._disk.sync(self._opened)
        except OSError:
            raise OutcomeUnknown(
                f"writing {self._path(self._number)} failed ({error}), and so did taking it back; see what is there"
            ) from error
        raise StoreUnavailable(f"{self._path(self._number)} cannot be written: {error}") from error

    def _follow(self, continued: Continued) -> None:
        # The line that leads on may be known from memory only; what follows it must not outlast it.
        self._disk.sync(self._opened)
        try:
            descriptor = self._disk.open(self._path(continued.number))
        except FileNotFoundError:
            if not any(number > continued.number for number in self._numbers()):
                missing = self._path(continued.number)
                raise StoreError(
                    f"{self._path(self._number)} goes on in {missing.name}, which is missing; restore it"
                ) from None
            self._disk.remove(self._path(self._number))
            raise JournalLost(self._path(self._number)) from None
        left, path = self._opened, self._path(self._number)
        self._descriptor = descriptor
        self._number = continued.number
        self._end = self._began = continued.length
        self._disk.close(left)
        self._disk.remove(path)

    def _numbers(self) -> list[int]:
        matches = (self._name.fullmatch(path.name) for path in self._directory.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def _path(self, number: int) -> Path:
        return self._directory / f"{self._prefix}records-{number:06}.jsonl"

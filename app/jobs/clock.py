"""Where the engine gets time and randomness from, so that tests can say what they are."""

from __future__ import annotations

import asyncio
import os
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for a lease's life, and sleep."""

    def now(self) -> datetime:
        """The aware UTC time."""

    def monotonic(self) -> float:
        """Seconds that never jump."""

    async def sleep(self, seconds: float) -> None:
        """Wait that long on the monotonic clock."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Tokens:
    """Random texts that no other process makes: 128 bits and the process's id.

    From a generator that was seeded once, because a token is drawn for every write, and asking the operating
    system each time costs several microseconds. They are names, not secrets.
    """

    def __init__(self) -> None:
        self._random = random.Random(random.SystemRandom().getrandbits(256))

    def __call__(self) -> str:
        """The next token."""
        return f"{self._random.getrandbits(128):032x}{os.getpid():x}"


def _job_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Chance:
    """The engine's randomness: ids, tokens, and jitter in [0, 1)."""

    job_id: Callable[[], str] = _job_id
    token: Callable[[], str] = field(default_factory=Tokens)
    fraction: Callable[[], float] = field(default=random.random)

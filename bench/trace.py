"""Arrivals of a real service, and replaying them through the API."""

from __future__ import annotations

import asyncio
import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.client import AsyncClient, Unreachable
from bench.tasks import COMPLETION

TRACE = Path("traces") / "azure-llm-code-2023.csv"
"""In the folder of real data, which has a page about where it comes from."""
TOKEN_SECONDS = 0.02
"""How long the model that is played takes for one generated token, at the trace's own speed."""
IN_FLIGHT = 64
"""Calls that wait for an answer at once; an arrival that is due meanwhile is late."""
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request to that service."""

    at_seconds: float
    """After the first."""
    generated_tokens: int


@dataclass(slots=True)
class Replayed:
    """What became of the calls, by the number of the arrival."""

    job_ids: list[str] = field(default_factory=list)
    sent_ns: list[int] = field(default_factory=list)
    """When each call was made, by the machine's monotonic clock."""
    lags_ms: list[float] = field(default_factory=list)
    """How much later than it was due."""
    calls_ms: list[float] = field(default_factory=list)
    """How long each call took to be answered."""
    seconds: float = 0.0
    """From the first call to the last answer."""


def arrivals(folder: Path, limit: int | None = None) -> list[Arrival]:
    """The trace's arrivals in their order, or the first of them.

    Args:
        folder: of real data.
        limit: how many.

    Raises:
        OSError: the folder has no such trace.
    """
    return list(_read(folder / TRACE))[:limit]


def _read(path: Path) -> Iterator[Arrival]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield Arrival(float(row["arrival_s"]), int(row["generated_tokens"]))


async def replay(url: str, wanted: Sequence[Arrival], speed: float) -> Replayed:
    """Create a job for each arrival when it is due, through the API.

    A call that got no answer is made again under the same idempotency key, so that each arrival is one job.

    Args:
        url: of the web service.
        wanted: the arrivals.
        speed: by how much faster than they came.

    Raises:
        TorporError: the API refused a call.
        Unreachable: it did not answer five times in a row.
    """
    done = Replayed([""] * len(wanted), [0] * len(wanted), [0.0] * len(wanted), [0.0] * len(wanted))
    places = asyncio.Semaphore(IN_FLIGHT)
    began = time.monotonic()

    async def send(number: int) -> None:
        arrival = wanted[number]
        payload = {"number": number, "seconds": arrival.generated_tokens * TOKEN_SECONDS / speed}
        due = began + arrival.at_seconds / speed
        sent = time.monotonic()
        done.sent_ns[number] = time.monotonic_ns()
        done.lags_ms[number] = 1000 * max(0.0, sent - due)
        try:
            for tried in range(1, _TRIES + 1):
                try:
                    job = await client.submit(COMPLETION, payload, idempotency_key=f"arrival-{number}")
                    break
                except Unreachable:
                    if tried == _TRIES:
                        raise
        finally:
            places.release()
        done.job_ids[number] = job.id
        done.calls_ms[number] = 1000 * (time.monotonic() - sent)

    async with AsyncClient(url, timeout_seconds=60) as client, asyncio.TaskGroup() as calls:
        for number, arrival in enumerate(wanted):
            await asyncio.sleep(max(0.0, began + arrival.at_seconds / speed - time.monotonic()))
            await places.acquire()
            calls.create_task(send(number))
    done.seconds = time.monotonic() - began
    return done

"""`python -m bench push`: from a job's creation and from its wake-up to its handler's start, on Google's emulators.

A real gunicorn worker on the Firestore emulator; the Pub/Sub emulator pushes to it. The clock is the machine's
monotonic one, which all processes share.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import httpx

from app.cloud.messages import message_of
from app.cloud.pubsub import PubSubWaker
from app.jobs import AsyncJobManager, Hint, JobRequest, NoWaker, Runtime, Waker
from app.stores.firestore import FirestoreJobStore
from bench import marks
from bench.figures import percentile
from bench.firestore_scenarios import PROJECT, fresh_prefix
from bench.machine import Machine
from bench.marks import Marks
from bench.tasks import MARK
from tests.services.firestore_emulator import firestore_emulator
from tests.services.pubsub_emulator import pubsub_emulator
from tests.support.server_process import ServerProcess
from tests.support.topic import PushTopic

WARM_UP = 20
BURST = 10


class NotingWaker:
    """Publishes hints, and notes when it began to."""

    def __init__(self, topic: str) -> None:
        self._waker = PubSubWaker(topic)
        self.began_ns = 0

    async def wake(self, hints: Sequence[Hint]) -> None:
        """Note the time, and publish."""
        self.began_ns = time.monotonic_ns()
        await self._waker.wake(hints)

    async def close(self) -> None:
        """Close the connection."""
        await self._waker.close()


@dataclass
class Waits:
    """Milliseconds until handlers started, from two events."""

    created: list[float] = field(default_factory=list)
    """Since the call that created the job."""
    woken: list[float] = field(default_factory=list)
    """Since its wake-up was sent."""


def run(arguments: Sequence[str]) -> int:
    """Measure and print; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench push", description=__doc__)
    parser.add_argument("--samples", type=int, default=300, help="jobs of each kind")
    parser.add_argument("--concurrency", type=int, default=10, help="slots of the worker")
    given = parser.parse_args(arguments)
    print(f"# push to handler, both emulators, {datetime.now(UTC):%Y-%m-%d}: {given.samples} jobs of each kind")
    with ExitStack() as stack:
        firestore, pubsub = stack.enter_context(firestore_emulator()), stack.enter_context(pubsub_emulator())
        stack.enter_context(patch.dict(os.environ, PUBSUB_EMULATOR_HOST=pubsub))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torpor-bench-")))
        prefix, topic = fresh_prefix(), PushTopic(pubsub)
        settings = {
            "TORPOR_STORE_URL": f"firestore://{PROJECT}/(default)",
            "TORPOR_PREFIX": prefix,
            "TORPOR_TASK_PACKAGES": "bench.tasks",
            "TORPOR_CONCURRENCY": str(given.concurrency),
            "TORPOR_WAKE_TOPIC": topic.name,
            "FIRESTORE_EMULATOR_HOST": firestore,
            marks.VARIABLE: str(folder / "marks"),
        }
        server = stack.enter_context(ServerProcess(folder, **settings))
        topic.push_to(server.url)
        machine = Machine()
        measured = asyncio.run(_Run(firestore, prefix, topic.name, server.url, folder / "marks").measure(given.samples))
    print(f"# {machine.said()}")
    print("\n| | created → started p50 ms | p99 ms | woken → started p50 ms | p99 ms |\n|---|---|---|---|---|")
    for name, waits in measured.items():
        cells = [percentile(each, share) for each in (waits.created, waits.woken) for share in (0.5, 0.99)]
        print(f"| {name} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")
    return 0


class _Run:
    def __init__(self, firestore: str, prefix: str, topic: str, url: str, marks_file: Path) -> None:
        self._store = FirestoreJobStore(project=PROJECT, prefix=prefix, emulator=firestore)
        self._topic = topic
        self._url = url
        self._seen = Marks(marks_file)
        self._next = 0

    async def measure(self, samples: int) -> dict[str, Waits]:
        try:
            async with self._managing(waker := NotingWaker(self._topic)) as manager:

                async def pushed(count: int) -> tuple[int, int]:
                    return await self._created(manager, count), waker.began_ns

                await self._waits(pushed, WARM_UP, 1)
                found = {
                    "Pub/Sub, one job at a time": await self._waits(pushed, samples, 1),
                    f"Pub/Sub, {BURST} jobs at once": await self._waits(pushed, samples, BURST),
                }
            async with self._managing(NoWaker()) as manager, httpx.AsyncClient(timeout=60) as client:

                async def posted(count: int) -> tuple[int, int]:
                    began = time.monotonic_ns()
                    (job,) = await manager.create_jobs([self._request()], auto_start=True)
                    data = base64.b64encode(message_of(Hint(job.id))).decode()
                    woken = time.monotonic_ns()
                    answer = await client.post(f"{self._url}/pubsub/push", json={"message": {"data": data}})
                    answer.raise_for_status()
                    return began, woken

                return {**found, "a push sent by hand, without Pub/Sub": await self._waits(posted, samples, 1)}
        finally:
            self._seen.close()

    @asynccontextmanager
    async def _managing(self, waker: Waker) -> AsyncIterator[AsyncJobManager]:
        async with AsyncJobManager(runtime=Runtime(self._store, waker=waker), worker=False) as manager:
            yield manager

    def _request(self) -> JobRequest:
        self._next += 1
        return JobRequest(type=MARK, payload={"number": self._next - 1})

    async def _created(self, manager: AsyncJobManager, count: int) -> int:
        began = time.monotonic_ns()
        await manager.create_jobs([self._request() for _ in range(count)], auto_start=True)
        return began

    async def _waits(self, start: Callable[[int], Awaitable[tuple[int, int]]], samples: int, count: int) -> Waits:
        waits = Waits()
        for number in range(0, samples, count):
            await asyncio.sleep(0.03 + 0.06 * random.random())
            first = self._next
            created, woken = await start(count)
            await asyncio.to_thread(self._seen.wait_for, self._next, lambda: True)
            for started in (self._seen.first_ns[each] for each in range(first, self._next)):
                waits.created.append((started - created) / 1e6)
                waits.woken.append((started - woken) / 1e6)
            if number % 100 == 0:
                print(f"# {number} of {samples}", file=sys.stderr, flush=True)
        return waits

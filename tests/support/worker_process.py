"""`python -m tests.support.worker_process`: a worker process, until SIGTERM or until its parent is gone."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.bootstrap import make_store
from app.jobs import AsyncJobManager, EngineOptions, Registry, Runtime, SystemClock, Watchdog, Worker, heartbeat
from tests.support.process_jobs import Effects, register

LONGEST_STEP_SECONDS = 1.0


class SuspendedClock(SystemClock):
    """Stands still while the process is stopped, as the clocks of a suspended machine do.

    It is looked at several times a second, so when more than a second went by, the process was not there.
    """

    def __init__(self) -> None:
        self._seen = time.monotonic()
        self._missed = 0.0

    def monotonic(self) -> float:
        """Seconds in which this process was there."""
        seen = time.monotonic()
        if seen - self._seen > LONGEST_STEP_SECONDS:
            self._missed += seen - self._seen
        self._seen = seen
        return seen - self._missed

    def now(self) -> datetime:
        """The time as this process believes it to be."""
        self.monotonic()
        return datetime.now(UTC) - timedelta(seconds=self._missed)

    async def keep_looking(self) -> None:
        """Look often enough."""
        while True:
            self.monotonic()
            await asyncio.sleep(LONGEST_STEP_SECONDS / 10)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--effects", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--lease-seconds", type=float, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    parser.add_argument("--upkeep-seconds", type=float, help="do the watchdog's duty so often")
    parser.add_argument("--suspended-clock", action="store_true")
    parser.add_argument("--cut-seconds", type=float, help="how long a handler may take to end before it is given up")
    return parser.parse_args()


def _end_with_parent() -> None:
    """A parent that was killed closes its end of our standard input."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


async def _work(given: argparse.Namespace) -> None:
    if given.cut_seconds is not None:
        heartbeat.CUT_SECONDS = given.cut_seconds
    registry = Registry()
    register(registry, Effects(given.effects))
    options = EngineOptions(lease_seconds=given.lease_seconds, abandoned_lease_seconds=1.0)
    clock = SuspendedClock() if given.suspended_clock else SystemClock()
    looking = asyncio.create_task(clock.keep_looking()) if isinstance(clock, SuspendedClock) else None
    store = make_store(given.url, prefix=given.prefix)
    runtime = Runtime(store, options=options, registry=registry, clock=clock)
    async with AsyncJobManager(runtime=runtime, worker=False):
        worker = Worker(
            runtime,
            concurrency=given.concurrency,
            worker_id=given.name,
            upkeep=Watchdog(runtime).recover_stuck_jobs if given.upkeep_seconds else None,
            upkeep_seconds=given.upkeep_seconds or 1.0,
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        print("ready", flush=True)  # noqa: T201 - the test waits for it
        await worker.run()
    if looking is not None:
        looking.cancel()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(relativeCreated)d %(name)s %(message)s")
    # The emulator mixes up changes that it sends at once; the store listens again, but gRPC logs a traceback.
    logging.getLogger("grpc._common").setLevel(logging.CRITICAL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(_work(_arguments()))

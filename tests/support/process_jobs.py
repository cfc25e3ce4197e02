"""Job types for worker processes that tests stop, kill and wake; what handlers do outside of the store is in a file."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.jobs import BlockingJobContext, ContinueLater, JobContext, LeaseLost, Registry, job
from app.jobs.context import AnyContext

LOOK_SECONDS = 0.01
AT_ONCE = 3
"""How many jobs of type `narrow` run at once."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One line that a handler left outside of the store."""

    what: str
    job_id: str
    attempt: int
    pid: int


class Effects:
    """A file that handlers of several processes append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def note(self, what: str, ctx: AnyContext) -> None:
        """Append a line, whole, whatever happens to the process afterwards."""
        line = json.dumps([what, ctx.job_id, ctx.attempt, os.getpid()]) + "\n"
        with self.path.open("ab", buffering=0) as file:
            file.write(line.encode())

    def read(self) -> list[Effect]:
        """All of them, in order."""
        return [Effect(*json.loads(line)) for line in self.path.read_text().splitlines()]

    @property
    def gate(self) -> Path:
        """The file that a `stale` job waits for."""
        return self.path.with_suffix(".gate")


def register(registry: Registry, effects: Effects) -> None:
    """Register the types: the same in the worker processes and in the test."""

    @job("nap", registry=registry)
    async def nap(ctx: JobContext, seconds: float) -> int:
        effects.note("began", ctx)
        await asyncio.sleep(seconds)
        effects.note("ended", ctx)
        return ctx.attempt

    @job("narrow", registry=registry, max_concurrent=AT_ONCE)
    async def narrow(ctx: JobContext, seconds: float) -> None:
        effects.note("began", ctx)
        await asyncio.sleep(seconds)
        effects.note("ended", ctx)

    @job("stale", registry=registry)
    def stale(ctx: BlockingJobContext) -> str:
        """In its first attempt it waits behind a gate, and then tries every verb; in a thread, so nothing ends it."""
        effects.note("began", ctx)
        if ctx.attempt > 1:
            ctx.log("fresh")
            ctx.report_progress(1, 1, "fresh")
            ctx.save_checkpoint("fresh")
            ctx.save_result("fresh")
            return "fresh"
        while not effects.gate.exists():
            time.sleep(LOOK_SECONDS)

        def flushed(verb: Callable[[], None]) -> Callable[[], None]:
            def call() -> None:
                verb()
                ctx.flush()

            return call

        verbs: dict[str, Callable[[], None]] = {
            "progress": flushed(lambda: ctx.report_progress(1, 2, "stale")),
            "log": flushed(lambda: ctx.log("stale")),
            "checkpoint": flushed(lambda: ctx.save_checkpoint("stale")),
            "result": lambda: ctx.save_result("stale"),
            "commit": lambda: ctx.commit([]),
            "step": lambda: ctx.step("stale", str),
            "once": lambda: ctx.once(f"stale {ctx.job_id}", str),
            "sleep": lambda: ctx.sleep(60),
            "wait": lambda: ctx.wait_for_event("stale", 60),
        }
        for name, verb in verbs.items():
            try:
                verb()
            except LeaseLost:
                effects.note(f"{name}: LeaseLost", ctx)
            else:
                effects.note(f"{name}: nothing", ctx)
        effects.note("tried all", ctx)
        return "stale"

    @job("long", registry=registry)
    async def long(ctx: JobContext) -> None:
        effects.note("began", ctx)
        if ctx.attempt == 1:
            await asyncio.Event().wait()

    @job("heedful", registry=registry)
    async def heedful(ctx: JobContext) -> None:
        effects.note("began", ctx)
        while ctx.checkpoint is None:
            await asyncio.sleep(LOOK_SECONDS)
            if ctx.is_stopping:
                raise ContinueLater(checkpoint="halfway")

    @job("heedful_thread", registry=registry)
    def heedful_thread(ctx: BlockingJobContext) -> None:
        effects.note("began", ctx)
        while ctx.checkpoint is None:
            time.sleep(LOOK_SECONDS)
            if ctx.is_stopping:
                raise ContinueLater(checkpoint="halfway")

    @job("stubborn", registry=registry)
    def stubborn(ctx: BlockingJobContext) -> None:
        effects.note("began", ctx)
        while ctx.attempt == 1:
            time.sleep(LOOK_SECONDS)

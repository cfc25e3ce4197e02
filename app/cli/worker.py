"""`torpor worker` and `torpor watchdog`."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import asdict
from typing import Annotated

import typer

from app.cli.jobs import JsonFlag
from app.cli.output import print_json, problem
from app.cli.session import FAILED, engine, logs_of_a_server, prints_to_stderr, run
from app.cli.tables import table
from app.jobs import BadInput, JobQueue, WatchdogReport, Worker, WorkReport
from app.jobs.queue import QUEUES
from app.jobs.routes import Served
from app.jobs.upkeep import Upkeep


def _queues(names: list[str] | None) -> tuple[JobQueue, ...]:
    try:
        return tuple(JobQueue(name) for name in names) if names else QUEUES
    except ValueError:
        known = ", ".join(JobQueue)
        raise BadInput("--queue", f"one of {', '.join(names or ())} is not a queue", f"use one of {known}") from None


def worker(
    drain: Annotated[bool, typer.Option("--drain", help="End when nothing is due and nothing runs.")] = False,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Handlers at once.")] = None,
    max_seconds: Annotated[float | None, typer.Option(min=0.1, help="End after so many seconds.")] = None,
    max_jobs: Annotated[int | None, typer.Option(min=1, help="End after so many jobs.")] = None,
    queue: Annotated[list[str] | None, typer.Option(help="Only this queue; may be repeated.")] = None,
    pool: Annotated[list[str] | None, typer.Option(help="Serve this pool; may be repeated.")] = None,
    flag: Annotated[list[str] | None, typer.Option(help="Serve only these requirement flags.")] = None,
    upkeep: Annotated[
        bool, typer.Option("--upkeep/--no-upkeep", help="Whether it also does the schedules' and the watchdog's duty.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show warnings only.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run jobs. SIGTERM or Ctrl-C gives every lease back within 8 seconds. Also does the watchdog's duty."""
    logs_of_a_server(quiet=quiet)

    async def work() -> tuple[WorkReport, bool]:
        from app.bootstrap import calm_collector, make_ears
        from app.settings import settings

        async with engine() as manager:
            calm_collector()
            runtime = manager.runtime
            hand = Worker(
                runtime,
                concurrency=concurrency or runtime.options.concurrency,
                queues=_queues(queue),
                served=Served(
                    frozenset(pool) if pool else Served().pools, frozenset(flag) if flag is not None else None
                ),
                upkeep=Upkeep(runtime, ticks_on=not drain).run if upkeep else None,
                ears=[] if drain else make_ears(settings),
            )
            loop = asyncio.get_running_loop()
            for name in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(name, hand.stop)
            if not quiet:
                problem(f"{hand.worker_id}: {hand.executor.max_concurrent} jobs at once; Ctrl-C ends it")
            with prints_to_stderr():
                report = await hand.run(drain=drain, max_seconds=max_seconds, max_jobs=max_jobs)
            return report, hand.executor.leaked > 0

    report, leaked = run(work)
    if as_json:
        print_json(asdict(report))
    else:
        others = report.settled - report.completed - report.failed
        typer.echo(
            f"{report.claimed} claimed: {report.completed} completed, {report.failed} failed, "
            f"{others} to go on or ended otherwise, {report.lost} not settled"
        )
    if leaked:
        problem("a handler would not stop; its lease runs out by itself")
        raise typer.Exit(FAILED)


def watchdog(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be done.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """One round of the watchdog: expired leases, jobs begun too late, retention, roll-ups."""

    async def work() -> WatchdogReport:
        async with engine() as manager:
            return await manager.run_watchdog(dry_run=dry_run)

    report = run(work)
    if as_json:
        print_json(report.as_dict())
        return
    counts = [(name.replace("_", " "), count) for name, count in report.as_dict().items() if name != "dry_run"]
    table("Watchdog, dry run: nothing was done" if dry_run else "Watchdog", ("duty", "how many"), counts)

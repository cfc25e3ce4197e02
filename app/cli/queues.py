"""`torpor queues`: what waits in each queue, and pausing and resuming them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from app.cli.jobs import JsonFlag
from app.cli.output import print_json
from app.cli.session import engine, run
from app.cli.tables import Column, table
from app.jobs import JobQueue, JobStatus
from app.jobs.pauses import Paused

app = typer.Typer(help="Look at queues, pause and resume them.", no_args_is_help=True)

QueueName = Annotated[str, typer.Argument(metavar="QUEUE", help="priority or maintenance.")]
_SHOWN = (JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.NEEDS_REVIEW)


@dataclass(frozen=True, slots=True)
class _Line:
    queue: JobQueue
    paused: bool
    jobs: dict[str, int]


@app.command("list")
def list_queues(as_json: JsonFlag = False) -> None:
    """The queues, and whether they are paused."""

    async def work() -> Paused:
        async with engine() as manager:
            return await manager.get_paused()

    paused = run(work)
    if as_json:
        print_json([{"queue": str(queue), "paused": queue in paused.queues} for queue in JobQueue])
        return
    rows = ((str(queue), "paused" if queue in paused.queues else "open") for queue in JobQueue)
    table("Queues", ("queue", Column("", 1)), rows)


@app.command("stats")
def stats(as_json: JsonFlag = False) -> None:
    """How many unfinished jobs each queue has, by status."""

    async def work() -> list[_Line]:
        async with engine() as manager:
            paused = await manager.get_paused()
            lines = []
            for queue in JobQueue:
                counts = {str(status): await manager.count_jobs(queue=queue, status=status) for status in _SHOWN}
                lines.append(_Line(queue, queue in paused.queues, counts))
            return lines

    lines = run(work)
    if as_json:
        print_json([{"queue": str(line.queue), "paused": line.paused, "jobs": line.jobs} for line in lines])
        return
    columns: tuple[Column | str, ...] = ("queue", *(Column(str(status), 2) for status in _SHOWN), Column("", 1))
    rows = ((str(line.queue), *line.jobs.values(), "paused" if line.paused else "open") for line in lines)
    table("Queues", columns, rows)


@app.command("pause")
def pause(queue: QueueName, as_json: JsonFlag = False) -> None:
    """Let no further job of a queue begin; what runs already runs on."""

    async def work() -> Paused:
        async with engine() as manager:
            return await manager.pause_queue(queue)

    tell_paused(run(work), as_json)


@app.command("resume")
def resume(queue: QueueName, as_json: JsonFlag = False) -> None:
    """Let jobs of a paused queue begin again."""

    async def work() -> Paused:
        async with engine() as manager:
            return await manager.resume_queue(queue)

    tell_paused(run(work), as_json)


def tell_paused(paused: Paused, as_json: bool) -> None:
    """All that is paused now."""
    names = {"queues": sorted(map(str, paused.queues)), "types": sorted(paused.types)}
    if as_json:
        print_json(names)
        return
    told = [f"{kind}: {', '.join(each)}" for kind, each in names.items() if each]
    typer.echo(f"paused now: {'; '.join(told) or 'nothing'}")

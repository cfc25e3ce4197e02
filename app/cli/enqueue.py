"""`torpor enqueue`: create and start one job, or every job of a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from app.cli.bar import progress_bar
from app.cli.job_file import json_object, read_job_file, start_of_all
from app.cli.output import counted, job_json, jobs_table, print_json, problem
from app.cli.session import FAILED, command_name, engine, run
from app.jobs import AsyncJobManager, BadInput, Job, JobStatus, WaitTimeout

LISTED = 20
"""Up to so many jobs are listed one by one."""
LOOK_SECONDS = 2.0
"""How often a waiting command looks whether the job waits for a person."""


async def _create_file(path: Path, manager: AsyncJobManager, batch: str | None) -> list[Job]:
    lines = await read_job_file(path, manager)
    start_all = start_of_all(lines) if batch is not None else True
    with progress_bar("creating jobs", len(lines)) as told:
        if batch is not None:
            requests = [line.request for line in lines]
            made = await manager.create_job_batch(requests, auto_start=start_all, name=batch, on_progress=told)
            return made.jobs
        created: dict[int, Job] = {}
        for start in (True, False):
            chosen = [line for line in lines if line.start is start]
            told_here = None if told is None else partial(_tell, told, len(created), len(lines))
            requests = [line.request for line in chosen]
            jobs = await manager.create_jobs(requests, auto_start=start, on_progress=told_here)
            created.update(zip((line.number for line in chosen), jobs, strict=True))
        return [created[number] for number in sorted(created)]


def _tell(told: Callable[[int, int], None], before: int, total: int, done: int, _: int) -> None:
    told(before + done, total)


def _note(jobs: list[Job], manager: AsyncJobManager, *, wait: bool) -> None:
    """What a person has to know about jobs that were created; on standard error."""
    if manager.runtime.store.limits().single_process:
        if not wait:
            problem("note: the store is memory:, so these jobs end with this command; take --wait, or another store")
    elif any(job.status is JobStatus.QUEUED for job in jobs):
        what = "waiting for a worker" if wait else "queued"
        problem(f"{what}; `{command_name()} worker` runs what is queued")


def _is_held(job: Job) -> bool:
    """Whether it waits until somebody starts it."""
    return job.status is JobStatus.PENDING and not job.auto_start


async def _ended(job: Job, manager: AsyncJobManager) -> Job:
    """The job at its end, or when it waits for a person, which may be for ever."""
    while not (_is_held(job) or job.status in (JobStatus.NEEDS_REVIEW, JobStatus.PAUSED)):
        try:
            return await manager.wait(job.id, LOOK_SECONDS)
        except WaitTimeout:
            job = await manager.get_job(job.id)
    return job


def enqueue(
    job_type: Annotated[str | None, typer.Argument(metavar="TYPE", help="A registered job type.")] = None,
    payload: Annotated[str, typer.Option(help="A JSON object for the handler.")] = "{}",
    file: Annotated[Path | None, typer.Option(help="Jobs to create, one JSON object a line.")] = None,
    queue: Annotated[str | None, typer.Option(help="priority or maintenance.")] = None,
    priority: Annotated[str | None, typer.Option(help="low, normal, high or critical.")] = None,
    delay: Annotated[str | None, typer.Option(help='Not before so long from now: seconds, or "5m", "2h".')] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key: one job for one key.")] = None,
    unique: Annotated[
        str | None, typer.Option(help='One job of a payload or --unique-key: "while_active", or for a time as "15m".')
    ] = None,
    unique_key: Annotated[str | None, typer.Option(help="What is unique instead of the payload.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    mode: Annotated[str | None, typer.Option(help="The job's mode; catalogue jobs know dry_run and apply.")] = None,
    depends_on: Annotated[
        list[str] | None, typer.Option(metavar="JOB", help="Wait until this job is COMPLETED; may be repeated.")
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Create a file's jobs as one batch; a number among dependencies is a place, from 0."
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end, or until a person is needed; exit 1 unless COMPLETED.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Create a job and start it, or every job of a file: all of them are refused if one is wrong."""
    options = {"--queue": queue, "--priority": priority, "--delay": delay, "--key": key, "--tag": tag, "--mode": mode}
    options |= {"--depends-on": depends_on, "--unique": unique, "--unique-key": unique_key}

    async def work() -> list[Job]:
        if (job_type is None) == (file is None):
            raise BadInput("TYPE", "either a job type or --file is needed", "torpor enqueue TYPE --payload JSON")
        async with engine(run_if_alone=wait) as manager:
            if batch is not None and file is None:
                raise BadInput("--batch", "goes with --file", "write the jobs into a file")
            if file is not None:
                given = {"--payload": None if payload == "{}" else payload, **options}
                if misplaced := [name for name, value in given.items() if value is not None]:
                    raise BadInput(misplaced[0], "does not go with --file", "write it into the file's lines")
                created = await _create_file(file, manager, batch)
            else:
                job = await manager.submit(
                    str(job_type),
                    json_object(payload, "payload"),
                    queue=queue,
                    priority=priority,
                    delay=delay,
                    idempotency_key=key,
                    unique=unique,
                    unique_key=unique_key,
                    tags=tag,
                    mode=mode,
                    dependencies=depends_on,
                )
                created = [job]
            if not as_json:
                _note(created, manager, wait=wait)
            if wait:
                created = [await _ended(job, manager) for job in created]
            return created

    jobs = run(work)
    if as_json:
        print_json([job_json(job) for job in jobs] if file is not None else job_json(jobs[0]))
        _say_why(jobs, wait)
        return
    if batch is not None:
        typer.echo(f"batch {jobs[0].batch_id}")
    if len(jobs) <= LISTED:
        jobs_table(
            jobs, "Jobs" if wait else "Created, or there already" if any(j.existing for j in jobs) else "Created"
        )
    else:
        typer.echo(f"{counted(len(jobs), 'job')} created, or there already")
    _say_why(jobs, wait)


def _say_why(jobs: list[Job], wait: bool) -> None:
    """What a command that waited for jobs says, and ends with, if they are not all COMPLETED."""
    if not wait or all(job.status is JobStatus.COMPLETED for job in jobs):
        return
    held = [job.id for job in jobs if _is_held(job)]
    if held:
        named = ", ".join(held[:3]) + (", …" if len(held) > 3 else "")
        problem(f"{counted(len(held), 'job')} held until somebody starts them, and so not waited for: {named}")
    problem("not every job ended COMPLETED")
    raise typer.Exit(FAILED)

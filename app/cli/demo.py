"""`torpor demo`: the main job on a catalogue, with what it found and where to look next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column as RestOfLine
from rich.text import Text

from app.catalog import read_catalog, sample_catalog
from app.catalog.reviewer import RULES, FindingCode, RuleKind
from app.catalog.store import CatalogStore, ImportCount
from app.cli.catalog.files import read_file, told
from app.cli.jobs import JsonFlag
from app.cli.output import counted, print_json, problem, runs_table
from app.cli.session import FAILED, FALLBACK_URL, command_name, prints_to_stderr, run
from app.cli.tables import Column, console, table
from app.jobs import AsyncJobManager, Job, JobStatus, RunSummary, Runtime, Worker

LOOK_SECONDS = 0.2
"""How often the progress bars are moved."""
MEANING = {
    FindingCode.MISSING_QUALIFIER: "its family has several kinds of equipment, and the name does not say which",
    FindingCode.DUPLICATE_EQUIPMENT: "two or more with the same movement, variant and equipment",
    FindingCode.EQUIPMENT_UNKNOWN: "nothing says what equipment it takes, unlike others of its family",
    FindingCode.NAME_CONTRADICTS_EQUIPMENT: "the name says one equipment, the record another",
}

DEMO_TAG = "demo"
"""The demo's own jobs have it; it applies changes for no others."""


@dataclass(frozen=True, slots=True)
class Curated:
    """What one demo did."""

    imported: ImportCount
    jobs: list[Job]
    runs: list[RunSummary]

    def result(self, job_type: str) -> dict[str, Any]:
        """What the job of that type returned; empty if it did not get that far."""
        for job in self.jobs:
            if job.type == job_type and job.result is not None and isinstance(job.result.data, dict):
                return job.result.data
        return {}


async def _follow(manager: AsyncJobManager, progress: Progress, job: Job) -> Job:
    """Show how far a job and the jobs that it created are, until it ends."""
    bar = progress.add_task(job.name, total=None, message="queued")
    while not (now := await manager.get_job(job.id)).is_terminal:
        children = await manager.list_jobs(parent_id=job.id)
        done = max(now.progress.current, sum(child.progress.current for child in children))
        whole = max(now.progress.total, sum(child.progress.total for child in children))
        progress.update(bar, total=whole or None, completed=done, message=now.progress.message or str(now.status))
        await asyncio.sleep(LOOK_SECONDS)
    if now.status is JobStatus.COMPLETED:
        whole = now.progress.total or 1
        progress.update(bar, total=whole, completed=whole, message=now.progress.message)
    else:
        progress.update(bar, message=str(now.status))
    return now


def _bars() -> Progress:
    # The words take what is left of the line, and are cut; nothing else is.
    rest = RestOfLine(ratio=1, no_wrap=True, overflow="ellipsis")
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", markup=False, table_column=rest),
        console=Console(stderr=True),
        expand=True,
    )


async def _curate(runtime: Runtime, catalog: Path | None) -> Curated:
    result = read_catalog(sample_catalog(), datetime.now(UTC)) if catalog is None else read_file(catalog)
    async with AsyncJobManager(runtime=runtime, worker=False) as manager:
        imported = await CatalogStore(runtime.store).add_new(result.exercises)
        worker = Worker(runtime)
        work = asyncio.create_task(worker.run())
        began = datetime.now(UTC)
        jobs: list[Job] = []
        try:
            with _bars() as progress:
                for job_type, mode in (("maintenance_scan", None), ("catalog_enrich_field", "apply")):
                    job = await manager.submit(job_type, mode=mode, tags=[DEMO_TAG])
                    jobs.append(await _follow(manager, progress, job))
        finally:
            worker.stop()
            await work
        return Curated(imported, jobs, await manager.get_run_history(ended_after=began, limit=50))


def _show_found(scan: dict[str, Any]) -> None:
    found = [(code, number, MEANING[FindingCode(code)]) for code, number in scan["findings"].items() if number]
    of = f"{counted(scan['exercises'], 'exercise')} in {scan['families']} families"
    table(f"Found in {of}", (Column("finding"), "exercises", Column("what it means", 1, text=True)), found)
    if scan["proposed_jobs"]:
        typer.echo(f"{counted(scan['proposed_jobs'], 'job')} proposed that would mend it; none was created.\n")


def _show_enriched(enriched: dict[str, Any]) -> None:
    if not enriched["written"]:
        typer.echo("Enriched: nothing was left that could be filled in.\n")
        return
    of = f"{enriched['enriched']} of {counted(enriched['exercises'], 'exercise')}"
    table(f"Enriched {of}", ("field", "values written"), sorted(enriched["written"].items()))
    before, after = enriched["failed_before"], enriched["failed_after"]
    gates = [
        (rule.code, before[rule.code], after.get(rule.code, 0), rule.remedy)
        for rule in RULES
        if rule.kind is RuleKind.GATE and before.get(rule.code)
    ]
    columns = ("rule", "before", "after", Column("what keeps it", 1, text=True))
    table("Exercises that fail a rule which is needed for a quality score", columns, gates)


def _show(curated: Curated, next_steps: list[tuple[str, str]]) -> None:
    typer.echo(f"{told(curated.imported)}\n")
    runs_table(curated.runs)
    for job_type, show in (("maintenance_scan", _show_found), ("catalog_enrich_field", _show_enriched)):
        shower: Callable[[dict[str, Any]], None] = show
        if data := curated.result(job_type):
            shower(data)
    out = console()
    out.print(Text("Where to look next", style="bold"))
    for command, why in next_steps:
        out.print(Text(f"  {command}\n", style="cyan").append(f"      {why}", style="default"), soft_wrap=True)


def _next_steps(curated: Curated, *, alone: bool) -> list[tuple[str, str]]:
    """Commands to type, and what each shows."""
    if alone:
        return [(f"TORPOR_STORE_URL={FALLBACK_URL} {command_name()} demo", "the memory store is gone by now; keep it")]
    name = command_name()
    return [
        (f"{name} jobs show {curated.jobs[0].id}", "what the scan found and which jobs it proposes"),
        (f"{name} runs list", "what ran, and how long it took"),
        (f"{name} runs summary", "the day in figures"),
        (f"{name} catalog score", "the catalogue, judged by the quality rules"),
        (f"{name} doctor", "whether everything is in order"),
        (f"{name} --help", "everything else"),
    ]


def demo(
    catalog: Annotated[Path | None, typer.Option(help="A catalogue file; by default the project's sample.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Import a catalogue, scan it and fill in what it lacks. A second run adds only what is new."""
    from app.bootstrap import discover_tasks, make_runtime
    from app.settings import settings

    with prints_to_stderr():
        discover_tasks(settings.task_packages)

    async def work() -> tuple[Curated, bool]:
        runtime = make_runtime(settings, fallback_url=FALLBACK_URL)
        if not settings.catalog_apply_enabled:
            runtime.application["catalog_apply_enabled"] = DEMO_TAG
        return await _curate(runtime, catalog), runtime.store.limits().single_process

    curated, alone = run(work)
    if as_json:
        print_json(
            {
                "added": curated.imported.added,
                "there_already": curated.imported.there_already,
                "jobs": [
                    {"id": job.id, "type": job.type, "status": job.status, "result": curated.result(job.type)}
                    for job in curated.jobs
                ],
                "runs": [summary.model_dump(mode="json") for summary in curated.runs],
            }
        )
    else:
        _show(curated, _next_steps(curated, alone=alone))
    for job in curated.jobs:
        if job.status is not JobStatus.COMPLETED:
            problem(f"job {job.id} ({job.type}) is {job.status}: {job.error.message if job.error else ''}")
    if any(job.status is not JobStatus.COMPLETED for job in curated.jobs):
        raise typer.Exit(FAILED)

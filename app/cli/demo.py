"""`torpor demo`: a catalogue's whole cycle, from import and scan through dry run and apply to undo and scores."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column as RestOfLine
from rich.text import Text

from app.catalog import read_catalog, sample_catalog
from app.catalog.apply import undo_change
from app.catalog.curation import CreatedJobs, create_proposed
from app.catalog.plans import Target
from app.catalog.reviewer import RULES, FindingCode, ProposedJob, QualityReport, RuleKind, scan_quality
from app.catalog.store import CatalogStore, ImportCount
from app.catalog.tasks.mode import APPLY, DRY_RUN
from app.catalog.tasks.report import proposals_of
from app.cli.catalog.files import add, read_file, told
from app.cli.jobs import JsonFlag
from app.cli.output import counted, print_json, problem, runs_table
from app.cli.session import FAILED, FALLBACK_URL, command_name, prints_to_stderr, run
from app.cli.tables import Column, console, printable, table
from app.jobs import AsyncJobManager, Job, JobStatus, RunSummary, Runtime, Worker

LOOK_SECONDS = 0.2
"""How often the progress bars are moved."""
DIFF_LINES = 16
"""Lines of the dry run's diff that are shown."""
RUNS = 12
"""Runs that are listed."""
MEANING = {
    FindingCode.MISSING_QUALIFIER: "its family has several kinds of equipment, and the name does not say which",
    FindingCode.DUPLICATE_EQUIPMENT: "two or more with the same movement, variant and equipment",
    FindingCode.EQUIPMENT_UNKNOWN: "nothing says what equipment it takes, unlike others of its family",
    FindingCode.NAME_CONTRADICTS_EQUIPMENT: "the name says one equipment, the record another",
}
SCANS = ("maintenance_scan", "duplicate_detection_scan", "alias_invariant_scan")
NORMALIZE = "family_normalize"

DEMO_TAG = "demo"
"""The demo's own jobs have it; it applies changes for no others."""


@dataclass(frozen=True, slots=True)
class Undone:
    """One change that was taken back, and made again."""

    change_id: str
    records: int
    as_before: bool
    """Whether every record of it was, byte for byte, what it had been before."""


@dataclass(slots=True)
class Cycle:
    """What one demo did."""

    imported: ImportCount
    before: QualityReport
    after: QualityReport | None = None
    jobs: list[Job] = field(default_factory=list)
    """The scans, the dry run, the enrichment and what followed the undo."""
    proposed: list[ProposedJob] = field(default_factory=list)
    created: CreatedJobs = field(default_factory=lambda: CreatedJobs((), 0))
    ended: list[Job] = field(default_factory=list)
    """The created jobs, as they were left."""
    diff: list[str] = field(default_factory=list)
    """Of the dry run."""
    undone: Undone | None = None
    runs: list[RunSummary] = field(default_factory=list)

    def result(self, job_type: str) -> dict[str, Any]:
        """What the first job of that type returned; empty if it did not get that far."""
        for job in self.jobs:
            if job.type == job_type and job.result is not None and isinstance(job.result.data, dict):
                return job.result.data
        return {}


class _Demo:
    """The steps, one after the other, with a bar for each."""

    def __init__(self, manager: AsyncJobManager, progress: Progress) -> None:
        self._manager = manager
        self._progress = progress
        self._catalog = CatalogStore(manager.runtime.store)

    async def walk(self, cycle: Cycle) -> None:
        """All of it."""
        for job_type in SCANS:
            cycle.jobs.append(await self._run(job_type))
        for job in list(cycle.jobs):
            results = await self._manager.get_job_results(job.id)
            cycle.proposed += proposals_of(results.saved if results is not None else ())
        shown = _largest(cycle.proposed)
        if shown is not None:
            cycle.jobs.append(await self._run(NORMALIZE, shown.payload, mode=DRY_RUN))
            cycle.diff = cycle.result(NORMALIZE).get("diff", [])
        cycle.created = await create_proposed(self._manager, cycle.proposed, APPLY, tags=[DEMO_TAG])
        cycle.ended = await self._wait_for(cycle.created.new)
        if shown is not None:
            cycle.undone = await self._undo(shown, cycle.ended)
            if cycle.undone is not None:
                cycle.jobs.append(await self._run(NORMALIZE, shown.payload, mode=APPLY))
        cycle.jobs.append(await self._run("catalog_enrich_field", mode=APPLY))
        cycle.after = await _quality(self._catalog)

    async def _run(self, job_type: str, payload: dict[str, Any] | None = None, mode: str | None = None) -> Job:
        job = await self._manager.submit(job_type, payload, mode=mode, tags=[DEMO_TAG])
        return await self._follow(job)

    async def _follow(self, job: Job) -> Job:
        """Show how far a job and the jobs that it created are, until it ends or waits for a person."""
        bar = self._progress.add_task(job.name, total=None, message="queued")
        while not _is_left(now := await self._manager.get_job(job.id)):
            children = await self._manager.list_jobs(parent_id=job.id)
            done = max(now.progress.current, sum(child.progress.current for child in children))
            whole = max(now.progress.total, sum(child.progress.total for child in children))
            self._move(bar, whole or None, done, now.progress.message or str(now.status))
            await asyncio.sleep(LOOK_SECONDS)
        if now.status is JobStatus.COMPLETED:
            whole = now.progress.total or 1
            self._move(bar, whole, whole, now.progress.message)
        else:
            self._progress.update(bar, message=str(now.status))
        return now

    async def _wait_for(self, created: Sequence[Job]) -> list[Job]:
        """Show how many of the proposed jobs are through, until all of them are, or wait for a person."""
        if not created:
            return []
        bar = self._progress.add_task("Proposed jobs", total=len(created), message="queued")
        left = {job.id: job for job in created}
        through: dict[str, Job] = {}
        while left:
            for name in list(left):
                now = await self._manager.get_job(name)
                if not _is_left(now):
                    break  # those behind it mostly wait for it
                through[name] = now
                del left[name]
            self._move(bar, len(created), len(through), f"{len(through)} of {len(created)} applied")
            await asyncio.sleep(LOOK_SECONDS if left else 0)
        return [through[job.id] for job in created]

    async def _undo(self, shown: ProposedJob, ended: Sequence[Job]) -> Undone | None:
        """Take the change back that the dry run told of, and look whether all is as it was."""
        done = [job for job in ended if job.type == NORMALIZE and job.payload == shown.payload]
        change_id = _data(done[0]).get("change_id") if done else None
        if change_id is None:
            return None
        report = await undo_change(self._manager, change_id, by="demo", dry_run=False)
        was: dict[Target, str | None] = {}
        for line in report.lines:  # the last operation first, so that the first one has the last word
            was.update(line.before)
        now = await self._catalog.read(was)
        same = all((now[target].text if target in now else None) == text for target, text in was.items())
        return Undone(change_id, len(was), same)

    def _move(self, bar: TaskID, total: float | None, completed: float, message: str) -> None:
        self._progress.update(bar, total=total, completed=completed, message=message)


async def _quality(catalog: CatalogStore) -> QualityReport:
    return scan_quality([each.exercise for each in await catalog.all("active")])


def _is_left(job: Job) -> bool:
    """Whether nobody works on it any more, until a person does."""
    return job.is_terminal or job.status is JobStatus.NEEDS_REVIEW


def _data(job: Job) -> dict[str, Any]:
    return job.result.data if job.result is not None and isinstance(job.result.data, dict) else {}


def _largest(proposed: Sequence[ProposedJob]) -> ProposedJob | None:
    """The proposal to normalise that has the most names to mend."""
    found = [each for each in proposed if each.type == NORMALIZE and each.reason[:1].isdigit()]
    return max(found, key=lambda each: int(each.reason.split()[0]), default=None)


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


async def _curate(runtime: Runtime, catalog: Path | None) -> Cycle:
    result = read_catalog(sample_catalog(), datetime.now(UTC)) if catalog is None else read_file(catalog)
    async with AsyncJobManager(runtime=runtime, worker=False) as manager:
        stored = CatalogStore(runtime.store)
        imported = await add(stored, result)
        cycle = Cycle(imported, await _quality(stored))
        worker = Worker(runtime)
        work = asyncio.create_task(worker.run())
        began = datetime.now(UTC)
        try:
            with _bars() as progress:
                await _Demo(manager, progress).walk(cycle)
        finally:
            worker.stop()
            await work
        cycle.runs = await manager.get_run_history(ended_after=began, limit=500)
        return cycle


def _show_found(cycle: Cycle) -> None:
    scan = cycle.result("maintenance_scan")
    if not scan:
        return
    found = [(code, number, MEANING[FindingCode(code)]) for code, number in scan["findings"].items() if number]
    of = f"{counted(scan['exercises'], 'exercise')} in {scan['families']} families"
    table(f"Found in {of}", (Column("finding"), "exercises", Column("what it means", 1, text=True)), found)


def _show_proposed(cycle: Cycle) -> None:
    types = Counter(each.type for each in cycle.proposed)
    table(f"{counted(len(cycle.proposed), 'job')} proposed", ("job type", "jobs"), types.items())


def _show_dry_run(cycle: Cycle) -> None:
    if not cycle.diff:
        return
    out = console()
    out.print(Text("Dry run of one of them", style="bold"))
    for line in cycle.diff[:DIFF_LINES]:
        out.print(Text(f"  {printable(line)}"), soft_wrap=False, no_wrap=True, overflow="ellipsis")
    if len(cycle.diff) > DIFF_LINES:
        out.print(Text(f"  … {len(cycle.diff) - DIFF_LINES} more lines", style="dim"))
    out.print()


def _show_applied(cycle: Cycle) -> None:
    waiting = sum(job.status is JobStatus.NEEDS_REVIEW for job in cycle.ended)
    new, known = len(cycle.created.new), cycle.created.known
    applied = sum(_data(job).get("applied", 0) for job in cycle.ended)
    out = console()
    did = f"Applied: {counted(new, 'new job')}, {counted(applied, 'operation')};"
    out.print(Text(f"{did} {known} of the proposed had a job already; {waiting} wait for a person.\n"))
    if cycle.undone is not None:
        was = "every record is as it was before" if cycle.undone.as_before else "NOT every record is as it was before"
        undid = f"Undone: the change of the dry run, {counted(cycle.undone.records, 'record')}; {was}."
        out.print(Text(f"{undid} It was then applied again.\n"))


def _show_enriched(cycle: Cycle) -> None:
    enriched = cycle.result("catalog_enrich_field")
    if not enriched:
        return
    if not enriched["written"]:
        typer.echo("Enriched: nothing was left that could be filled in.\n")
        return
    of = f"{enriched['enriched']} of {counted(enriched['exercises'], 'exercise')}"
    table(f"Enriched {of}", ("field", "values written"), sorted(enriched["written"].items()))


def _show_scores(cycle: Cycle) -> None:
    if cycle.after is None:
        return
    before, after = cycle.before.failed, cycle.after.failed
    gates = [
        (rule.code, before[rule.code], after[rule.code], rule.remedy)
        for rule in RULES
        if rule.kind is RuleKind.GATE and (before[rule.code] or after[rule.code])
    ]
    columns = ("rule", "before", "after", Column("what keeps it", 1, text=True))
    table("Exercises that fail a rule which is needed for a quality score", columns, gates)


def _show(cycle: Cycle, next_steps: list[tuple[str, str]]) -> None:
    typer.echo(f"{told(cycle.imported)}\n")
    runs_table(cycle.runs[:RUNS], f"Runs, the newest of {len(cycle.runs)}")
    for show in (_show_found, _show_proposed, _show_dry_run, _show_applied, _show_enriched, _show_scores):
        show(cycle)
    out = console()
    out.print(Text("Where to look next", style="bold"))
    for command, why in next_steps:
        out.print(Text(f"  {command}\n", style="cyan").append(f"      {why}", style="default"), soft_wrap=True)


def _next_steps(cycle: Cycle, *, alone: bool) -> list[tuple[str, str]]:
    """Commands to type, and what each shows."""
    if alone:
        return [(f"TORPOR_STORE_URL={FALLBACK_URL} {command_name()} demo", "the memory store is gone by now; keep it")]
    name = command_name()
    return [
        (f"{name} catalog changes", "what was changed, change by change; diff and undo take their ids"),
        (f"{name} review list", "what waits for a person"),
        (f"{name} catalog scan", "what is left to be mended"),
        (f"{name} jobs show {cycle.jobs[0].id}", "what the first scan found"),
        (f"{name} runs summary", "the day in figures"),
        (f"{name} doctor", "whether everything is in order"),
        (f"{name} --help", "everything else"),
    ]


def _as_json(cycle: Cycle) -> dict[str, Any]:
    return {
        "added": cycle.imported.added,
        "there_already": cycle.imported.there_already,
        "score_before": {"by_score": cycle.before.by_score, "failed": cycle.before.failed},
        "score_after": cycle.after and {"by_score": cycle.after.by_score, "failed": cycle.after.failed},
        "jobs": [
            {"id": job.id, "type": job.type, "mode": job.mode, "status": job.status, "result": _data(job)}
            for job in cycle.jobs
        ],
        "proposed": dict(Counter(each.type for each in cycle.proposed)),
        "created": len(cycle.created.new),
        "known": cycle.created.known,
        "ended": dict(Counter(str(job.status) for job in cycle.ended)),
        "diff": cycle.diff,
        "undone": None if cycle.undone is None else asdict(cycle.undone),
        "runs": [summary.model_dump(mode="json") for summary in cycle.runs],
    }


def demo(
    catalog: Annotated[Path | None, typer.Option(help="A catalogue file; by default the project's sample.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Import a catalogue, scan it, mend what is proposed, undo one change, and fill in what is missing."""
    from app.bootstrap import discover_tasks, make_runtime
    from app.settings import settings

    with prints_to_stderr():
        discover_tasks(settings.task_packages)

    async def work() -> tuple[Cycle, bool]:
        runtime = make_runtime(settings, fallback_url=FALLBACK_URL)
        if not settings.catalog_apply_enabled:
            runtime.application["catalog_apply_enabled"] = DEMO_TAG
        return await _curate(runtime, catalog), runtime.store.limits().single_process

    cycle, alone = run(work)
    if as_json:
        print_json(_as_json(cycle))
    else:
        _show(cycle, _next_steps(cycle, alone=alone))
    wrong = [job for job in cycle.jobs if job.status is not JobStatus.COMPLETED]
    wrong += [job for job in cycle.ended if job.status not in (JobStatus.COMPLETED, JobStatus.NEEDS_REVIEW)]
    for job in wrong:
        problem(f"job {job.id} ({job.type}) is {job.status}: {job.error.message if job.error else ''}")
    if wrong or (cycle.undone is not None and not cycle.undone.as_before):
        raise typer.Exit(FAILED)

"""`torpor catalog changes`, `diff` and `undo`: what was changed, day by day and job by job, and taking it back."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

import typer

from app.catalog.apply import (
    CannotUndo,
    Change,
    ChangeStatus,
    Journal,
    Line,
    UndoReport,
    UnknownChange,
    undo_change,
)
from app.catalog.plans import ChangePlan
from app.catalog.plans.diff import diff_lines, operation_lines
from app.catalog.plans.replay import shown_fields
from app.cli.jobs import JsonFlag
from app.cli.output import counted, print_json, problem, short_time
from app.cli.session import FAILED, command_name, engine, run
from app.cli.tables import Column, printable, table
from app.jobs import AsyncJobManager, BadInput, JobNotFound

MOST = 100_000


def changes(
    day: Annotated[str | None, typer.Option(help="Only those of this day, UTC: 2026-01-31.")] = None,
    daily: Annotated[bool, typer.Option("--daily", help="A line for each day instead of each change.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=MOST)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """What jobs have changed in the catalogue, the newest first."""

    async def work() -> list[Change]:
        since, until = _of_day(day)
        async with engine() as manager:
            most = MOST if daily else limit
            return await Journal(manager.runtime.store).changes(since=since, until=until, limit=most)

    found = run(work)
    if daily:
        rows = _days(found)[:limit]
        if as_json:
            print_json(rows)
        else:
            table(
                "Changes by day",
                ("day", "changes", "operations", "undone", "needs repair"),
                (tuple(row.values()) for row in rows),
            )
        return
    if as_json:
        print_json([change.model_dump(mode="json") for change in found])
        return
    columns = ("change", "type", "status", "applied", Column("made (UTC)", 1), Column("about", 2, text=True))
    rows_ = (
        (each.id, each.type, each.status, each.applied, short_time(each.made_at), ", ".join(each.scope[:4]))
        for each in found
    )
    table("Changes", columns, rows_)


def _of_day(day: str | None) -> tuple[datetime | None, datetime | None]:
    if day is None:
        return None, None
    try:
        since = datetime.combine(date.fromisoformat(day), time(), UTC)
    except ValueError as error:
        raise BadInput("--day", f"{day!r} is no day", "write it like 2026-01-31") from error
    return since, since + timedelta(days=1)


def _days(found: Sequence[Change]) -> list[dict[str, Any]]:
    """What changed on each day, the newest first."""
    days: dict[str, dict[str, Any]] = {}
    for change in found:
        name = change.made_at.date().isoformat()
        row = days.setdefault(name, {"day": name, "changes": 0, "operations": 0, "undone": 0, "needs_repair": 0})
        row["changes"] += 1
        row["operations"] += change.applied
        row["undone"] += change.status is ChangeStatus.UNDONE
        row["needs_repair"] += change.status is ChangeStatus.NEEDS_REPAIR
    return list(days.values())


async def _lines_of(manager: AsyncJobManager, name: str) -> list[str]:
    """The readable diff of a change, or of the plan of a job."""
    journal = Journal(manager.runtime.store)
    if await journal.find(name) is not None:
        return [text for line in await journal.lines(name) for text in line_lines(line)]
    try:
        job = await manager.get_job(name)
    except JobNotFound:
        raise BadInput("ID", f"there is no change and no job {name!r}", "`torpor catalog changes` lists them") from None
    request = job.review.get("request") if isinstance(job.review, dict) else None
    for told in (job.result.data if job.result is not None else None, request):
        if isinstance(told, dict) and "diff" in told:
            return [str(line) for line in told["diff"]]
        if isinstance(told, dict) and "plan" in told:
            return diff_lines(ChangePlan.model_validate(told["plan"]))
    raise BadInput("ID", f"job {name} is {job.status}, and has no plan to show", "name one that planned something")


def line_lines(line: Line) -> list[str]:
    """A line of the journal for people: the operation with what its records were and are."""
    operation = line.operation.model_copy(
        update={
            "before": {str(target): _fields(line, target, before=True) for target in line.before},
            "after": {str(target): _fields(line, target, before=False) for target in line.after},
        }
    )
    undone = [] if line.undone_at is None else [f"  # undone {short_time(line.undone_at)}"]
    return [*operation_lines(operation), *undone]


def _fields(line: Line, target: Any, *, before: bool) -> dict[str, Any] | None:
    """The fields of a record that the operation changed, as they were or as they are."""
    was, now = shown_fields(line.item_before(target)), shown_fields(line.item_after(target))
    chosen = was if before else now
    if chosen is None:
        return None
    other = (now if before else was) or {}
    return {name: chosen.get(name) for name in {**chosen, **other} if chosen.get(name) != other.get(name)}


def diff(
    name: Annotated[str, typer.Argument(metavar="ID", help="A change, or a job that planned something.")],
    as_json: JsonFlag = False,
) -> None:
    """What a change has changed, or what a job has planned, field by field."""

    async def work() -> list[str]:
        async with engine() as manager:
            return await _lines_of(manager, name)

    lines = run(work)
    if as_json:
        print_json(lines)
        return
    for line in lines or ["nothing is changed"]:
        typer.echo(printable(line))


async def undo_all(manager: AsyncJobManager, by: str, *, dry_run: bool) -> list[UndoReport]:
    """Take every change back that was not yet, the newest first.

    A dry run tells of each what it would take back, as if it stood alone: those that later changes lie on are named
    without being checked.

    Raises:
        CannotUndo: one of them can't be taken back; those before it were.
    """
    journal = Journal(manager.runtime.store)
    found = [each for each in await journal.changes(limit=MOST) if each.status is not ChangeStatus.UNDONE]
    if dry_run:
        return [UndoReport(each, True, tuple(reversed(await journal.lines(each.id)))) for each in found]
    return [await undo_change(manager, each.id, by=by, dry_run=False) for each in found]


def undo(
    change_id: Annotated[str | None, typer.Argument(metavar="CHANGE", help="The change's id.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every change, the newest first.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without this, only say what would be done.")] = False,
    by: Annotated[str | None, typer.Option(help="Who wants it; by default who runs the command.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Take a change back, byte for byte: created exercises, merges and moves between families included."""

    async def work() -> list[UndoReport]:
        if (change_id is None) is not everything:
            raise BadInput("CHANGE", "either a change or --all is needed", "`torpor catalog changes` lists them")
        who = getpass.getuser() if by is None else by
        async with engine() as manager:
            if change_id is None:
                return await undo_all(manager, who, dry_run=not apply)
            return [await undo_change(manager, change_id, by=who, dry_run=not apply)]

    try:
        reports = run(work)
    except (CannotUndo, UnknownChange) as error:
        problem(str(error))
        raise typer.Exit(FAILED) from None
    if as_json:
        print_json([_as_json(report) for report in reports])
        return
    for report in reports:
        typer.echo(f"{report.change.id} ({report.change.type}): {counted(len(report.targets), 'record')}")
        for line in () if apply or everything else report.lines:
            for text in line_lines(line):
                typer.echo(printable(f"  {text}"))
    if apply:
        typer.echo(f"{counted(len(reports), 'change')} undone")
    else:
        problem(f"nothing was undone; `{command_name()} catalog undo … --apply` does it")


def _as_json(report: UndoReport) -> dict[str, Any]:
    operations = [{"operation": line.operation.id, "kind": str(line.operation.kind)} for line in report.lines]
    return {
        "change": report.change.id,
        "type": report.change.type,
        "dry_run": report.dry_run,
        "targets": [str(target) for target in report.targets],
        "operations": operations,
    }

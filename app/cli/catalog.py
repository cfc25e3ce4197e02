"""`torpor catalog`: import a catalogue file, and score what is stored."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app.catalog import BadCatalogFile, read_catalog
from app.catalog.importer import ImportResult
from app.catalog.reviewer import RULES, QualityReport, scan_quality
from app.catalog.store import CatalogStore, ImportCount
from app.cli.jobs import JsonFlag
from app.cli.output import counted, print_json, problem
from app.cli.session import engine, run
from app.cli.tables import Column, table
from app.jobs import BadInput

app = typer.Typer(help="The exercise catalogue.", no_args_is_help=True)


def read_file(path: Path) -> ImportResult:
    """The exercises of a catalogue file. Every problem of a wrong one is printed.

    Raises:
        BadInput: it cannot be read, or its structure is wrong.
    """
    try:
        return read_catalog(path.read_bytes(), datetime.now(UTC))
    except OSError as error:
        raise BadInput("FILE", f"{path} cannot be read: {error}", "name a catalogue file") from error
    except BadCatalogFile as error:
        for each in error.problems:
            problem(str(each))
        says = f"{path} has {counted(len(error.problems), 'problem')}"
        raise BadInput("FILE", says, "nothing was imported; mend the file and import it again") from error


def told(count: ImportCount) -> str:
    """What an import did, in words."""
    return f"{counted(count.added, 'exercise')} added, {count.there_already} were there already"


@app.command("import")
def import_file(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A JSON catalogue.")], as_json: JsonFlag = False
) -> None:
    """Import the exercises of a file that are not stored yet."""

    async def work() -> tuple[ImportResult, ImportCount]:
        result = read_file(path)
        async with engine() as manager:
            return result, await CatalogStore(manager.runtime.store).add_new(result.exercises)

    result, count = run(work)
    notices = [str(notice) for notice in result.notices]
    if as_json:
        print_json({"added": count.added, "there_already": count.there_already, "notices": notices})
        return
    typer.echo(told(count))
    for notice in notices:
        problem(f"note: {notice}")


def score_tables(report: QualityReport) -> None:
    """How many exercises have which score, and how many fail each rule."""
    table("Scores", ("score", "exercises"), report.by_score.items())
    failed = [(rule.code, report.failed[rule.code], rule.kind, rule.remedy) for rule in RULES]
    columns = ("rule", "exercises that fail it", Column("kind", 2), Column("how to keep it", 1, text=True))
    table("Rules", columns, sorted((row for row in failed if row[1]), key=lambda row: -row[1]))


@app.command("score")
def score(as_json: JsonFlag = False) -> None:
    """Judge every stored exercise by the quality scanner's rules."""

    async def work() -> QualityReport:
        async with engine() as manager:
            return scan_quality([each.exercise for each in await CatalogStore(manager.runtime.store).all()])

    report = run(work)
    if as_json:
        print_json({"total": report.total, "by_score": report.by_score, "failed": report.failed})
    else:
        typer.echo(counted(report.total, "exercise"))
        score_tables(report)

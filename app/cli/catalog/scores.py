"""`torpor catalog score`."""

from __future__ import annotations

import typer

from app.catalog.reviewer import RULES, QualityReport, scan_quality
from app.catalog.store import CatalogStore
from app.cli.jobs import JsonFlag
from app.cli.output import counted, print_json
from app.cli.session import engine, run
from app.cli.tables import Column, table


def score_tables(report: QualityReport) -> None:
    """How many exercises have which score, and how many fail each rule."""
    table("Scores", ("score", "exercises"), report.by_score.items())
    failed = [(rule.code, report.failed[rule.code], rule.kind, rule.remedy) for rule in RULES]
    columns = ("rule", "exercises that fail it", Column("kind", 2), Column("how to keep it", 1, text=True))
    table("Rules", columns, sorted((row for row in failed if row[1]), key=lambda row: -row[1]))


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

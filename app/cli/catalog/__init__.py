"""`torpor catalog`: files in and out, what is stored, what is wrong with it, and changing it."""

from __future__ import annotations

import typer

from app.cli.catalog import changes, files, look, plans, scan, scores

app = typer.Typer(help="The exercise catalogue.", no_args_is_help=True)
app.command("import")(files.import_file)
app.command("export")(files.export_file)
app.command("score")(scores.score)
app.command("scan")(scan.scan)
app.command("families")(look.families)
app.command("show")(look.show)
app.command("plan")(plans.plan)
app.command("apply")(plans.apply)
app.command("diff")(changes.diff)
app.command("undo")(changes.undo)
app.command("changes")(changes.changes)

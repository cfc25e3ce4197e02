"""`torpor catalog import` and `export`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app.catalog import BadCatalogFile, read_catalog, write_catalog
from app.catalog.importer import ImportResult
from app.catalog.store import CatalogStore, ImportCount
from app.cli.jobs import JsonFlag
from app.cli.output import counted, print_json, problem
from app.cli.session import engine, run
from app.jobs import BadInput


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


async def add(catalog: CatalogStore, result: ImportResult) -> ImportCount:
    """Store what a file holds and the catalogue does not.

    Raises:
        StoreError: the store refused a write; running it again adds the rest.
    """
    count = await catalog.add_new(result.exercises, result.enriched)
    await catalog.add_related([*result.aliases, *result.families])
    return count


def told(count: ImportCount) -> str:
    """What an import did, in words."""
    return f"{counted(count.added, 'exercise')} added, {count.there_already} were there already"


def import_file(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A JSON catalogue.")], as_json: JsonFlag = False
) -> None:
    """Import the exercises of a file that are not stored yet."""

    async def work() -> tuple[ImportResult, ImportCount]:
        result = read_file(path)
        async with engine() as manager:
            return result, await add(CatalogStore(manager.runtime.store), result)

    result, count = run(work)
    notices = [str(notice) for notice in result.notices]
    if as_json:
        print_json({"added": count.added, "there_already": count.there_already, "notices": notices})
        return
    typer.echo(told(count))
    for notice in notices:
        problem(f"note: {notice}")


async def exported(catalog: CatalogStore) -> str:
    """The whole catalogue as the project's own file. Equal catalogues give equal bytes."""
    everything = await catalog.everything()
    return write_catalog(
        everything.exercises.values(), everything.aliases.values(), everything.families.values(), everything.enriched
    )


def export_file(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; - is standard output.")],
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write the whole catalogue into a file: exercises, aliases and families."""

    async def work() -> str:
        if str(path) != "-" and path.exists() and not force:
            raise BadInput("FILE", f"{path} is there already", "name another file, or take --force")
        async with engine() as manager:
            return await exported(CatalogStore(manager.runtime.store))

    text = run(work)
    if str(path) == "-":
        typer.echo(text, nl=False)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        problem(f"FILE: {path} cannot be written: {error}; name another file")
        raise typer.Exit(1) from None
    typer.echo(f"written to {path}")

"""`torpor catalog families` and `show`: what is stored."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from app.catalog import Exercise
from app.catalog.aliases import alias_id
from app.catalog.plans import Snapshot, Touches
from app.catalog.reviewer import heuristic_score_exercise
from app.catalog.reviewer.maintenance import scan_family
from app.catalog.store import CatalogStore
from app.catalog.variants import family_equipment
from app.cli.jobs import JsonFlag
from app.cli.output import counted, print_json, section
from app.cli.session import engine, run
from app.cli.tables import Column, table
from app.jobs import BadInput


def families(
    several: Annotated[bool, typer.Option("--several", help="Only those with several kinds of equipment.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 50,
    as_json: JsonFlag = False,
) -> None:
    """Families with their active exercises and equipment, the largest first."""

    async def work() -> list[Exercise]:
        async with engine() as manager:
            return [each.exercise for each in await CatalogStore(manager.runtime.store).all("active")]

    members: dict[str, list[Exercise]] = {}
    for exercise in run(work):
        members.setdefault(exercise.family_slug, []).append(exercise)
    rows: list[dict[str, Any]] = [
        {
            "family": slug,
            "exercises": len(found),
            "equipment": sorted(family_equipment(found)),
            "findings": len(scan_family(slug, found)),
        }
        for slug, found in sorted(members.items(), key=lambda entry: (-len(entry[1]), entry[0]))
        if not several or len(family_equipment(found)) > 1
    ]
    if as_json:
        print_json(rows[:limit])
        return
    columns = ("family", "exercises", Column("findings", 1), Column("equipment", 2, text=True))
    shown = [
        (row["family"], row["exercises"], row["findings"] or "", ", ".join(row["equipment"])) for row in rows[:limit]
    ]
    table(f"{counted(len(rows), 'family') if len(rows) == 1 else f'{len(rows)} families'}", columns, shown)


async def find(catalog: CatalogStore, name: str) -> tuple[str, Snapshot] | None:
    """What a name stands for: an exercise by id, slug or alias, else a family by slug or alias.

    Returns:
        `exercise/ID` or `family/SLUG`, and what belongs to it; None if nothing is called so.
    """
    read = await catalog.snapshot(Touches.of(exercises=[name], slugs=[name], families=[name]))
    alias = read.aliases.get(alias_id(name))
    owner = next(iter(read.with_slug(name)), None) or read.exercises.get(name)
    found = alias.exercise_id if alias is not None and owner is None else owner.id if owner is not None else None
    if found is not None:
        return f"exercise/{found}", await catalog.snapshot(Touches.of(exercises=[found], aliases_of=[found]))
    leads = read.aliases.get(alias_id(name, family=True))
    slug = name if read.members(name) else leads.family_slug if leads is not None else None
    if slug is None:
        return None
    return f"family/{slug}", await catalog.snapshot(Touches.of(families=[slug]))


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An exercise's id, slug or old slug, or a family's.")],
    as_json: JsonFlag = False,
) -> None:
    """One exercise or one family: what it says, what leads to it, and what is wrong with it."""

    async def work() -> tuple[str, Snapshot]:
        async with engine() as manager:
            found = await find(CatalogStore(manager.runtime.store), name)
        if found is None:
            raise BadInput("NAME", f"nothing is called {name!r}", "`torpor catalog families` lists the families")
        return found

    what, read = run(work)
    kind, _, key = what.partition("/")
    told = _exercise(key, read) if kind == "exercise" else _family(key, read)
    if as_json:
        print_json(told)
        return
    typer.echo(what)
    for title, value in told.items():
        if value not in ([], None, "", {}):
            section(title, value)


def _exercise(exercise_id: str, read: Snapshot) -> dict[str, Any]:
    exercise = read.exercises[exercise_id]
    score = heuristic_score_exercise(exercise)
    return {
        "exercise": exercise.model_dump(mode="json", exclude_defaults=True),
        "aliases": [alias.slug for alias in read.aliases_of(exercise_id)],
        "enriched": sorted(read.enriched.get(exercise_id, ())),
        "score": score.label,
        "failed": [*score.failed_gates, *score.failed_content],
    }


def _family(slug: str, read: Snapshot) -> dict[str, Any]:
    members = read.members(slug)
    entry = read.families.get(slug)
    return {
        "family": slug,
        "entry": None if entry is None else entry.model_dump(mode="json", exclude_defaults=True),
        "exercises": {each.id: each.name for each in members},
        "equipment": sorted(family_equipment(members)),
        "aliases": sorted(alias.slug for alias in read.aliases.values() if alias.family_slug == slug),
        "findings": [
            {"code": finding.code, "exercises": finding.exercise_ids, **finding.evidence}
            for finding in scan_family(slug, members)
        ],
    }

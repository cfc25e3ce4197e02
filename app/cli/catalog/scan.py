"""`torpor catalog scan`: everything that the three scans find, and the jobs that would mend it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from app.catalog.curation import CreatedJobs, create_proposed
from app.catalog.plans import Snapshot
from app.catalog.reviewer import ProposedJob, equipment_finder, in_order, propose_cleanups, scan_families
from app.catalog.reviewer.aliases import scan_aliases
from app.catalog.reviewer.duplicates import scan_duplicates
from app.catalog.reviewer.merges import propose_merges
from app.catalog.store import CatalogStore, StoredExercise
from app.catalog.tasks.mode import APPLY, DRY_RUN
from app.cli.jobs import JsonFlag
from app.cli.output import counted, jobs_table, print_json, problem
from app.cli.session import command_name, engine, run
from app.cli.tables import Column, table
from app.jobs import BadInput

SHOWN = 30
"""Proposed or created jobs that are shown; --json shows all."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the scans found."""

    exercises: int
    counts: dict[str, int]
    """Findings by code; those that there are none of are left out."""
    proposals: Sequence[ProposedJob]
    """In the order in which they would run."""


def scan_everything(catalog: Snapshot) -> Found:
    """Every scan of a catalogue that was read as a whole."""
    exercises = list(catalog.exercises.values())
    given = [StoredExercise(each, "", catalog.enriched.get(each.id, frozenset())).given for each in exercises]
    families = scan_families(exercises, equipment_finder(given))
    doubles = scan_duplicates(exercises)
    aliases = scan_aliases(exercises, catalog.aliases.values(), catalog.families.values())
    counts = Counter(families.counts()) + Counter(aliases.counts())
    counts += Counter({f"DOUBLES_{kind.upper()}": number for kind, number in doubles.counts().items()})
    proposals = [
        *families.proposed_jobs,
        *propose_cleanups(exercises),
        *propose_merges(doubles, exercises),
        *aliases.proposed_jobs,
    ]
    return Found(len(exercises), dict(sorted(counts.items())), in_order(proposals))


def scan(
    create: Annotated[bool, typer.Option("--create", help="Create the proposed jobs that are new.")] = False,
    mode: Annotated[str, typer.Option(help="The created jobs' mode: dry_run or apply.")] = DRY_RUN,
    as_json: JsonFlag = False,
) -> None:
    """Look through families, doubles and aliases; show what is wrong, and the jobs that would mend it."""

    async def work() -> tuple[Found, CreatedJobs | None]:
        if mode not in (DRY_RUN, APPLY):
            raise BadInput("--mode", f"{mode!r} is no mode of the catalogue", f"take {DRY_RUN} or {APPLY}")
        async with engine() as manager:
            found = scan_everything(await CatalogStore(manager.runtime.store).everything())
            return found, await create_proposed(manager, found.proposals, mode) if create else None

    found, created = run(work)
    if as_json:
        jobs = None if created is None else {"new": [job.id for job in created.new], "known": created.known}
        proposals = [asdict(proposal) for proposal in found.proposals]
        print_json({"exercises": found.exercises, "findings": found.counts, "proposed": proposals, "created": jobs})
        return
    show_found(found)
    if created is not None:
        show_created(created)
    elif found.proposals:
        problem(f"nothing was created; `{command_name()} catalog scan --create` creates these jobs as dry runs")


def show_found(found: Found) -> None:
    """Findings by code, and the first proposals."""
    table(f"Found in {counted(found.exercises, 'exercise')}", ("finding", "number"), found.counts.items())
    columns = ("job type", Column("about"), Column("why", 1, text=True))
    rows = [(each.type, _about(each), each.reason) for each in found.proposals[:SHOWN]]
    table(f"{counted(len(found.proposals), 'job')} proposed", columns, rows)
    if len(found.proposals) > SHOWN:
        typer.echo(f"… {len(found.proposals) - SHOWN} more; --json shows all\n")


def _about(proposal: ProposedJob) -> str:
    names = [str(proposal.payload[key]) for key in ("source_id", "exercise_id") if key in proposal.payload]
    names += [*proposal.families[:1]] if not names else []
    more = len(proposal.families) - 1 if not proposal.payload.get("source_id") else 0
    return (names or [""])[0] + (f" and {more} more" if more > 0 else "")


def show_created(created: CreatedJobs) -> None:
    """Which jobs are new."""
    if created.known:
        typer.echo(f"{counted(created.known, 'proposal')} had a job already")
    if len(created.new) <= SHOWN:
        jobs_table(created.new, "Created")
    else:
        by_type = Counter(job.type for job in created.new)
        table(f"Created {counted(len(created.new), 'job')}", ("job type", "jobs"), by_type.items())

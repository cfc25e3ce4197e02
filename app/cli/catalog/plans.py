"""`torpor catalog plan` and `apply`: what a job would change, and letting it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from app.catalog.plans import ChangePlan, Finding, touched
from app.catalog.plans.diff import diff_lines
from app.catalog.plans.replay import with_previews
from app.catalog.plans.validate import validate
from app.catalog.store import CatalogStore
from app.catalog.tasks.mode import APPLY
from app.catalog.tasks.plans import PLANNERS, touches_of
from app.cli.enqueue import enqueue
from app.cli.job_file import json_object
from app.cli.jobs import JsonFlag
from app.cli.output import counted, print_json, problem
from app.cli.session import FAILED, engine, run
from app.cli.tables import printable
from app.jobs import AsyncJobManager, BadInput

TypeName = Annotated[str, typer.Argument(metavar="TYPE", help="A job type that plans, such as family_normalize.")]
Payload = Annotated[str, typer.Option(help="The job's payload, a JSON object.")]


async def make(manager: AsyncJobManager, job_type: str, payload: dict[str, Any]) -> tuple[ChangePlan, list[Finding]]:
    """A plan as it would be made now, with what is wrong with it. Nothing is queued or written.

    Raises:
        BadInput: no type that plans is called so, or the payload does not fit it.
        CannotPlan: what the planner refused.
    """
    if job_type not in PLANNERS:
        raise BadInput("TYPE", f"no type that plans is called {job_type!r}", f"take one of {', '.join(PLANNERS)}")
    model, planner = PLANNERS[job_type]
    try:
        checked = model.model_validate(payload)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        field = ".".join(("--payload", *map(str, detail["loc"])))
        raise BadInput(field, detail["msg"].removeprefix("Value error, "), "mend the payload") from None
    catalog, now = CatalogStore(manager.runtime.store), manager.runtime.clock.now()
    touches = await touches_of(catalog, planner, checked)
    made = planner.build(checked, await catalog.snapshot(touches)).changed(made_at=now)
    read = await catalog.snapshot(touches | touched(made))
    shown = with_previews(made, read, now)
    return shown, list(validate(shown, read))


def plan(job_type: TypeName, payload: Payload = "{}", as_json: JsonFlag = False) -> None:
    """What a job of a type would change, as it is now. Nothing is queued, and nothing is written."""

    async def work() -> tuple[ChangePlan, list[Finding]]:
        async with engine() as manager:
            return await make(manager, job_type, json_object(payload, "--payload"))

    made, findings = run(work)
    if as_json:
        print_json(
            {"plan": made.model_dump(mode="json"), "findings": [each.model_dump(mode="json") for each in findings]}
        )
    else:
        show_plan(made, findings)
    if any(finding.is_error for finding in findings):
        raise typer.Exit(FAILED)


def show_plan(made: ChangePlan, findings: list[Finding]) -> None:
    """A plan for people: what it is about, each change, and what is wrong with it."""
    typer.echo(f"{made.type}: {counted(len(made.operations), 'operation')}, risk {made.risk}")
    for assumption in made.assumptions:
        typer.echo(printable(f"# {assumption}"))
    for line in diff_lines(made):
        typer.echo(printable(line))
    for finding in findings:
        problem(f"{finding.severity}: {finding}")


def apply(
    job_type: Annotated[str | None, typer.Argument(metavar="TYPE", help="A job type of the catalogue.")] = None,
    payload: Payload = "{}",
    job: Annotated[str | None, typer.Option(help="Apply what this dry run planned: a job with its payload.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; exit 1 unless COMPLETED.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Create and start a job that applies its plan. It plans anew, on the catalogue as it is then."""

    async def of_dry_run() -> tuple[str, str]:
        if (job_type is None) == (job is None):
            raise BadInput("TYPE", "either a job type or --job is needed", "torpor catalog apply TYPE --payload JSON")
        if job is None:
            return str(job_type), payload
        async with engine() as manager:
            there = await manager.get_job(job)
        if there.mode == APPLY:
            raise BadInput("--job", f"job {job} was no dry run", "name one whose mode is dry_run")
        return there.type, json.dumps(there.payload)

    chosen, given = run(of_dry_run)
    enqueue(chosen, given, mode=APPLY, wait=wait, as_json=as_json)

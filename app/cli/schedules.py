"""`torpor schedules` and `torpor tick`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from app.cli.job_file import json_object
from app.cli.jobs import JsonFlag
from app.cli.output import counted, job_json, print_json, section, short_time
from app.cli.session import engine, run
from app.cli.tables import Column, table
from app.jobs import Job, Schedule, TickReport

app = typer.Typer(help="Look at schedules and steer them.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="SCHEDULE", help="The schedule's name: its job type, if from the code.")]


def schedule_json(schedule: Schedule) -> dict[str, Any]:
    """A schedule as JSON: what it is and how it stands, in one object."""
    whole = schedule.model_dump(mode="json")
    return {**whole.pop("definition"), **whole}


def timetable_text(schedule: Schedule) -> str:
    """When its slots are, for people."""
    definition = schedule.definition
    if definition.cron is not None:
        return definition.cron if definition.timezone == "UTC" else f"{definition.cron} ({definition.timezone})"
    return f"every {definition.interval_seconds:g} s"


@app.command("list")
def list_schedules(as_json: JsonFlag = False) -> None:
    """Every schedule, with its next slot."""

    async def work() -> list[Schedule]:
        async with engine() as manager:
            return await manager.list_schedules()

    schedules = run(work)
    if as_json:
        print_json([schedule_json(schedule) for schedule in schedules])
        return
    columns = (
        Column("name"),
        Column("type", 4),
        Column("when"),
        Column("status"),
        Column("next (UTC)", 1),
        Column("last slot (UTC)", 2),
        Column("from", 3),
    )
    rows = (
        (
            each.name,
            each.job_type,
            timetable_text(each),
            each.status,
            short_time(each.next_at),
            short_time(each.last_slot),
            each.definition.source,
        )
        for each in schedules
    )
    table("Schedules", columns, rows)


@app.command("show")
def show(name: Name, as_json: JsonFlag = False) -> None:
    """One schedule: what it creates, how it stands, and the newest slots that were left out."""

    async def work() -> Schedule:
        async with engine() as manager:
            return await manager.get_schedule(name)

    schedule = run(work)
    if as_json:
        print_json(schedule_json(schedule))
        return
    definition = schedule.definition
    facts = {
        "type": schedule.job_type,
        "when": timetable_text(schedule),
        "status": schedule.status,
        "next slot": f"{short_time(schedule.next_at)} UTC" if schedule.next_at is not None else "none",
        "last slot": f"{short_time(schedule.last_slot)} UTC" if schedule.last_slot is not None else "none",
        "last job": schedule.last_job_id or "none",
        "missed slots": f"{definition.catch_up}, after {definition.misfire_grace_seconds:g} s",
        "overlap": "allowed" if definition.overlap else "skipped",
        "from": definition.source,
    }
    table(f"Schedule {name}", ("field", Column("value", text=True)), facts.items())
    if definition.template.get("payload"):
        section("payload", definition.template["payload"])
    if schedule.skipped:
        left_out = ((short_time(each.first), short_time(each.last), each.why) for each in schedule.skipped)
        table("Slots left out", ("first (UTC)", Column("last (UTC)", 1), Column("why", text=True)), left_out)


def _changed(schedule: Schedule, as_json: bool) -> None:
    if as_json:
        print_json(schedule_json(schedule))
        return
    following = "" if schedule.next_at is None else f"; next slot {short_time(schedule.next_at)} UTC"
    typer.echo(f"schedule {schedule.name} is {schedule.status}{following}")


@app.command("pause")
def pause(name: Name, as_json: JsonFlag = False) -> None:
    """Let a schedule create no job until it is resumed."""

    async def work() -> Schedule:
        async with engine() as manager:
            return await manager.pause_schedule(name)

    _changed(run(work), as_json)


@app.command("resume")
def resume(name: Name, as_json: JsonFlag = False) -> None:
    """Let a paused schedule go on with its next slot."""

    async def work() -> Schedule:
        async with engine() as manager:
            return await manager.resume_schedule(name)

    _changed(run(work), as_json)


@app.command("trigger")
def trigger(
    name: Name,
    payload: Annotated[str | None, typer.Option(help="JSON object, instead of the schedule's own payload.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Create one job of a schedule now, beside its slots."""

    async def work() -> Job:
        given = None if payload is None else json_object(payload, "--payload")
        async with engine(run_if_alone=True) as manager:
            return await manager.trigger_schedule(name, given)

    job = run(work)
    if as_json:
        print_json(job_json(job))
    else:
        typer.echo(f"job {job.id} is {job.status}")


@app.command("backfill")
def backfill(
    name: Name,
    since: Annotated[str, typer.Argument(help="ISO time of the first slot, UTC if it has no zone.")],
    until: Annotated[str | None, typer.Argument(help="The slots end before this; now if left out.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Create the jobs of past slots that have none."""

    async def work() -> int:
        async with engine() as manager:
            return await manager.backfill_schedule(name, since, until)

    created = run(work)
    if as_json:
        print_json({"created": created})
    else:
        typer.echo(f"{counted(created, 'job')} created")


def tick(as_json: JsonFlag = False) -> None:
    """Create the jobs of all slots up to 75 seconds ahead. For a cron of your own; workers do it by themselves."""

    async def work() -> TickReport:
        async with engine() as manager:
            return await manager.tick()

    report = run(work)
    if as_json:
        print_json(report.as_dict())
    else:
        typer.echo(
            f"{counted(report.schedules, 'schedule')} at hand: {counted(report.created, 'job')} created, "
            f"{counted(report.skipped, 'note')} about slots left out, {report.failed} failed"
        )

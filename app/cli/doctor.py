"""`torpor types` and `torpor doctor`: what is registered, and whether everything is in order."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from app.cli.jobs import JsonFlag
from app.cli.output import counted, print_json
from app.cli.secrets import shown_url, without_secrets
from app.cli.session import FAILED, FALLBACK_URL, command_name, prints_to_stderr, run
from app.cli.tables import Column, table
from app.jobs import AsyncJobManager, Job, JobRegistry, JobStatus, Paused, Runtime, TorporError
from app.jobs.routes import Served
from app.jobs.shards import WIDE_SECONDS
from app.stores.base import StoreError

if TYPE_CHECKING:
    from app.settings import Settings  # read later: a wrong setting has to be reported, not raised

LONG_WAIT_SECONDS = 300
"""A job that could run and has waited longer has no worker."""
LOOKED_AT = 500
"""Queued jobs, the oldest, that are looked at."""


def types(as_json: JsonFlag = False) -> None:
    """Every registered job type with its options."""
    from app.bootstrap import discover_tasks
    from app.settings import settings

    with prints_to_stderr():
        discovered = discover_tasks(settings.task_packages)
    listed = JobRegistry.list_jobs()
    if as_json:
        print_json(listed)
    else:
        rows = (
            (
                name,
                options["queue"],
                options["priority"].name.lower(),
                options["max_retries"],
                options["timeout_seconds"],
                "" if options["enabled"] else "disabled",
                options["description"].split("\n")[0],
            )
            for name, options in listed.items()
        )
        table("Job types", _TYPE_COLUMNS, rows)
    if discovered.failures:
        raise typer.Exit(FAILED)


_TYPE_COLUMNS = (
    Column("type"),
    Column("queue", 2),
    Column("priority", 3),
    Column("retries", 4),
    Column("timeout s", 5),
    Column("", 1),
    Column("description", text=True),
)


@dataclass(slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    says: str
    do: str = ""


@dataclass(slots=True)
class Examination:
    """Everything that was looked at."""

    findings: list[Finding] = field(default_factory=list)

    def add(self, what: str, ok: bool, says: str, do: str = "") -> None:
        """Note one finding; `do` says how to mend it."""
        self.findings.append(Finding(what, ok, without_secrets(says), "" if ok else do))

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.ok for finding in self.findings)


def where_jobs_are(settings: Settings) -> str:
    """Where jobs are kept, without any password."""
    from app.bootstrap import names_a_store

    if settings.store_url is not None:
        return shown_url(settings.store_url)
    if not names_a_store(settings):
        return FALLBACK_URL
    database = settings.storage.database
    if settings.job.store_type != "database":
        return f"{settings.job.store_type}:{settings.job.store_path}"
    if database.dialect == "sqlite":
        return f"sqlite:///{database.path}"
    return f"{database.dialect}://{database.host}/{database.name}"


def _unknown_variables(settings: Settings) -> list[str]:
    """Variables of the environment that look like settings and are none: most likely misspelt."""
    known = {f"TORPOR_{name.upper()}" for name in type(settings).model_fields}
    named = (name for name in os.environ if name.startswith("TORPOR_") and not name.startswith("TORPOR_TEST_"))
    return sorted(name for name in named if name.partition("__")[0].upper() not in known)


def _examine_settings(examination: Examination, settings: Settings) -> None:
    from app.bootstrap import names_a_store

    because = "" if names_a_store(settings) else ", because no setting names one"
    says = f"jobs are kept in {where_jobs_are(settings)}{because}" + (
        f", prefix {settings.prefix}" if settings.prefix else ""
    )
    unknown = _unknown_variables(settings)
    ignored = f"; ignored, because no setting is called so: {', '.join(unknown)}" if unknown else ""
    examination.add("settings", True, says + ignored)


def _examine_queued(examination: Examination, runtime: Runtime, queued: list[Job]) -> None:
    """Queued jobs that no worker would take, or could run."""
    served = Served()
    known = runtime.registry.routes()
    pools = sorted({job.route.partition("+")[0] for job in queued if not served.serves(job.route)})
    unserved = sum(not served.serves(job.route) for job in queued)
    examination.add(
        "routes",
        not pools,
        f"{counted(unserved, 'queued job')} in {', '.join(pools)}: a plain worker does not serve that pool"
        if pools
        else "a plain worker serves the route of every queued job",
        "run " + " and ".join(f"`{command_name()} worker --pool {pool}`" for pool in pools),
    )
    strange = sorted({job.type for job in queued if runtime.registry.find(job.type) is None})
    moved = sorted({job.route for job in queued} - known - {job.route for job in queued if job.type in strange})
    examination.add(
        "types",
        not strange and not moved,
        f"queued jobs of types without a handler here: {', '.join(strange)}"
        if strange
        else f"no type has the route {', '.join(moved)} any more, and queued jobs do"
        if moved
        else "every queued job has a handler",
        "name their package in TORPOR_TASK_PACKAGES" if strange else "cancel these jobs and create them again",
    )


def _examine_shards(examination: Examination, runtime: Runtime, queued: list[Job]) -> None:
    """Queued jobs in shards that a worker with these settings does not ask for each time."""
    own = runtime.options.shards
    further = [job.shard for job in queued if job.shard >= own]
    examination.add(
        "shards",
        not further,
        f"{counted(len(further), 'queued job')} in shards from {min(further)} to {max(further)}, made with a larger "
        f"TORPOR_SHARDS than {own}: a worker with this setting looks there only every {WIDE_SECONDS:.0f} s"
        if further
        else "every queued job is in a shard that a worker asks for each time",
        f"run workers with TORPOR_SHARDS={max(further, default=0) + 1} or more",
    )


def _held(paused: Paused) -> tuple[tuple[str, Collection[str]], ...]:
    return ("queue", paused.queues), ("type", paused.types)


async def _examine_store(examination: Examination, runtime: Runtime) -> None:
    mend = "start it, or mend TORPOR_STORE_URL"
    manager = AsyncJobManager(runtime=runtime, worker=False)
    try:
        health = await manager.get_system_health()
        if health["status"] == "unreachable":
            examination.add("store", False, "; ".join(health["problems"]), mend)
            return
        counts = ", ".join(f"{count} {status}" for status, count in health["jobs"].items() if count)
        forgets = "; it keeps nothing when the command ends" if runtime.store.limits().single_process else ""
        examination.add("store", True, f"answers; jobs: {counts or 'none'}{forgets}")
        waiting = health["oldest_waiting_seconds"]
        late = waiting is not None and waiting > LONG_WAIT_SECONDS
        says = "nothing waits" if waiting is None else f"the oldest queued job has waited {waiting:.0f} s"
        says += f"; a worker without work looks every {runtime.store.limits().poll_seconds:g} s"
        examination.add("queue", not late, says, f"run `{command_name()} worker`")
        paused = await manager.get_paused()
        names = [f"{each}s: {', '.join(sorted(held))}" for each, held in _held(paused) if held]
        examination.add("pauses", True, f"paused on request: {'; '.join(names)}" if names else "nothing is paused")
        page = await manager.list_page(status=JobStatus.QUEUED, sort_order="asc", limit=LOOKED_AT)
        _examine_queued(examination, runtime, page.jobs)
        _examine_shards(examination, runtime, page.jobs)
        dry = await manager.run_watchdog(dry_run=True)
        says = f"{counted(dry.recovered, 'lease')} ran out" if dry.recovered else "none ran out"
        examination.add("leases", dry.recovered == 0, says, f"run `{command_name()} watchdog`")
    except StoreError as error:
        examination.add("store", False, str(error), mend)
    finally:
        await manager.close()


def doctor(as_json: JsonFlag = False) -> None:
    """Look at settings, task packages, store and queues; say what to do about what is wrong."""
    from app.bootstrap import discover_tasks, make_runtime
    from app.settings import settings

    examination = Examination()
    _examine_settings(examination, settings)
    with prints_to_stderr():
        discovered = discover_tasks(settings.task_packages)
    for failure in discovered.failures:
        there = ":" in failure.file
        remedy = f"mend {failure.file}" if there else "install it, or mend TORPOR_TASK_PACKAGES"
        examination.add(f"module {failure.module}", False, failure.error, remedy)
    loaded = f"{counted(len(discovered.modules), 'module')} loaded; packages are looked up from {Path.cwd()} too"
    examination.add("task modules", True, loaded)

    async def work() -> None:
        try:
            runtime = make_runtime(settings, fallback_url=FALLBACK_URL)
        except TorporError as error:
            examination.add("store", False, str(error), "mend TORPOR_STORE_URL")
            return
        await _examine_store(examination, runtime)

    run(work)
    if as_json:
        found: list[dict[str, Any]] = [asdict(finding) for finding in examination.findings]
        print_json({"ok": examination.ok, "findings": found})
    else:
        rows = [("ok" if each.ok else "WRONG", each.what, each.says, each.do) for each in examination.findings]
        table("Doctor", ("", "what", Column("says", text=True), Column("do", text=True)), rows)
    if not examination.ok:
        raise typer.Exit(FAILED)

"""Seed 001: settings, the blocking manager with its stores, and the application facade."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import URL, make_url

from app.bootstrap import store_of
from app.jobs import (
    BlockingJobContext,
    Job,
    JobContext,
    JobManager,
    JobNotFound,
    JobPriority,
    JobRegistry,
    JobStatus,
    Outcome,
    Registry,
    job,
)
from app.settings import Settings
from app.stores import DatabaseJobStore, FileJobStore, MemoryJobStore
from app.stores.base import Store
from tests.acceptance.seeds.sample import Namespace, Sample
from tests.services.reach import reached
from tests.services.scratch_database import POSTGRES, scratch_database
from tests.support.engine import Engine

SECONDS = 30.0
"""The longest wait of a test on a real clock, for what takes next to none."""
ALTERNATIVE = 'store = DatabaseJobStore(\n    dialect="postgresql"'
"""The sample shows two databases, one after the other; without this it is SQLite."""


@pytest.fixture
def job_manager(engine: Engine) -> Iterator[JobManager]:
    """A blocking manager with a worker, on the engine's clock."""
    with JobManager(runtime=engine.runtime, worker=True) as manager:
        yield manager


def pass_time(manager: JobManager, engine: Engine, seconds: float) -> None:
    """Let time go by where the manager and its worker are."""
    manager.loop_thread.call(engine.clock.advance(seconds))


def left_in(store: Store, job_id: str) -> Job:
    """What a new manager finds in a store that another one has left."""
    with JobManager(job_store=store, worker=False) as manager:
        return manager.get_job(job_id)


# --- configuration ---


def test_settings_choose_the_store_and_a_manager_is_made_from_them(
    own_settings: Settings, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []
    chosen: list[Store] = []

    class Told(DatabaseJobStore):
        def __init__(self, **parts: Any) -> None:
            given.append(parts)
            super().__init__(**parts)

    monkeypatch.setattr("app.stores.sql.DatabaseJobStore", Told)

    def choose(names: Namespace) -> None:
        chosen.append(store_of(own_settings))

    names = Sample("001_01_configuration").run(
        before={
            'settings.job.store_type = "file"': choose,
            # The lines between say "database" for both, so this is still what was said before.
            'settings.storage.database.dialect = "postgresql"': choose,
            "job_manager =": choose,
        }
    )
    manager = names["job_manager"]
    runtime = manager.inner.runtime
    manager.close()

    assert names["settings"] is own_settings
    assert isinstance(chosen[0], MemoryJobStore)
    assert repr(chosen[1]) == "DatabaseJobStore('sqlite:///./jobs.db', prefix='')"
    postgresql = "DatabaseJobStore('postgresql+psycopg://user:***@localhost:5432/jobsdb', prefix='')"
    assert repr(runtime.store) == repr(chosen[2]) == postgresql
    assert given[-1]["password"] == "password"
    assert given[-1]["connection_pool_size"] == 10
    assert isinstance(own_settings.storage.database.password, SecretStr), "so that no log shows it"
    assert runtime.options.recovery_timeout == timedelta(minutes=10)


def test_file_settings_make_a_manager_whose_jobs_outlive_it(
    own_settings: Settings, registry: Registry, workdir: Path
) -> None:
    kept: list[str] = []

    def use_it(names: Namespace) -> None:
        # The line before has asked for a database already: this is how things stood a line earlier.
        own_settings.job.store_type = "file"
        with JobManager() as manager:
            kept.append(manager.create_job(name="kept").id)
        own_settings.job.store_type = "database"

    Sample("001_01_configuration").run(before={'settings.storage.database.dialect = "sqlite"': use_it})[
        "job_manager"
    ].close()
    assert left_in(FileJobStore(storage_dir="./job_data"), kept[0]).name == "kept"


# --- one job, from its creation to its results ---


def see_that_it_is_held(names: Namespace) -> None:
    created = names["job"]
    assert created.status is JobStatus.PENDING, "it is the next line that starts it"
    assert (created.type, created.name, created.description) == ("custom", "Process data", "Data processing job")
    assert created.payload == {"source": "database", "target": "report"}
    assert (created.priority, created.tags) == (JobPriority.HIGH, ("processing", "daily"))


def test_basic_usage_runs_the_job_and_prints_status_and_results(
    own_settings: Settings, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    @job("custom")
    def process(context: BlockingJobContext, source: str, target: str) -> str:
        context.save_result({"read": source})
        return f"{source} to {target}"

    def let_it_end(names: Namespace) -> None:
        names["job_manager"].wait(names["job"].job_id, timeout=SECONDS)

    names = Sample("001_02_basic_usage").run(
        before={"job_manager.start_job": see_that_it_is_held, "status =": let_it_end}
    )
    manager, results = names["job_manager"], names["results"]
    manager.close()
    assert isinstance(manager.inner.runtime.store, MemoryJobStore), "the default"
    assert names["status"] == "completed"
    assert (results.result, results.saved) == ("database to report", [{"read": "database"}])
    assert capsys.readouterr().out == f"Job status: completed\nJob results: {results}\n"


def test_basic_usage_prints_no_results_before_the_end(
    own_settings: Settings, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    begun, printed = Event(), Event()

    @job("custom")
    def process(context: BlockingJobContext, source: str, target: str) -> None:
        begun.set()
        printed.wait(SECONDS)

    def let_it_begin(names: Namespace) -> None:
        assert begun.wait(SECONDS)

    names = Sample("001_02_basic_usage").run(before={"status =": let_it_begin})
    assert capsys.readouterr().out == "Job status: running\n"
    assert "results" not in names
    printed.set()
    names["job_manager"].wait(names["job"].id, timeout=SECONDS)
    names["job_manager"].close()


# --- stores ---


def test_file_store_persists_jobs_to_disk(own_settings: Settings, registry: Registry, workdir: Path) -> None:
    names = Sample("001_03_file_store").run()
    names["job_manager"].close()
    assert any((workdir / "jobs_data").iterdir())
    found = left_in(FileJobStore(storage_dir="jobs_data"), names["job"].job_id)
    assert (found.name, found.payload, found.status) == ("Data Export", {}, JobStatus.PENDING)
    assert names["job_manager"].inner.runtime.options.keep_jobs == timedelta(days=30)


def test_database_store_persists_jobs_in_sqlite(own_settings: Settings, registry: Registry, workdir: Path) -> None:
    names = Sample("001_04_database_store").run(without=ALTERNATIVE)
    names["job_manager"].close()
    found = left_in(DatabaseJobStore(url=f"sqlite:///{workdir / 'jobs.db'}"), names["job"].job_id)
    assert (found.name, found.payload, found.status) == ("Export Data", {"format": "csv"}, JobStatus.PENDING)


@pytest.fixture
def empty_postgres() -> Iterator[str]:
    """The URL of a PostgreSQL database with no table in it."""
    yield from reached(scratch_database(POSTGRES))


def test_database_store_persists_jobs_in_postgresql(
    own_settings: Settings, registry: Registry, empty_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def address(dialect: str, **parts: Any) -> URL:
        """Where the sample's server is: on a machine of its author, `user`, `pass` and `jobsdb` exist."""
        asked.append((dialect, {name: value for name, value in parts.items() if value is not None}))
        return make_url(empty_postgres).set(drivername="postgresql+psycopg")

    def find_the_server(names: Namespace) -> None:
        monkeypatch.setattr("app.stores.sql.store.address_of_parts", address)

    names = Sample("001_04_database_store").run(before={ALTERNATIVE: find_the_server})
    names["job_manager"].close()
    parts = {"host": "localhost", "port": 5432, "username": "user", "password": "pass", "database": "jobsdb"}
    assert asked == [("postgresql", parts)]
    found = left_in(DatabaseJobStore(url=empty_postgres), names["job"].job_id)
    assert (found.name, found.payload, found.status) == ("Export Data", {"format": "csv"}, JobStatus.PENDING)


# --- lists ---


def test_lists_are_filtered_sorted_and_paged(engine: Engine) -> None:
    engine.job("export")(lambda: None)
    engine.clock.jump((datetime(2022, 12, 31, 12, tzinfo=UTC) - engine.clock.now()).total_seconds())
    with JobManager(runtime=engine.runtime, worker=False) as manager:
        made: dict[str, Job] = {}

        def make(name: str, *, days: float = 0, **options: Any) -> None:
            engine.clock.jump(days * 86400 + 1)
            made[name] = manager.create_job("export", name=name, **options)

        make("december", tags=["production"])
        make("january", days=1, tags=["batch", "production", "big"], priority="low")
        make("end of january", days=30, tags=["batch"], priority="critical", auto_start=True)
        make("february", days=1, tags=["production", "batch"], priority="high", auto_start=True)
        for number in range(10):
            make(f"filler {number}", priority=JobPriority.NORMAL)
        manager.loop_thread.call(engine.runtime.queue.claim_job("worker-1", made["february"].id))

        found = Sample("001_05_listing").run({"job_manager": manager})

    def names_of(listed: str) -> list[str]:
        return [each.name for each in found[listed]]

    fillers = [f"filler {number}" for number in range(10)]
    assert names_of("all_jobs") == [*fillers[::-1], "february", "end of january", "january", "december"]
    assert names_of("running_jobs") == ["february"]
    assert names_of("tagged_jobs") == ["february", "january"], "all of the tags"
    assert names_of("recent_jobs") == ["end of january", "january"]
    assert len(names_of("sorted_jobs")) == 10
    assert names_of("sorted_jobs")[:2] == ["end of january", "february"]
    assert "january" not in names_of("sorted_jobs"), "it is the least urgent of fourteen"


# --- control ---


def test_a_job_is_started_paused_resumed_cancelled_and_deleted(engine: Engine, job_manager: JobManager) -> None:
    began_at: list[int] = []

    @engine.job("count")
    async def count(context: JobContext) -> None:
        number = context.checkpoint or 0
        began_at.append(number)
        while not context.is_cancelled:
            number += 1
            await context.save_checkpoint(number)
            await engine.clock.sleep(1)

    job_id = job_manager.create_job("count").id

    def in_status(status: JobStatus) -> Any:
        def see(names: Namespace) -> None:
            # A holder hears of what is asked with its next write, at the latest after a third of its lease.
            pass_time(job_manager, engine, engine.runtime.options.lease_seconds / 3 + 1)
            assert job_manager.get_job_status(job_id) is status

        return see

    Sample("001_06_control").run(
        {"job_manager": job_manager, "job_id": job_id},
        before={
            "job_manager.start_job": in_status(JobStatus.PENDING),
            "job_manager.pause_job": in_status(JobStatus.RUNNING),
            "job_manager.resume_job": in_status(JobStatus.PAUSED),
            "job_manager.cancel_job": in_status(JobStatus.RUNNING),
            "job_manager.delete_job": in_status(JobStatus.CANCELLED),
        },
    )
    with pytest.raises(JobNotFound):
        job_manager.get_job(job_id)
    first, resumed = began_at
    assert (first, resumed > 1) == (0, True), "it went on from its checkpoint"
    outcomes = [run.outcome for run in job_manager.get_run_history(job_id=job_id)]
    assert outcomes == [Outcome.CANCELLED, Outcome.PAUSED], "the audit trail outlives the job"


# --- dependencies and batches ---


def test_jobs_start_by_themselves_when_what_they_depend_on_is_complete(engine: Engine, job_manager: JobManager) -> None:
    order: list[str] = []
    may_extract = Event()

    @engine.job("custom")
    def work(context: BlockingJobContext, **payload: Any) -> str:
        if "source" in payload:
            may_extract.wait(SECONDS)
        order.append(context.job.name)
        return f"{context.job.name} after {sorted(context.dependency_results().values())}"

    def waits(names: Namespace) -> None:
        jobs = [job_manager.get_job(names[name].job_id) for name in ("second_job", "third_job")]
        assert [(each.status, each.auto_start) for each in jobs] == [(JobStatus.PENDING, True)] * 2

    def depends_on_both(names: Namespace) -> None:
        found = job_manager.get_job(names["third_job"].job_id)
        assert found.depends_on == (names["second_job"].job_id, names["first_job"].job_id)

    names = Sample("001_07_job_dependencies").run(
        {"job_manager": job_manager},
        before={"job_manager.start_job": waits, "job_manager.remove_job_dependency": depends_on_both},
    )
    first, second, third = (names[name] for name in ("first_job", "second_job", "third_job"))
    assert [each.id for each in names["dependencies"]] == [second.id]
    assert [each.id for each in names["dependent_jobs"]] == [second.id]
    may_extract.set()
    assert job_manager.wait(third.id, SECONDS).status is JobStatus.COMPLETED
    assert order == ["Extract Data", "Transform Data", "Load Data"]
    results = job_manager.get_job_results(third.id)
    assert results is not None
    assert results.result == "Load Data after [\"Transform Data after ['Extract Data after []']\"]"
    assert job_manager.get_job(first.id).release == "done"


def test_a_batch_is_created_with_dependencies_by_place_and_runs_in_their_order(
    engine: Engine, job_manager: JobManager
) -> None:
    order: list[str] = []

    @engine.job("custom")
    async def work(context: JobContext, **payload: Any) -> None:
        order.append(context.job.name)

    names = Sample("001_08_job_batch").run({"job_manager": job_manager})
    assert [each.id for each in names["jobs"]] == sorted(each.id for each in names["batch_jobs"])
    for created in names["jobs"]:
        assert job_manager.wait(created.id, SECONDS).status is JobStatus.COMPLETED
    assert (len(order), order[-1]) == (4, "Combine Results")
    batch = job_manager.get_batch(names["batch_id"])
    assert (batch.counts, batch.progress, batch.is_done) == ({"completed": 4}, 100.0, True)


# --- cleaning up, retries ---


def test_cleanup_deletes_jobs_that_ended_before_the_retention_period_and_counts_them(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    @engine.job("export")
    async def export() -> None:
        return None

    with JobManager(runtime=engine.runtime, worker=True, retention_days=7) as manager:
        old = [manager.submit("export").id for _ in range(3)]
        held = manager.create_job("export").id
        pass_time(manager, engine, 1)
        engine.clock.jump(7 * 86400)
        young = manager.submit("export").id
        assert manager.wait(young).is_terminal
        assert {each.id for each in manager.list_jobs()} == {*old, held, young}
        names = Sample("001_09_cleanup").run({"job_manager": manager})
        assert (names["deleted_count"], capsys.readouterr().out) == (3, "Cleaned up 3 old jobs\n")
        assert {each.id for each in manager.list_jobs()} == {held, young}, "a job that has not ended is never old"


def test_retry_settings_are_stored_and_obeyed(engine: Engine, job_manager: JobManager) -> None:
    tried_at: list[datetime] = []

    @engine.job("custom")
    async def fetch(context: JobContext, url: str) -> None:
        assert url == "https://api.example.com/data"
        tried_at.append(engine.clock.now())
        await engine.clock.sleep(301 if len(tried_at) == 1 else 0)
        raise ConnectionError("no answer")

    created = Sample("001_10_retry").run({"job_manager": job_manager})["job"]
    assert (created.max_retries, created.retry_delay_seconds, created.timeout_seconds) == (3, 60, 300)
    job_manager.start_job(created.id)
    for _ in range(20):
        pass_time(job_manager, engine, 60)
    ended = job_manager.get_job(created.id)
    assert (ended.status, ended.retries_used) == (JobStatus.FAILED, 3)
    assert len(tried_at) == 4, "three retries after the first try"
    runs = job_manager.get_run_history(job_id=created.id)[::-1]
    assert [run.error.code for run in runs if run.error] == ["TIMEOUT", *["ConnectionError"] * 3]
    assert runs[0].duration_seconds == 300
    pauses = [(later.started_at - run.ended_at).total_seconds() for run, later in pairwise(runs)]
    # The delay doubles with each retry; what chance adds is nothing here.
    assert pauses == [60, 120, 240]


# --- the application facade ---


async def test_app_answers_dicts(own_settings: Settings, registry: Registry) -> None:
    names = await Sample("001_11_openagents_app").run_async()
    created = names["job"]
    assert (created["name"], created["payload"]) == ("Process data", {"source": "s3://bucket/file.csv"})
    assert created["job_id"] == created["id"]
    assert (created["status"], names["status"], names["results"]) == ("pending", "pending", None)
    await names["app"].close()


async def test_app_answers_the_results_of_a_finished_job(own_settings: Settings, registry: Registry) -> None:
    @job("custom")
    async def process(context: JobContext, source: str) -> int:
        await context.save_result({"source": source})
        return 7

    async def let_it_run(names: Namespace) -> None:
        app, job_id = names["app"], names["job"]["job_id"]
        await app.start_job(job_id)
        await app.job_manager.wait(job_id, timeout=SECONDS)

    names = await Sample("001_11_openagents_app").run_async(before={"status =": let_it_run})
    assert names["status"] == "completed"
    assert names["results"] == {"result": 7, "saved": [{"source": "s3://bucket/file.csv"}]}
    assert JobRegistry.registry is registry
    await names["app"].close()

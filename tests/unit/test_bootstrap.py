"""The one place where parts are wired."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.bootstrap import (
    discover_tasks,
    make_ears,
    make_runtime,
    make_store,
    make_waker,
    names_a_store,
    options_of,
    store_of,
    use_engine,
)
from app.cloud.pubsub import PubSubWaker
from app.cloud.pull import PulledHints
from app.cloud.tasks import CloudTasksWaker
from app.jobs import BadInput, EngineOptions, JobRegistry, NoWaker, SplitWaker
from app.jobs.binding import current_manager
from app.jobs.errors import NoEngine
from app.settings import DatabaseSettings, JobSettings, Settings, StorageSettings
from app.stores import DatabaseJobStore, FileJobStore, FirestoreJobStore, MemoryJobStore


def plain(**given: Any) -> Settings:
    """Settings from code alone, whatever the machine's environment says."""
    values: dict[str, Any] = {
        "store_url": None,
        "prefix": "",
        "task_packages": (),
        "job": JobSettings(),
        "storage": StorageSettings(),
        **given,
    }
    return Settings(_env_file=None, **values)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory:", MemoryJobStore),
        ("file:./jobs", FileJobStore),
        ("file:///jobs", FileJobStore),
        ("sqlite:///jobs.db", DatabaseJobStore),
        ("postgresql://me:secret@db.example:5432/jobs", DatabaseJobStore),
        ("postgres://me:secret@db.example/jobs", DatabaseJobStore),
        ("postgresql+psycopg://me@db.example/jobs", DatabaseJobStore),
        ("mysql://me:secret@db.example/jobs", DatabaseJobStore),
        ("mariadb://me:secret@db.example/jobs", DatabaseJobStore),
        ("firestore://my-project", FirestoreJobStore),
        ("firestore://my-project/(default)", FirestoreJobStore),
    ],
)
def test_an_address_names_a_store(url: str, kind: type) -> None:
    assert isinstance(make_store(url, prefix="p_"), kind)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "jobs.db",
        "me:hunter2@db.example/jobs",
        "redis://me:hunter2@db.example",
        "file:",
        "file://",
        "sqlite:",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:jobs.db",
        "postgresql://me:hunter2@db.example",
        "postgresql://me:hunter2@db.example:port/jobs",
        "mysql://me:hunter2@db.example",
        "firestore:",
        "firestore:///jobs",
    ],
)
def test_an_address_of_nothing_is_refused_with_what_there_is_and_no_password(url: str) -> None:
    with pytest.raises(BadInput) as refused:
        make_store(url)

    assert refused.value.field == "store_url"
    assert ":" in refused.value.remedy
    assert "hunter2" not in str(refused.value)


def test_the_address_goes_before_the_parts() -> None:
    given = plain(store_url="memory:", job=JobSettings(store_type="file"))

    assert isinstance(store_of(given), MemoryJobStore)


@pytest.mark.parametrize(
    ("job", "database", "kind"),
    [
        (JobSettings(store_type="memory"), DatabaseSettings(), MemoryJobStore),
        (JobSettings(store_type="file", store_path="jobs"), DatabaseSettings(), FileJobStore),
        (JobSettings(store_type="database"), DatabaseSettings(dialect="sqlite", path="jobs.db"), DatabaseJobStore),
        (JobSettings(store_type="database"), DatabaseSettings(dialect="postgresql", username="me"), DatabaseJobStore),
        (JobSettings(store_type="database"), DatabaseSettings(dialect="mysql", port=3307), DatabaseJobStore),
    ],
)
def test_parts_name_a_store(job: JobSettings, database: DatabaseSettings, kind: type) -> None:
    given = plain(job=job, storage=StorageSettings(database=database))

    assert isinstance(store_of(given), kind)
    assert isinstance(store_of(given, "file:fallback"), kind)


def test_parts_of_nothing_are_refused() -> None:
    database = DatabaseSettings(dialect="sqlite", path=":memory:")

    with pytest.raises(BadInput, match=r"storage\.database"):
        store_of(plain(job=JobSettings(store_type="database"), storage=StorageSettings(database=database)))


def test_the_fallback_is_for_settings_that_say_nothing() -> None:
    assert isinstance(store_of(plain()), MemoryJobStore)
    assert isinstance(store_of(plain(), "file:fallback"), FileJobStore)
    # How long jobs are kept does not say where.
    assert isinstance(store_of(plain(job=JobSettings(retention_days=3)), "file:fallback"), FileJobStore)
    assert [names_a_store(given) for given in (plain(), plain(store_url="memory:"))] == [False, True]
    assert names_a_store(plain(job=JobSettings(store_type="memory")))


def test_options_come_from_settings() -> None:
    given = plain(
        lease_seconds=7,
        flush_seconds=2,
        cancel_grace_seconds=3,
        shutdown_seconds=4,
        shards=8,
        job=JobSettings(retention_days=1, run_retention_days=2, job_recovery_timeout_minutes=0.5),
    )

    options = options_of(given)

    assert (options.lease_seconds, options.flush_seconds, options.cancel_grace_seconds) == (7, 2, 3)
    assert (options.shutdown_seconds, options.shards) == (4, 8)
    assert (options.keep_jobs, options.keep_runs) == (timedelta(days=1), timedelta(days=2))
    assert options.recovery_timeout == timedelta(seconds=30)


def test_settings_and_engine_have_the_same_defaults() -> None:
    # The grace of five minutes is a setting; an engine that was put together by hand takes back at once.
    assert options_of(plain()) == replace(EngineOptions(), recovery_timeout=timedelta(minutes=5))


def test_a_worker_that_stays_hears_what_the_settings_say() -> None:
    assert make_ears(plain()) == []
    (ear,) = make_ears(plain(wake_subscription="projects/p/subscriptions/s"))
    assert isinstance(ear, PulledHints)
    assert options_of(plain(poll_seconds=90)).poll_seconds == 90
    with pytest.raises(ValidationError):
        plain(wake_subscription="projects/p/topics/wake")


TOPIC = "projects/p/topics/wake"
QUEUE = {
    "wake_queue": "projects/p/locations/us-central1/queues/wake",
    "wake_url": "https://worker.example",
    "wake_account": "tasks@p.iam.gserviceaccount.com",
}


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, NoWaker),
        ({"wake_topic": TOPIC}, PubSubWaker),
        (QUEUE, CloudTasksWaker),
        ({**QUEUE, "wake_url": "http://127.0.0.1:8080", "wake_account": None}, CloudTasksWaker),
        ({**QUEUE, "wake_topic": TOPIC}, SplitWaker),
    ],
    ids=str,
)
def test_settings_name_what_wakes(given: dict[str, Any], kind: type) -> None:
    assert isinstance(make_waker(plain(**given)), kind)
    assert isinstance(make_runtime(plain(**given), MemoryJobStore()).waker, kind)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"wake_url": None}, "wake_url"),
        ({"wake_account": None}, "wake_account"),
        ({"wake_url": "http://worker.example", "wake_account": None}, "wake_account"),
        ({"wake_url": "http://worker.example"}, "wake_url"),
    ],
    ids=str,
)
def test_tasks_that_would_reach_nobody_are_refused(given: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as refused:
        make_waker(plain(**{**QUEUE, **given}))
    assert refused.value.field == field


def test_applications_are_told_what_the_settings_say() -> None:
    runtime = make_runtime(plain(catalog_apply_enabled=True), MemoryJobStore())

    assert runtime.application == {"catalog_apply_enabled": True}


def test_task_packages_are_looked_up_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    package = tmp_path / "bootstrap_tasks"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "fine.py").write_text(
        "from app.jobs import job\n\n@job('bootstrap_fine')\ndef fine(ctx): ...\n", encoding="utf-8"
    )
    (package / "broken.py").write_text("1 / 0\n", encoding="utf-8")

    found = discover_tasks(["bootstrap_tasks", "not_there_at_all"])
    JobRegistry.registry.remove("bootstrap_fine")

    assert {"app.catalog.tasks.scan", "bootstrap_tasks", "bootstrap_tasks.fine"} <= set(found.modules)
    failed = {failure.module: failure for failure in found.failures}
    assert set(failed) == {"bootstrap_tasks.broken", "not_there_at_all"}
    assert failed["bootstrap_tasks.broken"].file == f"{package / 'broken.py'}:1"
    assert "ZeroDivisionError" in failed["bootstrap_tasks.broken"].error


async def test_an_engine_is_bound_until_it_is_let_go() -> None:
    async with use_engine(MemoryJobStore()) as engine:
        assert current_manager() is engine.manager
        job = await engine.manager.submit("maintenance_scan")
        assert (await engine.manager.get_job(job.id)).type == "maintenance_scan"

    with pytest.raises(NoEngine):
        current_manager()


async def test_after_an_engine_inside_another_the_outer_one_is_bound_again() -> None:
    async with use_engine(MemoryJobStore()) as outer:
        async with use_engine(MemoryJobStore()) as inner:
            assert current_manager() is inner.manager
        assert current_manager() is outer.manager

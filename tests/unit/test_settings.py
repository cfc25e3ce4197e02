"""Settings: where they come from, what is refused, and that docs/settings.md lists them all."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings
from docs.list_settings import PAGE, page
from docs.list_settings import settings as listed


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting in the environment, and no .env in the current folder."""
    for name in os.environ:
        if name.startswith("TORPOR_") or name == "CATALOG_APPLY_ENABLED":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m docs.list_settings"


def test_every_setting_is_on_the_page_with_its_meaning() -> None:
    for setting in listed():
        assert len(setting.meaning) > 15, f"{setting.name} needs a docstring"
        assert setting.meaning.endswith("."), setting.name
        assert all(f"`{variable}`" in page() for variable in setting.variables)


VALUES = {
    "TORPOR_STORE_URL": "memory:",
    "TORPOR_PREFIX": "staging_",
    "TORPOR_TEXT_CODEC": "secrets_of:CODEC",
    "TORPOR_TASK_PACKAGES": "one,two.three",
    "TORPOR_CATALOG_APPLY_ENABLED": "true",
    "TORPOR_CATALOG_GEMINI_ENDPOINT": "https://proxy.example",
    "TORPOR_CATALOG_REPAIRER": "gemini",
    "TORPOR_LOG_FORMAT": "json",
    "TORPOR_TELEMETRY": "otlp",
    "TORPOR_SERVICE": "watchdog_worker",
    "TORPOR_OIDC_CALLERS": '{"push@project.iam": ["/pubsub/push"]}',
    "TORPOR_PROXIES": "1",
    "TORPOR_API_TOKENS": f'[{{"name": "ci", "sha256": "{"0" * 64}", "scopes": ["read"]}}]',
    "TORPOR_PEOPLE": '{"ann@example.com": ["admin"]}',
    "TORPOR_WAKE_TOPIC": "projects/p/topics/t",
    "TORPOR_WAKE_QUEUE": "projects/p/locations/l/queues/q",
    "TORPOR_WAKE_URL": "https://worker.example",
    "TORPOR_WAKE_ACCOUNT": "tasks@p.iam.gserviceaccount.com",
    "TORPOR_WAKE_SUBSCRIPTION": "projects/p/subscriptions/s",
    "TORPOR_WAKE_DELAYED": "true",
    "TORPOR_JOB__STORE_TYPE": "file",
    "TORPOR_STORAGE__DATABASE__DIALECT": "mysql",
}


def _read(settings: Settings, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("name", [setting.name for setting in listed()])
def test_every_variable_of_the_page_sets_its_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (setting,) = [setting for setting in listed() if setting.name == name]
    before = _read(Settings(), name)

    for variable in setting.variables:
        with monkeypatch.context() as patch:
            patch.setenv(variable, VALUES.get(setting.variables[0], "17"))

            assert _read(Settings(), name) != before, variable


def test_a_dotenv_file_is_read_and_the_environment_goes_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("TORPOR_LEASE_SECONDS=7\nTORPOR_PREFIX=file_\nSOMETHING_ELSE=1\n", encoding="utf-8")
    monkeypatch.setenv("TORPOR_PREFIX", "environment_")

    settings = Settings()

    assert (settings.lease_seconds, settings.prefix) == (7.0, "environment_")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORPOR_STORE_URL", "")
    monkeypatch.setenv("TORPOR_LEASE_SECONDS", "")

    assert (Settings().store_url, Settings().lease_seconds) == (None, 60.0)


def test_a_list_without_tokens_is_another_thing_than_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().api_tokens is None
    monkeypatch.setenv("TORPOR_API_TOKENS", "[]")
    assert Settings().api_tokens == []


def test_packages_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORPOR_TASK_PACKAGES", " mine , yours.tasks,, ")

    assert Settings().task_packages == ("mine", "yours.tasks")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TORPOR_LEASE_SECONDS", "0"),
        ("TORPOR_LEASE_SECONDS", "-1"),
        ("TORPOR_LEASE_SECONDS", "nan"),
        ("TORPOR_LEASE_SECONDS", "inf"),
        ("TORPOR_LEASE_SECONDS", "1e300"),
        ("TORPOR_LEASE_SECONDS", "a minute"),
        ("TORPOR_FLUSH_SECONDS", "0"),
        ("TORPOR_SHUTDOWN_SECONDS", "0"),
        ("TORPOR_CANCEL_GRACE_SECONDS", "-0.5"),
        ("TORPOR_CONCURRENCY", "0"),
        ("TORPOR_CONCURRENCY", "1.5"),
        ("TORPOR_SHARDS", "65"),
        ("TORPOR_PREFIX", "two words"),
        ("TORPOR_PREFIX", "x" * 41),
        ("TORPOR_CATALOG_APPLY_ENABLED", "perhaps"),
        ("CATALOG_APPLY_ENABLED", "perhaps"),
        ("TORPOR_WAKE_QUEUE", "projects/p/queues/q"),
        ("TORPOR_WAKE_URL", "worker.example"),
        ("TORPOR_WAKE_URL", "https://worker.example/tasks"),
        ("TORPOR_WAKE_ACCOUNT", "tasks"),
        ("TORPOR_WAKE_EXACT_SECONDS", "0"),
        ("TORPOR_JOB__STORE_TYPE", "floppy"),
        ("TORPOR_JOB__STORE_TPYE", "file"),
        ("TORPOR_JOB__RETENTION_DAYS", "1e300"),
        ("TORPOR_JOB__JOB_RECOVERY_TIMEOUT_MINUTES", "-1"),
        ("TORPOR_STORAGE__DATABASE__PORT", "70000"),
        ("TORPOR_STORAGE__DATABASE__CONNECTION_POOL_SIZE", "1"),
        ("TORPOR_STORAGE__TABLES__DIALECT", "sqlite"),
    ],
)
def test_a_wrong_value_is_refused(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ValidationError):
        Settings()


def test_a_wrong_assignment_is_refused_too() -> None:
    settings = Settings()

    with pytest.raises(ValidationError):
        settings.lease_seconds = -1
    with pytest.raises(ValidationError):
        settings.job.store_type = "floppy"  # type: ignore[assignment]  # that is what is tried
    assert (settings.lease_seconds, settings.job.store_type) == (60.0, "memory")


def test_neither_password_nor_address_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORPOR_STORE_URL", "postgresql://me:hunter2@db.example/jobs")
    monkeypatch.setenv("TORPOR_STORAGE__DATABASE__PASSWORD", "hunter2")

    settings = Settings()

    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)


def test_days_are_times() -> None:
    settings = Settings(job={"retention_days": 0.5, "run_retention_days": 0})  # type: ignore[arg-type]  # as JSON

    assert (settings.keep_jobs, settings.keep_runs) == (timedelta(hours=12), timedelta(0))

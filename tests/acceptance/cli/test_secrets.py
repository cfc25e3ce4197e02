"""Passwords stay out of what is printed."""

from __future__ import annotations

import logging

import pytest

from app.cli.secrets import HideSecrets, shown_url, without_secrets
from app.settings import DatabaseSettings, Settings, StorageSettings


@pytest.fixture
def _settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    database = DatabaseSettings(password="swordfish")  # type: ignore[arg-type]  # pydantic makes it a secret
    settings = Settings(
        _env_file=None,
        store_url="postgresql://me:hunter%2F2@db.example/jobs?sslpassword=opensesame&connect_timeout=3",
        storage=StorageSettings(database=database),
    )
    monkeypatch.setattr("app.settings.settings", settings)
    return settings


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("login as me with swordfish failed", "login as me with *** failed"),
        ("the password hunter/2 is wrong", "the password *** is wrong"),
        ("the password hunter%2F2 is wrong", "the password *** is wrong"),
        ("key opensesame", "key ***"),
        ("opening mysql://you:other@h:1/db: refused", "opening mysql://***@h:1/db: refused"),
        ("opening mysql://you:o@t/h:er@h:1/db: refused", "opening mysql://***@h:1/db: refused"),
        ("opening mysql://h/db?password=other&user=u", "opening mysql://h/db?password=***&user=u"),
        ("see https://example.org/a@b", "see https://example.org/a@b"),
        ("nothing to hide", "nothing to hide"),
    ],
)
@pytest.mark.usefixtures("_settings")
def test_a_password_is_taken_out(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


@pytest.mark.parametrize("url", [None, "memory:", "sqlite:///torpor.db", "postgresql://me@db.example/jobs"])
def test_without_passwords_nothing_changes(url: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.settings.settings", Settings(_env_file=None, store_url=url))

    assert without_secrets("opening torpor.db: me@db.example said no") == "opening torpor.db: me@db.example said no"


@pytest.mark.usefixtures("_settings")
def test_log_records_lose_their_passwords_too() -> None:
    record = logging.LogRecord("app", logging.WARNING, __file__, 1, "nothing of %s", ("postgresql://a:b@c/d",), None)

    assert HideSecrets().filter(record)
    assert record.getMessage() == "nothing of postgresql://***@c/d"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory:", "memory:"),
        ("sqlite:///torpor.db", "sqlite:///torpor.db"),
        ("postgresql://me:p@ss/w:rd@h:5/db?password=x", "postgresql://h:5/db"),
        ("firestore://project/(default)", "firestore://project/(default)"),
        ("me:secret@forgot.the.scheme/db", "forgot.the.scheme/db"),
    ],
)
def test_an_address_is_shown_without_who_and_how(url: str, shown: str) -> None:
    assert shown_url(url) == shown

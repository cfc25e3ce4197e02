"""Where a database is, and that its password is never shown."""

from __future__ import annotations

import pytest

from app.stores.sql import DatabaseJobStore
from app.stores.sql.address import address_of, address_of_parts


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///jobs.db", "sqlite:///jobs.db"),
        ("sqlite:////var/lib/jobs.db", "sqlite:////var/lib/jobs.db"),
        ("postgresql://me@db.example:6543/jobs", "postgresql+psycopg://me@db.example:6543/jobs"),
        ("postgres://db.example/jobs", "postgresql+psycopg://db.example/jobs"),
        ("postgresql+psycopg://db.example/jobs", "postgresql+psycopg://db.example/jobs"),
        ("mysql://me@db.example/jobs", "mysql+pymysql://me@db.example/jobs"),
        ("mariadb://db.example/jobs?ssl_ca=ca.pem", "mysql+pymysql://db.example/jobs?ssl_ca=ca.pem"),
    ],
)
def test_a_url_gets_the_driver_that_torpor_brings(url: str, expected: str) -> None:
    assert address_of(url).render_as_string() == expected


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("oracle://db.example/jobs", "no database store for 'oracle'"),
        ("postgresql+asyncpg://db.example/jobs", "no database store for 'postgresql.asyncpg'"),
        ("jobs.db", "cannot be read"),
        ("postgresql://db.example", "names no database"),
        ("sqlite://", "needs its file"),
        ("sqlite:///:memory:", "take MemoryJobStore"),
        ("postgresql://me:hush@db.example:port/jobs", "cannot be read"),
    ],
)
def test_a_url_that_is_none_says_what_to_write(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        address_of(url)
    assert "hush" not in str(caught.value)


def test_parts_make_an_address() -> None:
    address = address_of_parts(
        "postgresql",
        path=None,
        host="db.example",
        port=6543,
        username="me",
        password="p@ss/word",
        database="jobs",
    )
    assert (address.host, address.port, address.username, address.password) == ("db.example", 6543, "me", "p@ss/word")
    assert address.database == "jobs"


@pytest.mark.parametrize(
    ("dialect", "parts", "words"),
    [
        ("oracle", {}, "sqlite, postgresql or mysql"),
        ("sqlite", {"host": "db.example"}, "neither host nor port"),
        ("sqlite", {}, "needs its file"),
        ("postgresql", {"path": "jobs.db"}, "no path"),
        ("mysql", {"host": "db.example"}, "names no database"),
    ],
)
def test_parts_that_do_not_fit_are_refused(dialect: str, parts: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DatabaseJobStore(dialect, **parts)  # type: ignore[arg-type]  # the keywords are the class's own


def test_a_store_shows_where_it_is_without_the_password() -> None:
    store = DatabaseJobStore(url="postgresql://me:hush@db.example/jobs", prefix="test_")
    assert repr(store) == "DatabaseJobStore('postgresql+psycopg://me:***@db.example/jobs', prefix='test_')"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "either url"),
        ({"url": "sqlite:///a.db", "dialect": "sqlite"}, "either url"),
        ({"url": "sqlite:///a.db", "connection_pool_size": 1}, "at least 2"),
        ({"url": "sqlite:///a.db", "prefix": "a.b"}, "letters, digits"),
        ({"url": "sqlite:///a.db", "prefix": "x" * 25}, "24"),
        ({"url": "sqlite:///a.db", "synchronous": "full; DROP TABLE jobs"}, "SQLite knows OFF, NORMAL, FULL, EXTRA"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DatabaseJobStore(**settings)  # type: ignore[arg-type]  # the keywords are the class's own

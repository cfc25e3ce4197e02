"""Where a database is: one URL out of what the caller gave, and how it may be shown."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
}
_KNOWN = "sqlite:///FILE, postgresql://… or mysql://…"


def address_of(url: str) -> URL:
    """The address that a URL names, with this store's own driver.

    Raises:
        ValueError: the URL cannot be read, or names a database or driver that is not known here.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Not shown, because a mistyped URL may still hold a password.
        raise ValueError(f"the database URL cannot be read; write {_KNOWN}") from None
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ValueError(f"no database store for {parsed.drivername!r}; write {_KNOWN}")
    return _checked(parsed.set(drivername=driver))


def address_of_parts(
    dialect: str,
    *,
    path: str | None,
    host: str | None,
    port: int | None,
    username: str | None,
    password: str | None,
    database: str | None,
) -> URL:
    """The address of a file (`path`), or of a database on a server.

    Raises:
        ValueError: the dialect is not known, or the parts are not those that it needs.
    """
    driver = _DRIVERS.get(dialect)
    if driver is None:
        raise ValueError(f"no database store for dialect {dialect!r}; it is sqlite, postgresql or mysql")
    if driver == "sqlite":
        if host is not None or port is not None:
            raise ValueError("dialect sqlite is a file: give its path, and neither host nor port")
        return _checked(URL.create(driver, database=path if path is not None else database))
    if path is not None:
        raise ValueError(f"dialect {dialect} is on a server: give host and database, and no path")
    return _checked(URL.create(driver, username, password, host or "127.0.0.1", port, database))


def shown(address: URL) -> str:
    """The address without its password."""
    return address.render_as_string(hide_password=True)


def _checked(address: URL) -> URL:
    if address.database:
        if address.drivername == "sqlite" and (":memory:" in address.database or "mode=memory" in address.database):
            raise ValueError("a database in memory belongs to one connection; take MemoryJobStore, or name a file")
        return address
    if address.drivername == "sqlite":
        raise ValueError('an SQLite store needs its file, for example "sqlite:///jobs.db" or path="jobs.db"')
    raise ValueError(f"the address {shown(address)} names no database")

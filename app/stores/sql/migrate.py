"""Bringing the tables up to date, once, whichever process comes first.

Looking whether there is anything to do is one SELECT; Alembic is imported only if there is.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, column, select, table
from sqlalchemy.exc import DBAPIError

from app.stores.base import StoreError
from app.stores.sql.drivers import Driver, Trouble
from app.stores.sql.tables import Naming

HEAD = "0002"
"""The newest migration. A database at this revision is left alone."""

SCRIPTS = Path(__file__).parent.parent / "migrations"

# Alembic hands its context to the migrations through module-level proxies, so one thread at a time can use it.
_one_at_a_time = Lock()


def migrate(connection: Connection, naming: Naming, driver: Driver) -> None:
    """Bring the tables to the newest migration, unless they are there.

    Raises:
        StoreError: the database was migrated by a newer version of this program.
    """
    if _is_at_head(connection, naming, driver):
        return
    with _one_at_a_time, driver.migration_lock(connection, naming.version_table):
        found = _noted(connection, naming) if connection.dialect.has_table(connection, naming.version_table) else None
        if found != HEAD:
            _upgrade(connection, naming, found)


def _is_at_head(connection: Connection, naming: Naming, driver: Driver) -> bool:
    try:
        return _noted(connection, naming) == HEAD
    except DBAPIError as error:
        if driver.trouble(error) is not Trouble.OTHER:
            raise
        return False  # there is no such table yet


def _noted(connection: Connection, naming: Naming) -> str | None:
    noted = table(naming.version_table, column("version_num"))
    found: str | None = connection.scalar(select(noted.c.version_num))
    return found


def _upgrade(connection: Connection, naming: Naming, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["naming"] = naming
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(
            f"the tables are at migration {found!r}, which this version, at {HEAD!r}, does not know ({error}); "
            "run the version that made them, or a newer one"
        ) from error

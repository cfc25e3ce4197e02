"""Which driver serves an address."""

from __future__ import annotations

from sqlalchemy import URL

from app.stores.sql.drivers import Driver


def driver_for(address: URL, synchronous: str = "FULL", lock_timeout_seconds: float = 5.0) -> Driver:
    """The driver of the database at an address of `address_of`.

    Each brings its database's library, so only the one that is used is imported.
    """
    if address.drivername == "sqlite":
        from app.stores.sql.sqlite import SqliteDriver

        return SqliteDriver(synchronous, lock_timeout_seconds)
    if address.drivername == "postgresql+psycopg":
        from app.stores.sql.postgresql import PostgresqlDriver

        return PostgresqlDriver(lock_timeout_seconds)
    from app.stores.sql.mysql import MysqlDriver

    return MysqlDriver(lock_timeout_seconds)

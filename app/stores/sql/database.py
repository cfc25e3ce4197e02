"""One open database: its connections and threads, from `open` to `close`."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import URL, Engine, Table
from sqlalchemy.exc import SQLAlchemyError

from app.stores.schema import BY_NAME, JOBS
from app.stores.sql.address import shown
from app.stores.sql.claim import Claimer
from app.stores.sql.drivers import Driver, Link, refusal
from app.stores.sql.enlist import Enlister
from app.stores.sql.lookups import Lookups
from app.stores.sql.migrate import migrate
from app.stores.sql.queries import Questions
from app.stores.sql.reader import Reader
from app.stores.sql.rows import RowReader
from app.stores.sql.statements import Statements
from app.stores.sql.tables import Naming, build_tables
from app.stores.sql.transaction import Transactor
from app.stores.sql.units import Planner
from app.stores.sql.watch import Watcher
from app.stores.sql.writer import Writer


class Database:
    """What is held while a store is open. Made by `connect`; threads and connections follow when they are needed."""

    def __init__(self, driver: Driver, engine: Engine, naming: Naming, readers: int) -> None:
        self._driver = driver
        self._engine = engine
        is_mariadb = getattr(engine.dialect, "is_mariadb", False)
        tables: Mapping[str, Table] = build_tables(naming, driver.name, is_mariadb=is_mariadb)
        statements = Statements(tables, engine.dialect)
        self.planner = Planner(statements)
        self.questions = Questions(statements, driver)
        self.rows = {name: RowReader(name, driver.name) for name in BY_NAME}
        lookups = Lookups(statements, naming)
        claimer = Claimer(lookups, self.planner, self.rows[JOBS.name])
        self.writer = Writer(Transactor(driver, self._link_to_write, lookups, claimer, driver.notice(naming)))
        self.reader = Reader(driver, self._link_to_read, readers)
        self.watcher = Watcher(driver, engine, naming, tables)
        self.enlister = Enlister(driver, naming, tables)

    async def close(self) -> None:
        """Finish what was begun and let go of every connection and thread."""
        await self.watcher.close()
        await self.writer.close()
        await self.reader.close()
        self._engine.dispose()

    def _link_to_write(self) -> Link:
        return self._driver.link(self._engine, writing=True)

    def _link_to_read(self) -> Link:
        return self._driver.link(self._engine, writing=False)


def connect(driver: Driver, address: URL, naming: Naming, pool_size: int) -> Database:
    """Connect, and bring the tables up to date. Blocks.

    Raises:
        StoreUnavailable: the database cannot be reached now.
        StoreError: it refuses, or was migrated by a newer version of this program.
    """
    engine = driver.engine(address)
    try:
        with engine.connect() as connection:
            driver.prepare(connection)
            migrate(connection, naming, driver)
    except SQLAlchemyError as error:
        raise refusal(driver, error, f"opening {shown(address)}") from error
    return Database(driver, engine, naming, max(1, pool_size - 1))

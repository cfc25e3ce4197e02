"""Writing a unit inside a transaction of the caller's own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Executable, Table, select
from sqlalchemy.exc import IntegrityError

from app.stores.base import Delete, Insert, NotJoinable, PreconditionFailed, Put, Unit, Verify, Write
from app.stores.sql.drivers import Driver
from app.stores.sql.statements import build_delete, build_insert, build_put, build_update
from app.stores.sql.tables import Naming
from app.stores.sql.units import Name, PlannedUnit, PlannedWrite, judge


class Enlister:
    """Writes units on others' connections, through SQLAlchemy, so that any driver of the same dialect will do."""

    def __init__(self, driver: Driver, naming: Naming, tables: Mapping[str, Table]) -> None:
        self._driver = driver
        self._naming = naming
        self._tables = tables

    async def enlist(self, transaction: object, unit: Unit, planned: PlannedUnit) -> None:
        """Write a unit in the transaction of a Connection or Session, or of their asyncio kind.

        Raises:
            NotJoinable: it is none of these, in autocommit mode, or of another dialect.
            PreconditionFailed: nothing of the unit was written.
        """
        if isinstance(transaction, Connection):
            self._write(transaction, unit, planned)
            return
        from sqlalchemy.orm import Session

        if isinstance(transaction, Session):
            self._write(transaction.connection(), unit, planned)
            return
        try:
            from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
        except ImportError:  # SQLAlchemy was installed without its asyncio part: nobody can have such an object
            raise _not_joinable(transaction) from None
        if isinstance(transaction, AsyncConnection):
            await transaction.run_sync(self._write, unit, planned)
        elif isinstance(transaction, AsyncSession):
            await transaction.run_sync(lambda session: self._write(session.connection(), unit, planned))
        else:
            raise _not_joinable(transaction)

    def _write(self, connection: Connection, unit: Unit, planned: PlannedUnit) -> None:
        dialect = connection.dialect
        if dialect.name.replace("mariadb", "mysql") != self._driver.name:
            raise NotJoinable(f"the transaction is on {dialect.name}, but the jobs are on {self._driver.name}")
        raw = connection.connection.dbapi_connection
        if raw is not None and dialect.detect_autocommit_setting(raw):
            raise NotJoinable("the connection is in autocommit mode, so there is no transaction to join; begin one")
        error = judge(planned, self._stored(connection, planned))
        if error is not None:
            raise error
        if self._driver.name == "sqlite":
            # The first write either gets the whole file's lock or fails: nobody can come between any more. (A savepoint
            # would end the transaction itself in sqlite3's own transaction mode.)
            self._execute(connection, unit, planned)
        else:
            with connection.begin_nested():
                self._execute(connection, unit, planned)
        if planned.claimable:
            self._driver.tell(connection, self._naming)

    def _stored(self, connection: Connection, planned: PlannedUnit) -> dict[Name, int]:
        named: dict[str, set[str]] = defaultdict(set)
        for write in planned.writes:
            if write.expects is not None:
                named[write.collection].add(write.id)
        stored: dict[Name, int] = {}
        for collection in sorted(named):
            table = self._tables[collection]
            found = select(table.c.id, table.c.version).where(table.c.id.in_(sorted(named[collection])))
            for row in connection.execute(found.order_by(table.c.id).with_for_update()):
                stored[collection, row[0]] = row[1]
        return stored

    def _execute(self, connection: Connection, unit: Unit, planned: PlannedUnit) -> None:
        for write, ready, version in zip(unit, planned.writes, planned.versions, strict=True):
            try:
                connection.execute(*self._statement(write, ready, version))
            except IntegrityError as error:
                raise PreconditionFailed(
                    write.collection, write.id, "there is a record with this id already"
                ) from error

    def _statement(self, write: Write, ready: PlannedWrite, version: str) -> tuple[Executable, dict[str, Any]]:
        table = self._tables[write.collection]
        if isinstance(write, (Insert, Put)):
            names = tuple(write.fields)
            values = {**write.fields, "id": write.id, "version": int(version)}
            if isinstance(write, Insert):
                return build_insert(table, names), values
            return build_put(table, names, self._driver.name), values
        at = {"at_id": write.id, "at_version": ready.expects}
        if isinstance(write, Delete):
            return build_delete(table, guarded=write.version is not None), at
        if isinstance(write, Verify):
            return build_update(table, ()), {**at, "version": ready.expects}
        return build_update(table, tuple(write.fields)), {**at, **write.fields, "version": int(version)}


def _not_joinable(transaction: object) -> NotJoinable:
    return NotJoinable(
        f"a database store cannot write inside {type(transaction).__name__}; give it an SQLAlchemy Connection or "
        "Session, or their asyncio kind"
    )

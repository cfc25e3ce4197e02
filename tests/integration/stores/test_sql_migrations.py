"""Tables come to be as they are declared, once, however many processes start at the same time."""

# ruff: noqa: S608 - the names of tables are the test's own

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from app.stores.base import Query, StoreError
from app.stores.sql.migrate import HEAD
from app.stores.sql.tables import Naming, build_tables
from tests.integration.stores.sql_databases import KINDS, Place, place

PROCESSES = 4
PATIENCE_SECONDS = 120.0

OPEN_AND_WRITE = """
import asyncio, sys
from app.stores.base import Insert
from app.stores.sql import DatabaseJobStore

async def main(url, prefix, name):
    store = DatabaseJobStore(url=url, prefix=prefix)
    await store.open()
    await store.commit([Insert("runs", name, {"job_id": "j"})])
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(params=KINDS)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return place(request.param, request, tmp_path)


async def migrated(where: Place) -> None:
    store = where.store()
    await store.open()
    await store.close()


async def test_migrations_lead_to_the_declared_tables(where: Place) -> None:
    await migrated(where)
    declared = Naming(f"d{where.prefix}"[:24] if where.prefix else "d_")
    engine = where.engine()
    try:
        with engine.begin() as connection:
            is_mariadb = getattr(connection.dialect, "is_mariadb", False)
            tables = build_tables(declared, where.kind, is_mariadb=is_mariadb)
            next(iter(tables.values())).metadata.create_all(connection)
        with engine.connect() as connection:
            made = described(connection, where.kind, Naming(where.prefix))
            wanted = described(connection, where.kind, declared)
    finally:
        engine.dispose()
    assert sorted(made) == sorted(wanted)
    for name, lines in wanted.items():
        assert made[name] == lines, name


def described(connection: Connection, kind: str, naming: Naming) -> dict[str, list[str]]:
    """Every table and index below a prefix, in the database's own words, lines sorted, without the prefix."""
    names = [naming.table(name) for name in build_tables(naming, kind)]
    found: dict[str, list[str]] = {}
    for name in names:
        if kind == "sqlite":
            rows = connection.execute(text("SELECT sql FROM sqlite_master WHERE tbl_name = :name"), {"name": name})
            # A column that was added later stands on the line of the one before it.
            texts = [row[0].replace(", ", ",\n") for row in rows if row[0] is not None]
            lines = [line for text in texts for line in text.splitlines()]
        elif kind == "mysql":
            lines = connection.execute(text(f"SHOW CREATE TABLE {name}")).one()[1].splitlines()
        else:
            columns = (
                "SELECT column_name, data_type, collation_name, character_maximum_length, datetime_precision, "
                "is_nullable, column_default FROM information_schema.columns WHERE table_name = :name"
            )
            lines = [str(tuple(row)) for row in connection.execute(text(columns), {"name": name})]
            indexes = text("SELECT indexdef FROM pg_indexes WHERE tablename = :name")
            lines += connection.execute(indexes, {"name": name}).scalars()
        plain = (line.strip().rstrip(",").replace(naming.table(""), "") for line in lines)
        found[name.replace(naming.table(""), "")] = sorted(line for line in plain if line)
    return found


def test_processes_that_start_together_make_the_tables_once(where: Place) -> None:
    command = [sys.executable, "-W", "error", "-c", OPEN_AND_WRITE, where.url, where.prefix]
    started = [
        subprocess.Popen([*command, f"run-{number}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for number in range(PROCESSES)
    ]
    outputs = [process.communicate(timeout=PATIENCE_SECONDS)[0] for process in started]
    assert [process.returncode for process in started] == [0] * PROCESSES, "\n".join(outputs)
    engine = where.engine()
    try:
        with engine.connect() as connection:
            runs = connection.execute(text(f"SELECT count(*) FROM {where.prefix}torpor_runs")).scalar_one()
            revisions = connection.execute(text(f"SELECT version_num FROM {where.prefix}torpor_migrations")).scalars()
            assert runs == PROCESSES
            assert list(revisions) == [HEAD]
    finally:
        engine.dispose()


async def test_a_migration_that_was_cut_short_is_finished(where: Place) -> None:
    await migrated(where)
    engine = where.engine()
    on = f" ON {where.table}" if where.kind == "mysql" else ""
    try:
        with engine.begin() as connection:
            connection.execute(text(f"DROP INDEX ix_{where.table}_list{on}"))
            connection.execute(text(f"DROP TABLE {where.prefix}torpor_rollups"))
            connection.execute(text(f"DELETE FROM {where.prefix}torpor_migrations"))
        store = where.store()
        await store.open()
        try:
            assert await store.count(Query("rollups.list")) == 0
        finally:
            await store.close()
        with engine.connect() as connection:
            assert f"ix_{where.table}_list" in {
                index["name"] for index in connection.dialect.get_indexes(connection, where.table)
            }
    finally:
        engine.dispose()


async def test_tables_of_the_first_migration_are_brought_up_to_date_with_what_is_in_them(where: Place) -> None:
    await migrated(where)
    names = Naming(where.prefix)
    exercises, by_slug = names.table("exercises"), names.index("exercises", "by_slug")
    on = f" ON {exercises}" if where.kind == "mysql" else ""
    engine = where.engine()
    try:
        with engine.begin() as connection:
            for later in ("exercise_aliases", "exercise_families", "catalog_changes", "catalog_lines"):
                connection.execute(text(f"DROP TABLE {names.table(later)}"))
            connection.execute(text(f"DROP INDEX {by_slug}{on}"))
            connection.execute(text(f"ALTER TABLE {exercises} DROP COLUMN slug"))
            connection.execute(
                text(f"INSERT INTO {exercises} (id, version, status, document) VALUES ('fly', 7, 'active', 'kept')")
            )
            connection.execute(text(f"UPDATE {names.version_table} SET version_num = '0001'"))
        store = where.store()
        await store.open()
        try:
            (record,) = await store.get("exercises", ["fly"])
            assert record is not None
            assert record.fields == {"status": "active", "document": "kept"}
            assert await store.count(Query("changes.list")) == 0
        finally:
            await store.close()
        with engine.connect() as connection:
            assert by_slug in {index["name"] for index in connection.dialect.get_indexes(connection, exercises)}
    finally:
        engine.dispose()


async def test_tables_of_a_newer_version_are_left_alone(where: Place) -> None:
    await migrated(where)
    engine = where.engine()
    try:
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE {where.prefix}torpor_migrations SET version_num = '9999'"))
    finally:
        engine.dispose()
    store = where.store()
    with pytest.raises(StoreError, match=r"migration '9999', which this version, at '\d+', does not know"):
        await store.open()


def test_alembic_is_imported_only_to_migrate(where: Place) -> None:
    check = OPEN_AND_WRITE + "\nassert ('alembic' in sys.modules) is (sys.argv[3] == 'first'), sys.argv[3]\n"
    for name in ("first", "second"):
        command = [sys.executable, "-c", check, where.url, where.prefix, name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
        assert done.returncode == 0, done.stderr

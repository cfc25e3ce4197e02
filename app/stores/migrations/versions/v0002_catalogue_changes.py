"""Aliases, families and changes of the catalogue. Frozen: what has been run somewhere is never edited."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql, postgresql

revision = "0002"
down_revision = "0001"

TABLES: dict[str, dict[str, str]] = {
    "exercise_aliases": {"key": "target", "text": "document", "int": "schema_version", "time": "created_at"},
    "exercise_families": {"text": "document", "int": "schema_version", "time": "created_at"},
    "catalog_changes": {"text": "document", "int": "schema_version", "time": "made_at"},
    "catalog_lines": {
        "key": "change_id",
        "text": "document",
        "int": "schema_version number",
        "time": "undone_at",
    },
}

INDEXES: tuple[tuple[str, str, str, str], ...] = (
    # table, purpose, columns, columns whose NULLs are left out where the database can
    ("exercises", "list_family", "family created_at id", "family created_at"),
    ("exercises", "by_slug", "slug created_at id", "created_at"),
    ("exercise_aliases", "list", "created_at id", "created_at"),
    ("exercise_aliases", "list_target", "target created_at id", "target created_at"),
    ("exercise_families", "list", "created_at id", "created_at"),
    ("catalog_changes", "list", "made_at id", "made_at"),
    ("catalog_lines", "of_change", "change_id number id", "number"),
)


def upgrade() -> None:
    """Create what is not there yet; MySQL cannot undo half a migration, so it has to be able to go on with one."""
    naming = context.config.attributes["naming"]
    bind = op.get_bind()
    present = sa.inspect(bind)
    types = _types(bind.dialect.name, getattr(bind.dialect, "is_mariadb", False))
    exercises = naming.table("exercises")
    if "slug" not in {column["name"] for column in present.get_columns(exercises)}:
        op.add_column(exercises, sa.Column("slug", types["key"]))
    for collection, fields in TABLES.items():
        name = naming.table(collection)
        if present.has_table(name):
            continue
        columns: list[sa.Column[Any]] = [
            sa.Column("id", types["key"], primary_key=True),
            sa.Column("version", sa.BigInteger(), nullable=False),
        ]
        columns += [sa.Column(field, types[kind]) for kind, names in fields.items() for field in names.split()]
        op.create_table(name, *columns, mysql_engine="InnoDB", mysql_charset="utf8mb4", mysql_collate="utf8mb4_bin")
    present.clear_cache()
    for collection, purpose, columns_text, filled in INDEXES:
        table, name = naming.table(collection), naming.index(collection, purpose)
        if name not in {index["name"] for index in present.get_indexes(table)}:
            _create_index(bind.dialect.name, name, table, columns_text.split(), filled.split())


def _create_index(dialect: str, name: str, table: str, columns: list[str], filled: list[str]) -> None:
    if dialect == "mysql":
        # The primary key is part of every InnoDB index already.
        op.create_index(name, table, [column for column in columns if column != "id"])
        return
    where = sa.text(" AND ".join(f"{column} IS NOT NULL" for column in filled))
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def _types(dialect: str, is_mariadb: bool) -> dict[str, sa.types.TypeEngine[Any]]:
    types: dict[str, sa.types.TypeEngine[Any]] = {
        "key": sa.String(200),
        "text": sa.Text(),
        "int": sa.BigInteger(),
        "time": sa.BigInteger(),
    }
    if dialect == "postgresql":
        types["key"] = sa.String(200, collation="C")
        types["time"] = postgresql.TIMESTAMP(timezone=True)
    if dialect == "mysql":
        collation = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        types["key"] = mysql.VARCHAR(200, charset="utf8mb4", collation=collation)
        types["text"] = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
        types["time"] = mysql.DATETIME(fsp=6)
    return types

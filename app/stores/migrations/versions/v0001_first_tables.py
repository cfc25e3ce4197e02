"""The first tables. Frozen: what has been run somewhere is never edited, so nothing here follows other code."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import mysql, postgresql

revision = "0001"
down_revision = None

TABLES: dict[str, dict[str, str]] = {
    "jobs": {
        "key": "type queue route batch_id parent_id mode status parked_on waiting_for turn retry_backoff worker_id "
        "lease_token write_id outcome control_id control_action on_dependency_failure on_failure release",
        "text": "name description payload settings metadata idempotency_key progress checkpoint result error review "
        "control_reason",
        "int": "schema_version priority shard depth revision attempt retries_used lease_losses slices idle_slices "
        "max_retries max_lease_losses log_length results_saved steps",
        "float": "run_seconds retry_delay_seconds timeout_seconds max_duration_seconds",
        "bool": "idempotent holds_turn auto_start has_dependents deleting",
        "time": "created_at updated_at started_at finished_at queued_at ready_at wake_at allowed_at start_before "
        "lease_started_at lease_expires_at control_at watched_until waiting_since start_at expire_at",
        "keys": "tags depends_on unmet",
    },
    "runs": {
        "key": "job_id type queue batch_id parent_id outcome status worker_id",
        "text": "message error details",
        "int": "schema_version priority attempt retries_used lease_losses",
        "float": "duration_seconds waited_seconds",
        "bool": "counted",
        "time": "started_at ended_at expire_at",
    },
    "logs": {"key": "job_id", "text": "entries", "int": "schema_version first count", "time": "expire_at"},
    "results": {"key": "job_id", "text": "data", "int": "schema_version seq attempt", "time": "saved_at expire_at"},
    "steps": {"key": "job_id", "text": "about result", "int": "schema_version call"},
    "events": {
        "key": "name target",
        "text": "sent_by data",
        "int": "schema_version",
        "time": "sent_at untold_since",
    },
    "once": {"text": "about result", "int": "schema_version", "time": "touched_at"},
    "chunks": {"key": "job_id", "text": "text", "int": "schema_version seq", "time": "expire_at"},
    "rollups": {"text": "counts", "int": "schema_version", "time": "hour made_at"},
    "gates": {"key": "job_id", "int": "schema_version", "time": "waiting_since", "keys": "unmet"},
    "limits": {"key": "holder job_id", "int": "schema_version epoch", "time": "expires_at", "keys": "queues types"},
    "schedules": {"text": "definition state", "int": "schema_version", "time": "created_at next_at"},
    "uniques": {"key": "job_id", "int": "schema_version", "time": "until look_at"},
    "batches": {
        "key": "status digest on_complete",
        "text": "name",
        "int": "schema_version total pages",
        "time": "created_at updated_at",
    },
    "manifests": {"text": "text", "int": "schema_version", "time": "delete_at"},
    "exercises": {
        "key": "family status",
        "text": "name document",
        "int": "schema_version",
        "time": "created_at updated_at",
        "keys": "equipment",
    },
}

INDEXES: tuple[tuple[str, str, str, str], ...] = (
    # table, purpose, columns, columns whose NULLs are left out where the database can
    ("jobs", "ready", "queue route shard -priority ready_at id", "ready_at"),
    ("jobs", "due", "wake_at id", "wake_at"),
    ("jobs", "expiring", "status start_before id", "start_before"),
    ("jobs", "leased", "lease_expires_at id", "lease_expires_at"),
    ("jobs", "list", "created_at id", "created_at"),
    ("jobs", "list_status", "status created_at id", "status created_at"),
    ("jobs", "list_type", "type created_at id", "type created_at"),
    ("jobs", "list_batch_id", "batch_id created_at id", "batch_id created_at"),
    ("jobs", "list_parent_id", "parent_id created_at id", "parent_id created_at"),
    ("jobs", "finished", "finished_at id", "finished_at"),
    ("jobs", "releasing", "release finished_at id", "release"),
    ("jobs", "ready_by_age", "ready_at id", "ready_at"),
    ("jobs", "waiting", "waiting_since id", "waiting_since"),
    ("gates", "waiting", "waiting_since id", "waiting_since"),
    ("jobs", "parked", "parked_on -priority created_at id", "parked_on"),
    ("jobs", "parked_by_age", "parked_on created_at id", "parked_on"),
    ("jobs", "awaiting", "waiting_for created_at id", "waiting_for"),
    ("limits", "expiring", "expires_at id", "expires_at"),
    ("batches", "list", "created_at id", "created_at"),
    ("manifests", "expiring", "delete_at id", "delete_at"),
    ("runs", "list", "ended_at id", "ended_at"),
    ("runs", "list_job_id", "job_id ended_at id", "job_id ended_at"),
    ("logs", "of_job", "job_id first id", "first"),
    ("results", "of_job", "job_id seq id", "seq"),
    ("steps", "of_job", "job_id call id", "call"),
    ("events", "sent", "name target sent_at id", "sent_at"),
    ("events", "untold", "untold_since id", "untold_since"),
    ("events", "list", "sent_at id", "sent_at"),
    ("once", "touched", "touched_at id", "touched_at"),
    ("chunks", "of_job", "job_id seq id", "seq"),
    ("rollups", "list", "hour id", "hour"),
    ("schedules", "due", "next_at id", "next_at"),
    ("schedules", "list", "created_at id", "created_at"),
    ("uniques", "stale", "look_at id", "look_at"),
    ("exercises", "list", "created_at id", "created_at"),
)


def upgrade() -> None:
    """Create what is not there yet; MySQL cannot undo half a migration, so it has to be able to go on with one."""
    naming = context.config.attributes["naming"]
    bind = op.get_bind()
    present = sa.inspect(bind)
    types = _types(bind.dialect.name, getattr(bind.dialect, "is_mariadb", False))
    for collection, fields in TABLES.items():
        name = naming.table(collection)
        if present.has_table(name):
            continue
        columns: list[sa.Column[Any]] = [
            sa.Column("id", types["key"], primary_key=True),
            sa.Column("version", sa.BigInteger(), nullable=False),
        ]
        columns += [sa.Column(field, types[kind]) for kind, names in fields.items() for field in names.split()]
        if bind.dialect.name == "mysql" and collection == "jobs":
            rank = sa.Computed("(case when ready_at is null then null else -1 - priority end)", persisted=False)
            columns.append(sa.Column("ready_rank", sa.BigInteger(), rank))
        op.create_table(
            name,
            *columns,
            mysql_engine="InnoDB",
            mysql_charset="utf8mb4",
            mysql_collate="utf8mb4_bin",
            # Rows of a queue change often; a fifth of a large table is too long to wait with tidying its indexes.
            postgresql_with={"autovacuum_vacuum_scale_factor": 0.05} if collection == "jobs" else {},
        )
    present.clear_cache()
    for collection, purpose, columns_text, filled in INDEXES:
        table, name = naming.table(collection), naming.index(collection, purpose)
        if name not in {index["name"] for index in present.get_indexes(table)}:
            _create_index(bind.dialect.name, name, table, columns_text.split(), filled.split())


def _create_index(dialect: str, name: str, table: str, columns: list[str], filled: list[str]) -> None:
    if dialect == "mysql":
        # The primary key is part of every InnoDB index already.
        rank = "ready_rank" if "ready_at" in columns else sa.text("priority DESC")
        op.create_index(name, table, [rank if c == "-priority" else c for c in columns if c != "id"])
        return
    ordered: list[str | sa.TextClause] = [sa.text("priority DESC") if c == "-priority" else c for c in columns]
    where = sa.text(" AND ".join(f"{column} IS NOT NULL" for column in filled))
    op.create_index(name, table, ordered, sqlite_where=where, postgresql_where=where)


def _types(dialect: str, is_mariadb: bool) -> dict[str, sa.types.TypeEngine[Any]]:
    types: dict[str, sa.types.TypeEngine[Any]] = {
        "key": sa.String(200),
        "text": sa.Text(),
        "int": sa.BigInteger(),
        "float": sa.Double(),
        "bool": sa.Boolean(),
        "time": sa.BigInteger(),
        "keys": sa.Text(),
    }
    if dialect == "postgresql":
        types["key"] = sa.String(200, collation="C")
        types["time"] = postgresql.TIMESTAMP(timezone=True)
    if dialect == "mysql":
        collation = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        types["key"] = mysql.VARCHAR(200, charset="utf8mb4", collation=collation)
        types["text"] = types["keys"] = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
        types["time"] = mysql.DATETIME(fsp=6)
    return types

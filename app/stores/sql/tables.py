"""The tables: one for each collection, one native column for each field, and the indexes that shapes need.

An index is paid for by every job and a rare question by the one who asks it, so not every shape has its own:
`jobs.by_priority` sorts what its filters leave, and of the optional filters those have an index that are asked
while a job is looked after (its status, type, batch and parent; a run's job). The others are checked row by row
along the shape's order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sqlalchemy import BigInteger, Column, Computed, Index, MetaData, Table, text

from app.stores.base import Shape
from app.stores.schema import COLLECTIONS, SHAPE_BY_NAME
from app.stores.sql.types import column_type, key_type

READY_RANK = "ready_rank"
"""MySQL's stand-in for a partial and descending index: minus 1 minus the priority of a claimable job, else NULL.
No priority overflows so."""

# An option of one dialect makes SQLAlchemy import that dialect with all its drivers, so each gets its own only.
_MYSQL_TABLE: Mapping[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}

_PREFIX = re.compile(r"[A-Za-z0-9_-]{0,24}")
_UNINDEXED = frozenset({"jobs.by_priority", "jobs.dependents"})
_SELDOM_THERE = frozenset({"release"})
"""Filters that only few records have a value for: their indexes hold those records only."""
_FILTERED: Mapping[str, tuple[str, ...]] = {
    "jobs.list": ("status", "type", "batch_id", "parent_id"),
    "runs.list": ("job_id",),
    "exercises.list": ("family",),
    "aliases.list": ("target",),
}
"""Optional filters that have an index of their own, in front of the shape's order."""
_ALWAYS_THERE = frozenset({"priority", "created_at"})
"""Fields that every record has, so that leaving out those without them leaves out none."""


@dataclass(frozen=True, slots=True)
class Naming:
    """What things are called in the database, so that environments with different prefixes never meet."""

    prefix: str = ""

    def __post_init__(self) -> None:
        if _PREFIX.fullmatch(self.prefix) is None:
            raise ValueError(
                f"prefix {self.prefix!r}: it becomes part of table names, so take at most 24 letters, digits, "
                'underscores and hyphens, for example "staging_"'
            )

    def table(self, collection: str) -> str:
        """The table of a collection."""
        return f"{self.prefix}torpor_{collection}"

    @property
    def version_table(self) -> str:
        """Where the migrations note how far they came."""
        return f"{self.prefix}torpor_migrations"

    @property
    def channel(self) -> str:
        """What PostgreSQL notifies on when something became claimable."""
        return f"{self.prefix}torpor_claimable"

    def index(self, collection: str, purpose: str) -> str:
        """An index of a collection's table."""
        return f"ix_{self.table(collection)}_{purpose}"


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """One index: columns in order ("x DESC" counts down), and the column whose NULLs it leaves out."""

    collection: str
    purpose: str
    columns: tuple[str, ...]
    filled: tuple[str, ...]


def index_plans() -> list[IndexPlan]:
    """Every index, derived from the declared shapes."""
    plans: list[IndexPlan] = []
    for shape in SHAPE_BY_NAME.values():
        if shape.name in _UNINDEXED:
            continue
        purpose = shape.name.partition(".")[2]
        plans.append(_plan(shape, purpose, _leading(shape)))
        plans += [_plan(shape, f"{purpose}_{name}", (name,)) for name in _FILTERED.get(shape.name, ())]
    return plans


def build_tables(naming: Naming, dialect: str, *, is_mariadb: bool = False) -> Mapping[str, Table]:
    """Every collection's table, by the collection's name, as the newest migration leaves it."""
    metadata = MetaData()
    tables: dict[str, Table] = {}
    for collection in COLLECTIONS:
        columns: list[Column[Any]] = [
            Column("id", key_type(dialect, is_mariadb=is_mariadb), primary_key=True),
            Column("version", BigInteger(), nullable=False),
        ]
        columns += [Column(n, column_type(k, dialect, is_mariadb=is_mariadb)) for n, k in collection.fields.items()]
        if dialect == "mysql" and collection.name == "jobs":
            rank = Computed("(case when ready_at is null then null else -1 - priority end)", persisted=False)
            columns.append(Column(READY_RANK, BigInteger(), rank))
        tables[collection.name] = Table(
            naming.table(collection.name),
            metadata,
            *columns,
            **(_MYSQL_TABLE if dialect == "mysql" else {}),
        )
    for plan in index_plans():
        _add_index(tables[plan.collection], naming, plan, dialect)
    return tables


def _leading(shape: Shape) -> tuple[str, ...]:
    # Only queued jobs have a `ready_at`, so their status would make every entry longer and tell nothing.
    return tuple(name for name in (*shape.equal, *shape.within) if (shape.name, name) != ("jobs.ready", "status"))


def _plan(shape: Shape, purpose: str, leading: tuple[str, ...]) -> IndexPlan:
    order = tuple(f"{order.field} DESC" if order.descending else order.field for order in shape.order)
    sorted_by = (each.field for each in shape.order if each.field not in _ALWAYS_THERE)
    seldom = (name for name in shape.equal if name in _SELDOM_THERE)
    rare = next(chain(seldom, sorted_by), shape.order[-1].field)
    filled = (*leading, rare) if shape.optional and leading else (rare,)
    return IndexPlan(shape.collection, purpose, (*leading, *order, "id"), filled)


def _column(table: Table, column: str) -> Any:
    name = column.removesuffix(" DESC")
    return table.c[name].desc() if column != name else table.c[name]


def _add_index(table: Table, naming: Naming, plan: IndexPlan, dialect: str) -> None:
    name = naming.index(plan.collection, plan.purpose)
    if dialect == "mysql":
        # No partial indexes here. A rank that is NULL unless the job is claimable keeps all others out of the way.
        is_ready = plan.purpose == "ready"
        wanted = [READY_RANK if is_ready and c == "priority DESC" else c for c in plan.columns if c != "id"]
        Index(name, *(_column(table, column) for column in wanted))
        return
    columns = [_column(table, column) for column in plan.columns]
    where: dict[str, Any] = {f"{dialect}_where": text(" AND ".join(f"{column} IS NOT NULL" for column in plan.filled))}
    Index(name, *columns, **where)

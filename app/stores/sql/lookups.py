"""The reads inside a writing transaction: candidates of a claim, and stored versions. All of them lock.

They are index-served whatever else is in the table: `jobs.ready` is read group by group (queue, route, shard),
each a short walk along one index, and the groups are merged in Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, bindparam, select

from app.stores.base import Kind
from app.stores.evaluate import READY_STATUS
from app.stores.sql.rows import whole_row
from app.stores.sql.statements import Lookup, Statements, among, numbered
from app.stores.sql.tables import READY_RANK, Naming
from app.stores.sql.values import ENCODERS

_KEPT = 256


class Lookups:
    """Texts for one dialect, compiled once."""

    def __init__(self, statements: Statements, naming: Naming) -> None:
        self._statements = statements
        self._naming = naming
        self._jobs = statements.tables["jobs"]
        self._to_driver = ENCODERS[statements.dialect].get(Kind.TIME)
        whole = whole_row(self._jobs, "jobs")
        self._due = statements.compiled(self._select_due(whole))
        self._ready = statements.compiled(self._select_ready(whole))
        self._ready_keys = statements.compiled(self._select_ready(_place(self._jobs)))
        self._jobs_by_id = lru_cache(_KEPT)(self._select_jobs)
        self._versions_by_id = lru_cache(_KEPT)(self._select_versions)

    def due(self, now: datetime, limit: int) -> Lookup:
        """The jobs whose `wake_at` is not after `now`, earliest first; whole rows."""
        at = now if self._to_driver is None else self._to_driver(now)
        return self._due.filled({"now": at, "most": limit})

    def ready(self, queue: str, route: str, shard: int, limit: int) -> Lookup:
        """The best claimable jobs of one group; whole rows."""
        return self._ready.filled({"queue": queue, "route": route, "shard": shard, "most": limit})

    def ready_places(self, queue: str, route: str, shard: int, limit: int) -> Lookup:
        """As `ready`, but only what they are merged by: id, priority, `ready_at`."""
        return self._ready_keys.filled({"queue": queue, "route": route, "shard": shard, "most": limit})

    def jobs(self, ids: Sequence[str]) -> Lookup:
        """These jobs, in no order; whole rows."""
        padded = among(ids)
        return self._jobs_by_id(len(padded)), padded

    def versions(self, collection: str, ids: Iterable[str]) -> Lookup:
        """Id and version of these records, locked in the order of their ids so that two callers cannot deadlock."""
        padded = among(ids)
        return self._versions_by_id(collection, len(padded)), padded

    def _select_due(self, columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
        jobs = self._jobs
        found = select(*columns).where(jobs.c.wake_at.is_not(None), jobs.c.wake_at <= bindparam("now"))
        return self._hinted(found.order_by(jobs.c.wake_at, jobs.c.id), "due")

    def _select_ready(self, columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
        jobs = self._jobs
        rank = jobs.c.get(READY_RANK)
        is_ready = (
            (jobs.c.ready_at.is_not(None), jobs.c.priority.is_not(None)) if rank is None else (rank.is_not(None),)
        )
        found = select(*columns).where(
            jobs.c.queue == bindparam("queue"),
            jobs.c.route == bindparam("route"),
            jobs.c.shard == bindparam("shard"),
            jobs.c.status == READY_STATUS,
            *is_ready,
        )
        best_first = jobs.c.priority.desc() if rank is None else rank
        return self._hinted(found.order_by(best_first, jobs.c.ready_at, jobs.c.id), "ready")

    def _hinted(self, found: Select[Any], purpose: str) -> Select[Any]:
        # MySQL's estimates of a queue table are stale by nature; the others have their own means (see the drivers).
        hint = f"FORCE INDEX (`{self._naming.index('jobs', purpose)}`)"
        return found.limit(bindparam("most")).with_hint(self._jobs, hint, "mysql").with_for_update(skip_locked=True)

    def _select_jobs(self, count: int) -> str:
        found = select(*whole_row(self._jobs, "jobs")).where(self._jobs.c.id.in_(numbered(count)))
        return self._statements.compiled(found).text

    def _select_versions(self, collection: str, count: int) -> str:
        table = self._statements.tables[collection]
        found = select(table.c.id, table.c.version).where(table.c.id.in_(numbered(count)))
        return self._statements.compiled(found.order_by(table.c.id).with_for_update()).text


def _place(jobs: Table) -> list[ColumnElement[Any]]:
    return [jobs.c.id, jobs.c.priority, jobs.c.ready_at]

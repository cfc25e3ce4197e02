"""The same job runs unchanged on all six stores, and leaves the same history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.firestore import Client
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.orm import Session

from app.jobs import AsyncJobManager, JobContext, JobStatus, RunSummary
from app.stores.base import NotJoinable, Put
from app.stores.sql.address import address_of
from tests.support.site import Peer, Site

STRANGE = {"nul": "a\x00b", "nested": [[[]]], "huge": 2**200, "float": 0.1, "__dunder__": None, "ключ": "ключ"}


def register(site: Site) -> None:
    """A family of handlers that uses every verb of the context, fails once, and has children."""

    @site.job("order", max_retries=2, retry_delay_seconds=0)
    async def order(ctx: JobContext, items: list[str], note: dict[str, Any]) -> dict[str, object]:
        await ctx.log(f"attempt {ctx.attempt} of {len(items)} items")
        await ctx.report_progress(0, len(items), "begun")
        await ctx.flush()
        if ctx.checkpoint is None:
            await ctx.save_checkpoint({"seen": note})
            await ctx.save_result("before the failure")
            raise ValueError("the printer is out of paper")
        assert ctx.checkpoint == {"seen": note}
        await ctx.commit([Put("exercises", f"order-{ctx.job_id}", {"name": ", ".join(items)})])
        for number, item in enumerate(items):
            await ctx.report_progress(number + 1, len(items), item)
            await ctx.manager.submit(
                "item", {"name": item}, parent_id=ctx.job_id, idempotency_key=f"{ctx.job_id}/{item}"
            )
        await ctx.save_result({"large": "x" * 300_000})
        await ctx.log("all items ordered", "WARNING")
        return {"items": len(items), "note": note}

    @site.job("item")
    def item(ctx: Any, name: str) -> str:  # a sync handler, in a thread of its own
        ctx.log(f"packing {name}")
        ctx.report_progress(1, 1, "packed")
        ctx.save_result(name.upper())
        return name


def told(run: RunSummary) -> dict[str, object]:
    """A run summary without ids and times."""
    return run.model_dump(
        include={"type", "queue", "priority", "attempt", "outcome", "counted", "status", "worker_id", "retries_used"}
    ) | {"error": run.error and (run.error.code, run.error.message), "message": run.message}


async def test_the_same_job_has_the_same_history(site: Site) -> None:
    register(site)
    peer = await site.peer("worker")
    manager = peer.manager
    job_id = await peer.submitted(
        "order", {"items": ["nut", "bolt"], "note": STRANGE}, tags=["urgent"], priority="high"
    )

    report = await peer.drain()

    assert (report.claimed, report.settled, report.completed, report.failed, report.lost) == (4, 4, 3, 0, 0)
    job = await manager.get_job(job_id)
    assert (job.status, job.attempt, job.retries_used, job.lease_losses) == (JobStatus.COMPLETED, 2, 1, 0)
    assert (job.payload, job.checkpoint) == ({"items": ["nut", "bolt"], "note": STRANGE}, {"seen": STRANGE})
    assert (job.progress.message, job.progress.percentage, job.tags) == ("bolt", 100.0, ("urgent",))
    assert job.error is None
    results = await manager.get_job_results(job_id)
    assert results is not None
    assert results.result == {"items": 2, "note": STRANGE}
    assert results.saved == ["before the failure", {"large": "x" * 300_000}]
    assert [(line.number, line.level, line.message, line.attempt) for line in await manager.get_logs(job_id)] == [
        (1, "INFO", "attempt 1 of 2 items", 1),
        (2, "INFO", "attempt 2 of 2 items", 2),
        (3, "WARNING", "all items ordered", 2),
    ]
    (record,) = await peer.store.get("exercises", [f"order-{job_id}"])
    assert record is not None
    assert record.fields["name"] == "nut, bolt"

    common = {"type": "order", "queue": "priority", "priority": 3, "counted": True, "worker_id": "worker"}
    assert [told(run) for run in await peer.runs(job_id)] == [
        common
        | {"attempt": 1, "outcome": "retried", "status": "queued", "retries_used": 1, "message": "begun"}
        | {"error": ("ValueError", "the printer is out of paper")},
        common
        | {"attempt": 2, "outcome": "completed", "status": "completed", "retries_used": 1, "message": "bolt"}
        | {"error": None},
    ]
    children = await manager.list_jobs(parent_id=job_id, sort_order="asc")
    assert sorted(child.payload["name"] for child in children) == ["bolt", "nut"]
    for child in children:
        assert (child.status, child.depth, child.attempt) == (JobStatus.COMPLETED, 1, 1)
        assert await peer.outcomes(child.id) == [("1", "completed")]
        packed = await manager.get_job_results(child.id)
        assert packed is not None
        assert (packed.result, packed.saved) == (child.payload["name"], [child.payload["name"].upper()])
    summary = await manager.get_daily_summary()
    assert (summary.runs, summary.by_type, summary.retries, summary.lost_leases) == (4, {"item": 2, "order": 2}, 1, 0)
    assert (await peer.drain()).claimed == 0


# --- inside the user's own transaction -----------------------------------------------------------------------


class Handle(Protocol):
    """The user's own transaction on the same database."""

    @property
    def transaction(self) -> object: ...
    def write(self, name: str) -> None: ...
    def commit(self) -> None: ...
    def roll_back(self) -> None: ...
    def written(self) -> list[str]: ...


class SqlHandle:
    """A connection, or a session on one, with a table of the user's."""

    def __init__(self, connection: Connection, *, session: bool) -> None:
        self._connection = connection
        self._session = Session(connection) if session else None
        self.transaction: object = self._session or connection
        self._table = f"orders_{id(self)}"
        connection.execute(text(f"CREATE TABLE {self._table} (name VARCHAR(20))"))
        connection.commit()

    def write(self, name: str) -> None:
        (self._session or self._connection).execute(text(f"INSERT INTO {self._table} VALUES (:name)"), {"name": name})  # noqa: S608 - a name made above

    def commit(self) -> None:
        (self._session or self._connection).commit()

    def roll_back(self) -> None:
        (self._session or self._connection).rollback()

    def written(self) -> list[str]:
        names = list(self._connection.execute(text(f"SELECT name FROM {self._table}")).scalars())  # noqa: S608 - as above
        self._connection.rollback()
        return names


class BatchHandle:
    """A batch of google-cloud-firestore with a document of the user's."""

    def __init__(self, client: Client, collection: str) -> None:
        self._client = client
        self._collection = client.collection(collection)
        self._batch = client.batch()
        self.transaction: object = self._batch

    def write(self, name: str) -> None:
        self._batch.set(self._collection.document(name), {"name": name})

    def commit(self) -> None:
        self._batch.commit()

    def roll_back(self) -> None:
        """Nothing was sent: dropping it is enough."""

    def written(self) -> list[str]:
        return [str(document.get("name")) for document in self._collection.stream()]


@asynccontextmanager
async def handle_of(site: Site, *, session: bool) -> AsyncIterator[Handle]:
    """The user's own transaction on the site's database."""
    if site.url.startswith("firestore"):
        client = Client(project="torpor-engine", credentials=AnonymousCredentials())  # type: ignore[no-untyped-call]  # google.auth has no types here
        yield BatchHandle(client, f"{site.prefix}orders")
        client.close()  # type: ignore[no-untyped-call]  # nor here
        return
    engine = create_engine(address_of(site.url))
    with engine.connect() as connection:
        handle = SqlHandle(connection, session=session)
        yield handle
    engine.dispose()


@pytest.mark.parametrize("session", [False, True], ids=["connection", "session"])
@pytest.mark.parametrize("commit", [True, False], ids=["committed", "rolled back"])
async def test_a_job_is_created_with_the_users_own_transaction(site: Site, commit: bool, session: bool) -> None:
    register(site)
    peer = await site.peer()
    if site.url.startswith(("memory", "file")):
        with pytest.raises(NotJoinable, match="cannot write inside object"):
            await peer.manager.submit("item", {"name": "nut"}, transaction=object())
        assert await peer.manager.list_jobs() == []
        return
    async with handle_of(site, session=session) as handle:
        handle.write("order")
        job = await peer.manager.submit("item", {"name": "nut"}, transaction=handle.transaction)
        bulk = await peer.manager.submit("item", {"name": "x" * 400_000}, transaction=handle.transaction)
        if commit:
            handle.commit()
        else:
            handle.roll_back()
        assert handle.written() == (["order"] if commit else [])

    assert {each.id for each in await peer.manager.list_jobs()} == ({job.id, bulk.id} if commit else set())
    assert (await peer.drain()).completed == (2 if commit else 0)
    if commit:
        assert (await peer.get(bulk.id)).payload == {"name": "x" * 400_000}
        await assert_done(peer, peer.manager, job.id)


async def assert_done(peer: Peer, manager: AsyncJobManager, job_id: str) -> None:
    """The job ran as any other does."""
    assert (await manager.get_job(job_id)).status is JobStatus.COMPLETED
    assert await peer.outcomes(job_id) == [("1", "completed")]
    assert await peer.log(job_id) == ["packing nut"]

"""What a job costs on Firestore, counted twice: by the store, and by an interceptor that knows nothing of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc.aio
import pytest

from app.stores.base import Claimed, ClaimRequest, Fields, Insert, Record, Unit, Update, Usage, Value
from app.stores.firestore import FirestoreJobStore

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
BATCH = 20


@dataclass
class Bill:
    """What went over the wire."""

    rpcs: int = 0
    reads: int = 0
    writes: int = 0
    deletes: int = 0


class CountingUnary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, bill: Bill) -> None:
        self._bill = bill

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        from app.stores.firestore.wire import CommitRequest

        self._bill.rpcs += 1
        call = await continuation(client_call_details, request)
        response = await call
        if isinstance(request, bytes):
            writes = CommitRequest.FromString(request).writes
        else:
            writes = [write for write, status in zip(request.writes, response.status, strict=True) if not status.code]
        deletes = sum(write.HasField("delete") for write in writes)
        self._bill.deletes += deletes
        self._bill.writes += len(writes) - deletes
        return call


class CountingStream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, bill: Bill) -> None:
        self._bill = bill

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: Any, request: Any
    ) -> Any:
        self._bill.rpcs += 1
        call = await continuation(client_call_details, request)

        async def responses() -> AsyncIterator[Any]:
            found = 0
            async for response in call:
                parts = {field.name for field, _ in response.ListFields()}
                found += not parts.isdisjoint({"document", "found", "missing", "result"})
                yield response
            self._bill.reads += max(1, found)

        return responses()


@pytest.fixture
def bill(monkeypatch: pytest.MonkeyPatch) -> Bill:
    bill = Bill()
    make = grpc.aio.insecure_channel

    def make_counting(target: str, **settings: Any) -> grpc.aio.Channel:
        return make(target, interceptors=[CountingUnary(bill), CountingStream(bill)], **settings)

    monkeypatch.setattr(grpc.aio, "insecure_channel", make_counting)
    return bill


@pytest.fixture
async def store(bill: Bill, firestore_emulator: str) -> AsyncIterator[FirestoreJobStore]:
    store = FirestoreJobStore(
        project="torpor-budget", prefix=f"{uuid4().hex}_", emulator=firestore_emulator, timeout_seconds=60
    )
    await store.open()
    yield store
    await store.close()


def job(**fields: Value) -> dict[str, Value]:
    return {
        "type": "noop",
        "queue": "priority",
        "priority": 2,
        "route": "any",
        "shard": 0,
        "status": "queued",
        "created_at": NOON,
        "ready_at": NOON,
        **fields,
    }


def lease(record: Record) -> Fields:
    return {"status": "running", "ready_at": None, "wake_at": None, "lease_token": uuid4().hex}


async def claim(store: FirestoreJobStore, limit: int = BATCH) -> Claimed:
    request = ClaimRequest(("priority", "maintenance"), ("any",), limit, NOON)
    return await store.claim(request, lease, lambda record: {"ready_at": NOON, "wake_at": None})


async def settle(store: FirestoreJobStore, records: list[Record]) -> None:
    units: list[Unit] = [
        [
            Update("jobs", record.id, {"status": "completed", "finished_at": NOON}, record.version),
            Insert("runs", f"{record.id}-1", {"job_id": record.id, "ended_at": NOON}),
        ]
        for record in records
    ]
    assert all(isinstance(answer, list) for answer in await store.commit_each(units))


def counted(store: FirestoreJobStore) -> Bill:
    usage: Usage = store.usage
    return Bill(rpcs=usage.rpcs, reads=usage.reads, writes=usage.writes, deletes=usage.deletes)


async def test_a_job_with_a_backlog_stays_within_its_budget(store: FirestoreJobStore, bill: Bill) -> None:
    jobs = 5 * BATCH
    for start in range(0, jobs, BATCH):
        await store.commit_each(
            [
                [Insert("jobs", f"{number}", job(ready_at=NOON + number * timedelta(milliseconds=1)))]
                for number in range(start, start + BATCH)
            ]
        )
    for _ in range(jobs // BATCH):
        claimed = await claim(store)
        assert len(claimed.records) == BATCH
        await settle(store, list(claimed.records))
    assert bill.writes == 4 * jobs
    assert bill.reads <= 1.1 * jobs
    assert bill.rpcs <= 0.5 * jobs
    assert counted(store) == bill


async def test_looking_for_work_where_there_is_none(store: FirestoreJobStore, bill: Bill) -> None:
    await claim(store)
    assert bill.reads <= 4
    assert bill.writes == 0
    assert counted(store) == bill


async def test_one_pushed_job(store: FirestoreJobStore, bill: Bill) -> None:
    await store.commit([Insert("jobs", "a", job())])
    (record,) = await store.get("jobs", ["a"])
    assert record is not None
    (version,) = await store.commit([Update("jobs", "a", lease(record), record.version)])
    await settle(store, [Record("jobs", "a", version, {})])
    assert bill.rpcs <= 4
    assert counted(store) == bill


async def test_what_was_lost_to_others_is_read_but_not_written(store: FirestoreJobStore, bill: Bill) -> None:
    await store.commit_each([[Insert("jobs", f"{number}", job())] for number in range(4)])
    (first, *_) = (await claim(store, limit=2)).records
    await store.commit([Update("jobs", first.id, {"status": "paused"}, first.version)])
    answers = await store.commit_each(
        [[Update("jobs", first.id, {"attempt": 2}, first.version)], [Insert("jobs", "z", job())]]
    )
    assert isinstance(answers[0], Exception)
    assert (await store.get("jobs", ["nobody"])) == [None]
    assert counted(store).reads == bill.reads
    assert counted(store).rpcs == bill.rpcs

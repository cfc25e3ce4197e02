"""The floor under the engine on Firestore: the same calls with the same documents, and no engine.

What the engine writes for a job is worked out once, beforehand; while the clock runs the script only puts ids, tokens
and versions into copies of that, makes protobuf messages of them and sends them over plain gRPC stubs. Nothing is
validated, decided, timed out, renewed or recorded. With `ready`, even the messages lie ready, and only update times are
filled in: what is left is the price of the calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

import grpc.aio

from app.jobs import Chance, JobResult, Registry
from app.jobs.codec import Codec
from app.jobs.events import Claim, Complete
from app.jobs.request import JobRequest, job_of
from app.jobs.summaries import summarise
from app.jobs.transitions import transition
from app.stores.base import Fields, Insert, Update, Version, Write
from app.stores.firestore.names import Names, id_of
from app.stores.firestore.queries import Queries
from app.stores.firestore.values import version_of
from app.stores.firestore.wire import (
    BatchWriteRequest,
    BatchWriteResponse,
    CommitRequest,
    CommitResponse,
    RunQueryRequest,
    RunQueryResponse,
)
from app.stores.firestore.writes import STAMP, Writes

BATCH = 20
IN_FLIGHT = 8
"""Commits at once, as many as the engine sends (`StoreLimits.rounds_in_flight`)."""
_LEASE_SECONDS = 60.0
_KEEP_JOBS, _KEEP_RUNS = timedelta(days=30), timedelta(days=90)
_SERVICE = "/google.firestore.v1.Firestore"
_ANY_VERSION = "1"


class Documents:
    """What is written for each job, as the engine would write it."""

    def __init__(self, registry: Registry, sample: JobRequest) -> None:
        codec, now = Codec(), datetime.now(UTC)
        job = job_of(sample, registry, now, Chance(), 1, start=True)
        claimed = transition(job, Claim("floor", uuid4().hex, uuid4().hex, _LEASE_SECONDS), now)
        drafted = claimed.model_copy(update={"write_id": uuid4().hex})
        ended = transition(drafted, Complete(JobResult(success=True)), now)
        ended = ended.model_copy(update={"expire_at": now + _KEEP_JOBS})
        self._created = codec.fields(job)
        self._claimed = codec.patch(job, claimed)
        self._ended = codec.patch(claimed, ended)
        self._summary = codec.run_fields(summarise(drafted, ended, now, _KEEP_RUNS))
        self.route = job.route

    def create(self, job_id: str, number: int) -> Write:
        """The write that creates a job."""
        return Insert("jobs", job_id, {**self._created, "payload": f'{{"number":{number}}}'})

    def claim(self, job_id: str, version: Version) -> Write:
        """The write that leases it."""
        token = uuid4().hex
        return Update("jobs", job_id, {**self._claimed, "lease_token": token, "write_id": token}, version)

    def settle(self, job_id: str, version: Version) -> Iterable[Write]:
        """The writes that complete it."""
        summary: Fields = {**self._summary, "job_id": job_id}
        yield Insert("runs", f"{job_id}-1", summary)
        yield Update("jobs", job_id, {**self._ended, "write_id": uuid4().hex}, version)


class Floor:
    """A bare script that creates, claims and settles so many jobs. Made and used in one event loop."""

    def __init__(self, emulator: str, project: str, prefix: str, documents: Documents, jobs: int, *, ready: bool):
        """Prepare; the collections of this prefix must be empty, and `jobs` a multiple of the batch."""
        self._names = Names(project, "(default)", prefix)
        self._writes = Writes(self._names, Random())
        self._documents = documents
        self._metadata = (
            ("google-cloud-resource-prefix", self._names.database),
            ("authorization", "Bearer owner"),
        )
        self._channel = grpc.aio.insecure_channel(emulator)
        self._commit = self._stub("Commit", CommitRequest, CommitResponse)
        self._batch_write = self._stub("BatchWrite", BatchWriteRequest, BatchWriteResponse)
        self._run_query = self._channel.unary_stream(
            f"{_SERVICE}/RunQuery",
            request_serializer=RunQueryRequest.SerializeToString,
            response_deserializer=RunQueryResponse.FromString,
        )
        # All are ready since the same instant, so that the query brings them in the order of their ids.
        ids = sorted(str(uuid4()) for _ in range(jobs))
        self._pages = [ids[start : start + BATCH] for start in range(0, jobs, BATCH)]
        self._ready_creates = [self._create(page) for page in self._pages] if ready else None
        self._ready_claims = [self._claim(page, [_ANY_VERSION] * BATCH) for page in self._pages] if ready else None
        self._ready_settles = [self._settle(page, [_ANY_VERSION] * BATCH) for page in self._pages] if ready else None

    async def close(self) -> None:
        """Drop the connection."""
        await self._channel.close()

    async def enqueue(self) -> None:
        """Create all jobs, a batch in each Commit."""
        pages = iter(range(len(self._pages)))

        async def send() -> None:
            for number in pages:
                ready = self._ready_creates
                request = ready[number] if ready is not None else self._create(self._pages[number])
                await self._commit(request, metadata=self._metadata)

        await asyncio.gather(*(send() for _ in range(IN_FLIGHT)))

    async def drain(self) -> None:
        """Claim and settle all jobs, a batch at a time; one is settled while the next is claimed."""
        room = asyncio.Semaphore(IN_FLIGHT)
        settling: list[asyncio.Task[None]] = []
        question = Queries(self._names).ready("priority", [self._documents.route], [0], BATCH)
        query = RunQueryRequest(parent=self._names.root, structured_query=question)
        for number, expected in enumerate(self._pages):
            answers = self._run_query(query, metadata=self._metadata)
            found = [response.document async for response in answers if response.document.name]
            ids = [id_of(document.name) for document in found]
            assert ids == expected
            claim = self._claims(number, ids, [document.update_time for document in found])
            claimed = await self._batch_write(claim, metadata=self._metadata)
            assert not any(status.code for status in claimed.status)
            settle = self._settles(number, ids, [result.update_time for result in claimed.write_results])
            await room.acquire()
            settling.append(asyncio.create_task(self._send_settle(settle, room)))
        await asyncio.gather(*settling)

    async def _send_settle(self, request: Any, room: asyncio.Semaphore) -> None:
        await self._commit(request, metadata=self._metadata)
        room.release()

    def _stub(self, name: str, request: Any, response: Any) -> Callable[..., Any]:
        stub: Callable[..., Any] = self._channel.unary_unary(
            f"{_SERVICE}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return stub

    # --- messages ----------------------------------------------------------------------------------------

    def _create(self, ids: Sequence[str]) -> Any:
        return self._filled(
            CommitRequest(database=self._names.database),
            (self._documents.create(job_id, number) for number, job_id in enumerate(ids)),
        )

    def _claim(self, ids: Sequence[str], versions: Sequence[Version]) -> Any:
        return self._filled(
            BatchWriteRequest(database=self._names.database),
            map(self._documents.claim, ids, versions),
        )

    def _settle(self, ids: Sequence[str], versions: Sequence[Version]) -> Any:
        return self._filled(
            CommitRequest(database=self._names.database),
            (write for one in map(self._documents.settle, ids, versions) for write in one),
        )

    def _filled(self, request: Any, writes: Iterable[Write]) -> Any:
        for write in writes:
            self._writes.fill(request.writes.add(), write)
        return request

    def _claims(self, number: int, ids: Sequence[str], times: Sequence[Any]) -> Any:
        if self._ready_claims is None:
            return self._claim(ids, list(map(version_of, times)))
        request = self._ready_claims[number]
        for write, time in zip(request.writes, times, strict=True):
            _set_version(write, time)
        return request

    def _settles(self, number: int, ids: Sequence[str], times: Sequence[Any]) -> Any:
        if self._ready_settles is None:
            return self._settle(ids, list(map(version_of, times)))
        request = self._ready_settles[number]
        for write, time in zip(request.writes[1::2], times, strict=True):
            _set_version(write, time)
        return request


def _set_version(write: Any, update_time: Any) -> None:
    write.current_document.update_time.CopyFrom(update_time)
    write.update.fields[STAMP].string_value = version_of(update_time)

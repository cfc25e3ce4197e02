"""A plain transactional lease loop on google-cloud-firestore, as its documentation would have one written.

Each job is looked for and leased in one transaction, and completed in another that checks the lease and writes the
summary. It claims one job at a time, and its documents hold a tenth of what the engine's do.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.cloud.firestore import AsyncClient, AsyncTransaction, async_transactional
from google.cloud.firestore_v1.base_query import FieldFilter


class TransactionalQueue:
    """Jobs in one collection, summaries in another."""

    def __init__(self, client: AsyncClient, prefix: str) -> None:
        self._client = client
        self._jobs = client.collection(f"{prefix}plain_jobs")
        self._runs = client.collection(f"{prefix}plain_runs")
        self.completed = 0
        """Jobs that this worker finished."""

    async def create(self, jobs: int) -> None:
        """Create jobs one by one."""
        for number in range(jobs):
            job = {"status": "queued", "priority": 2, "ready_at": datetime.now(UTC), "payload": str(number)}
            await self._jobs.document(uuid4().hex).create(job)

    async def work(self, worker_id: str) -> None:
        """Run jobs until there are none; a transaction that the client gave up is tried again."""
        while True:
            with suppress(GoogleAPICallError, ValueError):  # a ValueError is what the client raises when it gives up
                leased = await self._lease(worker_id)
                if leased is None:
                    return
                self.completed += await self._complete(*leased)

    async def _lease(self, worker_id: str) -> tuple[Any, str] | None:
        token = uuid4().hex
        query = (
            self._jobs.where(filter=FieldFilter("status", "==", "queued"))
            .order_by("priority", direction="DESCENDING")
            .order_by("ready_at")
            .limit(1)
        )

        @async_transactional
        async def lease(transaction: AsyncTransaction) -> Any:
            async for found in query.stream(transaction=transaction):
                changes = {"status": "running", "token": token, "worker": worker_id, "leased_at": datetime.now(UTC)}
                transaction.update(found.reference, changes)
                return found.reference
            return None

        reference = await lease(self._client.transaction())
        return None if reference is None else (reference, token)

    async def _complete(self, reference: Any, token: str) -> bool:
        @async_transactional
        async def complete(transaction: AsyncTransaction) -> bool:
            found = await reference.get(transaction=transaction)
            if found.get("token") != token:
                return False
            ended = datetime.now(UTC)
            transaction.update(reference, {"status": "completed", "ended_at": ended})
            transaction.create(self._runs.document(f"{reference.id}-1"), {"job": reference.id, "ended_at": ended})
            return True

        return bool(await complete(self._client.transaction()))


@asynccontextmanager
async def plain_queue(emulator: str, project: str, prefix: str) -> AsyncIterator[TransactionalQueue]:
    """The loop with a client and a connection of its own."""
    with patch.dict(os.environ, FIRESTORE_EMULATOR_HOST=emulator):
        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google.auth has no types here
        client = AsyncClient(project=project, credentials=credentials)
        try:
            yield TransactionalQueue(client, prefix)
        finally:
            await client._firestore_api.transport.close()

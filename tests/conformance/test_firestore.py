"""The Firestore store keeps every promise, on the real emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.firestore import AsyncClient, Client
from google.cloud.firestore_v1.async_batch import AsyncWriteBatch
from google.cloud.firestore_v1.batch import WriteBatch

from app.stores.base import Store
from app.stores.conformance import JoiningConformance, MakeStore, SharedStoreConformance, Transaction
from app.stores.firestore import FirestoreJobStore

PROJECT = "torpor-conformance"


class OnFirestore:
    @pytest.fixture
    def make_store(self, firestore_emulator: str) -> MakeStore:
        # The emulator cannot be emptied between tests, and asks every document of a collection: each test has its own.
        test = uuid4().hex

        def make(prefix: str = "") -> FirestoreJobStore:
            return FirestoreJobStore(
                project=PROJECT, prefix=f"{test}_{prefix}", emulator=firestore_emulator, timeout_seconds=60
            )

        return make


class TestFirestoreStore(OnFirestore, SharedStoreConformance):
    bills_reads = True


class AsyncBatch:
    """A batch of the user's own asyncio client."""

    def __init__(self, client: AsyncClient) -> None:
        self.handle: AsyncWriteBatch = client.batch()

    async def commit(self) -> None:
        await self.handle.commit()

    async def roll_back(self) -> None:
        """Nothing was sent: dropping it is enough."""


class BlockingBatch:
    """A batch of the user's own blocking client."""

    def __init__(self, client: Client) -> None:
        self.handle: WriteBatch = client.batch()

    async def commit(self) -> None:
        self.handle.commit()

    async def roll_back(self) -> None:
        """Nothing was sent: dropping it is enough."""


class TestJoiningABatch(OnFirestore, JoiningConformance):
    @pytest.fixture(params=["asyncio", "blocking"])
    async def transaction(
        self, store: Store, firestore_emulator: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Transaction]:
        monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_emulator)
        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google.auth has no types here
        if request.param == "asyncio":
            client = AsyncClient(project=PROJECT, credentials=credentials)
            yield AsyncBatch(client)
            await client._firestore_api.transport.close()
        else:
            blocking = Client(project=PROJECT, credentials=credentials)
            yield BlockingBatch(blocking)
            blocking.close()  # type: ignore[no-untyped-call]  # this method has no types

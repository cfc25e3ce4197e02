"""Everything between a manager and its workers: a topic, a store, and the servers that are started on them."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from app.stores.firestore import FirestoreJobStore
from tests.support.server_process import ServerProcess
from tests.support.topic import PushTopic

PROJECT = "torpor-wake-ups"


class Street:
    """One topic, one store, and the servers of a test."""

    def __init__(self, folder: Path, firestore: str, topic: PushTopic) -> None:
        self.topic = topic
        self.prefix = f"{uuid4().hex}_"
        self._folder = folder
        self._firestore = firestore
        self.store = FirestoreJobStore(project=PROJECT, prefix=self.prefix, emulator=firestore, timeout_seconds=60)

    def server(self, **settings: str) -> ServerProcess:
        """One more serving process."""
        return ServerProcess(
            self._folder,
            TORPOR_STORE_URL=f"firestore://{PROJECT}/(default)",
            TORPOR_PREFIX=self.prefix,
            FIRESTORE_EMULATOR_HOST=self._firestore,
            PUBSUB_EMULATOR_HOST=self.topic.emulator,
            **{"TORPOR_WAKE_TOPIC": self.topic.name, **settings},
        )

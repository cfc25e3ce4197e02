"""A Pub/Sub emulator of the test session's own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.services.emulator_jar import PUBSUB
from tests.services.emulator_process import emulator_process

HEAP_LIMIT = "-Xmx512m"


@contextmanager
def pubsub_emulator() -> Iterator[str]:
    """Give the `host:port` of an emulator: PUBSUB_EMULATOR_HOST if it is set, else one that ends with this block.

    Raises:
        ServiceUnavailable: Java or the jar is missing, or the emulator did not get ready within 60 s.
    """
    running = os.environ.get("PUBSUB_EMULATOR_HOST")
    if running:
        yield running
        return
    start = [HEAP_LIMIT, "-jar", str(PUBSUB.find()), "--host=127.0.0.1"]
    with emulator_process("Pub/Sub", lambda port: [*start, f"--port={port}"]) as address:
        yield address

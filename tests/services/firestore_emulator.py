"""A Firestore emulator of the test session's own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.services.emulator_jar import FIRESTORE
from tests.services.emulator_process import emulator_process

# The emulator keeps every document in memory and grows without end; past this it collects garbage instead.
HEAP_LIMIT = "-Xmx1536m"


@contextmanager
def firestore_emulator() -> Iterator[str]:
    """Give the `host:port` of an emulator: FIRESTORE_EMULATOR_HOST if it is set, else one that ends with this block.

    The emulator has no wipe between tests: each test uses a project id or a prefix of its own.

    Raises:
        ServiceUnavailable: Java or the jar is missing, or the emulator did not get ready within 60 s.
    """
    running = os.environ.get("FIRESTORE_EMULATOR_HOST")
    if running:
        yield running
        return
    jar = str(FIRESTORE.find())
    main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
    start = [HEAP_LIMIT, "-Duser.language=en", "-cp", jar, main, "start", "--host=127.0.0.1"]
    with emulator_process("Firestore", lambda port: [*start, f"--port={port}"]) as address:
        yield address

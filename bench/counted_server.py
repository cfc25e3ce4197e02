"""`python -m workers`, but each process says at its end what it has asked of Firestore: for measurements.

Counted is what goes over the wire, not what the store believes.
"""

from __future__ import annotations

import atexit
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

from bench.rpc_counter import Counts, RpcCounter, counted_rpcs
from tests.support.server_process import ServerProcess

VARIABLE = "TORPOR_BENCH_COUNTS"
"""Environment variable with the folder that the counts go to."""


class CountedServer(ServerProcess):
    """A serving process that is counted."""

    module: ClassVar[str] = "bench.counted_server"


def counts_in(folder: Path, jobs: int) -> Counts:
    """What all processes asked for that have ended since, for so many jobs."""
    found = [json.loads(path.read_text()) for path in folder.glob("counts-*.json")]
    return Counts(jobs, *(sum(each[what] for each in found) for what in ("reads", "writes", "rpcs")))


def _write(counter: RpcCounter) -> None:
    if counter.rpcs:
        counts = counter.now()
        # Wake-ups go over gRPC too, to another service.
        said = {**asdict(counts), "rpcs": counts.rpcs - counter.methods["Publish"]}
        (Path(os.environ[VARIABLE]) / f"counts-{os.getpid()}.json").write_text(json.dumps(said))


def main() -> None:
    """Serve."""
    from workers.__main__ import main as serve

    with counted_rpcs() as counter:
        # gunicorn's worker is a fork of this process, and ends as one.
        atexit.register(_write, counter)
        serve()


if __name__ == "__main__":
    main()

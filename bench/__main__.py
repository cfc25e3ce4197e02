"""`python -m bench NAME`: one of the measurements; without a name, what there is."""

from __future__ import annotations

import importlib
import sys

MEASUREMENTS = {
    "catalog": "how well the catalogue is curated, and what a record costs at 873 and at 100,000",
    "cold_start": "from a server's start to its first answer, and its memory, on each store, beside a bare server",
    "push": "from a job's creation and wake-up to its handler's start, over Pub/Sub, gunicorn and Firestore",
    "replay": "a real service's arrivals, sixty times faster, through the API, on Firestore and SQLite",
    "firestore": "reads, writes and RPCs per job, and throughput beside a bare script",
    "sql": "SQLite and PostgreSQL: throughput, latency, processor time and memory, beside other job queues",
}


def main(arguments: list[str]) -> int:
    """Run what was asked for; gives the exit code."""
    if not arguments or arguments[0] not in MEASUREMENTS:
        print("usage: python -m bench NAME [--help]")
        for name, what in MEASUREMENTS.items():
            print(f"  {name:10} {what}")
        return 0 if not arguments else 2
    # Each brings its own libraries, so only the one that is asked for is imported.
    run = importlib.import_module(f"bench.{arguments[0]}").run
    return int(run(arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

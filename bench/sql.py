"""`python -m bench sql`: the engine on SQLite and PostgreSQL, beside other job queues on the same databases."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import backlog
from bench.databases import DATABASES, BenchDatabase
from bench.figures import Figures, median_of, table
from bench.peers import PeerFailed, folder_of, run_peer
from bench.phases import Workload, measure

PEERS = {"sqlite": ("huey-sqlite", "dbos-sqlite"), "postgresql": ("pgqueuer", "procrastinate", "huey-pg", "dbos-pg")}
"""The durable peers of each database."""
COLUMNS = {
    "enqueue /s": 0,
    "bulk enqueue /s": 0,
    "drain /s": 0,
    "bulk drain /s": 0,
    "end to end /s": 0,
    "pickup p50 ms": 1,
    "pickup p99 ms": 1,
    "worker CPU ms/job": 2,
    "server CPU ms/job": 2,
    "peak RSS MB": 0,
}
BACKLOG_COLUMNS = {
    "drain /s": 0,
    "claim p50 ms": 2,
    "claim p99 ms": 2,
    "settle p50 ms": 1,
    "settle p99 ms": 1,
    "worker CPU ms/job": 2,
    "server CPU ms/job": 2,
    "peak RSS MB": 0,
}
SETTLE_LIMIT_MS = 100.0


def run(arguments: Sequence[str]) -> int:
    """Measure and print; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench sql", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=sorted(DATABASES), default=sorted(DATABASES, reverse=True))
    parser.add_argument("--jobs", type=int, default=1000, help="in each phase")
    parser.add_argument("--samples", type=int, default=60, help="of pickup latency")
    parser.add_argument("--repeat", type=int, default=3, help="runs of everything, interleaved")
    parser.add_argument("--concurrency", type=int, default=100, help="handlers at once in the engine's worker")
    parser.add_argument("--backlog", type=int, nargs="*", default=[1_000, 100_000], help="sizes of the backlog")
    parser.add_argument("--peers", type=Path, help="folder with the peers' `run` script")
    parser.add_argument("--peer", nargs="*", help="names of peers; none leaves them out")
    given = parser.parse_args(arguments)

    print(f"# SQL, {datetime.now(UTC):%Y-%m-%d}: {given.jobs} jobs a phase, concurrency {given.concurrency}")
    for name in given.databases:
        print(f"# {DATABASES[name].name}: {DATABASES[name].note}")
    folder = folder_of(given.peers)
    usual = [peer for name in given.databases for peer in PEERS[name]]
    names = given.peer if given.peer is not None else usual
    load = Workload(given.jobs, given.samples, given.concurrency)
    rows = _side_by_side(given.databases, load, given.repeat, folder, names)
    print(f"\n{table('system', COLUMNS, rows)}\n", flush=True)
    _compare(rows, given.databases)

    if given.backlog:
        found: dict[str, list[Figures]] = {}
        for name in given.databases:
            found |= backlog.measured(DATABASES[name], given.backlog, given.repeat, given.concurrency)
        print(f"\n{table(f'{backlog.TAKEN:,} jobs of', BACKLOG_COLUMNS, found)}\n")
        _judge_backlogs(found)
    return 0


def _side_by_side(
    databases: Sequence[str], load: Workload, repeats: int, folder: Path | None, names: Sequence[str]
) -> dict[str, list[Figures]]:
    """Everything once, then everything again: what the machine does meanwhile hits all alike."""
    rows: dict[str, list[Figures]] = {}
    for number in range(repeats):
        for name in databases:
            database: BenchDatabase = DATABASES[name]
            _note(number, f"Torpor on {database.name}")
            rows.setdefault(f"Torpor, {database.name}", []).append(measure(database, load))
        for peer in names:
            if folder is None:
                continue
            _note(number, peer)
            try:
                store, figures = run_peer(folder, peer, load.jobs, load.samples)
            except PeerFailed as failed:
                print(f"# left out: {failed}", file=sys.stderr)
            else:
                rows.setdefault(f"{peer}, {store}", []).append(figures)
    return rows


def _note(number: int, what: str) -> None:
    print(f"# {number + 1}: {what}", file=sys.stderr, flush=True)


def _compare(rows: dict[str, list[Figures]], databases: Sequence[str]) -> None:
    for name in databases:
        shown = DATABASES[name].name
        own = median_of(rows[f"Torpor, {shown}"], "drain /s")
        others = {
            label: rate
            for label, runs in rows.items()
            if label.endswith(f", {shown}") and not label.startswith("Torpor")
            if (rate := median_of(runs, "drain /s")) is not None
        }
        if own is not None and others:
            fastest = max(others, key=others.__getitem__)
            print(f"{shown}: drain {own / others[fastest]:.0%} of {fastest}")


def _judge_backlogs(found: dict[str, list[Figures]]) -> None:
    for name, runs in found.items():
        settle = max(each["settle p99 ms"] for each in runs)
        verdict = "within" if settle < SETTLE_LIMIT_MS else "OVER"
        print(f"{name}: settle p99 {settle:.1f} ms, {verdict} the limit of {SETTLE_LIMIT_MS:g} ms")

"""`python -m bench replay`: a real service's arrivals, faster than they came, through the API; what becomes of them.

Firestore: the service `web` and a job worker, both real gunicorn, on the Firestore emulator, woken by the Pub/Sub
emulator's pushes and swept each minute. SQLite: the service `web` and a long-lived worker on one file. Each arrival is
one job, which takes as long as a language model would for its answer.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from app.bootstrap import make_store
from app.jobs import AsyncJobManager, NoWaker, Outcome, RunFilter, Runtime
from app.stores.base import PriceList, Store, Usage
from app.stores.firestore import FirestoreJobStore
from bench import counted_server, marks
from bench.counted_server import CountedServer, counts_in
from bench.databases import SQLITE
from bench.figures import percentile
from bench.firestore_scenarios import PROJECT, fresh_prefix
from bench.machine import Machine
from bench.marks import Marks
from bench.phases import worker_command
from bench.process import ROOT, WorkerProcess
from bench.rpc_counter import Counts
from bench.trace import Arrival, Replayed, arrivals, replay
from tests.services.firestore_emulator import firestore_emulator
from tests.services.pubsub_emulator import pubsub_emulator
from tests.services.shared_data import find_shared_data
from tests.services.unavailable import ServiceUnavailable
from tests.support.topic import PushTopic

SLOTS = 80
"""Of the worker: Cloud Run's own default concurrency."""
SWEEP_SECONDS = 60.0
SETTLE_SECONDS = 900.0
"""How long after the last arrival all jobs must have ended."""
SHARES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Site:
    """What a replay runs against."""

    store: Store
    """The same that the servers use."""
    web: str
    """The address of the API."""
    worker: str | None
    """The address of a worker that is swept; None for one that looks by itself."""
    marks_file: Path
    """Where handlers report."""
    counts: Path | None
    """The folder that the servers' counts go to; None where nothing is billed."""
    end: ExitStack
    """Ends the servers."""


@contextmanager
def firestore_site(folder: Path) -> Iterator[Site]:
    """Both emulators, the web service and a pushed worker."""
    with ExitStack() as stack:
        firestore, pubsub = stack.enter_context(firestore_emulator()), stack.enter_context(pubsub_emulator())
        prefix, topic = fresh_prefix(), PushTopic(pubsub)
        settings = {
            "TORPOR_STORE_URL": f"firestore://{PROJECT}/(default)",
            "TORPOR_PREFIX": prefix,
            "TORPOR_WAKE_TOPIC": topic.name,
            "FIRESTORE_EMULATOR_HOST": firestore,
            "PUBSUB_EMULATOR_HOST": pubsub,
            counted_server.VARIABLE: str(folder),
            **_settings(folder),
        }
        servers = stack.enter_context(ExitStack())
        web = servers.enter_context(CountedServer(folder, **settings, TORPOR_SERVICE="web"))
        worker = servers.enter_context(CountedServer(folder, **settings))
        for each in (web, worker):
            each.get("/readyz").raise_for_status()
            servers.callback(_end_gently, each)
        topic.push_to(worker.url)
        store = FirestoreJobStore(project=PROJECT, prefix=prefix, emulator=firestore, timeout_seconds=60)
        yield Site(store, web.url, worker.url, folder / "marks", folder, servers)


def _end_gently(server: CountedServer) -> None:
    server.terminate()
    server.ended()


@contextmanager
def sqlite_site(folder: Path) -> Iterator[Site]:
    """One file, the web service and a long-lived worker."""
    with ExitStack() as stack:
        url = stack.enter_context(SQLITE.make())
        settings = {"TORPOR_STORE_URL": url, **_settings(folder)}
        web = stack.enter_context(CountedServer(folder, **settings, TORPOR_SERVICE="web"))
        web.get("/readyz").raise_for_status()
        worker = WorkerProcess(worker_command(SLOTS), {**settings, "PYTHONPATH": str(ROOT)})
        stack.callback(worker.stop)
        yield Site(make_store(url), web.url, None, folder / "marks", None, stack)


SITES = {"firestore": firestore_site, "sqlite": sqlite_site}


def _settings(folder: Path) -> dict[str, str]:
    return {
        "TORPOR_TASK_PACKAGES": "bench.tasks",
        "TORPOR_CONCURRENCY": str(SLOTS),
        marks.VARIABLE: str(folder / "marks"),
    }


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the jobs."""

    replayed: Replayed
    completions: Counter[str]
    """Completed runs by job."""
    started_ns: dict[int, int]
    """When each job's handler first started, by number."""
    ran_twice: int
    seconds: float
    """From the first call until no job was unfinished."""


def run(arguments: Sequence[str]) -> int:
    """Measure and print; gives the exit code: 1 if a job was lost or recorded twice."""
    parser = argparse.ArgumentParser(prog="python -m bench replay", description=__doc__)
    parser.add_argument("--stores", nargs="+", choices=list(SITES), default=list(SITES))
    parser.add_argument("--speed", type=float, default=60.0, help="by how much faster than the requests came")
    parser.add_argument("--arrivals", type=int, help="only the first of them")
    given = parser.parse_args(arguments)
    try:
        wanted = arrivals(find_shared_data(ROOT), given.arrivals)
    except ServiceUnavailable as unavailable:
        print(unavailable, file=sys.stderr)
        return 2
    lasts = wanted[-1].at_seconds / given.speed
    print(
        f"# {len(wanted):,} arrivals at {given.speed:g} times their speed: {lasts:.1f} s, {datetime.now(UTC):%Y-%m-%d}"
    )
    is_whole = True
    for name in given.stores:
        with tempfile.TemporaryDirectory(prefix="torpor-bench-") as folder, SITES[name](Path(folder)) as site:
            machine = Machine()
            outcomes = asyncio.run(_replayed(site, wanted, given.speed))
            shared = machine.said()
            site.end.close()
            is_whole &= _report(name, outcomes, lasts)
            if site.counts is not None:
                _report_cost(counts_in(site.counts, len(wanted)))
            print(shared, flush=True)
    return 0 if is_whole else 1


async def _replayed(site: Site, wanted: Sequence[Arrival], speed: float) -> Outcomes:
    seen = Marks(site.marks_file)
    async with AsyncJobManager(runtime=Runtime(site.store, waker=NoWaker()), worker=False) as manager:
        sweeping = asyncio.create_task(_sweep(site.worker))
        began = time.monotonic()
        replayed = await replay(site.web, wanted, speed)
        print(f"# the last call was answered after {replayed.seconds:.1f} s", file=sys.stderr, flush=True)
        await _ended(manager, len(wanted))
        seconds = time.monotonic() - began
        sweeping.cancel()
        completions = await completed_runs(manager)
    seen.read()
    seen.close()
    return Outcomes(replayed, completions, seen.first_ns, seen.ran_twice, seconds)


async def _sweep(worker: str | None) -> None:
    """What the platform's scheduler does each minute."""
    if worker is None:
        return
    async with httpx.AsyncClient(timeout=2 * SWEEP_SECONDS) as client:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            (await client.post(f"{worker}/tasks/drain")).raise_for_status()


async def _ended(manager: AsyncJobManager, total: int) -> None:
    """Wait until so many jobs have completed.

    Raises:
        RuntimeError: some had not after a quarter of an hour.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while (completed := await manager.count_jobs(status="completed")) < total:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{completed} of {total} jobs completed in {SETTLE_SECONDS:g} s")
        print(f"# {completed} of {total} completed", file=sys.stderr, flush=True)
        await asyncio.sleep(2)


async def completed_runs(manager: AsyncJobManager) -> Counter[str]:
    """How many completed runs there are of each job."""
    found: Counter[str] = Counter()
    cursor: str | None = None
    while True:
        page = await manager.get_run_page(RunFilter.of(outcome=Outcome.COMPLETED), limit=1000, cursor=cursor)
        found.update(run.job_id for run in page.runs if not run.is_late)
        cursor = page.cursor
        if cursor is None:
            return found


def _report(name: str, outcomes: Outcomes, lasts: float) -> bool:
    """Print a table; gives whether every arrival is one job that completed once."""
    replayed = outcomes.replayed
    pickups = [(at - replayed.sent_ns[number]) / 1e6 for number, at in outcomes.started_ns.items()]
    print(f"\n| {name} | p50 ms | p95 ms | p99 ms | most ms |\n|---|---|---|---|---|")
    rows = {
        "call made later than due": replayed.lags_ms,
        "call until its answer": replayed.calls_ms,
        "call until the handler's start": pickups,
    }
    for what, values in rows.items():
        cells = [*(percentile(values, share) for share in SHARES), max(values, default=0.0)]
        print(f"| {what} | " + " | ".join(f"{cell:,.0f}" for cell in cells) + " |")
    jobs, completed = Counter(replayed.job_ids), outcomes.completions
    lost = sum((jobs - completed).values())
    more = sum((completed - jobs).values())
    print(
        f"\n{len(replayed.job_ids):,} arrivals, {len(jobs):,} jobs: {lost} lost, {more} recorded twice, "
        f"{outcomes.ran_twice} handlers started twice. Due in {lasts:.1f} s; the last call was answered after "
        f"{replayed.seconds:.1f} s, the last job completed after {outcomes.seconds:.1f} s."
    )
    return not lost and not more and len(jobs) == len(replayed.job_ids)


def _report_cost(counts: Counts) -> None:
    reads, writes, rpcs = counts.per_job()
    price = PriceList().cost(Usage(reads=counts.reads, writes=counts.writes)) / counts.jobs * 1_000_000
    print(f"A job cost {reads:.2f} reads, {writes:.2f} writes and {rpcs:.2f} RPCs: US$ {price:.2f} a million jobs.")

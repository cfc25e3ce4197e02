"""`python -m bench cold_start`: from a process's start to its first answer, on each store, beside a floor.

Each server is started anew for each measurement, in turn, so that what the machine does meanwhile hits all alike. Its
first answer is that of `/readyz`, which opens the engine and reads a record; the floor's reads a document. Bytecode is
there already, as in the image, and so are tables and indexes.
"""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psutil

from bench.databases import SQLITE
from bench.figures import Figures, table
from bench.machine import Machine
from bench.process import ROOT
from tests.services.emulator_process import free_port
from tests.services.firestore_emulator import firestore_emulator
from tests.services.scratch_database import MYSQL, POSTGRES, scratch_database

PROJECT = "torpor-bench"
FLOOR = "floor: Flask, gunicorn, google-cloud-firestore"
AIMS = {"Firestore": 1.25, "SQLite": 0.5}
"""The most that a start may take on these stores, as a share of the floor's."""
COLUMNS = {"start to first answer ms": 0, "CPU ms": 0, "PSS MB": 1, "RSS of the worker MB": 1}
PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.002
_FLOOR_THREADS = 18
"""As many as `workers/gunicorn.conf.py` gives a job worker with the default concurrency."""


@dataclass(frozen=True, slots=True)
class Server:
    """Something that is started and asked."""

    name: str
    command: Sequence[str]
    """Without the port, which the environment names."""
    environment: Mapping[str, str]


def run(arguments: Sequence[str]) -> int:
    """Measure and print; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench cold_start", description=__doc__)
    parser.add_argument("--repeat", type=int, default=9, help="starts of each server")
    parser.add_argument("--service", default="job_worker", help="which of the services is started")
    given = parser.parse_args(arguments)
    print(f"# cold start of {given.service}, {datetime.now(UTC):%Y-%m-%d}, {given.repeat} starts each, in turn")
    rows: dict[str, list[Figures]] = {}
    machine = Machine()
    with servers(given.service) as each_one, tempfile.TemporaryDirectory(prefix="torpor-bench-") as bytecode:
        for server in each_one:
            measure(server, bytecode)
        for number in range(given.repeat):
            print(f"# {number + 1} of {given.repeat}", file=sys.stderr, flush=True)
            for server in each_one:
                rows.setdefault(server.name, []).append(measure(server, bytecode))
    print(f"\n{table('', COLUMNS, rows)}\n")
    _compare(rows)
    print(machine.said())
    return 0


@contextmanager
def servers(service: str) -> Iterator[list[Server]]:
    """The floor, and the service on each store; the stores are there for as long as the block lasts."""
    with ExitStack() as stack:
        emulator = stack.enter_context(firestore_emulator())
        urls = {
            "memory": "memory:",
            "SQLite": stack.enter_context(SQLITE.make()),
            "PostgreSQL": stack.enter_context(scratch_database(POSTGRES)),
            "MariaDB": stack.enter_context(scratch_database(MYSQL)),
            "Firestore": f"firestore://{PROJECT}/(default)",
        }
        gunicorn = [sys.executable, "-m", "gunicorn", "--workers=1", "--worker-class=gthread", "--timeout=0"]
        gunicorn += [f"--threads={_FLOOR_THREADS}", "--worker-tmp-dir=/dev/shm"]
        on_emulator = {"FIRESTORE_EMULATOR_HOST": emulator, "GOOGLE_CLOUD_PROJECT": PROJECT}
        bare = [*gunicorn, "bench.cold_start_bare:app"]
        made = [
            Server(FLOOR, [*gunicorn, "bench.cold_start_floor:app"], on_emulator),
            Server("Flask and gunicorn alone", bare, {}),
            Server("the same, pydantic and SQLAlchemy on SQLite", bare, {"BENCH_DATABASE": urls["SQLite"]}),
        ]
        for name, url in urls.items():
            environment = {"TORPOR_STORE_URL": url, "TORPOR_SERVICE": service, **on_emulator}
            made.append(Server(name, [sys.executable, "-m", "workers"], environment))
        yield made


def measure(server: Server, bytecode: str) -> Figures:
    """Start it, ask it once, look at it, and end it.

    Args:
        server: what is started.
        bytecode: the folder of compiled modules: one that a start before this one has filled.

    Raises:
        RuntimeError: it ended, or did not answer within a minute.
    """
    port = free_port()
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("TORPOR_", "PORT", "PYTHON"))}
    environment = {
        **kept,
        **server.environment,
        "PYTHONPYCACHEPREFIX": bytecode,
        "PYTHONPATH": str(ROOT),
        "TORPOR_PORT": str(port),
        "GUNICORN_CMD_ARGS": f"--bind=127.0.0.1:{port}",
    }
    with tempfile.TemporaryDirectory(prefix="torpor-bench-") as folder, tempfile.TemporaryFile() as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            server.command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        try:
            _first_answer(port, process)
            took = time.perf_counter() - began
            return {"start to first answer ms": 1000 * took, **_family_figures(process.pid)}
        except RuntimeError as error:
            said.seek(0)
            raise RuntimeError(f"{server.name}: {error}\n{said.read().decode(errors='replace')[-2000:]}") from error
        finally:
            _end(process)


def _first_answer(port: int, process: subprocess.Popen[bytes]) -> None:
    """Connect as soon as it listens, and wait for its answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
            break
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("it does not listen") from None
            time.sleep(_LOOK_SECONDS)
    client = http.client.HTTPConnection("127.0.0.1", port)
    client.sock = connection
    try:
        client.request("GET", "/readyz")
        answer = client.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise RuntimeError(f"it does not answer: {error!r}") from error
    finally:
        client.close()
    if answer.status != http.HTTPStatus.OK:
        raise RuntimeError(f"it answers {answer.status}: {body!r}")


def _family_figures(pid: int) -> Figures:
    """Processor time and memory of gunicorn's two processes: shared pages count once in PSS, twice in RSS."""
    master = psutil.Process(pid)
    family = [master, *master.children(recursive=True)]
    memory = [each.memory_full_info() for each in family]
    times = [each.cpu_times() for each in family]
    megabyte = 1024 * 1024
    return {
        "CPU ms": 1000 * sum(each.user + each.system for each in times),
        "PSS MB": sum(each.pss for each in memory) / megabyte,
        "RSS of the worker MB": max(each.rss for each in memory) / megabyte,
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    family = []
    if process.poll() is None:
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        for each in family:
            each.kill()
        process.kill()
        process.wait()


def _compare(rows: Mapping[str, Sequence[Figures]]) -> None:
    """Each start and its memory as a share of the floor's, and whether the aims are met."""
    for name, measured in rows.items():
        if name == FLOOR:
            continue
        time_share, cpu_share, memory_share = (
            _share(measured, rows[FLOOR], label) for label in ("start to first answer ms", "CPU ms", "PSS MB")
        )
        aim = AIMS.get(name)
        verdict = "" if aim is None else f"; the aim of {aim:g} is {'reached' if time_share <= aim else 'MISSED'}"
        print(
            f"{name}: {time_share:.2f} of the floor's time, {cpu_share:.2f} of its processor time, "
            f"{memory_share:.2f} of its memory{verdict}"
        )


def _share(measured: Sequence[Figures], floor: Sequence[Figures], label: str) -> float:
    """The median of each round's own share: a round in which others keep the machine busy is slow for both."""
    return statistics.median(ours[label] / bare[label] for ours, bare in zip(measured, floor, strict=True))

"""The file store among real processes: they share the work, and one that is killed takes nothing with it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.stores.base import Query
from app.stores.conformance.harness import insert, ready
from app.stores.conformance.sharing import opened
from app.stores.file import FileJobStore

_DRAIN = """
import asyncio, sys
from app.stores.conformance.harness import ask, ids, lease, promote
from app.stores.file import FileJobStore

async def drain():
    store = FileJobStore(sys.argv[1], rewrite_after_bytes=20_000)
    await store.open()
    print("open", flush=True)
    sys.stdin.readline()
    while True:
        claimed = await store.claim(ask(limit=3), lease, promote)
        for name in ids(claimed.records):
            print(name, flush=True)
        if not claimed.full_page:
            break
    await store.close()

asyncio.run(drain())
"""

_WRITE = """
import asyncio, itertools, sys
from app.stores.base import Insert, Put
from app.stores.conformance.harness import job
from app.stores.file import FileJobStore

async def write():
    store = FileJobStore(sys.argv[1], rewrite_after_bytes=20_000)
    await store.open()
    for number in itertools.count():
        name = f"{sys.argv[2]}-{number}"
        await store.commit([Insert("jobs", name, job()), Put("runs", name, {"job_id": name})])
        print(name, flush=True)

asyncio.run(write())
"""


@contextmanager
def process(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process, ended at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def line_from(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    line = started.stdout.readline().strip()
    assert line, "the process ended before its time; its own error stands above"
    return line


async def test_processes_drain_one_directory_without_taking_anything_twice(tmp_path: Path) -> None:
    names = [f"job-{number}" for number in range(60)]
    async with opened(FileJobStore(tmp_path)) as store:
        await insert(store, "jobs", [(name, ready()) for name in names])
        with process(_DRAIN, str(tmp_path)) as one, process(_DRAIN, str(tmp_path)) as other:
            for each in (one, other):
                assert line_from(each) == "open"
            found: list[str] = []
            # Both are told to go at once; communicate() hands on the line and reads what they found.
            for each in (one, other):
                assert each.stdin is not None
                each.stdin.write("go\n")
                each.stdin.flush()
            for each in (one, other):
                output, _ = each.communicate(timeout=60)
                assert each.returncode == 0
                found += output.split()
        assert sorted(found) == sorted(names)
        assert await store.count(Query("jobs.leased")) == 60


async def test_a_killed_process_leaves_what_it_was_answered_for(tmp_path: Path) -> None:
    with process(_WRITE, str(tmp_path), "one") as one, process(_WRITE, str(tmp_path), "other") as other:
        names = [line_from(one) for _ in range(25)]
        one.kill()
        # The lock of the dead is free, and its half a line, if it left one, is in nobody's way.
        names += [line_from(other) for _ in range(25)]
        other.kill()
    async with opened(FileJobStore(tmp_path)) as store:
        assert None not in await store.get("jobs", names)
        jobs, runs = await store.count(Query("jobs.list")), await store.get("runs", names)
        assert None not in runs
        assert jobs >= len(names)

"""Whole paths through processes of their own: the command as people and supervisors call it."""

from __future__ import annotations

import json
import shlex
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from app.catalog import sample_catalog
from tests.acceptance.cli.conftest import PATIENCE_SECONDS, Processes

KILLED_AFTER_SECONDS = 10.0
"""After a SIGTERM a platform waits so long, and then kills."""
SHORT_LEASE_SECONDS = 3.0


def until(condition: Callable[[], Any], what: str) -> Any:
    """The first answer of the condition that is true; a busy machine may take its time."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come about within {PATIENCE_SECONDS:g} s")


def stored(processes: Processes) -> list[dict[str, Any]]:
    """All jobs, read from the file: cheaper than a process of the command for each look. A zero is not stored."""
    with closing(sqlite3.connect(processes.place / "torpor.db", timeout=PATIENCE_SECONDS)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT * FROM torpor_jobs ORDER BY type")]


def are_under_way(processes: Processes, attempt: int = 1) -> bool:
    """Whether every job's handler has begun this attempt: a claim alone leaves the progress of the one before."""
    return all(f"half way in attempt {attempt}" in str(job["progress"]) for job in stored(processes))


def test_demo_the_way_a_new_user_meets_it(processes: Processes, place: Path) -> None:
    first = processes("demo", COLUMNS="80")

    number = len(json.loads(sample_catalog()))
    assert first.code == 0
    assert f"{number} exercises added, 0 were there already" in first.out
    assert "Traceback" not in first.err
    # Whatever it says to type next works as it stands.
    steps = first.out[first.out.index("Where to look next") :].splitlines()
    command = next(line.strip() for line in steps if "jobs show" in line)
    typed = subprocess.run(
        shlex.split(command), cwd=place, env=processes.environment(), capture_output=True, text=True, check=False
    )
    assert typed.returncode == 0
    assert "maintenance_scan" in typed.stdout


def test_a_package_of_the_current_folder_from_enqueue_to_its_end(processes: Processes) -> None:
    with processes.started("worker", "--quiet", "--json") as worker:
        waited = processes("enqueue", "own_ok", "--payload", '{"n": 6}', "--wait", "--json")
        worker.send_signal(signal.SIGTERM)
        out, err = worker.communicate(timeout=PATIENCE_SECONDS)

    assert (waited.code, waited.json["status"], waited.json["result"]["data"]) == (0, "completed", 6)
    assert (worker.returncode, json.loads(out)["completed"], err) == (0, 1, "")


def test_sigterm_gives_leases_back_in_time(processes: Processes) -> None:
    processes.put("own_long", "own_stubborn")
    with processes.started("worker", "--json") as worker:
        until(lambda: are_under_way(processes), "the jobs' progress")
        began = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=PATIENCE_SECONDS)
        took = time.monotonic() - began
        out, err = worker.communicate()

    assert took < KILLED_AFTER_SECONDS
    assert worker.returncode == 0
    assert json.loads(out)["lost"] == 0
    assert "Traceback" not in err
    for given_back in stored(processes):
        assert (given_back["status"], given_back["lease_token"]) == ("queued", None)
        assert not given_back["retries_used"]
        assert not given_back["lease_losses"]
    assert [job["outcome"] for job in stored(processes)] == ["sliced", "released"]


def test_a_killed_worker_with_a_short_lease(processes: Processes) -> None:
    """TORPOR_LEASE_SECONDS is honoured by whoever holds the job, and the next worker goes on without being told."""
    (job_id,) = processes.put("own_long")
    with processes.started("worker", "--quiet", TORPOR_LEASE_SECONDS=str(SHORT_LEASE_SECONDS)) as first:
        until(lambda: are_under_way(processes), "the job's progress")
        first.kill()
        first.wait(timeout=PATIENCE_SECONDS)

    end = stored(processes)[0]["lease_expires_at"]
    assert end <= (time.time() + SHORT_LEASE_SECONDS) * 1e6
    until(lambda: time.time() * 1e6 > end, "the end of the lease")
    with processes.started("worker", "--quiet") as second:
        until(lambda: are_under_way(processes, attempt=2), "the second attempt")
        second.send_signal(signal.SIGTERM)
        second.wait(timeout=PATIENCE_SECONDS)

    again = processes.json("jobs", "show", job_id)
    assert (again["attempt"], again["lease_losses"], again["checkpoint"]) == (2, 1, {"seen": 2})
    assert [run["outcome"] for run in again["runs"]] == ["sliced", "lease_lost"]


def test_a_reader_that_goes_away_is_no_trouble(processes: Processes) -> None:
    processes.put(*["own_ok"] * 400)

    for form in ([], ["--json"]):
        with processes.started("jobs", "list", "--limit", "400", *form) as listing:
            assert listing.stdout is not None
            assert listing.stderr is not None
            listing.stdout.readline()
            listing.stdout.close()
            assert listing.stderr.read() == ""
            assert listing.wait(timeout=PATIENCE_SECONDS) in (0, 1)
            listing.stdout = None


def test_an_answer_that_cannot_be_written_is_said(processes: Processes) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [*processes.command, "types", "--json"],
            cwd=processes.place,
            env=processes.environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr.strip() == "[Errno 28] No space left on device"


def test_screens_that_know_few_letters(processes: Processes) -> None:
    (job_id,) = processes.put("own_ok", tags=("über-深",))

    shown = processes("jobs", "show", job_id, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")

    assert (shown.code, shown.err) == (0, "")
    assert "\\xfcber-\\u6df1" in shown.out


def test_wrong_settings_end_the_command_with_2(processes: Processes) -> None:
    unreadable = processes("types", TORPOR_JOB="{")
    (processes.place / ".env").write_text("TORPOR_CONCURRENCY=none\n", encoding="utf-8")
    dotenv = processes("doctor")

    for answer, says in ((unreadable, '"job"'), (dotenv, "TORPOR_CONCURRENCY")):
        assert (answer.code, answer.out) == (2, "")
        assert says in answer.err
        assert "Traceback" not in answer.err


def test_the_command_as_a_module(place: Path) -> None:
    helped = Processes(place, as_module=True)("jobs", "--help")

    assert (helped.code, helped.err) == (0, "")
    assert "Usage: torpor jobs" in helped.out

"""`torpor serve`: the whole product in one process, as somebody at a laptop has it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
import simple_websocket

from app.web.tokens import Scope, new_token
from tests.acceptance.cli.conftest import PATIENCE_SECONDS, Processes, Torpor
from tests.acceptance.cli.test_processes import KILLED_AFTER_SECONDS, are_under_way, stored, until

STREAM = {"Accept": "text/event-stream"}


class Server:
    """A running `torpor serve`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.first_line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", self.first_line)
        assert found, (self.first_line, process.stderr and process.stderr.read())
        self.url = found[0]

    def get(self, route: str, **options: Any) -> requests.Response:
        return requests.get(self.url + route, timeout=PATIENCE_SECONDS, **options)

    def post(self, route: str, body: Any = None, **headers: str) -> requests.Response:
        return requests.post(self.url + route, json=body, headers=headers, timeout=PATIENCE_SECONDS)

    def created(self, job_type: str, **options: Any) -> str:
        """The id of a job that was created over HTTP."""
        made = self.post("/api/v1/jobs", {"type": job_type, **options})
        assert made.status_code == 201, made.text
        job_id: str = made.json()["id"]
        return job_id

    def status(self, job_id: str) -> str:
        status: str = self.get(f"/api/v1/jobs/{job_id}").json()["status"]
        return status

    def ended(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code after that signal, and what it said on standard error."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, said


@contextmanager
def serving(processes: Processes, *arguments: str, **variables: str) -> Iterator[Server]:
    with processes.started("serve", "--port", "0", "--quiet", *arguments, **variables) as process:
        yield Server(process)


def test_jobs_of_this_process_and_of_others_run_at_once(processes: Processes) -> None:
    with serving(processes, "--concurrency", "3") as server:
        assert server.first_line == (
            f"torpor serves {server.url}: jobs are in sqlite:///torpor.db, 3 jobs at once; Ctrl-C ends it\n"
        )
        assert server.get("/readyz").json() == {"status": "ready", "free_slots": 3}
        own = [server.created("own_ok", payload={"n": 1}), server.created("own_ok", delay=0.5)]
        others = processes.put("own_ok", "own_ok")
        until(lambda: all(server.status(job_id) == "completed" for job_id in (*own, *others)), "their ends")
        assert server.get(f"/api/v1/jobs/{own[0]}/results").json()["result"] == 1

        assert server.post("/tasks/drain").json()["outcome"] == "woken"
        assert server.post("/tasks/tick").json()["outcome"] == "done"
        assert server.post("/tasks/watchdog").json()["outcome"] == "done"
        code, said = server.ended(signal.SIGINT)
    assert code == 0
    assert "authentication is off" in said
    assert "Traceback" not in said


def test_a_job_is_followed_by_stream_and_by_websocket(processes: Processes) -> None:
    with serving(processes) as server:
        job_id = server.created("own_tells")
        route = f"{server.url}/api/v1/jobs/{job_id}/logs"
        reader = simple_websocket.Client(route.replace("http", "ws", 1))
        with requests.get(route, headers=STREAM, stream=True, timeout=PATIENCE_SECONDS) as answer:
            lines = answer.iter_lines(decode_unicode=True)
            told = [next(line for line in lines if line.startswith("data: "))]
            assert '"message":"first"' in told[0], "it is told while the job runs"
            (processes.place / "go").touch()
            told += list(lines)
        assert 'data: {"status":"completed"}' in told
        heard = [json.loads(reader.receive(timeout=PATIENCE_SECONDS)) for _ in range(3)]
        assert [each["event"] for each in heard] == ["log", "log", "end"]
        code, said = server.ended()
    assert code == 0
    assert "Traceback" not in said


def test_sigterm_under_load(processes: Processes) -> None:
    """Leases are back in time and uncounted, whoever was answered has a job, and streams end in order."""
    accepted: list[str] = []
    ended = threading.Event()

    def load() -> None:
        while True:
            try:
                answer = requests.post(f"{server.url}/api/v1/jobs", json={"type": "own_ok"}, timeout=PATIENCE_SECONDS)
            except requests.ConnectionError:
                break
            accepted.append(answer.json()["id"])
        ended.set()

    with serving(processes) as server:
        long = {server.created(job_type) for job_type in ("own_long", "own_stubborn")}
        until(lambda: are_under_way(processes), "the jobs' progress")
        route = f"{server.url}/api/v1/jobs/{min(long)}/progress"
        with requests.get(route, headers=STREAM, stream=True, timeout=PATIENCE_SECONDS) as stream:
            thread = threading.Thread(target=load)
            thread.start()
            until(lambda: len(accepted) >= 5, "the load")
            began = time.monotonic()
            code, said = server.ended()
            took = time.monotonic() - began
            assert stream.content.endswith(b"\n\n")
        assert ended.wait(PATIENCE_SECONDS)
        thread.join()

    assert code == 0, said
    assert took < KILLED_AFTER_SECONDS
    assert "Traceback" not in said
    jobs = {job["id"]: job for job in stored(processes)}
    assert set(accepted) <= jobs.keys()
    for job in jobs.values():
        assert (job["status"], job["lease_token"]) in {("queued", None), ("completed", None)}
        assert not job["retries_used"]
        assert not job["lease_losses"]
    assert {jobs[job_id]["status"] for job_id in long} == {"queued"}


def test_a_killed_one_is_started_again_and_goes_on(processes: Processes) -> None:
    lease = {"TORPOR_LEASE_SECONDS": "1"}
    with serving(processes, **lease) as first:
        job_id = first.created("own_long")
        until(lambda: are_under_way(processes), "the job's progress")
        first.process.kill()
        first.process.wait(timeout=PATIENCE_SECONDS)
    end = stored(processes)[0]["lease_expires_at"]
    until(lambda: time.time() * 1e6 > end, "the end of the lease")

    with serving(processes, **lease) as second:
        until(lambda: are_under_way(processes, attempt=2), "the second attempt")
        assert second.get(f"/api/v1/jobs/{job_id}").json()["lease_losses"] == 1
        assert second.ended()[0] == 0


def test_without_a_worker_jobs_are_left_to_others(processes: Processes) -> None:
    with serving(processes, "--no-worker") as server:
        assert "no jobs run here" in server.first_line
        job_id = server.created("own_ok")
        assert server.post("/tasks/drain").status_code == 404
        assert server.post("/tasks/tick").json()["outcome"] == "done"
        assert server.status(job_id) == "queued"
        assert server.ended()[0] == 0


def test_with_tokens_nothing_is_open(processes: Processes) -> None:
    token, entry = new_token("me", frozenset({Scope.ADMIN}))
    entries = json.dumps([{"name": entry.name, "sha256": entry.sha256, "scopes": list(entry.scopes)}])
    with serving(processes, TORPOR_API_TOKENS=entries) as server:
        assert server.post("/api/v1/jobs", {"type": "own_ok"}).status_code == 401
        for route in ("/pubsub/push", "/tasks/drain", "/tasks/tick", "/tasks/watchdog"):
            assert server.post(route, {}).status_code == 401
        made = server.post("/api/v1/jobs", {"type": "own_ok"}, Authorization=f"Bearer {token}")
        assert made.status_code == 201
        code, said = server.ended()
    assert code == 0
    assert "authentication is off" not in said


def test_a_list_without_a_token_lets_nobody_in(processes: Processes) -> None:
    with serving(processes, TORPOR_API_TOKENS="[]") as server:
        for route in ("/api/v1/jobs", "/pubsub/push", "/tasks/wake", "/tasks/drain", "/tasks/tick", "/tasks/watchdog"):
            assert server.post(route, {}).status_code == 401
        code, said = server.ended()
    assert code == 0
    assert "authentication is off" not in said


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "says"),
    [
        (["--host", "0.0.0.0"], {}, 2, "TORPOR_API_TOKENS"),  # noqa: S104 - what has to be refused
        (["--host", "nowhere.invalid"], {}, 1, "CANNOT_LISTEN: nowhere.invalid"),
        ([], {"TORPOR_STORE_URL": "redis://me:hunter2@db.example"}, 2, "store_url"),
        ([], {"TORPOR_STORE_URL": "postgresql://me:hunter2@127.0.0.1:9/jobs"}, 1, "STORE: "),
        ([], {"TORPOR_STORE_URL": "sqlite:////proc/no/jobs.db"}, 1, "STORE: "),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    torpor: Torpor, arguments: list[str], variables: dict[str, str], code: int, says: str
) -> None:
    answer = torpor("serve", "--port", "0", "--quiet", *arguments, **variables)
    assert (answer.code, answer.out) == (code, "")
    line = answer.err.replace("\n", " ")
    assert says in line
    assert "Traceback" not in line
    assert "hunter2" not in line


def test_a_port_that_is_taken_is_named(torpor: Torpor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = torpor("serve", "--port", str(port), "--quiet")
    assert answer.code == 1
    assert answer.err.startswith(f"CANNOT_LISTEN: 127.0.0.1:{port}")
    assert "--port" in answer.err


def test_it_survives_whoever_started_it(processes: Processes) -> None:
    """Started in the background of a shell that ends, as with nohup."""
    script = f'"{processes.command[0]}" {" ".join(processes.command[1:])} serve --port 0 --quiet > said 2>&1 & echo $!'
    shell = subprocess.run(
        ["sh", "-c", script],
        cwd=processes.place,
        env=processes.environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )
    server = int(shell.stdout)
    try:
        said = processes.place / "said"
        found = until(lambda: re.search(r"http://\S+:\d+", said.read_text()), "the first line")
        for _ in range(3):
            assert requests.get(f"{found[0]}/healthz", timeout=PATIENCE_SECONDS).status_code == 200
            time.sleep(0.5)  # it looks for its parent once a second, if it looks
    finally:
        os.kill(server, signal.SIGKILL)

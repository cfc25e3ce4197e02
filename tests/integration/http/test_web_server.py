"""The web service on real gunicorn: what idle, slow, large and many clients do to it, which is nothing."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests
import simple_websocket

from app.jobs import JobManager
from app.stores import DatabaseJobStore
from app.web.tokens import Scope, new_token
from tests.support.open_files import open_files
from tests.support.served_jobs import LINE_LENGTH
from tests.support.server_process import ServerProcess
from tests.support.worker_processes import PATIENCE_SECONDS

READERS = 200
CLIENTS = 1000
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def server(tmp_path: Path, store_url: str) -> Iterator[ServerProcess]:
    settings = {"TORPOR_SERVICE": "web", "TORPOR_STREAMS": "3", "TORPOR_CONCURRENCY": "2"}
    with ServerProcess(tmp_path, TORPOR_STORE_URL=store_url, **settings) as server:
        yield server


def connected(server: ServerProcess) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)


def ended(server: ServerProcess) -> int:
    server.terminate()
    return server.ended()


def test_a_job_is_created_here_run_elsewhere_and_followed_from_here(server: ServerProcess, store_url: str) -> None:
    job = server.post("/api/v1/jobs", {"type": "served_quick", "payload": {"n": 3}}).json()
    told: list[str] = []

    def follow() -> None:
        route = f"{server.url}/api/v1/jobs/{job['id']}/logs"
        with requests.get(route, headers=STREAM, stream=True, timeout=PATIENCE_SECONDS) as answer:
            told.extend(answer.iter_lines(decode_unicode=True))

    reader = threading.Thread(target=follow)
    reader.start()
    with JobManager(DatabaseJobStore(url=store_url), worker=True) as manager:
        assert manager.wait(job["id"], timeout=PATIENCE_SECONDS).result is not None
    reader.join(PATIENCE_SECONDS)

    assert 'data: {"status":"completed"}' in told
    assert server.get(f"/api/v1/jobs/{job['id']}/results").json()["result"] == 3
    assert ended(server) == 0


def test_a_log_is_followed_over_a_websocket(server: ServerProcess, store_url: str) -> None:
    job = server.post("/api/v1/jobs", {"type": "served_talkative"}).json()
    address = f"{server.url.replace('http', 'ws', 1)}/api/v1/jobs/{job['id']}/logs"
    from_start, from_behind = simple_websocket.Client(address), simple_websocket.Client(f"{address}?after=2")
    with JobManager(DatabaseJobStore(url=store_url), worker=True) as manager:
        manager.wait(job["id"], timeout=PATIENCE_SECONDS)

    for reader, first in ((from_start, 1), (from_behind, 3)):
        said = [json.loads(reader.receive(timeout=PATIENCE_SECONDS)) for _ in range(first, 5)]
        assert [each["data"]["number"] for each in said[:-1]] == list(range(first, 4))
        assert len(said[0]["data"]["message"]) == LINE_LENGTH
        assert said[-1] == {"event": "end", "data": {"status": "completed"}}
        with pytest.raises(simple_websocket.ConnectionClosed):
            reader.receive(timeout=PATIENCE_SECONDS)
    assert "Traceback" not in server.said
    assert ended(server) == 0


def test_websockets_have_the_places_of_streams(server: ServerProcess) -> None:
    held = server.post("/api/v1/jobs", {"type": "served_quick", "auto_start": False}).json()
    address = f"{server.url.replace('http', 'ws', 1)}/api/v1/jobs/{held['id']}/logs"
    readers = [simple_websocket.Client(address) for _ in range(3)]
    route = f"{server.url}/api/v1/jobs/{held['id']}/logs"
    hello = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "eA==",
    }
    for place, status in ((route, 503), (route.replace(held["id"], "nope"), 404), (f"{route}?after=x", 422)):
        assert requests.get(place, headers=hello, timeout=PATIENCE_SECONDS).status_code == status

    readers[0].close()
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        with requests.get(route, headers=STREAM, stream=True, timeout=PATIENCE_SECONDS) as answer:
            if answer.status_code == 200:
                break
        assert time.monotonic() < end
        time.sleep(0.2)
    for reader in readers[1:]:
        reader.close()
    assert ended(server) == 0, server.said


def test_a_websocket_without_its_handshake_is_refused(server: ServerProcess) -> None:
    held = server.post("/api/v1/jobs", {"type": "served_quick", "auto_start": False}).json()
    route = f"{server.url}/api/v1/jobs/{held['id']}/logs"
    asked = {"Upgrade": "websocket", "Connection": "Upgrade"}
    key, version = {"Sec-WebSocket-Key": "eA=="}, {"Sec-WebSocket-Version": "13"}
    for hello in (asked, asked | key, asked | version, asked | key | {"Sec-WebSocket-Version": "12"}):
        for _ in range(2):  # more often than there are places
            answer = requests.get(route, headers=hello, timeout=PATIENCE_SECONDS)
            assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST"), hello
            assert "no handshake of a WebSocket" in answer.json()["detail"]
    assert "Traceback" not in server.said


def test_requests_that_come_together_are_all_answered(server: ServerProcess) -> None:
    with connected(server) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n" * 3)
        said = b""
        while said.count(b'"alive"') < 3:
            piece = client.recv(4096)
            assert piece, said
            said += piece


def large(length: int) -> Iterator[bytes]:
    yield b'{"type": "served_quick", "name": "'
    for _ in range(length):
        yield b"x" * 1_000_000
    yield b'"}'


def test_a_body_of_fifty_megabytes_is_refused(server: ServerProcess) -> None:
    for body in (b"x" * 50_000_000, large(50)):
        try:
            answer = requests.post(
                f"{server.url}/api/v1/jobs",
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=PATIENCE_SECONDS,
            )
        except requests.ConnectionError:
            continue  # it was hung up on while it was still sending
        assert answer.status_code == 413
    assert server.get("/api/v1/jobs").json()["jobs"] == []


def test_a_thousand_readers_have_their_places_and_no_more(tmp_path: Path, store_url: str) -> None:
    settings = {"TORPOR_SERVICE": "web", "TORPOR_STREAMS": str(READERS), "TORPOR_CONCURRENCY": "2"}
    with ExitStack() as open_ones:
        open_ones.enter_context(open_files(2 * CLIENTS))
        server = open_ones.enter_context(ServerProcess(tmp_path, TORPOR_STORE_URL=store_url, **settings))
        held = server.post("/api/v1/jobs", {"type": "served_quick", "auto_start": False}).json()
        route = f"/api/v1/jobs/{held['id']}/progress"
        asked = f"GET {route} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        # All stay connected and say nothing more, also those that are refused.
        clients = [open_ones.enter_context(connected(server)) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(asked.encode())
        answers = Counter(client.recv(12) for client in clients)
        assert answers == {b"HTTP/1.1 200": READERS, b"HTTP/1.1 503": CLIENTS - READERS}

        one_more = requests.get(
            f"{server.url}/api/v1/jobs/{held['id']}/progress", headers=STREAM, timeout=PATIENCE_SECONDS
        )
        assert (one_more.status_code, one_more.json()["code"]) == (503, "STREAMS_FULL")
        assert int(one_more.headers["Retry-After"]) > 0
        assert server.get("/readyz").status_code == 200
        assert server.post("/api/v1/jobs", {"type": "served_quick"}).status_code == 201

        assert ended(server) == 0, server.said
        for client in clients:
            assert b"event: end" not in all_of(client)  # the job goes on: its readers come back


def all_of(client: socket.socket) -> bytes:
    said = b""
    with suppress(ConnectionResetError):
        while piece := client.recv(65_536):
            said += piece
    return said


def test_without_a_token_nothing_is_done(tmp_path: Path, store_url: str) -> None:
    token, entry = new_token("ci", frozenset({Scope.ENQUEUE}))
    entries = json.dumps([{"name": entry.name, "sha256": entry.sha256, "scopes": list(entry.scopes)}])
    settings = {"TORPOR_SERVICE": "web", "TORPOR_API_TOKENS": entries, "TORPOR_HOST": "127.0.0.1"}
    with ServerProcess(tmp_path, TORPOR_STORE_URL=store_url, **settings) as server:
        assert server.post("/api/v1/jobs", {"type": "served_quick"}).status_code == 401
        allowed = server.post("/api/v1/jobs", {"type": "served_quick"}, Authorization=f"Bearer {token}")
        assert allowed.status_code == 201
        assert (
            server.post(f"/api/v1/jobs/{allowed.json()['id']}/cancel", Authorization=f"Bearer {token}").status_code
            == 403
        )
        assert server.get("/healthz").status_code == 200
        assert token not in server.said


def test_a_server_that_others_reach_is_refused_without_authentication(tmp_path: Path, store_url: str) -> None:
    settings = {"TORPOR_SERVICE": "web", "TORPOR_HOST": "0.0.0.0"}  # noqa: S104 - what has to be refused
    with ServerProcess(tmp_path, TORPOR_STORE_URL=store_url, **settings) as server:
        assert server.ended() != 0
        assert "TORPOR_API_TOKENS" in server.said

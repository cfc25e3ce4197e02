"""Clients that stop in the middle, trickle, and send far too much, at real servers: what others ask is answered."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from app.cloud.messages import message_of
from app.jobs import Hint, JobManager, JobStatus
from app.stores import DatabaseJobStore
from tests.support import served_jobs  # noqa: F401 - registers the types
from tests.support.open_files import open_files
from tests.support.server_process import ServerProcess
from tests.support.worker_processes import PATIENCE_SECONDS
from workers.steady import LARGE_AT_ONCE, STALLED_SECONDS, WHOLE_SECONDS

OF_EACH = 60
HEAD = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SAID = {
    "nothing": b"",
    "half a line": b"POST /",
    "half of the headers": HEAD + b"X-Slow: ",
    "no body": HEAD + b"Content-Length: 300\r\n\r\n",
    "half of the body": HEAD + b'Content-Length: 300\r\n\r\n{"type": ',
    "a request, and half of another": b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n" + HEAD,
}
"""What clients say before they fall silent."""
LARGE = {
    "half of a large body": HEAD + b"Content-Length: 900000\r\n\r\n" + b"x" * 1000,
    "half of a body of unknown length": HEAD + b'Transfer-Encoding: chunked\r\n\r\n8\r\n{"type":\r\n',
    "no body after a promise to wait": HEAD + b"Expect: 100-continue\r\nContent-Length: 300\r\n\r\n",
}
BROKEN = (b"ZZ\r\n", b"3\r\n{}\r\n\r\n0\r\n\r\n", b"2;\x00\r\n{}\r\n0\r\n\r\n", b"2\r\n{}\r\n0\r\nno trailer\r\n\r\n")
"""What is said to come in chunks, and does not."""
ROUTES = {"job_worker": b"/pubsub/push", "web": b"/api/v1/jobs"}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[JobManager]:
    with JobManager(DatabaseJobStore(url=f"sqlite:///{tmp_path}/jobs.db"), worker=False) as manager:
        yield manager


def serving(folder: Path, service: str) -> ServerProcess:
    return ServerProcess(
        folder,
        TORPOR_SERVICE=service,
        TORPOR_STORE_URL=f"sqlite:///{folder}/jobs.db",
        TORPOR_STREAMS="3",
        TORPOR_CONCURRENCY="2",
    )


def connected(server: ServerProcess) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)


def pushed(job_id: str) -> dict[str, object]:
    data = base64.b64encode(message_of(Hint(job_id))).decode()
    return {"message": {"data": data, "messageId": "1"}, "subscription": "s"}


def check_serves(server: ServerProcess, service: str, manager: JobManager) -> None:
    """Whether it does what it is there for."""
    assert [server.get("/readyz").status_code for _ in range(3)] == [200] * 3
    if service == "web":
        assert server.post("/api/v1/jobs", {"type": "served_quick"}).status_code == 201
    else:
        job = manager.submit("served_quick")
        assert server.post("/pubsub/push", pushed(job.id)).json()["outcome"] == "done"
        assert manager.get_job_status(job.id) is JobStatus.COMPLETED


@pytest.mark.parametrize("service", ROUTES)
def test_hundreds_that_stop_in_the_middle_keep_nobody_out(tmp_path: Path, manager: JobManager, service: str) -> None:
    route = ROUTES[service]
    with open_files(2 * OF_EACH * len(SAID | LARGE)), serving(tmp_path, service) as server, ExitStack() as open_ones:
        assert server.get("/readyz").status_code == 200
        for said in [*SAID.values(), *LARGE.values()]:
            for _ in range(OF_EACH):
                client = open_ones.enter_context(connected(server))
                client.sendall(said.replace(b"%s", route))
        began = time.monotonic()
        check_serves(server, service, manager)
        # A thread that had been taken would have been held for longer.
        assert time.monotonic() - began < min(STALLED_SECONDS, WHOLE_SECONDS)

        slow = open_ones.enter_context(connected(server))
        for piece in (b"GET /heal", b"thz HTTP/1.1\r\nHo", b"st: here\r\n", b"\r\n"):
            slow.sendall(piece)
            time.sleep(0.01)
        assert slow.recv(100).startswith(b"HTTP/1.1 200 ")


def test_large_requests_hold_up_only_each_other(tmp_path: Path, manager: JobManager) -> None:
    """The places for large requests are taken by some that stop in the middle: more are told so, and served later."""
    said = LARGE["half of a body of unknown length"].replace(b"%s", ROUTES["web"])
    whole = b'{"type": "served_quick", "name": "%s"}' % (b"x" * 100)
    with serving(tmp_path, "web") as server:

        def large() -> requests.Response:
            route = f"{server.url}/api/v1/jobs"
            headers = {"Content-Type": "application/json"}
            return requests.post(route, data=iter([whole]), headers=headers, timeout=PATIENCE_SECONDS)

        assert large().status_code == 201
        with ExitStack() as open_ones:
            for _ in range(LARGE_AT_ONCE):
                open_ones.enter_context(connected(server)).sendall(said)
            end = time.monotonic() + PATIENCE_SECONDS
            while (refused := large()).status_code != 503:
                assert time.monotonic() < end
            assert "too many large requests" in refused.text
            check_serves(server, "web", manager)
        while large().status_code != 201:
            assert time.monotonic() < end


def test_who_hangs_up_in_the_middle_is_let_go(tmp_path: Path, manager: JobManager) -> None:
    with serving(tmp_path, "job_worker") as server:
        for said in [*SAID.values(), *LARGE.values()]:
            with connected(server) as client:
                client.sendall(said.replace(b"%s", ROUTES["job_worker"]))
                client.shutdown(socket.SHUT_WR)
                while client.recv(1000):  # until the server hangs up too
                    pass
        check_serves(server, "job_worker", manager)
        assert "Traceback" not in server.said


@pytest.mark.parametrize("service", ROUTES)
def test_a_body_whose_chunks_are_none_is_the_clients_fault(tmp_path: Path, manager: JobManager, service: str) -> None:
    head = HEAD.replace(b"%s", ROUTES[service]) + b"Transfer-Encoding: chunked\r\n\r\n"
    with serving(tmp_path, service) as server:
        for broken in BROKEN:
            with connected(server) as client:
                client.sendall(head + broken)
                said = b""
                while piece := client.recv(4096):  # until the server hangs up
                    said += piece
            assert said.startswith(b"HTTP/1.1 400 "), (broken, said)
            assert b"the body is not sent as HTTP has it" in said
        # What nobody reads is thrown away, whatever it is.
        with connected(server) as client:
            client.sendall(b"POST /nowhere HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n")
            assert client.recv(4096)[9:10] == b"4"
        check_serves(server, service, manager)
        assert "Traceback" not in server.said


def large_body(megabytes: int) -> Iterator[bytes]:
    yield b'{"message": {"data": "'
    for _ in range(megabytes):
        yield b"x" * 1_000_000
    yield b'"}}'


def test_bodies_of_fifty_megabytes_do_not_stop_a_worker(tmp_path: Path, manager: JobManager) -> None:
    answers: list[int] = []
    with serving(tmp_path, "job_worker") as server:

        def send(body: bytes | Iterator[bytes]) -> None:
            try:
                answer = requests.post(f"{server.url}/pubsub/push", data=body, timeout=PATIENCE_SECONDS)
            except requests.ConnectionError:
                return  # it was hung up on while it was still sending
            answers.append(answer.status_code)

        senders = [
            threading.Thread(target=send, args=[body])
            for body in (b"x" * 50_000_000, large_body(50), b"x" * 50_000_000, large_body(50))
        ]
        for sender in senders:
            sender.start()
        check_serves(server, "job_worker", manager)
        for sender in senders:
            sender.join(PATIENCE_SECONDS)
        check_serves(server, "job_worker", manager)
    # No fault of the server, and nothing that Pub/Sub should send again.
    assert all(status < 500 for status in answers), answers

"""A stand-in for Cloud Tasks: its protocol over gRPC, and real calls over HTTP when a task's time has come.

There is no emulator of Google's. What the service documents is kept to: it refuses what Cloud Tasks refuses, calls no
task before its time, makes tokens out to whoever the task says, and calls again after anything but a success.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, NoReturn, Self

import grpc
import requests
from google.cloud.tasks_v2 import CreateTaskRequest, HttpMethod, Task

QUEUE = "projects/torpor-tests/locations/us-central1/queues/wake"
SERVICE = "google.cloud.tasks.v2.CloudTasks"
LONGEST = timedelta(days=30)
DEADLINES = (timedelta(seconds=15), timedelta(minutes=30))
MOST_BYTES = 100 * 1024
TRIES = 100
BACKOFF_SECONDS = 0.2
CALL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a task."""

    at: datetime
    status: int


@dataclass
class Kept:
    """A task and what became of it."""

    task: Task
    calls: list[Call] = field(default_factory=list)


class TaskQueue:
    """One queue.

    Args:
        servers: where the hosts of tasks' addresses really are, as `https://worker.example` at `http://127.0.0.1:8080`.
            A callable, because a server's port is known only when it has begun.
        sign: makes the token of a task from the service account and the audience that it names.
    """

    def __init__(
        self,
        servers: Callable[[], Mapping[str, str]] = dict,
        sign: Callable[[str, str], str] = lambda account, audience: f"{account} for {audience}",
    ) -> None:
        self.kept: list[Kept] = []
        self.asked = 0
        """How often a task was to be created."""
        self.trouble: grpc.StatusCode | None = None
        """What every creation is refused with."""
        self.delay_seconds = 0.0
        """How long a creation takes."""
        self._servers = servers
        self._sign = sign
        self._waiting: list[tuple[float, int, Kept]] = []
        self._changed = threading.Condition()
        self._is_over = False
        self._callers = ThreadPoolExecutor(16)
        self._server = grpc.server(ThreadPoolExecutor(16))
        create = grpc.unary_unary_rpc_method_handler(
            self._create, request_deserializer=CreateTaskRequest.deserialize, response_serializer=Task.serialize
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"CreateTask": create}),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        threading.Thread(target=self._dispatch, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._server.stop(None).wait()
        self._callers.shutdown()

    @property
    def tasks(self) -> list[Task]:
        """The tasks that were created."""
        return [each.task for each in self.kept]

    def _create(self, request: CreateTaskRequest, context: grpc.ServicerContext) -> Task:
        with self._changed:
            self.asked += 1
        time.sleep(self.delay_seconds)
        if self.trouble is not None:
            context.abort(self.trouble, "as the test wants it")
        _check(request, context)
        task = Task(request.task)
        task.name = f"{request.parent}/tasks/{len(self.kept)}"
        kept = Kept(task)
        with self._changed:
            self.kept.append(kept)
            heapq.heappush(self._waiting, (_due(task), len(self.kept), kept))
            self._changed.notify_all()
        return task

    def _dispatch(self) -> None:
        with self._changed:
            while not self._is_over:
                left = self._waiting[0][0] - time.time() if self._waiting else None
                if left is None or left > 0:
                    self._changed.wait(left)
                    continue
                self._callers.submit(self._call, heapq.heappop(self._waiting)[2])

    def _call(self, kept: Kept) -> None:
        call = kept.task.http_request
        host, _, path = call.url.removeprefix("https://").removeprefix("http://").partition("/")
        server = self._servers().get(call.url.removesuffix(f"/{path}"), f"http://{host}")
        headers = {**call.headers, "User-Agent": "Google-Cloud-Tasks", "X-CloudTasks-QueueName": "wake"}
        if call.oidc_token.service_account_email:
            token = self._sign(call.oidc_token.service_account_email, call.oidc_token.audience or call.url)
            headers["Authorization"] = f"Bearer {token}"
        at = datetime.now(UTC)
        try:
            status = requests.post(f"{server}/{path}", call.body, headers=headers, timeout=CALL_SECONDS).status_code
        except requests.RequestException:
            status = 0
        kept.calls.append(Call(at, status))
        if not 200 <= status < 300 and len(kept.calls) < TRIES:
            with self._changed:
                heapq.heappush(self._waiting, (time.time() + BACKOFF_SECONDS, -len(kept.calls), kept))
                self._changed.notify_all()


def _due(task: Task) -> float:
    at: Any = task.schedule_time
    return time.time() if at is None else float(at.timestamp())


def _check(request: CreateTaskRequest, context: grpc.ServicerContext) -> None:
    """Refuse what Cloud Tasks refuses (https://cloud.google.com/tasks/docs/reference/rpc/google.cloud.tasks.v2)."""

    def refuse(code: grpc.StatusCode, why: str) -> NoReturn:
        context.abort(code, why)
        raise AssertionError

    task = request.task
    call = task.http_request
    if request.parent != QUEUE:
        refuse(grpc.StatusCode.NOT_FOUND, "there is no such queue")
    if not call.url.startswith(("http://", "https://")) or call.http_method != HttpMethod.POST:
        refuse(grpc.StatusCode.INVALID_ARGUMENT, "no address, or another method")
    if call.oidc_token.service_account_email and not call.url.startswith("https://"):
        refuse(grpc.StatusCode.INVALID_ARGUMENT, "a token is sent over https only")
    if len(Task.serialize(task)) > MOST_BYTES:
        refuse(grpc.StatusCode.INVALID_ARGUMENT, "the task is too large")
    if _due(task) > time.time() + LONGEST.total_seconds():
        refuse(grpc.StatusCode.INVALID_ARGUMENT, "the time is too far ahead")
    if not DEADLINES[0] <= task.dispatch_deadline <= DEADLINES[1]:
        refuse(grpc.StatusCode.INVALID_ARGUMENT, "no deadline that a call may have")

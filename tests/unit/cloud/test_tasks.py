"""Which tasks are made for which hints, and what happens when they cannot be made."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest

import app.cloud.tasks
from app.cloud.messages import MalformedHint, hint_in, message_of
from app.cloud.tasks import EMULATOR, CloudTasksWaker
from app.jobs import Hint, SystemClock
from tests.support.task_queue import QUEUE, TaskQueue

URL = "https://worker.example"
ACCOUNT = "tasks@project.iam.gserviceaccount.com"


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskQueue]:
    with TaskQueue() as queue:
        monkeypatch.setenv(EMULATOR, queue.address)
        yield queue


@pytest.fixture
async def waker(queue: TaskQueue) -> AsyncIterator[CloudTasksWaker]:
    waker = CloudTasksWaker(QUEUE, URL, ACCOUNT, within=timedelta(minutes=10), clock=SystemClock())
    yield waker
    await waker.close()


def later(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def test_a_task_says_whom_to_call_when_and_as_whom(waker: CloudTasksWaker, queue: TaskQueue) -> None:
    at = later(300)

    await waker.wake([Hint("a", at=at, trace={"traceparent": "00-1-2-01"})])

    (task,) = queue.tasks
    call = task.http_request
    assert call.url == "https://worker.example/tasks/wake"
    assert json.loads(call.body) == {"job_id": "a", "at": at.isoformat(), "trace": {"traceparent": "00-1-2-01"}}
    assert call.headers["Content-Type"] == "application/json"
    assert (call.oidc_token.service_account_email, call.oidc_token.audience) == (ACCOUNT, URL)
    assert task.schedule_time == at
    assert task.dispatch_deadline == timedelta(minutes=10)


async def test_where_nobody_is_asked_no_token_is_sent(queue: TaskQueue) -> None:
    waker = CloudTasksWaker(QUEUE, "http://127.0.0.1:9", None, within=timedelta(minutes=1), clock=SystemClock())
    await waker.wake([Hint("a", at=later(30))])
    await waker.close()
    assert not queue.tasks[0].http_request.oidc_token.service_account_email


async def test_long_delays_are_left_to_the_sweep_and_what_is_due_is_called_at_once(
    waker: CloudTasksWaker, queue: TaskQueue
) -> None:
    await waker.wake([Hint("soon", at=later(500)), Hint("late", at=later(700)), Hint("now"), Hint(more=True)])

    made = {json.loads(task.http_request.body).get("job_id"): task.schedule_time for task in queue.tasks}

    assert made.keys() == {"soon", "now", None}
    assert made["now"] is made[None] is None


async def test_nothing_to_tell_asks_nothing(waker: CloudTasksWaker, queue: TaskQueue) -> None:
    await waker.wake([])
    await waker.wake([Hint("late", at=later(700))])
    assert queue.asked == 0


async def test_a_hundred_are_made_together(waker: CloudTasksWaker, queue: TaskQueue) -> None:
    await waker.wake([Hint(str(number), at=later(300)) for number in range(100)])
    assert len(queue.tasks) == 100


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED])
async def test_what_fails_is_told_once_and_not_tried_again(
    waker: CloudTasksWaker, queue: TaskQueue, caplog: pytest.LogCaptureFixture, code: grpc.StatusCode
) -> None:
    queue.trouble = code
    await waker.wake([Hint("a", at=later(300)), Hint("b", at=later(300))])
    await waker.wake([Hint("c", at=later(300))])
    assert (queue.asked, caplog.text.count("workers were not woken")) == (3, 1)

    queue.trouble = None
    await waker.wake([Hint("d", at=later(300))])
    queue.trouble = code
    await waker.wake([Hint("e", at=later(300))])
    assert (len(queue.tasks), caplog.text.count("workers were not woken")) == (1, 2)


async def test_a_queue_that_does_not_answer_is_given_up(
    waker: CloudTasksWaker, queue: TaskQueue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.cloud.tasks, "CREATE_SECONDS", 0.2)
    queue.delay_seconds = 2.0
    await waker.wake([Hint("a", at=later(300))])
    assert "workers were not woken" in caplog.text


async def test_a_queue_that_is_not_there(
    queue: TaskQueue, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = CloudTasksWaker(f"{QUEUE}s", URL, ACCOUNT, within=timedelta(minutes=10), clock=SystemClock())
    await wrong.wake([Hint("a", at=later(300))])
    await wrong.close()
    assert "no such queue" in caplog.text


@pytest.mark.parametrize(
    "hint",
    [
        Hint("a"),
        Hint(more=True),
        Hint("a", more=True, at=datetime(2026, 11, 2, 12, 0, 1, 5, UTC), trace={"traceparent": "x"}),
    ],
    ids=str,
)
def test_a_hint_is_read_as_it_was_written(hint: Hint) -> None:
    assert hint_in(json.loads(message_of(hint))) == hint


@pytest.mark.parametrize(
    "said",
    [None, [], "a", 1, {"job_id": 1}, {"at": 1}, {"at": "soon"}, {"at": "2026-11-02T12:00:00"}],
    ids=str,
)
def test_what_is_no_hint_is_refused(said: object) -> None:
    with pytest.raises(MalformedHint):
        hint_in(said)

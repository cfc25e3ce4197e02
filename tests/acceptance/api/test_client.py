"""The client does what the managers do, answers what they answer, and raises what they raise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from app.client import ApiError, AsyncClient, Client, Unreachable
from app.jobs import (
    BadInput,
    BatchNotFound,
    DependencyCycle,
    IdempotencyConflict,
    IllegalTransition,
    JobNotFound,
    JobStatus,
    PayloadInvalid,
    RevisionChanged,
    ScheduleNotFound,
    StoreUnavailable,
    TorporError,
    UnknownJobType,
    WaitTimeout,
)
from tests.unit.web.api_site import ApiSite


class IntoApplication(httpx.AsyncBaseTransport):
    """Carries requests into an application in this process."""

    def __init__(self, site: ApiSite) -> None:
        self.inner = httpx.WSGITransport(app=site.app)
        self.trouble: list[Exception | httpx.Response] = []
        """What befalls the next requests instead."""
        self.sent: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        if self.trouble:
            befalls = self.trouble.pop(0)
            if isinstance(befalls, Exception):
                raise befalls
            return befalls
        content = await request.aread()
        plain = httpx.Request(request.method, request.url, headers=request.headers, content=content)

        def carried() -> httpx.Response:
            answer = self.inner.handle_request(plain)
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.read())

        return await asyncio.to_thread(carried)


@pytest.fixture(scope="module")
def site() -> Iterator[ApiSite]:
    site = ApiSite()
    yield site
    site.close()


@pytest.fixture
def transport(site: ApiSite) -> IntoApplication:
    return IntoApplication(site)


@pytest.fixture
def client(transport: IntoApplication) -> Iterator[Client]:
    async def at_once(seconds: float) -> None:
        await asyncio.sleep(0.01)

    with Client("http://localhost", transport=transport, sleep=at_once) as client:
        yield client


async def test_from_asynchronous_code(transport: IntoApplication) -> None:
    async with AsyncClient("http://localhost/", token="t", transport=transport) as client:
        job = await client.submit("quick", {"n": 4}, priority="high", tags=["a"])
        lines = [line.message async for line in client.subscribe_logs(job.id)]
        ended = await client.wait(job.id, timeout=30)
        results = await client.get_job_results(job.id)

    assert (job.priority, job.tags, ended.status) == (3, ("a",), JobStatus.COMPLETED)
    assert lines == ["began"]
    assert results is not None
    assert (results.result, results.saved) == (4, [{"n": 4}])
    assert {request.headers["Authorization"] for request in transport.sent} == {"Bearer t"}


def test_jobs_from_blocking_code(client: Client) -> None:
    held = client.create_job("quick", {"n": 1}, idempotency_key="client 1")
    again = client.create_job("quick", {"n": 1}, idempotency_key="client 1")
    assert (held.existing, again.existing, again.id) == (False, True, held.id)
    assert client.get_job_results(held.id) is None
    with pytest.raises(WaitTimeout):
        client.wait(held.id, timeout=0.0)

    assert client.pause_job(held.id, "lunch").status is JobStatus.PAUSED
    assert client.resume_job(held.id).status is not JobStatus.PAUSED
    client.start_job(held.id)
    assert client.wait(held.id).result is not None
    assert [line.message for line in client.get_logs(held.id)] == ["began"]
    assert [progress.message for progress in client.subscribe_progress(held.id)][-1] == "half"
    assert [saved.data for saved in client.subscribe_results(held.id)] == [{"n": 1}]
    assert client.get_job_status(held.id) is JobStatus.COMPLETED
    page = client.list_page(type="quick", limit=1)
    assert (len(page.jobs), client.get_run_page(job_id=held.id).runs[0].outcome) == (1, "completed")
    client.delete_job(held.id)
    with pytest.raises(JobNotFound):
        client.get_job(held.id)


def test_the_rest_from_blocking_code(client: Client) -> None:
    batch = client.create_job_batch([{"type": "quick"}, {"type": "quick", "dependencies": [0]}], name="two")
    assert client.wait(batch.jobs[1].id).status is JobStatus.COMPLETED
    assert (client.get_batch(batch.id).is_done, client.list_batches()[0].name) == (True, "two")
    assert [job.id for job in client.get_dependencies(batch.jobs[1].id)] == [batch.jobs[0].id]
    assert [job.id for job in client.get_dependent_jobs(batch.jobs[0].id)] == [batch.jobs[1].id]
    assert (len(client.get_batch_jobs(batch.id)), client.cancel_batch(batch.id)) == (2, 0)

    parent, child = client.create_job("quick"), client.create_job("quick")
    assert client.add_job_dependency(child.id, parent.id).depends_on == (parent.id,)
    assert client.remove_job_dependency(child.id, parent.id).depends_on == ()
    assert client.cancel_job(child.id, dependents=True).status is JobStatus.CANCELLED
    assert client.retry_job(child.id, payload={"n": 2}).payload == {"n": 2}

    stepping = client.wait(client.submit("stepping").id)
    assert [step["name"] for step in client.get_steps(stepping.id)] == ["one"]
    assert client.retry_jobs(status="cancelled", type="nope") == 0
    assert client.create_schedule("c", "quick", interval_seconds=3600).status == "active"
    client.create_schedule("a/b c?", "quick", interval_seconds=3600)
    client.delete_schedule("a/b c?")
    assert (client.pause_schedule("c").status, client.resume_schedule("c").status) == ("paused", "active")
    assert (client.get_schedule("c").name, len(client.list_schedules())) == ("c", 1)
    assert client.trigger_schedule("c", {"n": 3}).payload == {"n": 3}
    client.delete_schedule("c")

    assert client.pause_queue("maintenance").queues == {"maintenance"}
    assert client.pause_type("sized").types == client.get_paused().types == {"sized"}
    assert (client.resume_type("sized").types, client.resume_queue("maintenance").queues) == (frozenset(), frozenset())

    asking = client.submit("asking")
    while not (asked := client.list_reviews(type="asking")):
        pass
    assert (asked[0].question, client.review(asking.id, "approve", "ann").is_terminal) == ("may I?", False)
    assert client.wait(asking.id).result is not None
    assert client.send_event("told", {"a": 1}, by="bob").sent_by == "bob"
    assert client.list_events("told")[0].data == {"a": 1}

    assert client.get_daily_summary().runs > 0
    assert client.get_system_health()["status"] == "healthy"
    assert "store" in client.get_job_metrics()
    assert {"quick", "sized"} <= {each["type"] for each in client.list_types()}


def test_lists_are_read_page_after_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.client.base.PAGE", 3)
    made = client.create_jobs([{"type": "quick", "payload": {"n": n}, "tags": ["listed"]} for n in range(8)])
    assert client.count_jobs(tags=["listed"]) == 8

    def listed(**how: Any) -> list[str]:
        return [job.id for job in client.list_jobs(tags=["listed"], **how)]

    whole = listed()
    assert sorted(whole) == sorted(job.id for job in made)
    assert [listed(limit=7), listed(limit=2), listed(offset=6), listed(limit=4, offset=1)] == [
        *(whole[:7], whole[:2], whole[6:], whole[1:5])
    ]
    batch = client.create_job_batch([{"type": "quick"} for _ in range(7)], auto_start=False)
    assert [job.id for job in client.get_batch_jobs(batch.id)] == [job.id for job in batch.jobs]
    for job_id in whole:
        client.start_job(job_id)
    for job_id in whole:
        client.wait(job_id)
    runs = client.get_run_history(type="quick", limit=7)
    assert len({run.id for run in runs}) == 7
    assert [run.ended_at for run in runs] == sorted((run.ended_at for run in runs), reverse=True)


@pytest.mark.parametrize("limit", [0, -1, 2.5, float("nan")], ids=str)
def test_what_is_no_number_is_refused(client: Client, limit: Any) -> None:
    for verb in (client.list_jobs, client.list_page, client.get_run_history, client.list_batches, client.list_events):
        with pytest.raises(BadInput) as refused:
            verb(limit=limit)
        assert refused.value.field == "limit"


def test_a_batch_is_followed_and_told_of_once_in_each_state(client: Client, transport: IntoApplication) -> None:
    batch = client.create_job_batch([{"type": "quick"}] * 2)
    seen = list(client.subscribe_batch(batch.id))
    assert (seen[-1].is_over, seen[-1].counts) == (True, {"completed": 2})

    state = {"id": "b", "name": "", "status": "open", "created_at": None, "total": 2, "counts": {"queued": 2}}
    over = {**state, "counts": {"completed": 2}}
    transport.trouble = [
        answer(200, f"id: 1\nevent: batch\ndata: {json.dumps(state)}\n\n".encode()),
        answer(
            200,
            (
                f"id: 2\nevent: batch\ndata: {json.dumps(state)}\n\n"
                f"id: 3\nevent: batch\ndata: {json.dumps(over)}\n\nevent: end\ndata: {{}}\n\n"
            ).encode(),
        ),
    ]
    assert [info.counts for info in client.subscribe_batch("b")] == [{"queued": 2}, {"completed": 2}]


def test_events_are_told_of_once_over_all_connections(client: Client, transport: IntoApplication) -> None:
    def told(number: int) -> str:
        event = {"id": f"e{number}", "name": "n", "job_id": None, "data": number, "sent_by": ""}
        data = json.dumps({**event, "sent_at": "2026-01-31T12:00:00Z"})
        return f"id: {number}\nevent: event\ndata: {data}\n\n"

    transport.trouble = [
        answer(200, ('id: 5\nevent: begin\ndata: {"after": 5}\n\n' + told(6) + told(7)).encode()),
        answer(200, (told(7) + told(8)).encode()),
    ]
    feed = client.subscribe_events("a b", after=3)
    assert [next(feed).data for _ in range(3)] == [6, 7, 8]
    assert [request.headers["Last-Event-ID"] for request in transport.sent[-2:]] == ["3", "7"]
    assert transport.sent[-1].url.params["name"] == "a b"


def test_upkeep_from_afar(client: Client) -> None:
    assert client.run_watchdog(dry_run=True)["recovered"] == 0
    assert client.tick()["failed"] == 0
    assert client.sync_schedules()["problems"] == []
    assert (client.resume_interrupted_jobs(), client.cleanup_old_jobs(1000)) == (0, 0)
    assert client.get_status()["job_types"] > 0
    assert client.count_due_jobs() >= 0
    waiting = client.get_oldest_waiting_seconds()
    assert waiting is None or waiting >= 0


REFUSED: dict[str, tuple[Callable[[Client], object], type[TorporError]]] = {
    "no job": (lambda client: client.get_job("no job?"), JobNotFound),
    "no batch": (lambda client: client.get_batch("nope"), BatchNotFound),
    "no schedule": (lambda client: client.get_schedule("nope"), ScheduleNotFound),
    "no type": (lambda client: client.submit("nope"), UnknownJobType),
    "no payload of the type": (lambda client: client.submit("sized", {"width": "x"}), PayloadInvalid),
    "no option": (lambda client: client.submit("quick", colour=1), BadInput),
    "a key that is taken": (lambda client: _twice(client), IdempotencyConflict),
    "a state that does not allow it": (
        lambda client: client.resume_job(client.create_job("quick").id),
        IllegalTransition,
    ),
    "another revision": (lambda client: client.cancel_job(client.create_job("quick").id, revision=9), RevisionChanged),
    "a cycle": (lambda client: client.create_job_batch([{"type": "quick", "dependencies": [0]}]), DependencyCycle),
}


def _twice(client: Client) -> None:
    client.create_job("quick", {"n": 1}, idempotency_key="client 2")
    client.create_job("quick", {"n": 2}, idempotency_key="client 2")


@pytest.mark.parametrize(("call", "error"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_raised_as_the_managers_do(
    client: Client, call: Callable[[Client], object], error: type[TorporError]
) -> None:
    with pytest.raises(error) as raised:
        call(client)
    assert type(raised.value) is error
    assert isinstance(raised.value, BadInput)
    assert raised.value.field
    assert str(raised.value) == f"{raised.value.field}: {raised.value.problem}; {raised.value.remedy}"


def answer(status: int, body: Any, **headers: str) -> httpx.Response:
    if isinstance(body, bytes):
        return httpx.Response(status, content=body, headers=headers)
    return httpx.Response(status, json=body, headers=headers)


FAILING: dict[str, tuple[Exception | httpx.Response, type[Exception], str]] = {
    "nobody there": (httpx.ConnectError("refused"), Unreachable, "http://localhost cannot be reached"),
    "no answer in time": (httpx.ReadTimeout("late"), Unreachable, "late"),
    "the store is down": (
        answer(503, {"code": "STORE_UNAVAILABLE", "detail": "try again"}),
        StoreUnavailable,
        "try again",
    ),
    "not allowed": (answer(403, {"code": "FORBIDDEN", "detail": "ci may not"}), ApiError, "ci may not"),
    "somebody else answers": (answer(502, b"<html>bad gateway"), ApiError, "bad gateway"),
    "a list": (answer(500, [1]), ApiError, "no problem document"),
}


@pytest.mark.parametrize(("befalls", "error", "says"), FAILING.values(), ids=FAILING)
def test_what_fails_on_the_way(
    client: Client, transport: IntoApplication, befalls: Exception | httpx.Response, error: type[Exception], says: str
) -> None:
    transport.trouble = [befalls]
    with pytest.raises(error, match=says):
        client.get_job("x")


DATA = '{{"number":{0},"at":"2026-01-01T00:00:00Z","level":"INFO","message":"m","attempt":1}}'
LINE = f"id: {{0}}\nevent: log\ndata: {DATA}\n\n"


def test_a_stream_is_taken_up_where_it_broke(client: Client, transport: IntoApplication) -> None:
    transport.trouble = [
        answer(200, f"retry: 1000\n\n: nothing new\n\n{LINE.format(1)}".encode()),
        httpx.ReadError("gone"),
        answer(503, {"code": "STREAMS_FULL", "detail": "later"}),
        answer(200, f'{LINE.format(2)}event: end\ndata: {{"status":"completed"}}\n\n'.encode()),
    ]
    assert [line.number for line in client.subscribe_logs("x")] == [1, 2]
    assert [request.headers["Last-Event-ID"] for request in transport.sent] == ["0", "1", "1", "1"]


def test_a_stream_that_never_comes_is_given_up(client: Client, transport: IntoApplication) -> None:
    transport.trouble = [httpx.ConnectError("refused")] * 5
    with pytest.raises(Unreachable):
        next(client.subscribe_logs("x"))
    with pytest.raises(JobNotFound):
        next(client.subscribe_progress("x"))

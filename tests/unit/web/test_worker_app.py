"""What each of the worker's routes answers in each case: the contract with Pub/Sub, Cloud Tasks and Cloud Scheduler."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.cloud.messages import message_of
from app.cloud.oidc import Keys, TokenVerifier
from app.jobs import (
    AsyncJobManager,
    EngineOptions,
    Hint,
    Job,
    JobContext,
    JobStatus,
    Registry,
    Runtime,
    StoreUnavailable,
    job,
)
from app.jobs.lookout import Lookout
from app.stores import MemoryJobStore
from app.web.auth import CallerGuard, OpenGuard
from app.web.instance import Instance, WakeUpOutcome
from app.web.service import Service
from app.web.worker_app import worker_app
from tests.unit.cloud.test_oidc import AUDIENCE, SIGNER, KeyServer, claims
from tests.unit.jobs.test_waking import Ear

ROUTES = frozenset({"/pubsub/push", "/tasks/wake", "/tasks/drain", "/tasks/tick", "/tasks/watchdog"})


@dataclass
class Site:
    """A worker service with two slots on the memory store."""

    slots: int = 2
    work_seconds: float = 30.0
    ear: Ear = field(default_factory=Ear)
    registry: Registry = field(default_factory=Registry)
    store: MemoryJobStore = field(default_factory=MemoryJobStore)
    release: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        @job("quick", registry=self.registry)
        async def quick(n: int = 0) -> int:
            return n

        @job("broken", registry=self.registry, max_retries=0)
        async def broken() -> None:
            raise ValueError("no")

        @job("long", registry=self.registry)
        def long() -> None:
            self.began.set()
            self.release.wait(30)

        @job("patient", registry=self.registry)
        async def patient(ctx: JobContext) -> None:
            self.began.set()
            await asyncio.sleep(30)

        self.service = Service(self._make)
        self.client: FlaskClient = worker_app(self.service, OpenGuard(), routes=ROUTES).test_client()

    async def _make(self) -> Instance:
        options = EngineOptions(shutdown_seconds=1.0)
        runtime = Runtime(self.store, registry=self.registry, waker=self.ear, options=options)
        manager = AsyncJobManager(runtime=runtime, worker=False)
        await manager.open()
        return Instance(manager, slots=self.slots, work_seconds=self.work_seconds)

    def ask(self, question: Callable[[AsyncJobManager], Awaitable[Any]]) -> Any:
        """Ask the instance's own manager."""
        return self.service.wait_for(lambda instance: question(instance._manager))

    def submit(self, job_type: str, payload: dict[str, Any] | None = None, **options: Any) -> Job:
        return self.ask(lambda manager: manager.submit(job_type, payload, **options))

    def status(self, job_id: str) -> JobStatus:
        return self.ask(lambda manager: manager.get_job_status(job_id))

    def push(self, hint: Hint) -> TestResponse:
        """What Pub/Sub sends for a hint."""
        data = base64.b64encode(message_of(hint)).decode()
        envelope = {"message": {"data": data, "messageId": "1"}, "subscription": "s"}
        return self.client.post("/pubsub/push", json=envelope)

    def wake(self, hint: Hint) -> TestResponse:
        """What Cloud Tasks sends for a hint."""
        return self.client.post("/tasks/wake", data=message_of(hint), content_type="application/json")


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.release.set()
    site.service.close()


def outcome(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.json["outcome"]


def test_a_named_job_runs(site: Site) -> None:
    made = site.submit("quick", {"n": 3})

    assert outcome(site.push(Hint(made.id))) == (200, "done")
    assert site.status(made.id) is JobStatus.COMPLETED


def test_only_the_named_job_runs_unless_there_is_said_to_be_more(site: Site) -> None:
    first, second = site.submit("quick"), site.submit("quick")

    site.push(Hint(second.id))
    assert (site.status(first.id), site.status(second.id)) == (JobStatus.QUEUED, JobStatus.COMPLETED)

    assert outcome(site.push(Hint(second.id, more=True))) == (200, "done")
    assert site.status(first.id) is JobStatus.COMPLETED


def test_a_job_that_fails_is_no_failure_of_the_request(site: Site) -> None:
    made = site.submit("broken")

    answer = site.push(Hint(made.id))

    assert outcome(answer) == (200, "done")
    assert answer.json["failed"] == 1
    assert site.status(made.id) is JobStatus.FAILED


@pytest.mark.parametrize("times", [2, 5])
def test_a_doubled_wake_up_does_nothing_more(site: Site, times: int) -> None:
    made = site.submit("quick")
    answers = [outcome(site.push(Hint(made.id))) for _ in range(times)]
    assert answers == [(200, "done"), *[(200, "nothing")] * (times - 1)]


def test_a_delayed_and_a_held_job_wait(site: Site) -> None:
    delayed = site.submit("quick", delay_seconds=60)
    held = site.ask(lambda manager: manager.create_job("quick"))

    for made in (delayed, held):
        assert outcome(site.push(Hint(made.id))) == (200, "nothing")
    assert (site.status(delayed.id), site.status(held.id)) == (JobStatus.QUEUED, JobStatus.PENDING)


def test_an_unknown_job(site: Site) -> None:
    assert outcome(site.push(Hint("no-such-job"))) == (200, "unknown")


def test_a_task_wakes_as_a_push_does(site: Site) -> None:
    first, second, third = (site.submit("quick") for _ in range(3))
    answers = [site.wake(Hint(first.id)), site.wake(Hint(first.id)), site.wake(Hint("no-such-job"))]
    assert [outcome(answer) for answer in answers] == [(200, "done"), (200, "nothing"), (200, "unknown")]
    assert site.status(second.id) is JobStatus.QUEUED

    assert outcome(site.wake(Hint(more=True))) == (200, "done")
    assert site.status(second.id) is site.status(third.id) is JobStatus.COMPLETED


def test_a_task_that_comes_a_little_early_waits(site: Site) -> None:
    """Whoever made it has a clock that is ahead, or this machine's is behind."""
    delayed = site.submit("quick", delay_seconds=0.5)
    assert outcome(site.wake(Hint(delayed.id, at=delayed.wake_at))) == (200, "done")
    assert site.status(delayed.id) is JobStatus.COMPLETED


def test_a_task_that_comes_much_too_early_does_not(site: Site) -> None:
    delayed = site.submit("quick", delay_seconds=600)
    assert outcome(site.wake(Hint(delayed.id, at=delayed.wake_at))) == (200, "nothing")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"job_id": 1}', b'{"at": "soon"}', b"[" * 50_000])
def test_a_malformed_task_is_dropped(site: Site, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    answer = site.client.post("/tasks/wake", data=body, content_type="application/json")
    assert outcome(answer) == (200, "malformed")
    assert "dropped" in caplog.text


def test_each_caller_may_call_its_own_routes_only() -> None:
    callers = {"push@p.iam": "/pubsub/push", "tasks@p.iam": "/tasks/wake", "scheduler@p.iam": "/tasks/drain"}
    verifier = TokenVerifier(AUDIENCE, keys=Keys("keys", fetch=KeyServer({"one": SIGNER.certificate})))
    guard = CallerGuard(verifier, {email: frozenset({route}) for email, route in callers.items()})
    site = Site()
    client = worker_app(site.service, guard, routes=ROUTES).test_client()
    try:
        for email, own in callers.items():
            headers = {"Authorization": f"Bearer {SIGNER.token(claims(email=email))}"}
            answers = {route: client.post(route, json={}, headers=headers).status_code for route in ROUTES}
            assert answers == {route: 200 if route == own else 403 for route in ROUTES}
        assert {client.post(route, json={}).status_code for route in ROUTES} == {401}
    finally:
        site.service.close()


def test_who_cannot_be_checked_may_come_again() -> None:
    """Google's keys cannot be had, so nobody can be told from anybody."""
    verifier = TokenVerifier(AUDIENCE, keys=Keys("keys", fetch=KeyServer({}, down=True)))
    site = Site()
    client = worker_app(site.service, CallerGuard(verifier, {}), routes=ROUTES).test_client()
    try:
        answer = client.post("/tasks/drain", headers={"Authorization": f"Bearer {SIGNER.token(claims())}"})
        assert (answer.status_code, answer.json["code"]) == (503, "KEYS_UNAVAILABLE")
        assert int(answer.headers["Retry-After"]) > 0
    finally:
        site.service.close()


MALFORMED: dict[str, Any] = {
    "no body": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "no message": b"{}",
    "a message that is text": b'{"message": "x"}',
    "data that is no base64": b'{"message": {"data": "%%%"}}',
    "data that is a number": b'{"message": {"data": 1}}',
    "data that is no JSON": json.dumps({"message": {"data": base64.b64encode(b"\xff{").decode()}}).encode(),
    "a hint that is a list": json.dumps({"message": {"data": base64.b64encode(b"[]").decode()}}).encode(),
    "a job that is a number": json.dumps({"message": {"data": base64.b64encode(b'{"job_id": 1}').decode()}}).encode(),
    "deeply nested": json.dumps({"message": {"data": base64.b64encode(b"[" * 50_000).decode()}}).encode(),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_message_is_dropped(site: Site, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    answer = site.client.post("/pubsub/push", data=body, content_type="application/json")

    assert outcome(answer) == (200, "malformed")
    assert "dropped" in caplog.text


def test_an_id_that_no_record_can_have(site: Site) -> None:
    for strange in ("a/b", "..", "__x__", "\x00", "x" * 5000):
        assert outcome(site.push(Hint(strange))) == (200, "unknown")


def test_an_empty_message_drains(site: Site) -> None:
    made = [site.submit("quick") for _ in range(5)]

    assert outcome(site.client.post("/pubsub/push", json={"message": {"messageId": "1"}})) == (200, "done")

    assert {site.status(each.id) for each in made} == {JobStatus.COMPLETED}


def test_a_full_instance_says_so_at_once(site: Site) -> None:
    held = [site.submit("long") for _ in range(2)]
    threads = [threading.Thread(target=site.push, args=[Hint(each.id)]) for each in held]
    for thread in threads:
        thread.start()
    while site.service.wait_for(_free) > 0:
        site.began.wait(0.01)

    waiting = site.submit("quick")
    answers = [outcome(site.push(Hint(waiting.id))), outcome(site.client.post("/tasks/drain"))]
    ready = site.client.get("/readyz")

    assert answers == [(200, "full"), (200, "full")]
    assert (ready.status_code, ready.json["free_slots"]) == (200, 0)
    site.release.set()
    for thread in threads:
        thread.join(30)
    assert {site.status(each.id) for each in held} == {JobStatus.COMPLETED}
    # Its wake-up was taken, and names no more: who ends next does what nobody else hears of.
    assert site.status(waiting.id) is JobStatus.COMPLETED


def test_who_is_turned_away_when_no_time_is_left_is_woken_elsewhere() -> None:
    site = Site(slots=1, work_seconds=3.0)
    try:
        running, waiting = site.submit("patient"), site.submit("quick")
        site.ear.take()
        thread = threading.Thread(target=site.push, args=[Hint(running.id)])
        thread.start()
        assert site.began.wait(30)

        assert outcome(site.push(Hint(waiting.id))) == (200, "full")
        thread.join(30)

        assert site.status(waiting.id) is JobStatus.QUEUED
        assert Hint(more=True) in site.ear.take()
    finally:
        site.service.close()


def test_a_job_that_is_told_of_while_a_drain_ends_is_not_left_behind(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drain has had its last look, and its process answers the wake-up that it is busy."""
    late: list[Job] = []
    answers: list[WakeUpOutcome] = []
    ended = Lookout.close

    async def told(lookout: Lookout) -> None:
        if not late:
            instance = site.service._instance
            assert instance is not None
            late.append(await instance._manager.submit("quick"))
            answers.append((await instance.push(Hint(late[0].id))).outcome)
            answers.append((await instance.push(Hint())).outcome)
        await ended(lookout)

    site.submit("quick")
    monkeypatch.setattr(Lookout, "close", told)
    answer = site.client.post("/tasks/drain")

    assert answers == [WakeUpOutcome.FULL, WakeUpOutcome.BUSY]
    assert (outcome(answer), answer.json["completed"]) == ((200, "done"), 2)
    assert site.status(late[0].id) is JobStatus.COMPLETED


async def _free(instance: Instance) -> int:
    return instance.free_slots


def test_the_sweep_wakes_others_for_what_it_cannot_do_at_once(site: Site) -> None:
    for _ in range(7):
        site.submit("quick")
    site.ear.take()

    answer = site.client.post("/tasks/drain")

    assert outcome(answer) == (200, "done")
    assert (answer.json["due"], answer.json["hints"], answer.json["completed"]) == (7, 3, 7)
    assert site.ear.take() == [Hint(more=True)] * 3
    assert outcome(site.client.post("/tasks/drain")) == (200, "nothing")


def test_a_drain_that_runs_out_of_time_wakes_the_next() -> None:
    site = Site(work_seconds=0.3)
    try:
        made = site.submit("patient")
        site.ear.take()

        site.push(Hint(more=True))

        assert site.status(made.id) is JobStatus.QUEUED
        assert Hint(more=True) in site.ear.take()
    finally:
        site.service.close()


def test_a_drain_that_is_too_late_for_the_next_short_job_wakes_the_next() -> None:
    """Nothing runs any more when its time is up, because nothing is begun in the last of it."""
    site = Site(slots=1, work_seconds=1.0)
    try:

        @job("short", registry=site.registry)
        async def short() -> None:
            await asyncio.sleep(0.05)

        made = [site.submit("short") for _ in range(60)]
        site.ear.take()

        assert outcome(site.push(Hint(more=True))) == (200, "done")

        assert JobStatus.QUEUED in {site.status(each.id) for each in made}
        assert Hint(more=True) in site.ear.take()
    finally:
        site.service.close()


def test_a_request_that_comes_to_its_work_too_late_does_nothing(site: Site) -> None:
    """Its time runs from its arrival: whoever called waits no more when the work would begin."""
    made = site.submit("quick")
    late = worker_app(site.service, OpenGuard(), routes=ROUTES, monotonic=lambda: time.monotonic() - site.work_seconds)
    client = late.test_client()

    answers = [client.post("/pubsub/push", json={"message": {"messageId": "1"}}), client.post("/tasks/drain")]
    answers.append(client.post("/tasks/wake", data=message_of(Hint(made.id)), content_type="application/json"))

    assert [(answer.status_code, answer.json["code"]) for answer in answers] == [(503, "OUT_OF_TIME")] * 3
    assert site.status(made.id) is JobStatus.QUEUED


def test_the_watchdog_and_the_schedules_are_cut_off_in_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store does not answer, and whoever called waits no more."""

    async def silent(*arguments: object) -> None:
        await asyncio.sleep(600)

    site.ask(AsyncJobManager.get_status)
    monkeypatch.setattr(site.store, "query", silent)
    monkeypatch.setattr(site.service, "_seconds", 0.5)
    for route in ("/tasks/watchdog", "/tasks/tick"):
        answer = site.client.post(route)
        assert (answer.status_code, answer.json["code"]) == (503, "OUT_OF_TIME")


def test_the_watchdog_and_the_schedules(site: Site) -> None:
    assert outcome(site.client.post("/tasks/watchdog")) == (200, "done")
    assert outcome(site.client.post("/tasks/tick")) == (200, "done")


def test_a_store_that_cannot_be_reached(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    made = site.submit("quick")

    async def down(*arguments: object) -> None:
        raise StoreUnavailable("the store is down; start it")

    for verb in ("get", "query", "claim", "count"):
        monkeypatch.setattr(site.store, verb, down)
    answers = [site.push(Hint(made.id)), site.client.post("/tasks/drain"), site.client.get("/readyz")]

    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert {answer.json["code"] for answer in answers} == {"STORE_UNAVAILABLE"}
    assert all("Retry-After" in answer.headers for answer in answers)
    assert all("Traceback" not in answer.text for answer in answers)
    assert site.client.get("/healthz").status_code == 200


def test_a_process_that_ends_takes_no_work_and_gives_back_what_it_has(site: Site) -> None:
    running, waiting = site.submit("patient"), site.submit("quick")
    answers: list[TestResponse] = []
    thread = threading.Thread(target=lambda: answers.append(site.push(Hint(running.id))))
    thread.start()
    assert site.began.wait(30)

    site.service.begin_stop()
    thread.join(30)

    assert outcome(answers[0]) == (200, "done")
    given_back = site.ask(lambda manager: manager.get_job(running.id))
    assert (given_back.status, given_back.retries_used, given_back.lease_losses) == (JobStatus.QUEUED, 0, 0)
    refused = [site.push(Hint(waiting.id)), site.client.post("/tasks/drain"), site.client.post("/tasks/watchdog")]
    assert {answer.status_code for answer in refused} == {503}
    assert site.client.get("/readyz").status_code == 503
    assert site.client.get("/healthz").status_code == 200


def test_what_is_not_there(site: Site) -> None:
    wrong = [site.client.get("/pubsub/push"), site.client.post("/nowhere"), site.client.post("/healthz")]
    assert [answer.status_code for answer in wrong] == [405, 404, 405]
    assert {answer.content_type for answer in wrong} == {"application/problem+json"}


def test_a_large_body_is_not_read(site: Site) -> None:
    for route, status in (("/pubsub/push", 200), ("/tasks/drain", 200), ("/nowhere", 404)):
        answer = site.client.post(route, data=b"x" * 2_000_000, content_type="application/json")
        assert answer.status_code == status
    assert outcome(site.client.post("/pubsub/push", data=b"x" * 2_000_000)) == (200, "malformed")


def test_every_answer_has_the_headers(site: Site) -> None:
    for answer in (site.client.get("/healthz"), site.client.get("/nowhere"), site.push(Hint("x"))):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_service_has_only_its_own_routes(site: Site) -> None:
    client = worker_app(site.service, OpenGuard(), routes=frozenset({"/tasks/watchdog"})).test_client()
    assert client.post("/pubsub/push").status_code == 404
    assert client.post("/tasks/watchdog").status_code == 200

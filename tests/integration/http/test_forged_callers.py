"""More than two hundred callers who are not who they say, or may not what they ask, at a real worker over HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from app.cloud.messages import message_of
from app.jobs import Hint, JobManager, JobStatus
from app.stores import DatabaseJobStore
from tests.support import served_jobs  # noqa: F401 - registers the types
from tests.support.key_server import GuardedServer, KeyServer
from tests.support.signed_tokens import (
    AUDIENCE,
    EMAIL,
    WRONG_CLAIMS,
    Signer,
    changed_tokens,
    claims,
    forged_tokens,
)
from tests.support.worker_processes import PATIENCE_SECONDS

SCHEDULER = "scheduler@project.iam.gserviceaccount.com"
SOMEBODY = "somebody@other-project.iam.gserviceaccount.com"
CALLERS = {EMAIL: ["/pubsub/push"], SCHEDULER: ["/tasks/drain"]}
CHANGED = 160
SIGNER = Signer("one")
STRANGER = Signer("one")


def refused_tokens() -> Iterator[tuple[str, str, str, int]]:
    """What each is, the route that is called, the token, and the status that it deserves."""
    routes = ("/pubsub/push", "/tasks/drain")
    for route, email in zip(routes, (EMAIL, SCHEDULER), strict=True):
        for what, changes in WRONG_CLAIMS.items():
            yield what, route, SIGNER.token(claims(**{"email": email, **changes})), 401
        for what, token in forged_tokens(SIGNER, STRANGER).items():
            yield what, route, token, 401
        yield "another account", route, SIGNER.token(claims(email=SOMEBODY)), 403
    yield "a pusher's token at the sweep", "/tasks/drain", SIGNER.token(claims()), 403
    yield "a scheduler's token at the push", "/pubsub/push", SIGNER.token(claims(email=SCHEDULER)), 403
    for number, token in enumerate(changed_tokens(SIGNER.token(claims()), CHANGED, seed=20261122)):
        yield f"changed token {number}", "/pubsub/push", token, 401


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[JobManager]:
    with JobManager(DatabaseJobStore(url=f"sqlite:///{tmp_path}/jobs.db"), worker=False) as manager:
        yield manager


def test_whoever_may_not_call_is_refused_and_nothing_is_claimed(tmp_path: Path, manager: JobManager) -> None:
    job = manager.submit("served_quick")
    data = base64.b64encode(message_of(Hint(job.id, more=True))).decode()
    body = {"message": {"data": data, "messageId": "1"}, "subscription": "s"}
    settings = {
        "TORPOR_STORE_URL": f"sqlite:///{tmp_path}/jobs.db",
        "TORPOR_OIDC_AUDIENCE": AUDIENCE,
        "TORPOR_OIDC_CALLERS": json.dumps(CALLERS),
        # Each call comes from an address of its own, as the platform's proxy says: one address is soon told to wait.
        "TORPOR_PROXIES": "1",
    }
    with KeyServer({"one": SIGNER.certificate}) as keys, GuardedServer(tmp_path, **settings, **keys.settings) as server:
        with requests.Session() as session:
            answers: list[tuple[str, str, int, int]] = []
            for number, (what, route, token, status) in enumerate(refused_tokens()):
                headers = {
                    "Authorization": f"Bearer {token}".encode("latin-1"),
                    "X-Forwarded-For": f"10.0.{number // 256}.{number % 256}",
                }
                answer = session.post(server.url + route, json=body, headers=headers, timeout=PATIENCE_SECONDS)
                answers.append((what, route, answer.status_code, status))
                assert answer.headers["Content-Type"] == "application/problem+json"
        assert [answer for answer in answers if answer[2] != answer[3]] == []
        assert len(answers) >= 200

        assert manager.get_job(job.id).attempt == 0
        assert manager.get_job_status(job.id) is JobStatus.QUEUED
        assert server.noted("quick") == []
        assert "Traceback" not in server.said

        # The same call with a good token: it was not for another reason that nothing was done.
        allowed = server.post("/pubsub/push", body, Authorization=f"Bearer {SIGNER.token(claims())}")
        assert (allowed.status_code, allowed.json()["outcome"]) == (200, "done")
    assert manager.get_job_status(job.id) is JobStatus.COMPLETED


def test_an_address_that_goes_on_guessing_is_told_to_wait(tmp_path: Path) -> None:
    settings = {
        "TORPOR_STORE_URL": "memory:",
        "TORPOR_OIDC_AUDIENCE": AUDIENCE,
        "TORPOR_OIDC_CALLERS": json.dumps(CALLERS),
    }
    with KeyServer({"one": SIGNER.certificate}) as keys, GuardedServer(tmp_path, **settings, **keys.settings) as server:
        token = f"Bearer {STRANGER.token(claims())}"
        statuses = [server.post("/tasks/drain", Authorization=token).status_code for _ in range(25)]
        assert statuses == [401] * 20 + [429] * 5

"""Traces and metrics as a collector gets them from real servers, and servers whose collector is of no use."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from app.cloud.metrics import METRICS
from app.jobs import JobManager
from app.stores import DatabaseJobStore
from tests.support import served_jobs  # noqa: F401 - registers the types
from tests.support.collector import Behaviour, Collector, SentSpan
from tests.support.server_process import ServerProcess
from tests.support.topic import PushTopic
from tests.support.worker_processes import PATIENCE_SECONDS, ROOT

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
SERVER, PRODUCER, CONSUMER = 2, 4, 5
"""Kinds of spans, by their numbers in OTLP."""


def until(condition: Callable[[], object], what: Callable[[], str]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.05)


def exporting_to(url: str) -> dict[str, str]:
    return {
        "TORPOR_TELEMETRY": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_METRIC_EXPORT_INTERVAL": "100",
        "TORPOR_LOG_FORMAT": "text",
    }


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def test_one_trace_from_the_api_over_a_push_to_the_end_and_the_metrics_beside_it(
    tmp_path: Path, collector: Collector, firestore_emulator: str, pubsub_emulator: str
) -> None:
    topic = PushTopic(pubsub_emulator)
    settings = {
        **exporting_to(collector.url),
        "TORPOR_STORE_URL": "firestore://torpor-telemetry/(default)",
        "TORPOR_PREFIX": f"{uuid4().hex}_",
        "TORPOR_WAKE_TOPIC": topic.name,
        "FIRESTORE_EMULATOR_HOST": firestore_emulator,
        "PUBSUB_EMULATOR_HOST": pubsub_emulator,
    }
    names = ("web", "job_worker", "watchdog_worker")
    with ExitStack() as stack:
        web, worker, watchdog = (
            stack.enter_context(ServerProcess(tmp_path, TORPOR_SERVICE=name, **settings)) for name in names
        )
        topic.push_to(worker.url)
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        job_id = web.post("/api/v1/jobs", {"type": "served_traced"}, **headers).json()["id"]
        until(lambda: web.get(f"/api/v1/jobs/{job_id}").json()["status"] == "completed", lambda: worker.said)
        assert watchdog.post("/tasks/watchdog").status_code == 200
        for server in (web, worker, watchdog):
            server.terminate()
            assert server.ended() == 0, server.said
            assert "telemetry is not taken" not in server.said

    of_trace: dict[str, list[SentSpan]] = {}
    for span in collector.spans:
        if span.trace == TRACE:
            of_trace.setdefault(span.name, []).append(span)
    (request,) = of_trace["POST /api/v1/jobs"]
    (create,) = of_trace["create served_traced"]
    runs = sorted(of_trace["run served_traced"], key=lambda span: span.attributes["torpor.job.attempt"])
    settles = {span.parent: span for span in of_trace["settle served_traced"]}
    assert (request.service, request.kind, request.parent) == ("torpor-web", SERVER, CALLER)
    assert request.attributes["http.response.status_code"] == 201
    assert (create.service, create.kind, create.parent) == ("torpor-web", PRODUCER, request.id)
    assert [run.attributes["torpor.outcome"] for run in runs] == ["retried", "completed"]
    assert {(run.service, run.kind, run.parent) for run in runs} == {("torpor-job_worker", CONSUMER, create.id)}
    assert {run.id for run in runs} == settles.keys()
    assert [of_trace[f"pack {n}"][0].parent for n in (1, 2)] == [run.id for run in runs], "a thread's span is inside"
    assert [run.is_error for run in runs] == [True, False]
    woken = {span.id: span for span in of_trace["wake-up"]}
    assert {span.parent for span in woken.values()} == {create.id}
    pushes = {span.id for span in collector.spans if span.name == "POST /pubsub/push"}
    assert all(set(span.links) <= pushes for span in woken.values())
    assert all(set(run.links) <= woken.keys() | pushes for run in runs)
    assert any(run.links for run in runs)

    sent = collector.metrics
    units = {metric.name: metric.unit for metric in METRICS}
    ours = [metric for metric in sent.values() if metric.name.startswith("torpor.")]
    assert {metric.name: metric.unit for metric in ours}.items() <= units.items()
    attempts = sent["torpor-job_worker", "torpor.attempts"].points
    assert sorted((point["torpor.outcome"], number) for point, number in attempts) == [("completed", 1), ("retried", 1)]
    for name in ("torpor.job.pickup", "torpor.job.run"):
        assert sum(number for _, number in sent["torpor-job_worker", name].points) == 2
    assert [number for _, number in sent["torpor-job_worker", "torpor.job.total"].points] == [1]
    for name in ("reads", "writes", "rpcs", "cost"):
        ((_, number),) = sent["torpor-job_worker", f"torpor.store.{name}"].points
        assert number > 0
    depths = sent["torpor-watchdog_worker", "torpor.queue.depth"].points
    assert sorted((point["torpor.queue"], number) for point, number in depths) == [("maintenance", 0), ("priority", 0)]
    assert ("torpor-job_worker", "torpor.queue.depth") not in sent, "one kind of process looks at the queues"


@pytest.mark.parametrize("behaviour", ["fail", "hang", "refuse"])
def test_a_collector_that_is_of_no_use_touches_no_job_and_is_told_once(
    tmp_path: Path, behaviour: Behaviour | str
) -> None:
    store_url = f"sqlite:///{tmp_path}/jobs.db"
    with ExitStack() as stack:
        if behaviour == "refuse":
            with socket.create_server(("127.0.0.1", 0)) as closed:
                url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        else:
            collector = stack.enter_context(Collector("fail" if behaviour == "fail" else "hang"))
            url = collector.url
        server = stack.enter_context(ServerProcess(tmp_path, TORPOR_STORE_URL=store_url, **exporting_to(url)))
        with JobManager(DatabaseJobStore(url=store_url), worker=False) as manager:
            for _ in range(3):
                for n in range(20):
                    manager.submit("served_quick", {"n": n})
                assert server.post("/tasks/drain").json()["completed"] == 20
            assert manager.count_jobs(status="completed") == 60
            runs = manager.get_run_history(limit=100)
            assert {(run.outcome, run.attempt, run.lease_losses) for run in runs} == {("completed", 1, 0)}
        server.terminate()
        assert server.ended() == 0
        assert server.said.count("telemetry is not taken") == 1, server.said
        assert "Traceback" not in server.said
        assert "opentelemetry" not in server.said


def test_commands_and_a_worker_that_lives_long_tell_too(tmp_path: Path, collector: Collector) -> None:
    environment = {
        **os.environ,
        **exporting_to(collector.url),
        "PYTHONPATH": str(ROOT),
        "TORPOR_STORE_URL": f"sqlite:///{tmp_path}/jobs.db",
        "TORPOR_TASK_PACKAGES": "tests.support.served_jobs",
    }
    for words in (("enqueue", "served_traced"), ("worker", "--drain", "--quiet")):
        command = [sys.executable, "-m", "app.cli", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (create,) = (span for span in collector.spans if span.name == "create served_traced")
    runs = [span for span in collector.spans if span.name == "run served_traced"]
    assert [(run.trace, run.parent) for run in runs] == [(create.trace, create.id)] * 2
    attempts = collector.metrics["torpor", "torpor.attempts"].points
    assert sorted((point["torpor.outcome"], number) for point, number in attempts) == [("completed", 1), ("retried", 1)]

"""`torpor worker`: what it takes, and when it ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.cli.conftest import Torpor, lose_holder


def enqueue(torpor: Torpor, *types: str, **options: object) -> None:
    lines = [json.dumps({"type": kind, **options}) for kind in types]
    Path("jobs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert torpor("enqueue", "--file", "jobs.jsonl").code == 0


def statuses(torpor: Torpor) -> list[str]:
    return sorted(job["status"] for job in torpor.json("jobs", "list"))


def test_a_drain_ends_when_nothing_is_due(torpor: Torpor) -> None:
    enqueue(torpor, "shop_ok", "shop_ok", "shop_broken", "shop_again")
    enqueue(torpor, "shop_ok", delay="1h")

    report = torpor.json("worker", "--drain", "--quiet")

    assert statuses(torpor) == ["completed", "completed", "completed", "failed", "queued"]
    assert (report["completed"], report["failed"], report["lost"]) == (3, 1, 0)
    assert report["claimed"] == report["settled"] == 5  # one of them twice
    assert torpor.json("worker", "--drain", "--quiet")["claimed"] == 0


def test_what_handlers_print_stays_out_of_the_answer(torpor: Torpor) -> None:
    enqueue(torpor, "shop_talks")

    answer = torpor("worker", "--drain", "--quiet", "--json")

    assert answer.json["completed"] == 1
    assert "what a handler prints" in answer.err


@pytest.mark.parametrize("variable", ["TORPOR_LOG_FORMAT", "CLOUD_RUN_WORKER_POOL", "K_SERVICE"])
def test_a_worker_logs_for_cloud_logging_where_that_is_asked_for(
    torpor: Torpor, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    enqueue(torpor, "shop_ok")
    monkeypatch.setenv(variable, "json")
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        answer = torpor("worker", "--drain", "--json")
    finally:
        root.handlers[:] = before
        root.setLevel(level)

    assert answer.json["completed"] == 1
    lines = [json.loads(line) for line in answer.err.splitlines() if line.startswith("{")]
    (attempt,) = [line for line in lines if line.get("event") == "attempt"]
    assert (attempt["outcome"], attempt["severity"]) == ("completed", "INFO")


def test_only_so_many_jobs(torpor: Torpor) -> None:
    enqueue(torpor, *["shop_ok"] * 5)

    report = torpor.json("worker", "--max-jobs", "2", "--concurrency", "1", "--quiet")

    assert (report["claimed"], report["completed"]) == (2, 2)
    assert statuses(torpor) == ["completed", "completed", "queued", "queued", "queued"]


@pytest.fixture
def briefly(torpor: Torpor, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, int]]:
    """Work for a time that is long enough to begin two jobs, and short for a test."""
    # Handlers are cut off soon, and all the rest of the shutdown time is there for giving their leases back.
    monkeypatch.setattr("app.jobs.worker.CUT_SHARE", 0.01)

    def work() -> dict[str, int]:
        answer = torpor("worker", "--max-seconds", "2", "--concurrency", "2", "--quiet", "--json")
        assert answer.code == 0
        report: dict[str, int] = answer.json
        return report

    return work


def test_only_so_long(torpor: Torpor, briefly: Callable[[], dict[str, int]]) -> None:
    enqueue(torpor, "shop_long", "shop_ok")

    report = briefly()

    assert (report["claimed"], report["completed"], report["lost"]) == (2, 1, 0)
    (given_back,) = [job for job in torpor.json("jobs", "list") if job["type"] == "shop_long"]
    assert (given_back["status"], given_back["lease_token"]) == ("queued", None)
    assert (given_back["retries_used"], given_back["lease_losses"]) == (0, 0)


def test_so_many_at_once_and_no_more(torpor: Torpor, briefly: Callable[[], dict[str, int]]) -> None:
    enqueue(torpor, *["shop_long"] * 3)

    report = briefly()

    assert report["claimed"] == 2
    assert sorted(job["attempt"] for job in torpor.json("jobs", "list")) == [0, 1, 1]


@pytest.mark.parametrize(("queue", "left"), [("priority", "maintenance"), ("maintenance", "priority")])
def test_only_one_queue(queue: str, left: str, torpor: Torpor) -> None:
    enqueue(torpor, "shop_ok", queue="maintenance")
    enqueue(torpor, "shop_ok", queue="priority")

    torpor("worker", "--drain", "--quiet", "--queue", queue)

    assert [job["queue"] for job in torpor.json("jobs", "list", "--status", "queued")] == [left]


def test_a_pool_of_its_own(torpor: Torpor) -> None:
    enqueue(torpor, "shop_ok", "shop_far")

    far = torpor.json("worker", "--drain", "--quiet", "--pool", "far")
    both = torpor.json("worker", "--drain", "--quiet", "--pool", "far", "--pool", "default")

    assert (far["completed"], both["completed"]) == (1, 1)


def test_the_watchdogs_duty_is_done_too(torpor: Torpor, place: Path) -> None:
    enqueue(torpor, "shop_ok")
    lose_holder(place)

    answer = torpor("worker", "--max-jobs", "1")

    assert answer.code == 0
    assert "1 claimed: 1 completed, 0 failed" in answer.out
    assert "10 jobs at once; Ctrl-C ends it" in answer.err
    (job,) = torpor.json("jobs", "list")
    assert (job["status"], job["attempt"], job["lease_losses"]) == ("completed", 2, 1)


def test_settings_reach_the_worker(torpor: Torpor) -> None:
    enqueue(torpor, *["shop_ok"] * 2)

    answer = torpor("worker", "--drain", TORPOR_CONCURRENCY="3", TORPOR_LEASE_SECONDS="7")

    assert "3 jobs at once" in answer.err
    assert torpor("worker", "--drain", "--concurrency", "4", TORPOR_CONCURRENCY="3").err.count("4 jobs at once") == 1


def test_the_store_of_the_environment_is_that_of_every_command(torpor: Torpor) -> None:
    variables = {"TORPOR_STORE_URL": "file:kept", "TORPOR_PREFIX": "test_"}
    made = torpor("enqueue", "shop_ok", "--json", **variables).json

    assert torpor("worker", "--drain", "--quiet", **variables).code == 0
    assert torpor("watchdog", **variables).code == 0
    assert torpor("doctor", **variables).code == 0
    assert torpor("jobs", "show", made["id"], "--json", **variables).json["status"] == "completed"
    assert [each["id"] for each in torpor("jobs", "list", "--json", **variables).json] == [made["id"]]
    assert [run["job_id"] for run in torpor("runs", "list", "--json", **variables).json] == [made["id"]]
    assert torpor("runs", "summary", "--json", **variables).json["runs"] == 1
    assert torpor("catalog", "score", **variables).code == 0
    assert torpor("jobs", "delete", made["id"], **variables).code == 0
    assert torpor.json("runs", "list") == []

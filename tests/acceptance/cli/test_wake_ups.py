"""A command that creates jobs wakes the workers that the settings name, as every program does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cloud.tasks import EMULATOR
from tests.acceptance.cli.conftest import Torpor
from tests.support.task_queue import QUEUE, TaskQueue

SETTINGS = {
    "TORPOR_WAKE_QUEUE": QUEUE,
    "TORPOR_WAKE_URL": "https://worker.example",
    "TORPOR_WAKE_ACCOUNT": "tasks@project.iam.gserviceaccount.com",
}


def test_enqueue_wakes_a_worker_at_the_jobs_time(torpor: Torpor, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TaskQueue(lambda: {"https://worker.example": "http://127.0.0.1:9"}) as queue:
        monkeypatch.setenv(EMULATOR, queue.address)
        now = torpor("enqueue", "maintenance_scan", "--json", **SETTINGS)
        later = torpor("enqueue", "maintenance_scan", "--delay", "5m", "--json", **SETTINGS)
        torpor("jobs", "list", **SETTINGS)

    assert (now.code, later.code, now.err, later.err) == (0, 0, "", "")
    told = [json.loads(task.http_request.body) for task in queue.tasks]
    assert [each["job_id"] for each in told] == [now.json["id"], later.json["id"]]
    assert ["at" in each for each in told] == [False, True]


def test_settings_that_would_wake_nobody_are_wrong_use(torpor: Torpor, place: Path) -> None:
    answer = torpor("enqueue", "maintenance_scan", TORPOR_WAKE_QUEUE=QUEUE)
    assert answer.code == 2
    assert "wake_url" in answer.err

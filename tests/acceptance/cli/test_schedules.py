"""`torpor schedules`, `torpor tick` and `torpor jobs requeue`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.jobs import JobContext, JobRegistry, Schedule, job
from tests.acceptance.cli.conftest import Torpor

NAMES = {"name", "job_type", "source", "cron", "timezone", "status", "next_at", "high_water", "skipped", "template"}


@pytest.fixture
def scheduled(torpor: Torpor) -> Torpor:
    """A command in a deployment with two schedules, which it has followed."""

    @job("hourly", registry=JobRegistry.registry, cron="0 * * * *", timezone="Europe/Berlin")
    async def hourly(ctx: JobContext, region: str = "all") -> str:
        return region

    @job("often", registry=JobRegistry.registry, interval_seconds=30, overlap=True)
    async def often(ctx: JobContext) -> None: ...

    report = torpor.json("tick")
    assert (report["failed"], report["created"] >= 2) == (0, True)
    return torpor


def test_schedules_are_listed_and_shown(scheduled: Torpor) -> None:
    listed = scheduled.json("schedules", "list")
    assert [each["name"] for each in listed] == ["hourly", "often"]
    assert set(listed[0]) >= NAMES
    assert Schedule.model_fields.keys() - {"definition", "version"} <= set(listed[0])
    table = scheduled("schedules", "list").out
    assert "0 * * * * (Europe/Berlin)" in table
    assert "every 30 s" in table
    assert scheduled.json("schedules", "show", "hourly") == listed[0]
    assert "Europe/Berlin" in scheduled("schedules", "show", "hourly").out


def test_a_tick_says_what_it_did(scheduled: Torpor) -> None:
    answer = scheduled("tick")
    assert answer.code == 0
    assert "0 failed" in answer.out


def test_a_schedule_is_paused_and_resumed(scheduled: Torpor) -> None:
    paused = scheduled("schedules", "pause", "often")
    assert (paused.code, paused.out.strip()) == (0, "schedule often is paused")
    assert scheduled.json("tick")["created"] == 0
    resumed = scheduled.json("schedules", "resume", "often")
    assert (resumed["status"], resumed["next_at"] is not None) == ("active", True)
    assert scheduled.json("tick")["created"] >= 2
    assert "next slot" in scheduled("schedules", "resume", "often").out


def test_a_schedule_is_triggered_with_its_payload_or_another(scheduled: Torpor) -> None:
    assert "is queued" in scheduled("schedules", "trigger", "hourly").out
    triggered = scheduled.json("schedules", "trigger", "hourly", "--payload", '{"region": "north"}')
    assert (triggered["type"], triggered["payload"]) == ("hourly", {"region": "north"})


def test_past_slots_are_filled(scheduled: Torpor) -> None:
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    begin = end - timedelta(hours=5)
    answer = scheduled("schedules", "backfill", "hourly", begin.isoformat(), end.isoformat())
    assert (answer.code, answer.out.strip()) == (0, "5 jobs created")
    assert scheduled.json("schedules", "backfill", "hourly", begin.isoformat(), end.isoformat()) == {"created": 0}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "nobody"), "SCHEDULE_NOT_FOUND"),
        (("pause", "nobody"), "there is no schedule 'nobody'"),
        (("trigger", "hourly", "--payload", "{"), "--payload"),
        (("trigger", "hourly", "--payload", '{"colour": 1}'), "colour"),
        (("backfill", "hourly", "soon"), "is not a time"),
    ],
)
def test_what_cannot_be_is_wrong_use(scheduled: Torpor, arguments: tuple[str, ...], says: str) -> None:
    answer = scheduled("schedules", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert says in answer.err


def test_jobs_that_failed_are_run_again(torpor: Torpor) -> None:
    lines = [json.dumps({"type": kind}) for kind in ("shop_broken", "shop_broken", "shop_ok")]
    Path("jobs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert torpor("enqueue", "--file", "jobs.jsonl").code == 0
    torpor("worker", "--drain", "--quiet")
    assert torpor.json("jobs", "requeue", "--type", "shop_ok") == {"requeued": 0}
    assert torpor("jobs", "requeue", "--limit", "1").out.strip() == "1 job to run again"
    assert torpor.json("jobs", "requeue", "--rate", "0.1", "--type", "shop_broken") == {"requeued": 1}
    assert torpor("jobs", "requeue", "--status", "running").code == 2

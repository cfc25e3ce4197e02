"""Enqueue, list, show, cancel, retry and delete; runs and types."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.jobs import JobPriority, JobQueue
from tests.acceptance.cli.conftest import Torpor


def enqueued(torpor: Torpor, *arguments: str) -> dict[str, Any]:
    made: dict[str, Any] = torpor.json("enqueue", *arguments)
    return made


def test_a_job_with_every_option(torpor: Torpor) -> None:
    options = ["--queue", "maintenance", "--priority", "critical", "--delay", "2h", "--key", "k 1", "--mode", "dry_run"]

    made = enqueued(torpor, "shop_ok", "--payload", '{"n": 3}', *options, "--tag", "a", "--tag", "b")

    assert made["existing"] is False
    assert (made["type"], made["payload"], made["status"]) == ("shop_ok", {"n": 3}, "queued")
    assert (made["queue"], made["priority"]) == (JobQueue.MAINTENANCE, JobPriority.CRITICAL)
    assert (made["idempotency_key"], made["tags"], made["mode"]) == ("k 1", ["a", "b"], "dry_run")
    due = datetime.fromisoformat(made["wake_at"])
    assert due - datetime.fromisoformat(made["created_at"]) == timedelta(hours=2)


def test_a_job_without_options_takes_those_of_its_type(torpor: Torpor) -> None:
    made = enqueued(torpor, "maintenance_scan")

    assert (made["queue"], made["priority"], made["tags"]) == ("maintenance", JobPriority.NORMAL, [])
    assert made["ready_at"] is not None
    assert made["wake_at"] is None


def test_unique_gives_the_job_that_is_there(torpor: Torpor) -> None:
    first = enqueued(torpor, "shop_ok", "--payload", '{"n": 1}', "--unique", "while_active")
    again = enqueued(torpor, "shop_ok", "--payload", '{"n": 1}', "--unique", "1h")
    other = enqueued(torpor, "shop_ok", "--payload", '{"n": 2}', "--unique", "while_active", "--unique-key", "other")
    assert (again["id"], again["existing"]) == (first["id"], True)
    assert (other["existing"], other["id"] != first["id"]) == (False, True)
    refused = torpor("enqueue", "shop_ok", "--payload", '{"n": 1}', "--unique", "for ever")
    assert refused.code == 2
    assert "unique" in refused.err


def test_one_job_for_one_key(torpor: Torpor) -> None:
    first = enqueued(torpor, "shop_ok", "--payload", '{"n": 1}', "--key", "k")
    second = enqueued(torpor, "shop_ok", "--payload", '{"n": 1}', "--key", "k")
    other = torpor("enqueue", "shop_ok", "--payload", '{"n": 2}', "--key", "k")

    assert (second["id"], second["existing"]) == (first["id"], True)
    assert (other.code, other.out) == (2, "")
    assert "IDEMPOTENCY_CONFLICT" in other.err
    assert len(torpor.json("jobs", "list")) == 1


def test_people_are_told_what_runs_it(torpor: Torpor) -> None:
    answer = torpor("enqueue", "shop_ok")

    assert answer.code == 0
    assert "shop_ok" in answer.out
    assert "torpor worker" in answer.err


# --- files -----------------------------------------------------------------------------------------------------------


def write_jobs(*lines: object) -> str:
    Path("jobs.jsonl").write_text(
        "\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines), encoding="utf-8"
    )
    return "jobs.jsonl"


def test_a_file_of_jobs_in_its_order(torpor: Torpor) -> None:
    file = write_jobs(
        "\ufeff" + json.dumps({"type": "shop_ok", "payload": {"n": 1}, "tags": ["x"], "priority": "high"}),
        "",
        {"job_type": "shop_any", "payload": {"text": "two\u2028parts"}, "auto_start": False},
        "  ",
        {"type": "shop_ok", "payload": {"n": 3}, "delay": "1h", "idempotency_key": "three"},
    )

    made = torpor.json("enqueue", "--file", file)

    assert [(job["type"], job["status"]) for job in made] == [
        ("shop_ok", "queued"),
        ("shop_any", "pending"),
        ("shop_ok", "queued"),
    ]
    assert made[1]["payload"] == {"text": "two\u2028parts"}
    assert {job["id"] for job in torpor.json("jobs", "list")} == {job["id"] for job in made}
    again = torpor.json(
        "enqueue", "--file", write_jobs({"type": "shop_ok", "payload": {"n": 3}, "idempotency_key": "three"})
    )
    assert [(job["id"], job["existing"]) for job in again] == [(made[2]["id"], True)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "is a list, not an object"),
        ("[" * 100_000, "nested too deeply"),
        ({"type": "nope"}, "no job type is called 'nope'"),
        ({}, "custom"),
        ({"type": "shop_ok", "wings": 2}, "wings"),
        ({"type": "shop_ok", "payload": 3}, "payload"),
        ({"type": "shop_order", "payload": {"width": 0}}, "payload.width"),
        ({"type": "shop_ok", "priority": "nope"}, "priority"),
        ({"type": "shop_ok", "auto_start": "yes"}, "auto_start"),
        ({"type": "shop_ok", "auto_start": False, "delay": 5}, "delay_seconds"),
        ({"type": "shop_ok", "parent_id": "nobody"}, "there is no job 'nobody'"),
        ({"type": "shop_ok", "idempotency_key": "taken", "payload": {"n": 2}}, "belongs to job"),
        ({"type": "shop_any", "idempotency_key": "taken"}, "belongs to job"),
        ({"type": "shop_ok", "idempotency_key": "twice", "payload": {"n": 2}}, "belongs to job"),
        ({"type": "shop_any", "payload": {"n": "x" * 4_200_000}}, "over the limit"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_one_wrong_line_refuses_the_file(line: object, says: str, torpor: Torpor) -> None:
    enqueued(torpor, "shop_ok", "--key", "taken")
    good = {"type": "shop_ok", "payload": {"n": 1}, "idempotency_key": "twice"}

    answer = torpor("enqueue", "--file", write_jobs(good, "", line, good))

    assert (answer.code, answer.out) == (2, "")
    assert "line 3" in answer.err
    assert says in answer.err
    assert "nothing of the file was created" in answer.err
    assert len(torpor.json("jobs", "list")) == 1


def test_a_file_without_jobs_is_refused(torpor: Torpor) -> None:
    Path("latin.jsonl").write_bytes(b'{"type": "shop_ok", "name": "\xe9"}')

    assert torpor("enqueue", "--file", write_jobs("", "  ")).code == 2
    assert torpor("enqueue", "--file", "latin.jsonl").code == 2
    assert torpor("enqueue", "--file", write_jobs({"type": "shop_ok"}), "--key", "k").code == 2
    assert torpor.json("jobs", "list") == []


# --- one job ---------------------------------------------------------------------------------------------------------


def test_a_job_that_has_run_is_shown_with_what_it_left(torpor: Torpor) -> None:
    made = enqueued(torpor, "shop_ok", "--payload", '{"n": 7}')
    torpor("worker", "--drain", "--quiet")

    shown = torpor.json("jobs", "show", made["id"])

    assert (shown["status"], shown["results"]) == ("completed", {"result": {"n": 7}, "saved": [{"seen": 7}]})
    assert [run["outcome"] for run in shown["runs"]] == ["completed"]
    assert [entry["message"] for entry in shown["log"]] == ["number 7"]
    for people in (torpor("jobs", "show", made["id"]).out, torpor("jobs", "show", made["id"], COLUMNS="80").out):
        assert all(text in people for text in (made["id"], "completed", '"n": 7', '{"seen": 7}', "number 7"))
        assert "lease_token" not in people


def test_a_failed_job_is_shown_with_its_error_and_no_stack_trace(torpor: Torpor) -> None:
    made = enqueued(torpor, "shop_broken")
    torpor("worker", "--drain", "--quiet")

    people = torpor("jobs", "show", made["id"]).out

    assert "PERMANENT_ERROR: the shop is closed" in people
    assert "Traceback" not in people
    assert "Traceback" in torpor.json("jobs", "show", made["id"])["error"]["traceback"]


def test_what_a_job_holds_is_never_obeyed_by_the_screen(torpor: Torpor) -> None:
    file = write_jobs({"type": "shop_any", "name": "\x1b[2Jgone [red]?", "payload": {"\x1b[31m": "\ud800"}})
    (made,) = torpor.json("enqueue", "--file", file)

    people = torpor("jobs", "show", made["id"]).out

    assert "\x1b" not in people
    assert "\\x1b[2Jgone [red]?" in people


def test_cancel_retry_and_delete(torpor: Torpor) -> None:
    job = enqueued(torpor, "shop_ok")["id"]

    assert "cancelled" in torpor("jobs", "cancel", job, "--reason", "no need").out
    shown = torpor.json("jobs", "show", job)
    assert (shown["status"], shown["error"]["message"]) == ("cancelled", "no need")
    assert torpor.json("jobs", "cancel", job)["status"] == "cancelled"  # and again, which changes nothing
    assert torpor.json("jobs", "retry", job)["status"] == "queued"
    refused = torpor("jobs", "retry", job)
    assert (refused.code, refused.out) == (2, "")
    assert "is queued and cannot" in refused.err
    torpor("worker", "--drain", "--quiet")
    assert torpor("jobs", "cancel", job).code == 2
    assert torpor.json("jobs", "delete", job) == {"deleted": job}
    assert torpor("jobs", "delete", job).code == 2
    assert torpor.json("jobs", "list") == []
    assert [run["job_id"] for run in torpor.json("runs", "list")] == [job]


def test_waiting_on_the_memory_store_runs_the_job_here(torpor: Torpor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.enqueue.LOOK_SECONDS", 0.1)

    good = torpor("enqueue", "shop_ok", "--wait", "--json", TORPOR_STORE_URL="memory:")
    bad = torpor("enqueue", "shop_broken", "--wait", "--json", TORPOR_STORE_URL="memory:")
    asks = torpor("enqueue", "shop_asks", "--wait", "--json", TORPOR_STORE_URL="memory:")
    lost = torpor("enqueue", "shop_ok", TORPOR_STORE_URL="memory:")

    assert (good.code, good.json["status"]) == (0, "completed")
    assert (bad.code, bad.json["status"]) == (1, "failed")
    assert (asks.code, asks.json["status"]) == (1, "needs_review")
    assert lost.code == 0
    assert "the store is memory:" in lost.err


def test_a_prefix_keeps_environments_apart(torpor: Torpor) -> None:
    made = torpor("enqueue", "shop_ok", "--json", TORPOR_PREFIX="a_").json

    assert torpor.json("jobs", "list") == []
    assert [job["id"] for job in torpor("jobs", "list", "--json", TORPOR_PREFIX="a_").json] == [made["id"]]


def test_times_are_utc(torpor: Torpor) -> None:
    made = enqueued(torpor, "shop_ok")

    assert abs(datetime.fromisoformat(made["created_at"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_waiting_for_what_waits_for_others(torpor: Torpor) -> None:
    """On the memory store the command itself runs the jobs: the second begins when the first has ended."""
    file = write_jobs(*({"type": "shop_ok", "payload": {"n": n}, "dependencies": [0][:n]} for n in range(2)))
    waited = torpor("enqueue", "--file", file, "--batch", "b", "--wait", "--json", TORPOR_STORE_URL="memory:")
    assert (waited.code, [job["status"] for job in waited.json]) == (0, ["completed"] * 2)


def test_a_held_job_is_not_waited_for(torpor: Torpor) -> None:
    file = write_jobs({"type": "shop_ok"}, {"type": "shop_ok", "auto_start": False})
    answer = torpor("enqueue", "--file", file, "--wait", TORPOR_STORE_URL="memory:")
    assert answer.code == 1
    assert "1 job held until somebody starts them" in answer.err
    assert "completed" in answer.out


def test_a_long_file_shows_how_far_it_is_on_a_terminal(torpor: Torpor) -> None:
    file = write_jobs(*({"type": "shop_ok", "payload": {"n": n}} for n in range(300)))
    seen = torpor("enqueue", "--file", file, FORCE_COLOR="1")
    assert (seen.code, "creating jobs" in seen.err, "300/300" in seen.err) == (0, True, True)
    assert "creating jobs" not in torpor("enqueue", "--file", file).err


def test_what_is_shown_of_a_job_says_something(torpor: Torpor) -> None:
    job_id = torpor.json("enqueue", "shop_counts")["id"]
    torpor("worker", "--drain")
    shown = torpor("jobs", "show", job_id).out
    for noise in ("()", "retry_backoff", "on_dependency_failure", "100%"):
        assert noise not in shown
    assert re.search(r"run_seconds +\d+ ms", shown)
    assert "counted" in shown
    assert "%" not in torpor("jobs", "list").out


def test_a_held_job_is_started(torpor: Torpor) -> None:
    Path("held.jsonl").write_text('{"type": "shop_ok", "auto_start": false}', encoding="utf-8")
    (held,) = torpor.json("enqueue", "--file", "held.jsonl")
    assert held["status"] == "pending"

    assert torpor.json("jobs", "start", held["id"])["status"] == "queued"

    assert torpor("jobs", "start", "nobody").code == 2

"""`torpor jobs logs`, `jobs watch` and `jobs stats`."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.acceptance.cli.conftest import PATIENCE_SECONDS, Processes, Torpor


@pytest.fixture
def ended(torpor: Torpor) -> str:
    """The id of a job that ran and left a log."""
    made: dict[str, Any] = torpor.json("enqueue", "shop_counts")
    torpor("worker", "--drain")
    return str(made["id"])


def lines_of(text: str) -> list[Any]:
    """One JSON value a line."""
    return [json.loads(line) for line in text.splitlines()]


def test_the_log_is_read_whole_and_from_any_line(torpor: Torpor, ended: str) -> None:
    whole = torpor.json("jobs", "logs", ended)
    assert [(entry["number"], entry["level"], entry["message"]) for entry in whole] == [
        (1, "INFO", "one"),
        (2, "WARNING", "two"),
        (3, "INFO", "three"),
    ]
    assert torpor.json("jobs", "logs", ended, "--after", "1") == whole[1:]
    answer = torpor("jobs", "logs", ended, "--after", "1", "--limit", "1")
    assert (answer.code, answer.out.split()[-2:]) == (0, ["WARNING", "two"])
    assert "--after 2" in answer.err


def test_the_log_of_an_ended_job_is_followed_to_its_end(torpor: Torpor, ended: str) -> None:
    answer = torpor("jobs", "logs", ended, "--follow", "--after", "2")
    assert (answer.code, answer.out.split()[-1], len(answer.out.splitlines())) == (0, "three", 1)
    assert [entry["number"] for entry in lines_of(torpor("jobs", "logs", ended, "-f", "--json").out)] == [1, 2, 3]


def test_following_has_no_limit(torpor: Torpor, ended: str) -> None:
    answer = torpor("jobs", "logs", ended, "--follow", "--limit", "2")
    assert (answer.code, answer.out, "--limit: does not go with --follow" in answer.err) == (2, "", True)


def test_watching_ends_with_the_job_and_says_how(torpor: Torpor, ended: str) -> None:
    answer = torpor("jobs", "watch", ended)
    assert answer.code == 0
    assert answer.out.splitlines() == [
        f"job {ended} (shop_counts) is completed",
        "100%  counted",
        f"job {ended} is completed",
    ]
    *progress, job = lines_of(torpor("jobs", "watch", ended, "--json").out)
    assert (progress[-1]["percentage"], job["status"]) == (100.0, "completed")

    broken = torpor.json("enqueue", "shop_broken")["id"]
    torpor("worker", "--drain")
    answer = torpor("jobs", "watch", broken)
    assert answer.code == 1
    assert "is failed: PERMANENT_ERROR: the shop is closed" in answer.out


@pytest.mark.parametrize("command", [["logs"], ["logs", "--follow"], ["watch"]])
def test_an_unknown_job_is_wrong_use(torpor: Torpor, command: list[str]) -> None:
    answer = torpor("jobs", command[0], "nobody", *command[1:])
    assert (answer.code, answer.out) == (2, "")
    assert "nobody" in answer.err


def test_stats_count_jobs_and_todays_runs(torpor: Torpor, ended: str) -> None:
    torpor("enqueue", "shop_far")
    shown = torpor.json("jobs", "stats")
    assert {name: number for name, number in shown["jobs"].items() if number} == {"completed": 1, "queued": 1}
    assert shown["today"]["by_type"] == {"shop_counts": 1}
    assert shown["health"]["status"] == "healthy"
    answer = torpor("jobs", "stats")
    assert answer.code == 0
    assert "shop_counts" in answer.out


def test_stats_of_nothing(torpor: Torpor) -> None:
    assert "torpor enqueue" in torpor("jobs", "stats").out


def test_a_running_job_of_another_process_is_followed(processes: Processes) -> None:
    (job_id,) = processes.put("own_tells")
    with (
        processes.started("worker", "--drain") as worker,
        processes.started("jobs", "logs", job_id, "--follow") as following,
        processes.started("jobs", "watch", job_id, "--json") as watching,
    ):
        assert following.stdout is not None
        assert watching.stdout is not None
        assert following.stdout.readline().split()[-1] == "first", "while the job runs"
        assert json.loads(watching.stdout.readline())["message"] == "first"
        (processes.place / "go").touch()
        assert finished(following).split()[-1] == "second"
        *_, progress, job = lines_of(finished(watching))
        assert (progress["message"], job["status"]) == ("second", "completed")
        finished(worker)


def finished(process: subprocess.Popen[str]) -> str:
    """What else a process has printed that ended well."""
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, err
    return out

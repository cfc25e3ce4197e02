"""`torpor batches`, and the options of other commands that are about jobs that wait for others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.acceptance.cli.conftest import Torpor

LINES: list[dict[str, Any]] = [
    {"type": "shop_ok", "payload": {"n": 1}},
    {"type": "shop_ok", "payload": {"n": 2}, "dependencies": [0]},
    {"type": "shop_ok", "payload": {"n": 3}, "dependencies": [0, 1]},
]


def a_batch(torpor: Torpor, tmp_path: Path, name: str = "nightly") -> list[dict[str, Any]]:
    """The jobs of a new batch."""
    file = tmp_path / "graph.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    made: list[dict[str, Any]] = torpor.json("enqueue", "--file", str(file), "--batch", name)
    return made


def test_a_batch_is_created_listed_shown_and_cancelled(torpor: Torpor, tmp_path: Path) -> None:
    assert torpor.json("batches", "list") == []
    jobs = a_batch(torpor, tmp_path)
    (batch,) = torpor.json("batches", "list")
    assert [job["status"] for job in jobs] == ["queued", "pending", "pending"]
    assert {job["batch_id"] for job in jobs} == {batch["id"]}
    assert (batch["name"], batch["status"], batch["total"]) == ("nightly", "open", 3)
    shown = torpor.json("batches", "show", batch["id"], "--jobs")
    assert (shown["counts"], shown["ended"]) == ({"pending": 2, "queued": 1}, 0)
    assert set(shown["jobs"]) == {job["id"] for job in jobs}
    told = torpor("batches", "show", batch["id"])
    assert told.code == 0
    assert "'nightly': 0 of 3 jobs have ended (0 %)" in told.out
    assert batch["id"] in torpor("batches", "list").out
    assert torpor.json("batches", "cancel", batch["id"]) == {"batch_id": batch["id"], "cancelled": 3}
    assert torpor("batches", "cancel", batch["id"]).out == "0 jobs cancelled, or told to stop\n"
    assert torpor.json("batches", "show", batch["id"])["progress"] == 100.0


def test_what_is_no_batch_and_no_file(torpor: Torpor) -> None:
    for arguments in (("batches", "show", "nothing"), ("batches", "cancel", "nothing")):
        answer = torpor(*arguments)
        assert (answer.code, answer.out) == (2, "")
        assert "BATCH_NOT_FOUND" in answer.err
    answer = torpor("enqueue", "shop_ok", "--batch", "x")
    assert (answer.code, "--batch: goes with --file" in answer.err) == (2, True)


def test_a_job_waits_for_another_and_goes_with_it(torpor: Torpor) -> None:
    first = torpor.json("enqueue", "shop_ok")
    second = torpor.json("enqueue", "shop_ok", "--depends-on", first["id"])
    assert (second["status"], second["unmet"]) == ("pending", [first["id"]])
    assert torpor("enqueue", "shop_ok", "--depends-on", "nobody").code == 2
    assert torpor.json("jobs", "cancel", first["id"], "--dependents")["status"] == "cancelled"
    assert {job["status"] for job in torpor.json("jobs", "list")} == {"cancelled"}


def test_a_batch_file_says_for_all_of_its_jobs_whether_they_start(torpor: Torpor, tmp_path: Path) -> None:
    file = tmp_path / "graph.jsonl"
    lines = [{"type": "shop_ok", "payload": {"n": n}, "auto_start": False} for n in range(3)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    held = torpor("enqueue", "--file", str(file), "--batch", "held")
    (batch,) = torpor.json("batches", "list")
    assert (held.code, held.out.splitlines()[0]) == (0, f"batch {batch['id']}")
    assert torpor.json("batches", "show", batch["id"])["counts"] == {"pending": 3}
    assert torpor("worker", "--drain").code == 0
    assert torpor.json("batches", "show", batch["id"])["counts"] == {"pending": 3}

    lines[1]["auto_start"] = True
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    mixed = torpor("enqueue", "--file", str(file), "--batch", "mixed")
    assert (mixed.code, mixed.out) == (2, "")
    assert "line 2, auto_start: is true, and that of line 1 is not" in mixed.err
    assert len(torpor.json("batches", "list")) == 1


def test_a_line_cannot_join_a_batch(torpor: Torpor, tmp_path: Path) -> None:
    jobs = a_batch(torpor, tmp_path)
    file = tmp_path / "more.jsonl"
    more = [{"type": "shop_ok", "batch_id": "my own"}, {"type": "shop_ok", "batch_id": jobs[0]["batch_id"]}]
    file.write_text("".join(json.dumps(line) + "\n" for line in more))
    refused = torpor("enqueue", "--file", str(file))
    assert (refused.code, "line 2, batch_id" in refused.err) == (2, True)
    assert len(torpor.json("jobs", "list")) == 3

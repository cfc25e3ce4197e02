"""Lists of jobs, runs and types: filtered, as JSON and nothing else, and as tables that fit the screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.cli.conftest import Torpor, torpor_in


@pytest.fixture(scope="module")
def worked_database(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """Jobs that ended in different ways, and one that waits."""
    place = tmp_path_factory.mktemp("worked")
    lines = [{"type": "shop_ok", "payload": {"n": n}, "tags": ["number", str(n)]} for n in range(3)]
    lines += [{"type": "shop_broken"}, {"type": "shop_again", "queue": "maintenance"}]
    (place / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, torpor_in(place, empty_database, patch) as torpor:
        assert torpor("enqueue", "--file", "jobs.jsonl").code == 0
        assert torpor("worker", "--drain", "--quiet").code == 0
        assert torpor("enqueue", "shop_far", "--priority", "low").code == 0
    return place / "torpor.db"


@pytest.fixture
def worked(tmp_path: Path, worked_database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Torpor]:
    """The command with these jobs."""
    with torpor_in(tmp_path, worked_database, monkeypatch) as torpor:
        yield torpor


@pytest.mark.parametrize(
    ("arguments", "types"),
    [
        ([], ["shop_again", "shop_broken", "shop_far", "shop_ok", "shop_ok", "shop_ok"]),
        (["--status", "completed"], ["shop_again", "shop_ok", "shop_ok", "shop_ok"]),
        (["--status", "FAILED"], ["shop_broken"]),
        (["--status", "stopped"], []),
        (["--type", "shop_ok", "--limit", "2"], ["shop_ok", "shop_ok"]),
        (["--type", "shop_ok", "--offset", "2"], ["shop_ok"]),
        (["--queue", "maintenance"], ["shop_again"]),
        (["--tag", "number", "--tag", "1"], ["shop_ok"]),
        (["--created-after", "2100-01-01"], []),
        (["--created-before", "2000-01-01T00:00:00+02:00"], []),
        (["--parent", "nobody"], []),
        (["--batch", "none"], []),
        (["--sort-by", "priority", "--sort-order", "asc", "--limit", "1"], ["shop_far"]),
        (["--sort-by", "finished_at", "--limit", "1", "--type", "shop_broken"], ["shop_broken"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_jobs_by_filter(arguments: list[str], types: list[str], worked: Torpor) -> None:
    listed = worked.json("jobs", "list", *arguments)

    assert sorted(job["type"] for job in listed) == types


def test_every_list_prints_json_and_nothing_else(worked: Torpor) -> None:
    runs = worked.json("runs", "list")
    outcomes = sorted(run["outcome"] for run in runs)
    assert outcomes == ["completed", "completed", "completed", "completed", "failed", "retried"]
    assert [run["type"] for run in worked.json("runs", "list", "--outcome", "failed")] == ["shop_broken"]
    assert len(worked.json("runs", "list", "--type", "shop_again")) == 2
    assert len(worked.json("runs", "list", "--limit", "1")) == 1
    assert worked.json("runs", "list", "--ended-after", "2100-01-01") == []
    assert worked.json("runs", "list", "--job", "nobody") == []

    summary = worked.json("runs", "summary")
    assert (summary["runs"], summary["retries"], summary["by_outcome"]["failed"]) == (6, 1, 1)
    assert worked.json("runs", "summary", "--day", "2001-02-03")["runs"] == 0

    types = worked.json("types")
    assert {"shop_ok", "maintenance_scan", "catalog_enrich_field"} <= set(types)
    assert types["shop_far"]["pool"] == "far"
    assert worked.json("watchdog")["dry_run"] is False
    assert worked.json("catalog", "score")["total"] == 0


@pytest.mark.parametrize("columns", [80, 150])
def test_tables_show_whole_ids(columns: int, worked: Torpor) -> None:
    worked.columns = columns
    jobs = {job["id"]: job["type"] for job in worked.json("jobs", "list")}
    runs = [run["id"] for run in worked.json("runs", "list")]

    listed = worked("jobs", "list").out.splitlines()
    history = worked("runs", "list").out.splitlines()

    assert all(any(job in line and kind in line for line in listed) for job, kind in jobs.items())
    assert all(any(run in line for line in history) for run in runs)
    assert all(len(line) <= columns for line in (*listed, *history, *worked("types").out.splitlines()))


def test_figures_for_people(worked: Torpor) -> None:
    summary = worked("runs", "summary")
    assert summary.code == 0
    assert "6 runs, 80.0% of ended jobs completed" in summary.out
    assert "retries: 1   lost leases: 0" in summary.out
    assert "0 runs" in worked("runs", "summary", "--day", "2001-02-03").out
    assert "dry run: nothing was done" in worked("watchdog", "--dry-run").out

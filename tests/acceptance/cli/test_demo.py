"""`torpor demo` on the sample, on the real records, and again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.catalog import sample_catalog
from tests.acceptance.cli.conftest import Torpor

SAMPLE = len(json.loads(sample_catalog()))


def results(answer: Any) -> dict[str, Any]:
    """What the demo's own jobs returned, by type; of several the first."""
    found: dict[str, Any] = {}
    for job in answer["jobs"]:
        found.setdefault(job["type"], job["result"])
    return found


def test_the_sample_then_again(torpor: Torpor) -> None:
    first = torpor("demo", "--json")
    second = torpor("demo", "--json")

    assert (first.code, second.code) == (0, 0)
    assert (first.json["added"], first.json["there_already"]) == (SAMPLE, 0)
    assert (second.json["added"], second.json["there_already"]) == (0, SAMPLE)
    found = results(first.json)
    scan, enriched = found["maintenance_scan"], found["catalog_enrich_field"]
    assert scan["exercises"] == SAMPLE
    assert scan["findings"]["MISSING_QUALIFIER"] > 0
    assert first.json["proposed"]["family_normalize"] > 5
    assert found["family_normalize"]["mode"] == "dry_run"
    assert any('" -> "' in line for line in first.json["diff"])
    assert first.json["created"] == sum(first.json["proposed"].values())
    assert set(first.json["ended"]) <= {"completed", "needs_review"}
    assert first.json["undone"]["as_before"] is True
    assert enriched["written"]["muscle_group"] > 0
    before, after = first.json["score_before"]["failed"], first.json["score_after"]["failed"]
    assert after["MUSCLE_GROUP"] < before["MUSCLE_GROUP"]
    assert after["NAME_QUALIFIER"] < before["NAME_QUALIFIER"]
    # A second run finds nothing left that it would dare to do, or to fill in.
    assert (second.json["created"], second.json["diff"], second.json["undone"]) == (0, [], None)
    assert results(second.json)["catalog_enrich_field"]["written"] == {}
    # Sliced or parked as often as jobs looked for others before these were done: that depends on the machine.
    outcomes = {run["outcome"] for run in first.json["runs"]}
    assert outcomes - {"sliced", "parked", "review"} == {"completed"}
    assert {run["id"] for run in first.json["runs"]}.isdisjoint(run["id"] for run in second.json["runs"])


def test_what_people_see_first(torpor: Torpor) -> None:
    answer = torpor("demo", COLUMNS="80")

    assert answer.code == 0
    assert all(len(line) <= 80 for line in answer.out.splitlines())
    assert "Maintenance scan" in answer.err
    assert "Catalog enrich field" in answer.err
    order = [
        "exercises added",
        "Runs",
        "Found in",
        "jobs proposed",
        "Dry run of one",
        "Applied:",
        "Undone:",
        "Enriched",
        "quality score",
        "Where to look next",
    ]
    places = [answer.out.index(words) for words in order]
    assert places == sorted(places)
    scan = next(job["id"] for job in torpor.json("jobs", "list", "--type", "maintenance_scan"))
    assert f"torpor jobs show {scan}" in answer.out
    shown = torpor("jobs", "show", scan)
    assert shown.code == 0


def test_the_real_records_and_what_is_new_of_them(torpor: Torpor, shared_data: Path) -> None:
    file = shared_data / "exercises" / "free-exercise-db.json"
    records = json.loads(file.read_text(encoding="utf-8"))
    # Some of them: all of them are curated in tests/acceptance/catalog.
    Path("first.json").write_text(json.dumps(records[:150]), encoding="utf-8")
    Path("more.json").write_text(json.dumps(records[:200]), encoding="utf-8")
    assert torpor.json("catalog", "import", "first.json")["added"] == 150

    answer = torpor("demo", "--catalog", "more.json", "--json")

    assert answer.code == 0
    assert (answer.json["added"], answer.json["there_already"]) == (50, 150)
    found = results(answer.json)
    active = 200 - found["duplicate_detection_scan"]["findings"]["merge"]
    assert (found["maintenance_scan"]["exercises"], found["catalog_enrich_field"]["exercises"]) == (200, active)
    assert found["catalog_enrich_field"]["not_completed"] == []
    assert found["catalog_enrich_field"]["written"]["muscle_group"] == active
    assert answer.json["undone"]["as_before"] is True
    assert torpor.json("catalog", "score")["total"] == 200


def test_a_bad_file_leaves_everything_as_it_was(torpor: Torpor) -> None:
    Path("bad.json").write_text('[{"id": 1}]', encoding="utf-8")

    answer = torpor("demo", "--catalog", "bad.json")

    assert (answer.code, answer.out) == (2, "")
    assert "nothing was imported" in answer.err
    assert torpor.json("jobs", "list") == []


def test_a_store_that_is_gone_afterwards_says_so(torpor: Torpor) -> None:
    answer = torpor("demo", TORPOR_STORE_URL="memory:")

    assert answer.code == 0
    assert "the memory store is gone by now" in answer.out
    assert torpor.json("jobs", "list") == []  # nothing went to the usual place


def test_without_success_the_demo_fails(torpor: Torpor) -> None:
    Path("none.json").write_text("[]", encoding="utf-8")

    answer = torpor("demo", "--catalog", "none.json")

    assert answer.code == 1
    assert "catalog_enrich_field) is failed: no exercise is selected" in answer.err

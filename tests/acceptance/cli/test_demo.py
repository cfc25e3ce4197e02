"""`torpor demo` on the sample, on the real records, and again."""

from __future__ import annotations

import json
from pathlib import Path

from app.catalog import sample_catalog
from tests.acceptance.cli.conftest import Torpor

SAMPLE = len(json.loads(sample_catalog()))


def test_the_sample_then_again(torpor: Torpor) -> None:
    first = torpor("demo", "--json")
    second = torpor("demo", "--json")

    assert (first.code, second.code) == (0, 0)
    assert (first.json["added"], first.json["there_already"]) == (SAMPLE, 0)
    assert (second.json["added"], second.json["there_already"]) == (0, SAMPLE)
    scan, enriched = (job["result"] for job in first.json["jobs"])
    assert scan["exercises"] == SAMPLE
    assert scan["findings"]["MISSING_QUALIFIER"] > 0
    assert enriched["exercises"] == SAMPLE
    assert enriched["written"]["muscle_group"] > 0
    assert enriched["failed_after"].get("MUSCLE_GROUP", 0) < enriched["failed_before"]["MUSCLE_GROUP"]
    # A second run finds nothing left that it would dare to fill in.
    assert second.json["jobs"][1]["result"]["written"] == {}
    # Sliced as often as the parent looked for its children before they were done: that depends on the machine.
    assert {run["outcome"] for run in first.json["runs"]} - {"sliced"} == {"completed"}
    assert {run["id"] for run in first.json["runs"]}.isdisjoint(run["id"] for run in second.json["runs"])


def test_what_people_see_first(torpor: Torpor) -> None:
    answer = torpor("demo", COLUMNS="80")

    assert answer.code == 0
    assert all(len(line) <= 80 for line in answer.out.splitlines())
    assert "Maintenance scan" in answer.err
    assert "Catalog enrich field" in answer.err
    order = ["exercises added", "Runs", "Found in", "jobs proposed", "Enriched", "quality score", "Where to look next"]
    places = [answer.out.index(words) for words in order]
    assert places == sorted(places)
    scan = next(job["id"] for job in torpor.json("jobs", "list", "--type", "maintenance_scan"))
    assert f"torpor jobs show {scan}" in answer.out
    shown = torpor("jobs", "show", scan)
    assert shown.code == 0


def test_the_real_records_and_what_is_new_of_them(torpor: Torpor, shared_data: Path) -> None:
    file = str(shared_data / "exercises" / "free-exercise-db.json")
    records = json.loads(Path(file).read_text(encoding="utf-8"))
    Path("some.json").write_text(json.dumps(records[:800]), encoding="utf-8")
    assert torpor.json("catalog", "import", "some.json")["added"] == 800

    answer = torpor("demo", "--catalog", file, "--json")

    assert answer.code == 0
    assert (answer.json["added"], answer.json["there_already"]) == (73, 800)
    scan, enriched = (job["result"] for job in answer.json["jobs"])
    assert (scan["exercises"], enriched["exercises"]) == (873, 873)
    assert (enriched["shards"], enriched["not_completed"]) == (5, [])
    assert enriched["written"]["muscle_group"] == 873
    assert torpor.json("catalog", "score")["total"] == 873


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

"""`torpor catalog import` and `score`."""

from __future__ import annotations

import json
from pathlib import Path

from app.catalog import sample_catalog
from tests.acceptance.cli.conftest import Torpor


def test_a_file_is_imported_once(torpor: Torpor, place: Path) -> None:
    records = json.loads(sample_catalog())
    (place / "some.json").write_text(json.dumps(records[:10]), encoding="utf-8")
    (place / "all.json").write_bytes(sample_catalog())

    first = torpor.json("catalog", "import", "some.json")
    second = torpor.json("catalog", "import", "some.json")
    rest = torpor("catalog", "import", "all.json")

    assert (first["added"], first["there_already"]) == (10, 0)
    assert (second["added"], second["there_already"]) == (0, 10)
    assert rest.code == 0
    assert f"{len(records) - 10} exercises added, 10 were there already" in rest.out
    assert torpor.json("catalog", "score")["total"] == len(records)


def test_of_a_bad_file_every_problem_is_named_and_nothing_imported(torpor: Torpor, place: Path) -> None:
    good = json.loads(sample_catalog())[0]
    records = [good, *({"id": f"row-{number}"} for number in range(20)), {**good, "id": 5}, "text"]
    (place / "bad.json").write_text(json.dumps(records), encoding="utf-8")

    answer = torpor("catalog", "import", "bad.json")

    assert (answer.code, answer.out) == (2, "")
    assert all(f"record {row}, field 'name': is missing; add it" in answer.err for row in range(2, 22))
    assert "record 22, field 'id': 5" in answer.err
    assert "record 23" in answer.err
    assert "bad.json has 22 problems; nothing was imported" in answer.err
    assert torpor.json("catalog", "score")["total"] == 0


def test_a_file_that_is_no_catalogue_is_refused(torpor: Torpor, place: Path) -> None:
    for name, content in (
        ("not.json", b"{"),
        ("latin.json", b'["\xe9"]'),
        ("other.json", b'{"a": 1}'),
        ("no.json", b""),
    ):
        (place / name).write_bytes(content)
        answer = torpor("catalog", "import", name)

        assert (answer.code, answer.out) == (2, "")
        assert "has 1 problem; nothing was imported" in answer.err


def test_what_was_taken_with_a_change_is_told(torpor: Torpor, place: Path) -> None:
    records = [{"id": "a", "name": "Push-Up"}, {"id": "b", "name": "Push Up"}]
    (place / "alike.json").write_text(json.dumps(records), encoding="utf-8")

    answer = torpor("catalog", "import", "alike.json")

    assert answer.out == "2 exercises added, 0 were there already\n"
    assert "note: record 2, field 'name': Push Up; taken as 'push-up-2'" in answer.err


def test_scores_come_with_what_to_do(torpor: Torpor, place: Path) -> None:
    (place / "all.json").write_bytes(sample_catalog())
    torpor("catalog", "import", "all.json")

    report = torpor.json("catalog", "score")
    people = torpor("catalog", "score").out

    assert sum(report["by_score"].values()) == report["total"]
    assert report["failed"]["DESCRIPTION"] > 0
    assert "DESCRIPTION" in people
    assert "describe it in 50 characters or more" in people

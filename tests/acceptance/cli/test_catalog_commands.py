"""`torpor catalog import` and `score`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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


@pytest.fixture
def stocked(torpor: Torpor, place: Path) -> Torpor:
    """The command, with four exercises of one family, three of which lack their equipment in their names."""
    records = [
        {"id": "a", "name": "Barbell Row", "equipment": "barbell"},
        {"id": "b", "name": "Cable Row", "equipment": "cable"},
        {"id": "c", "name": "One Arm DB Row", "equipment": "dumbbell"},
        {"id": "d", "name": "Row (Machine)", "equipment": "machine"},
    ]
    (place / "rows.json").write_text(json.dumps(records), encoding="utf-8")
    assert torpor("catalog", "import", "rows.json").code == 0
    return torpor


def applied(torpor: Torpor, job_type: str, payload: dict[str, Any]) -> str:
    """The id of the change that a job of this type has made."""
    job = torpor.json("catalog", "apply", job_type, "--payload", json.dumps(payload))
    assert torpor("worker", "--drain", CATALOG_APPLY_ENABLED="true").code == 0
    assert torpor.json("jobs", "show", job["id"])["status"] == "completed"
    return f"{job['id']}_1"


ROW = {"family_slug": "row"}


def test_a_plan_is_shown_and_nothing_is_done(stocked: Torpor) -> None:
    answer = stocked("catalog", "plan", "family_normalize", "--payload", json.dumps(ROW))

    assert answer.code == 0
    assert "family_normalize: 3 operations, risk low" in answer.out
    assert '      name: "One Arm DB Row" -> "Single-Arm Row (Dumbbell)"' in answer.out
    assert stocked.json("jobs", "list") == []
    plan = stocked.json("catalog", "plan", "family_normalize", "--payload", json.dumps(ROW))
    assert (len(plan["plan"]["operations"]), plan["findings"]) == (3, [])


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("plan", "family_sing"), 2, "no type that plans is called 'family_sing'; take one of family_normalize"),
        (("plan", "family_merge"), 2, "MISSING_MERGE_CONFIG: give source_family and target_family"),
        (
            ("plan", "family_audit", "--payload", '{"family_slug": "none"}'),
            1,
            "no active exercise is in a family 'none'",
        ),
        (("plan", "exercise_add", "--payload", '{"name": "Barbell Row"}'), 1, "'Barbell Row' has its equipment"),
        (("apply", "family_merge", "--payload", "{}"), 2, "MISSING_MERGE_CONFIG"),
        (("apply",), 2, "either a job type or --job is needed"),
        (("show", "nothing"), 2, "nothing is called 'nothing'"),
        (("undo",), 2, "either a change or --all is needed"),
        (("undo", "none"), 1, "there is no change 'none'"),
        (("diff", "none"), 2, "there is no change and no job 'none'"),
        (("changes", "--day", "today"), 2, "'today' is no day"),
        (("scan", "--mode", "wet"), 2, "'wet' is no mode of the catalogue"),
        (("export", "rows.json"), 2, "rows.json is there already"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(
    stocked: Torpor, arguments: tuple[str, ...], code: int, says: str
) -> None:
    answer = stocked("catalog", *arguments)

    assert (answer.code, answer.out) == (code, "")
    assert says in answer.err


def test_a_change_is_applied_shown_and_undone_byte_for_byte(stocked: Torpor, place: Path) -> None:
    before = stocked("catalog", "export", "-").out
    change = applied(stocked, "family_normalize", ROW)

    assert [each["id"] for each in stocked.json("catalog", "changes")] == [change]
    assert '"One Arm DB Row" -> "Single-Arm Row (Dumbbell)"' in stocked("catalog", "diff", change).out
    assert any("one-arm-db-row" in line for line in stocked.json("catalog", "diff", change.removesuffix("_1")))
    shown = stocked.json("catalog", "show", "one-arm-db-row")
    assert (shown["exercise"]["slug"], shown["aliases"]) == ("single-arm-row-dumbbell", ["one-arm-db-row"])
    (day,) = stocked.json("catalog", "changes", "--daily")
    assert (day["changes"], day["operations"], day["undone"]) == (1, 3, 0)
    assert stocked.json("catalog", "changes", "--day", day["day"])[0]["id"] == change
    assert stocked.json("catalog", "changes", "--day", "2020-01-01") == []

    dry = stocked("catalog", "undo", change)
    assert (dry.code, "nothing was undone" in dry.err) == (0, True)
    assert stocked("catalog", "export", "-").out != before

    assert stocked("catalog", "undo", change, "--apply", "--by", "ann").out.endswith("1 change undone\n")
    assert stocked("catalog", "export", "-").out == before
    again = stocked("catalog", "undo", change)
    assert (again.code, again.out) == (1, "")
    assert "it was undone already, by ann" in again.err


def test_a_dry_run_is_applied_as_it_is(stocked: Torpor) -> None:
    dry = stocked.json("enqueue", "family_normalize", "--payload", json.dumps(ROW), "--mode", "dry_run")
    assert stocked("worker", "--drain").code == 0
    assert "Single-Arm Row (Dumbbell)" in stocked("catalog", "diff", dry["id"]).out
    assert stocked.json("catalog", "changes") == []

    job = stocked.json("catalog", "apply", "--job", dry["id"])

    assert (job["type"], job["mode"], job["payload"]) == ("family_normalize", "apply", ROW)
    refused = stocked("catalog", "apply", "--job", job["id"])
    assert (refused.code, "was no dry run" in refused.err) == (2, True)


def test_everything_is_undone_newest_first(stocked: Torpor) -> None:
    before = stocked("catalog", "export", "-").out
    applied(stocked, "family_normalize", ROW)
    applied(stocked, "family_rename_slug", {**ROW, "new_slug": "rowing-pull"})
    applied(stocked, "targeted_fix", {"exercise_id": "row-machine", "action": "archive"})

    assert [each["dry_run"] for each in stocked.json("catalog", "undo", "--all")] == [True] * 3
    undone = stocked.json("catalog", "undo", "--all", "--apply")

    assert [each["type"] for each in undone] == ["targeted_fix", "family_rename_slug", "family_normalize"]
    assert stocked("catalog", "export", "-").out == before


def test_families_and_what_is_called_what(stocked: Torpor) -> None:
    (row,) = stocked.json("catalog", "families", "--several")
    assert (row["family"], row["exercises"], row["findings"]) == ("row", 4, 3)
    applied(stocked, "family_rename_slug", {**ROW, "new_slug": "rowing-pull"})

    shown = stocked.json("catalog", "show", "row")

    assert (shown["family"], shown["aliases"], len(shown["exercises"])) == ("rowing-pull", ["row"], 4)
    assert "family/rowing-pull" in stocked("catalog", "show", "row").out
    assert "exercise/cable-row" in stocked("catalog", "show", "cable-row").out


def test_a_scan_shows_what_it_proposes_and_creates_it_once(stocked: Torpor) -> None:
    shown = stocked("catalog", "scan")
    first = stocked.json("catalog", "scan", "--create", "--mode", "apply")
    second = stocked.json("catalog", "scan", "--create", "--mode", "apply")

    assert "MISSING_QUALIFIER" in shown.out
    assert "nothing was created" in shown.err
    assert [each["type"] for each in first["proposed"]] == ["family_normalize"]
    assert (len(first["created"]["new"]), first["created"]["known"]) == (1, 0)
    assert (second["created"]["new"], second["created"]["known"]) == ([], 1)
    assert "had a job already" in stocked("catalog", "scan", "--create", "--mode", "apply").out


def test_what_is_exported_is_imported_whole(stocked: Torpor, place: Path) -> None:
    applied(stocked, "family_normalize", ROW)
    assert stocked("catalog", "export", "all.json").code == 0

    elsewhere = {"TORPOR_STORE_URL": f"sqlite:///{place}/other.db"}
    assert stocked("catalog", "import", "all.json", **elsewhere).code == 0

    assert stocked("catalog", "export", "-", **elsewhere).out == (place / "all.json").read_text(encoding="utf-8")
    assert stocked("catalog", "export", "all.json", "--force").code == 0

"""Wrong use ends with 2, says what to do on standard error, and changes nothing; whatever is asked."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
import typer

from app.cli.session import check_settings
from tests.acceptance.cli.conftest import Torpor

WRONG = [
    (["bogus"], "No such command"),
    (["--bogus"], "No such option"),
    (["jobs", "bogus"], "No such command"),
    (["jobs", "list", "--bogus"], "No such option"),
    (["jobs", "list", "extra"], "extra"),
    (["jobs", "list", "--limit", "0"], "--limit"),
    (["jobs", "list", "--limit", "many"], "--limit"),
    (["jobs", "list", "--limit", "99999999999"], "--limit"),
    (["jobs", "list", "--offset", "99999999999"], "offset"),
    (["jobs", "list", "--offset", "-1"], "--offset"),
    (["jobs", "list", "--status", "nope"], "use one of pending, queued, running"),
    (["jobs", "list", "--queue", "nope"], "use one of priority, maintenance"),
    (["jobs", "list", "--created-after", "yesterday"], "2026-01-31T12:00:00+00:00"),
    (["jobs", "list", "--created-before", "9999999-1-1"], "created_before"),
    (["jobs", "list", "--sort-by", "name"], "created_at, priority, finished_at"),
    (["jobs", "list", "--sort-order", "up"], "asc or desc"),
    (["jobs", "list", "--sort-by", "priority", "--created-after", "2026-01-01"], "sort by created_at"),
    (["jobs", "show"], "JOB"),
    (["jobs", "show", "nope"], "there is no job 'nope'"),
    (["jobs", "show", ""], "there is no job ''"),
    (["jobs", "show", "a/b/../c\x01"], "there is no job"),
    (["jobs", "cancel", "nope"], "there is no job 'nope'"),
    (["jobs", "retry", "nope"], "there is no job 'nope'"),
    (["jobs", "delete", "nope"], "there is no job 'nope'"),
    (["runs", "list", "--outcome", "nope"], "use one of completed, skipped"),
    (["runs", "list", "--queue", "nope"], "use one of priority, maintenance"),
    (["runs", "list", "--ended-after", "noon"], "ended_after"),
    (["runs", "summary", "--day", "2026-13-01"], "2026-01-31"),
    (["runs", "summary", "--day", "today"], "2026-01-31"),
    (["enqueue"], "either a job type or --file"),
    (["enqueue", "nope"], "registered: alias_invariant_scan"),
    (["enqueue", "shop_ok", "--payload", "["], "is not JSON"),
    (["enqueue", "shop_ok", "--payload", "[1]"], "is a list, not an object"),
    (["enqueue", "shop_ok", "--payload", "[" * 100_000], "nested too deeply"),
    (["enqueue", "shop_ok", "--payload", '{"n": NaN}'], "payload"),
    (["enqueue", "shop_ok", "--payload", '{"other": 1}'], "other"),
    (["enqueue", "shop_order", "--payload", '{"width": 0}'], "payload.width"),
    (["enqueue", "shop_order"], "payload.width"),
    (["enqueue", "shop_any", "--payload", '{"n": "' + "x" * 4_200_000 + '"}'], "over the limit of 4,194,304"),
    (["enqueue", "custom"], "register a handler"),
    (["enqueue", "shop_ok", "--queue", "nope"], "'priority' or 'maintenance'"),
    (["enqueue", "shop_ok", "--priority", "nope"], "low, normal, high, critical"),
    (["enqueue", "shop_ok", "--delay", "soon"], '"90s", "15m"'),
    (["enqueue", "shop_ok", "--delay", "-5"], "delay"),
    (["enqueue", "shop_ok", "--delay", "nan"], "delay"),
    (["enqueue", "shop_ok", "--delay", "20000000d"], "delay"),
    (["enqueue", "shop_ok", "--tag", ""], "tags.0"),
    (["enqueue", "shop_ok", "--tag", "a\x00b"], "tags.0"),
    (["enqueue", "shop_ok", "--key", ""], "idempotency_key"),
    (["enqueue", "shop_ok", "--mode", ""], "mode"),
    (["enqueue", "shop_ok", "--file", "jobs.jsonl"], "either a job type or --file"),
    (["enqueue", "--file", "nowhere.jsonl"], "nowhere.jsonl cannot be read"),
    (["enqueue", "--file", "."], "cannot be read"),
    (["worker", "--concurrency", "0"], "--concurrency"),
    (["worker", "--max-seconds", "0"], "--max-seconds"),
    (["worker", "--max-seconds", "soon"], "--max-seconds"),
    (["worker", "--max-jobs", "0"], "--max-jobs"),
    (["worker", "--drain", "--queue", "nope"], "use one of priority, maintenance"),
    (["watchdog", "--bogus"], "No such option"),
    (["types", "--bogus"], "No such option"),
    (["doctor", "extra"], "extra"),
    (["catalog", "import"], "FILE"),
    (["catalog", "import", "nowhere.json"], "nowhere.json cannot be read"),
    (["catalog", "import", "."], "cannot be read"),
    (["demo", "--catalog", "nowhere.json"], "nowhere.json cannot be read"),
    # what the catalogue's payload models refuse
    (["enqueue", "maintenance_scan", "--payload", '{"all": true}'], "payload.all"),
    (["enqueue", "catalog_enrich_field", "--payload", '{"fields": []}'], "MISSING_FIELDS"),
    (
        ["enqueue", "catalog_enrich_field", "--payload", '{"fields": [{"path": "colour"}]}'],
        "there is no field 'colour'",
    ),
    (["enqueue", "catalog_enrich_field", "--payload", '{"fields": [{"path": "name"}]}'], "there is no field 'name'"),
    (["enqueue", "catalog_enrich_field", "--payload", '{"fields": [{"path": "level"}, {"path": "level"}]}'], "twice"),
    (["enqueue", "catalog_enrich_field", "--payload", '{"threshold": 1.5}'], "payload.threshold"),
    (["enqueue", "catalog_enrich_field", "--payload", '{"threshold": "high"}'], "payload.threshold"),
    (["enqueue", "catalog_enrich_field", "--payload", '{"shard_size": 0}'], "payload.shard_size"),
    (["enqueue", "catalog_enrich_field", "--payload", '{"shard_size": 1001}'], "payload.shard_size"),
    (["enqueue", "catalog_enrich_field", "--payload", '{"exercise_ids": ["Back Squat"]}'], "write 'back-squat'"),
    (["enqueue", "catalog_enrich_field", "--payload", '{"exercise_ids": ["a"], "families": ["b"]}'], "select by one"),
    (["enqueue", "catalog_enrich_field", "--payload", '{"path": "level"}'], "payload.path"),
    (["enqueue", "catalog_enrich_field_shard"], "MISSING_EXERCISE_IDS: give exercise_ids"),
    (["enqueue", "catalog_enrich_field_shard", "--payload", '{"exercise_ids": []}'], "MISSING_EXERCISE_IDS"),
]


def _name(value: object) -> str:
    """A case's name: what was typed, cut short."""
    return " ".join(value)[:60] if isinstance(value, list | dict) else ""


@pytest.mark.parametrize(("arguments", "says"), WRONG, ids=_name)
def test_wrong_use(arguments: list[str], says: str, torpor: Torpor, place: Path) -> None:
    answer = torpor(*arguments)

    assert answer.code == 2
    assert answer.out == ""
    assert says in " ".join(answer.err.split())
    assert "Traceback" not in answer.err
    with closing(sqlite3.connect(place / "torpor.db")) as database:
        stored = database.execute("SELECT id FROM torpor_jobs UNION SELECT id FROM torpor_exercises").fetchall()
    assert stored == []


def test_help_and_version_are_no_refusals(torpor: Torpor) -> None:
    assert torpor("--version").out.startswith("torpor ")
    assert torpor("jobs", "list", "-h").code == 0
    nothing = torpor()
    assert (nothing.code, "Usage: torpor" in nothing.out) == (2, True)  # help, because nothing was asked


SETTINGS = [
    ({"TORPOR_LEASE_SECONDS": "soon"}, "TORPOR_LEASE_SECONDS"),
    ({"TORPOR_LEASE_SECONDS": "inf"}, "TORPOR_LEASE_SECONDS"),
    ({"TORPOR_PREFIX": "a b"}, "TORPOR_PREFIX"),
    ({"TORPOR_JOB__STORE_TYPE": "floppy"}, "TORPOR_JOB__STORE_TYPE"),
    ({"TORPOR_JOB__STORE_TPYE": "file"}, "there is no such setting"),
    ({"TORPOR_STORAGE__DATABASE__PASSWORDD": "hunter2"}, "TORPOR_STORAGE__DATABASE__PASSWORDD"),
    ({"TORPOR_JOB": "{hunter2"}, '"job"'),
    ({"CATALOG_APPLY_ENABLED": "perhaps"}, "CATALOG_APPLY_ENABLED"),
]


@pytest.mark.parametrize(("variables", "says"), SETTINGS, ids=_name)
@pytest.mark.usefixtures("place")
def test_a_wrong_setting_is_wrong_use(
    variables: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delitem(sys.modules, "app.settings")  # read once in a process, and here again

    with pytest.raises(typer.Exit) as ended:
        check_settings()

    answer = capsys.readouterr()
    assert (ended.value.exit_code, answer.out) == (2, "")
    assert says in answer.err
    assert "docs/settings.md" in answer.err
    assert "hunter2" not in answer.err


ADDRESSES = [
    ("bogus", 2, "has no kind"),
    ("redis://me:hunter2@h", 2, "is not a kind of store"),
    ("file:", 2, "names no directory"),
    ("sqlite:", 2, "cannot be read"),
    ("sqlite:///", 2, "needs its file"),
    ("sqlite:////nowhere/at/all.db", 1, "unable to open database file"),
    ("file:/proc/nowhere", 1, "/proc/nowhere"),
    ("postgresql://me:hunter2@127.0.0.1:port/db", 2, "cannot be read"),
    ("postgresql://me:hunter2@127.0.0.1:1/db", 1, "127.0.0.1"),
    ("postgresql://127.0.0.1:1/db?user=me&password=hunter2", 1, "127.0.0.1"),
    ("mysql://me:hunter2@127.0.0.1:1/db", 1, "127.0.0.1"),
    ("firestore:", 2, "names no project"),
]


@pytest.mark.parametrize(("url", "code", "says"), ADDRESSES, ids=lambda value: str(value).partition(":")[0])
def test_a_store_that_is_not_there(url: str, code: int, says: str, torpor: Torpor) -> None:
    answer = torpor("jobs", "list", TORPOR_STORE_URL=url)

    assert (answer.code, answer.out) == (code, "")
    assert says in " ".join(answer.err.split())
    assert "hunter2" not in answer.err

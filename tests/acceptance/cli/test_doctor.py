"""`torpor doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.jobs import JobRegistry
from tests.acceptance.cli.conftest import Answer, Torpor, lose_holder


def findings(answer: Answer) -> dict[str, dict[str, Any]]:
    return {finding["what"]: finding for finding in answer.json["findings"]}


def wrong(answer: Answer) -> list[str]:
    return [what for what, finding in findings(answer).items() if not finding["ok"]]


def test_all_is_well(torpor: Torpor) -> None:
    torpor("enqueue", "shop_ok")

    answer = torpor("doctor", "--json")

    assert (answer.code, wrong(answer), answer.json["ok"]) == (0, [], True)
    found = findings(answer)
    assert set(found) == {"settings", "task modules", "store", "queue", "pauses", "routes", "types", "shards", "leases"}
    assert found["settings"]["says"] == "jobs are kept in sqlite:///torpor.db, because no setting names one"
    assert found["store"]["says"] == "answers; jobs: 1 queued"
    assert re.search(r"a worker without work looks every \d", found["queue"]["says"])
    people = torpor("doctor", COLUMNS="80")
    assert (people.code, people.err) == (0, "")
    assert "WRONG" not in people.out
    assert all(len(line) <= 80 for line in people.out.splitlines())


def test_a_task_module_that_does_not_load(torpor: Torpor, place: Path) -> None:
    package = place / "doctor_tasks"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "bad.py").write_text("import no_such_thing_at_all\n", encoding="utf-8")

    answer = torpor("doctor", "--json", TORPOR_TASK_PACKAGES="doctor_tasks,nowhere_at_all")

    assert answer.code == 1
    assert wrong(answer) == ["module doctor_tasks.bad", "module nowhere_at_all"]
    found = findings(answer)
    assert "no_such_thing_at_all" in found["module doctor_tasks.bad"]["says"]
    assert found["module doctor_tasks.bad"]["do"] == f"mend {package / 'bad.py'}:1"
    assert found["module nowhere_at_all"]["do"] == "install it, or mend TORPOR_TASK_PACKAGES"
    # And the rest still works.
    listed = torpor("types", "--json", TORPOR_TASK_PACKAGES="doctor_tasks,nowhere_at_all")
    assert listed.code == 1
    assert "shop_ok" in listed.json


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@127.0.0.1:1/jobs",
        "postgresql://127.0.0.1:1/jobs?user=me&password=hunter2",
        "mysql://me:hunter2@127.0.0.1:1/jobs",
        "redis://me:hunter2@127.0.0.1:1/jobs",
        "me:hunter2@nowhere",
        "sqlite:////nowhere/at/all.db",
    ],
)
def test_a_store_that_cannot_be_reached(url: str, torpor: Torpor) -> None:
    answer = torpor("doctor", "--json", TORPOR_STORE_URL=url)

    assert (answer.code, wrong(answer)) == (1, ["store"])
    assert "TORPOR_STORE_URL" in findings(answer)["store"]["do"]
    people = torpor("doctor", TORPOR_STORE_URL=url)
    assert "hunter2" not in answer.out + answer.err + people.out + people.err


def test_jobs_that_no_plain_worker_takes(torpor: Torpor) -> None:
    for _ in range(2):
        torpor("enqueue", "shop_far")

    answer = torpor("doctor", "--json")

    assert (answer.code, wrong(answer)) == (1, ["routes"])
    assert findings(answer)["routes"]["says"] == "2 queued jobs in far: a plain worker does not serve that pool"
    assert findings(answer)["routes"]["do"] == "run `torpor worker --pool far`"
    assert torpor("worker", "--drain", "--quiet", "--pool", "far").code == 0
    assert torpor("doctor").code == 0


def test_jobs_whose_code_is_not_here(torpor: Torpor) -> None:
    torpor("enqueue", "shop_ok")
    JobRegistry.registry.remove("shop_ok")

    answer = torpor("doctor", "--json")

    assert (answer.code, wrong(answer)) == (1, ["types"])
    assert "shop_ok" in findings(answer)["types"]["says"]
    assert "TORPOR_TASK_PACKAGES" in findings(answer)["types"]["do"]


def test_jobs_in_shards_that_a_worker_does_not_ask_for_each_time(torpor: Torpor) -> None:
    shards = [torpor("enqueue", "shop_ok", TORPOR_SHARDS="64").code for _ in range(8)]
    listed = [torpor.json("jobs", "show", job["id"])["shard"] for job in torpor.json("jobs", "list")]

    answer = torpor("doctor", "--json")
    large_enough = torpor("doctor", "--json", TORPOR_SHARDS="64")

    assert shards == [0] * 8
    further = [shard for shard in listed if shard > 0]
    assert (answer.code, wrong(answer)) == (1, ["shards"])
    assert f"in shards from {min(further)} to {max(further)}" in findings(answer)["shards"]["says"]
    assert findings(answer)["shards"]["do"] == f"run workers with TORPOR_SHARDS={max(further) + 1} or more"
    assert large_enough.code == 0


def test_a_queue_that_nobody_works_off(torpor: Torpor, place: Path) -> None:
    torpor("enqueue", "shop_ok")
    with closing(sqlite3.connect(place / "torpor.db")) as database, database:
        an_hour = 3_600_000_000  # the tables keep microseconds
        database.execute("UPDATE torpor_jobs SET ready_at = ready_at - ?", (an_hour,))
        database.execute("UPDATE torpor_jobs SET queued_at = queued_at - ?", (an_hour,))

    answer = torpor("doctor", "--json")

    assert (answer.code, wrong(answer)) == (1, ["queue"])
    waited = re.search(r"has waited (\d+)", findings(answer)["queue"]["says"])
    assert waited is not None
    assert 3600 <= int(waited[1]) < 7200
    assert findings(answer)["queue"]["do"] == "run `torpor worker`"


def test_a_lease_whose_holder_is_gone(torpor: Torpor, place: Path) -> None:
    made = torpor.json("enqueue", "shop_ok")
    lose_holder(place)

    before = torpor("doctor", "--json")
    dry = torpor.json("watchdog", "--dry-run")
    healed = torpor("watchdog", "--json")

    assert (before.code, wrong(before)) == (1, ["leases"])
    assert findings(before)["leases"]["do"] == "run `torpor watchdog`"
    assert (dry["recovered"], healed.json["recovered"]) == (1, 1)
    assert "the lease of attempt 1 ran out" in " ".join(healed.err.split())
    assert torpor.json("jobs", "show", made["id"])["status"] == "queued"
    assert torpor("doctor").code == 0


def test_settings_that_are_ignored_are_told(torpor: Torpor) -> None:
    answer = torpor("doctor", "--json", TORPOR_LEASE_SECOND="5", TORPOR_TEST_SOMETHING="1")

    assert answer.code == 0
    says = findings(answer)["settings"]["says"]
    assert "no setting is called so: TORPOR_LEASE_SECOND" in says
    assert "TORPOR_TEST_SOMETHING" not in says


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"TORPOR_STORE_URL": "memory:"}, "jobs are kept in memory:"),
        ({"TORPOR_STORE_URL": "file:kept", "TORPOR_PREFIX": "a_"}, "jobs are kept in file:kept, prefix a_"),
        ({"TORPOR_JOB__STORE_TYPE": "file", "TORPOR_JOB__STORE_PATH": "kept"}, "jobs are kept in file:kept"),
        (
            {"TORPOR_JOB__STORE_TYPE": "database", "TORPOR_STORAGE__DATABASE__PATH": "other.db"},
            "jobs are kept in sqlite:///other.db",
        ),
    ],
)
def test_where_jobs_are_kept(variables: dict[str, str], says: str, torpor: Torpor) -> None:
    answer = torpor("doctor", "--json", **variables)

    assert answer.code == 0
    assert findings(answer)["settings"]["says"] == says


def test_findings_are_json_as_they_are(torpor: Torpor) -> None:
    assert set(json.loads(torpor("doctor", "--json").out)["findings"][0]) == {"what", "ok", "says", "do"}

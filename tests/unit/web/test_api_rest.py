"""Batches, runs, schedules, pauses, reviews, events, health and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.jobs import StoreUnavailable
from tests.unit.web.api_site import ApiSite


@pytest.fixture(scope="module")
def shared() -> Iterator[ApiSite]:
    site = ApiSite()
    yield site
    site.close()


@pytest.fixture
def still() -> Iterator[ApiSite]:
    site = ApiSite(worker=False)
    yield site
    site.close()


def test_a_batch_is_created_whole_and_followed(shared: ApiSite) -> None:
    body = {
        "jobs": [{"type": "quick"}, {"type": "quick", "dependencies": [0]}],
        "name": "both",
        "on_complete": {"type": "quick", "payload": {"n": 5}},
    }
    made = shared.post("/batches", body, **{"Idempotency-Key": "batch 1"})
    assert (made.status_code, len(made.json["jobs"])) == (201, 2)
    assert made.headers["Location"] == f"/api/v1/batches/{made.json['id']}"
    shared.until(made.json["on_complete"]["id"], "completed")

    batch = shared.get(f"/batches/{made.json['id']}").json
    assert (batch["total"], batch["progress"], batch["counts"]) == (2, 100.0, {"completed": 2})
    assert shared.get("/batches").json["batches"][0]["name"] == "both"
    assert len(shared.get(f"/batches/{made.json['id']}/jobs").json["jobs"]) == 2
    assert shared.post("/batches", body, **{"Idempotency-Key": "batch 1"}).status_code == 200


def test_of_a_wrong_batch_nothing_is_written(still: ApiSite) -> None:
    wrong = still.post("/batches", {"jobs": [{"type": "quick"}, {"type": "nope"}]})
    assert wrong.status_code == 422
    cycle = still.post("/batches", {"jobs": [{"type": "quick", "dependencies": [0]}]})
    assert (cycle.status_code, cycle.json["code"]) == (422, "DEPENDENCY_CYCLE")
    assert still.post("/batches", {"jobs": []}).status_code == 422
    assert still.get("/jobs").json["jobs"] == []
    assert still.get("/batches/nope").json["code"] == "BATCH_NOT_FOUND"


def test_a_batch_is_cancelled(still: ApiSite) -> None:
    batch = still.post("/batches", {"jobs": [{"type": "quick"}] * 3}).json["id"]
    assert still.post(f"/batches/{batch}/cancel", {"reason": "no"}).json == {"jobs": 3}


def test_runs_and_their_day(shared: ApiSite) -> None:
    job = shared.until(shared.create("broken")["id"], "failed")
    (run,) = shared.get(f"/runs?job_id={job['id']}").json["runs"]
    assert (run["outcome"], run["error"]["type"]) == ("failed", "builtins.ValueError")
    assert shared.get("/runs/summary").json["by_outcome"]["failed"] >= 1
    for place in ("/runs", "/runs/summary"):
        assert shared.client.get(place).json.keys() == shared.get(place).json.keys()
    assert shared.get("/runs?outcome=lost").status_code == 422
    assert shared.get("/runs/summary?day=someday").status_code == 422


def test_a_schedules_life(still: ApiSite) -> None:
    body = {"name": "nightly", "job_type": "quick", "cron": "0 3 * * *", "payload": {"n": 1}, "tags": ["night"]}
    made = still.post("/schedules", body)
    assert (made.status_code, made.json["status"]) == (201, "active")
    assert [each["definition"]["name"] for each in still.get("/schedules").json["schedules"]] == ["nightly"]
    assert still.post("/schedules/nightly/pause").json["status"] == "paused"
    assert still.post("/schedules/nightly/resume").json["status"] == "active"
    triggered = still.post("/schedules/nightly/trigger", {"payload": {"n": 2}})
    assert (triggered.status_code, triggered.json["payload"], triggered.json["tags"][0]) == (201, {"n": 2}, "night")
    assert still.post("/schedules/nightly/backfill", {"since": "2020-01-01"}).status_code in (200, 422)
    assert still.post("/schedules", body).status_code == 422
    assert still.post("/schedules", {**body, "name": "b", "colour": 1}).json["field"] == "colour"
    assert still.delete("/schedules/nightly").status_code == 204
    assert still.get("/schedules/nightly").json["code"] == "SCHEDULE_NOT_FOUND"


def test_queues_and_types_are_paused(still: ApiSite) -> None:
    assert still.post("/queues/maintenance/pause").json == {"queues": ["maintenance"], "types": []}
    assert still.post("/types/quick/pause").json == {"queues": ["maintenance"], "types": ["quick"]}
    assert still.post("/queues/maintenance/resume").json["queues"] == []
    assert still.post("/types/quick/resume").json == still.get("/paused").json == {"queues": [], "types": []}
    assert still.post("/queues/express/pause").status_code == 422


def test_names_with_slashes(still: ApiSite) -> None:
    assert still.post("/types/a%2Fb/pause").json["types"] == ["a/b"]
    assert still.post("/types/a%2Fb/resume").json["types"] == []
    still.post("/schedules", {"name": "a//b/pause", "job_type": "quick", "interval_seconds": 60})
    assert still.get("/schedules/a%2F%2Fb%2Fpause").json["definition"]["name"] == "a//b/pause"
    assert still.post("/schedules/a%2F%2Fb%2Fpause/pause").json["status"] == "paused"


def test_a_person_decides(shared: ApiSite) -> None:
    job = shared.create("asking")["id"]
    shared.until(job, "needs_review")
    (asked,) = [each for each in shared.get("/reviews").json["reviews"] if each["job_id"] == job]
    assert (asked["question"], asked["data"]) == ("may I?", {"cost": 3})

    wrong = shared.post(f"/jobs/{job}/review", {"decision": "perhaps"})
    approved = {"decision": "approve", "by": "ann"}
    stale = shared.post(f"/jobs/{job}/review", approved, **{"If-Match": '"0"'})
    assert (wrong.status_code, stale.status_code) == (422, 412)
    assert shared.post(f"/jobs/{job}/review", approved).status_code == 200
    assert shared.until(job, "completed")["result"]["data"] == "ann"


def test_an_event_lets_a_job_go_on(shared: ApiSite) -> None:
    job = shared.create("listening")["id"]
    sent = shared.post("/events", {"name": "news", "data": [1], "job_id": job})
    assert (sent.status_code, sent.json["job_id"]) == (201, job)
    assert shared.until(job, "completed")["result"]["data"] == [1]
    assert shared.post("/events", {"name": "news", "job_id": job}).status_code == 409
    shared.post("/events", {"name": "kept"})
    assert [each["name"] for each in shared.get("/events?name=kept").json["events"]] == ["kept"]


def test_health_metrics_types_and_upkeep(shared: ApiSite) -> None:
    assert shared.get("/health").json["status"] == "healthy"
    assert shared.get("/metrics").json["store"].keys() == {"reads", "writes", "deletes", "rpcs"}
    types = {each["type"]: each for each in shared.get("/types").json["types"]}
    assert types["sized"]["payload_schema"]["required"] == ["width"]
    assert types["quick"]["options"]["max_retries"] == 3
    assert shared.post("/upkeep/watchdog").json["counts"]["recovered"] == 0
    assert shared.post("/upkeep/tick").json["counts"]["failed"] == 0
    assert shared.post("/upkeep/watchdog", {"dry_run": True}).json["counts"]["recovered"] == 0
    assert shared.post("/upkeep/schedules").json["counts"]["problems"] == []
    assert shared.post("/upkeep/resume").json == {"jobs": 0}
    assert shared.post("/upkeep/clean", {"days": 1000}).json == {"jobs": 0}
    status = shared.get("/status").json
    assert (status["job_types"], status["jobs"]["running"]) == (len(types), status["running_jobs"])


def test_jobs_are_counted(still: ApiSite) -> None:
    held, ready = still.create(auto_start=False, tags=["a"]), still.create(tags=["a", "b"])
    counted = {query: still.get(f"/jobs/count{query}").json["jobs"] for query in ("", "?tags=b", "?status=pending")}
    assert counted == {"": 2, "?tags=b": 1, "?status=pending": 1}
    assert still.get("/jobs/due").json == {"jobs": 1}
    assert [still.get(f"/jobs/{job['id']}/status").json["status"] for job in (held, ready)] == ["pending", "queued"]
    assert still.get("/jobs/nope/status").json["code"] == "JOB_NOT_FOUND"
    assert still.get("/jobs/count?limit=3").status_code == 422


def test_many_jobs_are_created_each_by_itself(still: ApiSite) -> None:
    body = {"jobs": [{"type": "quick", "idempotency_key": "m"}, {"type": "sized", "payload": {"width": 1}}]}
    first = still.post("/jobs/many", body)
    assert (first.status_code, first.json["existing"]) == (201, [False, False])
    assert {job["status"] for job in first.json["jobs"]} == {"queued"}
    held = still.post("/jobs/many", {**body, "auto_start": False}).json
    assert (held["existing"], held["jobs"][0]["id"]) == ([True, False], first.json["jobs"][0]["id"])
    assert held["jobs"][1]["status"] == "pending"


@pytest.mark.parametrize(
    "jobs",
    [[], [{"type": "quick"}, {"type": "nope"}], [{"type": "quick"}, {"type": "sized"}], [{"type": "quick"}] * 1001],
    ids=["none", "an unknown type", "a payload that does not fit", "too many"],
)
def test_if_one_of_many_is_wrong_none_is_created(still: ApiSite, jobs: list[dict[str, str]]) -> None:
    assert still.post("/jobs/many", {"jobs": jobs}).status_code == 422
    assert still.get("/jobs/count").json == {"jobs": 0}


def test_some_are_left_out_before_a_page(still: ApiSite) -> None:
    made = [still.create(auto_start=False)["id"] for _ in range(4)]
    page = still.get("/jobs?sort_order=asc&limit=2&offset=1").json
    assert [job["id"] for job in page["jobs"]] == made[1:3]
    rest = still.get(f"/jobs?sort_order=asc&limit=2&cursor={page['cursor']}").json
    assert [job["id"] for job in rest["jobs"]] == made[3:]


def test_a_store_that_cannot_be_reached(still: ApiSite, monkeypatch: pytest.MonkeyPatch) -> None:
    still.get("/health")

    async def down(*arguments: object) -> None:
        raise StoreUnavailable("postgresql://user:secret@db is down")

    for verb in ("get", "query", "commit", "commit_each", "count"):
        monkeypatch.setattr(still.store, verb, down)
    answers = [still.get("/jobs"), still.get("/health"), still.post("/jobs", {"type": "quick"})]
    answers.append(still.client.get("/readyz"))
    assert {(answer.status_code, answer.json["code"]) for answer in answers} == {(503, "STORE_UNAVAILABLE")}
    assert all("secret" not in answer.text and answer.headers["Retry-After"] for answer in answers)
    assert still.client.get("/healthz").status_code == 200


def test_the_document_describes_every_route(still: ApiSite) -> None:
    document = still.get("/openapi.json").json
    assert document["openapi"] == "3.1.0"
    described = {
        (path, method.upper()) for path, item in document["paths"].items() for method in item if method != "parameters"
    }
    served = {
        (rule.rule.replace("<path:", "<").replace("<", "{").replace(">", "}"), method)
        for rule in still.app.url_map.iter_rules()
        if rule.endpoint.startswith("api.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert described == served
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"] and operation["tags"] for operation in operations)
    text = still.get("/openapi.json").text
    names = set(document["components"]["schemas"])
    assert {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]} <= names
    assert "lease_token" not in text

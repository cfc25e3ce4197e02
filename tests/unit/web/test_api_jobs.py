"""`/api/v1/jobs`: what is created, read and steered, and what is refused before anything is written."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.web.api_site import ApiSite

PROBLEM = "application/problem+json"


@pytest.fixture
def site() -> Iterator[ApiSite]:
    site = ApiSite()
    yield site
    site.close()


@pytest.fixture
def still() -> Iterator[ApiSite]:
    """No worker: jobs stay where they are put."""
    site = ApiSite(worker=False)
    yield site
    site.close()


# --- create and read ----------------------------------------------------------------------------------


def test_a_job_is_created_runs_and_can_be_looked_at(site: ApiSite) -> None:
    made = site.post("/jobs", {"type": "quick", "payload": {"n": 7}, "priority": "high", "tags": ["a"]})

    assert (made.status_code, made.headers["ETag"]) == (201, '"1"')
    assert made.headers["Location"] == f"/api/v1/jobs/{made.json['id']}"
    assert (made.json["priority"], made.json["tags"]) == (3, ["a"])
    ended = site.until(made.json["id"], "completed")
    assert ended["result"]["data"] == 7
    results = site.get(f"/jobs/{ended['id']}/results").json
    assert results == {"ended": True, "result": 7, "saved": [{"n": 7}]}
    assert [line["message"] for line in site.get(f"/jobs/{ended['id']}/logs").json["lines"]] == ["began"]
    progress = site.get(f"/jobs/{ended['id']}/progress").json
    assert (progress["status"], progress["progress"]["percentage"]) == ("completed", 50.0)


def test_what_fences_a_holders_writes_is_not_shown(site: ApiSite) -> None:
    ended = site.until(site.create()["id"], "completed")
    assert {"lease_token", "write_id", "control_id", "version", "chunks"}.isdisjoint(ended)


def test_a_held_job_waits_until_it_is_started(site: ApiSite) -> None:
    held = site.create(auto_start=False)
    assert held["status"] == "pending"
    assert site.get(f"/jobs/{held['id']}/results").json == {"ended": False, "result": None, "saved": []}

    assert site.post(f"/jobs/{held['id']}/start").json["status"] in ("queued", "running", "completed")
    site.until(held["id"], "completed")


def test_a_key_stands_for_one_job(still: ApiSite) -> None:
    body = {"type": "quick", "payload": {"n": 1}}
    key = {"Idempotency-Key": "order 7"}
    first, second = still.post("/jobs", body, **key), still.post("/jobs", body, **key)
    in_body = still.post("/jobs", {**body, "idempotency_key": "order 7"})
    other = still.post("/jobs", {**body, "payload": {"n": 2}}, **key)
    two_keys = still.post("/jobs", {**body, "idempotency_key": "order 8"}, **key)

    assert [each.status_code for each in (first, second, in_body)] == [201, 200, 200]
    assert first.json["id"] == second.json["id"] == in_body.json["id"]
    assert (other.status_code, other.json["code"]) == (409, "IDEMPOTENCY_CONFLICT")
    assert (two_keys.status_code, two_keys.json["field"]) == (422, "Idempotency-Key")


def test_jobs_are_listed_by_filters_and_pages(still: ApiSite) -> None:
    made = [still.create(payload={"n": n}, tags=["odd" if n % 2 else "even", "all"])["id"] for n in range(7)]
    still.create("broken")

    pages, cursor = [], ""
    while True:
        page = still.get(f"/jobs?type=quick&limit=3&sort_order=asc{cursor}").json
        pages.append([each["id"] for each in page["jobs"]])
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"

    assert [each for page in pages for each in page] == made
    assert max(map(len, pages)) == 3
    tagged = still.get("/jobs?tags=odd&tags=all").json["jobs"]
    assert {each["id"] for each in tagged} == set(made[1::2])
    assert still.get("/jobs?status=completed").json["jobs"] == []


def test_nothing_is_sent_that_is_known_already(still: ApiSite) -> None:
    job = still.create()
    route = f"/jobs/{job['id']}"
    tag = still.get(route).headers["ETag"]

    for known in (tag, f"W/{tag}", f'"9", {tag}', "*"):
        same = still.get(route, **{"If-None-Match": known})
        assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)
    still.post(f"{route}/pause")
    assert still.get(route, **{"If-None-Match": tag}).status_code == 200


# --- steer --------------------------------------------------------------------------------------------


def test_a_job_is_paused_resumed_cancelled_retried_and_deleted(still: ApiSite) -> None:
    route = f"/jobs/{still.create()['id']}"
    did = [
        still.post(f"{route}/pause", {"reason": "lunch"}).json["status"],
        still.post(f"{route}/resume").json["status"],
        still.post(f"{route}/cancel", {"reason": "no more"}).json["status"],
        still.post(f"{route}/retry", {"payload": {"n": 9}}).json["status"],
        still.get(route).json["payload"],
        still.post(f"{route}/cancel").json["status"],
    ]
    assert did == ["paused", "queued", "cancelled", "queued", {"n": 9}, "cancelled"]
    assert still.delete(route).status_code == 204
    assert (still.get(route).status_code, still.delete(route).status_code) == (404, 404)


def test_many_are_run_again_at_once(still: ApiSite) -> None:
    ids = [still.create()["id"] for _ in range(3)]
    for each in ids:
        still.post(f"/jobs/{each}/cancel")
    assert still.post("/jobs/retry").json == {"jobs": 0}  # none has failed
    assert still.post("/jobs/retry", {"status": "cancelled", "type": "quick", "limit": 2}).json == {"jobs": 2}
    assert len(still.get("/jobs?status=queued").json["jobs"]) == 2
    assert still.post("/jobs/retry", {"status": "running"}).status_code == 422


def test_recorded_steps_are_shown(site: ApiSite) -> None:
    job = site.until(site.create("stepping")["id"], "completed")
    (step,) = site.get(f"/jobs/{job['id']}/steps").json["steps"]
    assert (step["kind"], step["name"], step["value"]) == ("step", "one", 1)
    assert site.get("/jobs/nope/steps").status_code == 404


def test_what_a_state_does_not_allow_is_a_conflict(still: ApiSite) -> None:
    route = f"/jobs/{still.create()['id']}"
    answer = still.post(f"{route}/resume")
    assert (answer.status_code, answer.json["code"], answer.content_type) == (409, "ILLEGAL_TRANSITION", PROBLEM)


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_change_holds_for_the_revision_that_was_looked_at(still: ApiSite, verb: str) -> None:
    job = still.create()
    route = f"/jobs/{job['id']}"
    seen = still.get(route).headers["ETag"]

    stale = still.post(f"{route}/{verb}", None, **{"If-Match": '"41"'})
    assert (stale.status_code, stale.json["code"]) == (412, "REVISION_CHANGED")
    assert still.get(route).json == job
    for strange in (f"W/{seen}", "41", "nonsense"):
        assert still.post(f"{route}/{verb}", None, **{"If-Match": strange}).status_code == 412
    assert still.post(f"{route}/{verb}", None, **{"If-Match": '"1", "2"'}).status_code == 422

    assert still.post(f"{route}/{verb}", None, **{"If-Match": seen}).status_code == 200
    assert still.post(f"{route}/cancel", None, **{"If-Match": "*"}).status_code == 200
    assert still.delete(route, **{"If-Match": seen}).status_code == 412


def test_dependencies_are_added_read_and_removed(still: ApiSite) -> None:
    parent, child = still.create()["id"], still.create()["id"]

    assert still.post(f"/jobs/{child}/dependencies", {"depends_on": parent}).json["status"] == "pending"
    assert [each["id"] for each in still.get(f"/jobs/{child}/dependencies").json["jobs"]] == [parent]
    assert [each["id"] for each in still.get(f"/jobs/{parent}/dependents").json["jobs"]] == [child]
    cycle = still.post(f"/jobs/{parent}/dependencies", {"depends_on": child})
    assert (cycle.status_code, cycle.json["code"]) == (422, "DEPENDENCY_CYCLE")
    assert still.delete(f"/jobs/{child}/dependencies/{parent}").json["status"] == "queued"


def test_dependencies_too_change_in_the_revision_that_was_looked_at_only(still: ApiSite) -> None:
    parent, child = still.create()["id"], still.create()["id"]
    route = f"/jobs/{child}/dependencies"
    seen = still.get(f"/jobs/{child}").headers["ETag"]

    stale = still.post(route, {"depends_on": parent}, **{"If-Match": '"41"'})
    assert (stale.status_code, stale.json["code"]) == (412, "REVISION_CHANGED")
    assert still.get(route).json["jobs"] == []
    added = still.post(route, {"depends_on": parent}, **{"If-Match": seen})
    assert added.status_code == 200

    assert still.delete(f"{route}/{parent}", **{"If-Match": seen}).status_code == 412
    assert [each["id"] for each in still.get(route).json["jobs"]] == [parent]
    assert still.delete(f"{route}/{parent}", **{"If-Match": added.headers["ETag"]}).status_code == 200


# --- long lists ---------------------------------------------------------------------------------------


def _pages(site: ApiSite, route: str, member: str = "jobs") -> list[list[dict[str, Any]]]:
    pages: list[list[dict[str, Any]]] = []
    cursor: str | None = None
    while True:
        page = site.get(route if cursor is None else f"{route}&cursor={quote(cursor)}").json
        pages.append(page[member])
        cursor = page["cursor"]
        if cursor is None:
            return pages


def test_what_belongs_to_a_job_or_a_batch_comes_in_pages(still: ApiSite) -> None:
    first = still.create()["id"]
    jobs = [{"type": "quick", "dependencies": [first]} for _ in range(5)]
    batch = still.post("/batches", {"jobs": jobs, "on_complete": {"type": "quick"}}).json
    made = [job["id"] for job in batch["jobs"]]

    def ids(route: str) -> list[list[str]]:
        return [[job["id"] for job in page] for page in _pages(still, route)]

    for route in (f"/batches/{batch['id']}/jobs", f"/jobs/{batch['on_complete']['id']}/dependencies"):
        assert ids(f"{route}?limit=2") == [made[:2], made[2:4], made[4:]]
    dependents = ids(f"/jobs/{first}/dependents?limit=2")
    assert sorted(each for page in dependents for each in page) == sorted(made)
    assert max(map(len, dependents)) == 2
    for route in (f"/jobs/{first}/dependents", f"/jobs/{made[0]}/dependencies", f"/jobs/{first}/steps"):
        strange = still.get(f"{route}?cursor=strange")
        assert (strange.status_code, strange.json["field"]) == (422, "cursor"), route
    assert still.get("/batches/nope/jobs").status_code == 404


def test_a_page_ends_before_its_data_is_too_much(still: ApiSite) -> None:
    def create(letter: str, size: int) -> str:
        made: str = still.create("sized", payload={"width": 1, "name": letter * size}, tags=["large"])["id"]
        return made

    # Alone over what a page takes; three that fit together; and many small ones.
    sizes = [3_000_000, 1_500_000, 1_500_000, 700_000, *[10] * 30, 3_900_000, 400_000]
    made = [create("x", size) for size in sizes]

    pages = _pages(still, "/jobs?tags=large&sort_order=asc&limit=500")

    assert [job["id"] for page in pages for job in page] == made
    assert [len(page) for page in pages] == [1, 33, 1, 1]
    assert [len(job["payload"]["name"]) for page in pages for job in page] == sizes


# --- what is refused ----------------------------------------------------------------------------------

WRONG: dict[str, tuple[Any, int, str, str]] = {
    "no such type": ({"type": "nope"}, 422, "UNKNOWN_JOB_TYPE", "type"),
    "a payload that does not fit": ({"type": "sized", "payload": {"width": "x"}}, 422, "PAYLOAD_INVALID", ""),
    "an unknown member": ({"type": "quick", "colour": 1}, 422, "BAD_INPUT", "colour"),
    "no priority": ({"type": "quick", "priority": "urgent"}, 422, "BAD_INPUT", "priority"),
    "a time that is none": ({"type": "quick", "start_before": "soon"}, 422, "BAD_INPUT", "start_before"),
    "an unknown parent": ({"type": "quick", "dependencies": ["nope"]}, 422, "BAD_INPUT", "dependencies"),
    "too large": ({"type": "quick", "name": "x" * 9_000_000}, 413, "TOO_LARGE", "name"),
    "a list": ([], 422, "BAD_INPUT", "body"),
    "a text": ("{}", 422, "BAD_INPUT", "body"),
}


@pytest.mark.parametrize(("body", "status", "code", "field"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_a_problem_that_names_the_field(
    still: ApiSite, body: Any, status: int, code: str, field: str
) -> None:
    answer = still.post("/jobs", body)

    assert (answer.status_code, answer.json["code"], answer.content_type) == (status, code, PROBLEM)
    assert answer.json["field"].startswith(field)
    assert answer.json["remedy"]
    assert still.get("/jobs").json["jobs"] == []


NO_JSON = {
    "nothing of it": (b"{", 400),
    "NaN": (b'{"type": "quick", "payload": {"n": NaN}}', 400),
    "deep": (b"[" * 100_000, 400),
    "a number without end": (b'{"type": "quick", "payload": {"n": ' + b"9" * 10_000 + b"}}", 400),
    "no UTF-8": (b'{"type": "\xff"}', 400),
    "no known encoding": (b"\x00\x00\x00", 400),
    "half a character": (b'{"type": "quick", "name": "\\ud800"}', 422),
    "large": (b"x" * 11_000_000, 413),
}


@pytest.mark.parametrize(("body", "status"), NO_JSON.values(), ids=NO_JSON)
def test_a_body_that_cannot_be_read(still: ApiSite, body: bytes, status: int) -> None:
    answer = still.client.post("/api/v1/jobs", data=body, content_type="application/json")
    assert (answer.status_code, answer.content_type) == (status, PROBLEM)


class Stalled(io.RawIOBase):
    """A body that stops coming."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raise TimeoutError


@pytest.mark.parametrize("length", [{"CONTENT_LENGTH": "10"}, {"HTTP_TRANSFER_ENCODING": "chunked"}], ids=str)
def test_a_body_that_stops_coming(still: ApiSite, length: dict[str, str]) -> None:
    environment = {"wsgi.input": Stalled(), "wsgi.input_terminated": True, **length}
    answer = still.client.post("/api/v1/jobs", content_type="application/json", environ_overrides=environment)
    assert (answer.status_code, answer.content_type) == (408, PROBLEM)


def test_a_form_is_no_json(still: ApiSite) -> None:
    answer = still.client.post("/api/v1/jobs", data={"type": "quick"})
    assert (answer.status_code, answer.json["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_half_a_character_in_a_payload_comes_back_as_it_was(site: ApiSite) -> None:
    sent = site.client.post(
        "/api/v1/jobs", data=b'{"type": "quick", "metadata": {"x": "\\ud800"}}', content_type="application/json"
    )
    assert sent.status_code == 201
    assert b"\\ud800" in site.get(f"/jobs/{sent.json['id']}").data


QUERIES = ["status=lost", "limit=0", "limit=501", "cursor=nonsense", "sort_by=size", "created_after=soon", "colour=red"]


@pytest.mark.parametrize("query", QUERIES)
def test_filters_that_are_none(still: ApiSite, query: str) -> None:
    answer = still.get(f"/jobs?{query}")
    assert (answer.status_code, answer.content_type) == (422, PROBLEM)
    assert answer.json["field"].startswith(query.partition("=")[0])


def test_jobs_that_are_not_there(still: ApiSite) -> None:
    for strange in ("nope", "a%2Fb", "..", "%00", "x" * 2000):
        for answer in (still.get(f"/jobs/{strange}"), still.post(f"/jobs/{strange}/cancel")):
            assert (answer.status_code, answer.content_type) == (404, PROBLEM)
    assert still.get("/jobs//results").status_code == 404
    assert still.client.put("/api/v1/jobs").status_code == 405

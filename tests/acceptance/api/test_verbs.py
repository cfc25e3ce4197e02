"""Everything that a manager does can be done over HTTP and by the client, but for what makes no sense there."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from app.client import AsyncClient, Client
from app.jobs import AsyncJobManager
from tests.unit.web.api_site import ApiSite

NOT_OVER_HTTP = {
    "open": "the server's engine is open; a client connects with its first verb",
    "is_running": "whether this process runs jobs: the API's never does",
    "register_handler": "a function cannot be sent",
    "unsubscribe_logs": "a reader stops reading",
    "add_job": "other words for create_schedule",
    "get": "other words for get_job",
    "list": "other words for list_jobs",
    "cancel": "other words for cancel_job",
    "stop_job": "other words for cancel_job",
    "uptime": "a member of get_status",
}
"""Verbs that neither the API nor the client has, and why."""
PART_OF = {
    "close": None,
    "wait": "get_job",
    "submit": "create_job",
    "list_page": "list_jobs",
    "get_run_history": "get_run_page",
    "get_oldest_waiting_seconds": "get_system_health",
    "subscribe_logs": "get_logs",
    "subscribe_progress": "get_progress",
    "subscribe_results": "get_job_results",
    "subscribe_batch": "get_batch",
    "subscribe_events": "list_events",
}
"""Verbs of the client that another verb's operation serves, or none."""
NO_VERBS = {"get_progress", "list_types"}
"""Operations beside the manager's verbs: a stream's first state, and the registry."""
NOT_SENT = {
    "transaction": "it is the caller's own database's",
    "on_progress": "the answer comes when all is written",
    "wanted": "its fields are arguments of their own",
}
"""Arguments of verbs that cannot be given over HTTP, and why."""


def verbs(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


@pytest.fixture(scope="module")
def operations() -> Iterator[set[str]]:
    site = ApiSite(worker=False)
    document = site.get("/openapi.json").json
    yield {each["operationId"] for item in document["paths"].values() for each in item.values()}
    site.close()


def test_every_verb_is_an_operation_or_is_said_not_to_be(operations: set[str]) -> None:
    direct = verbs(AsyncJobManager) - NOT_OVER_HTTP.keys() - PART_OF.keys()
    assert operations == direct | NO_VERBS
    assert set(PART_OF.values()) - {None} <= operations


def test_every_verb_is_the_clients_or_is_said_not_to_be() -> None:
    expected = verbs(AsyncJobManager) - NOT_OVER_HTTP.keys() | {"list_types"}
    assert verbs(AsyncClient) == expected
    assert verbs(Client) - {"inner"} == expected


@pytest.mark.parametrize("verb", sorted(verbs(AsyncJobManager) - NOT_OVER_HTTP.keys()))
def test_the_clients_verb_takes_what_the_managers_takes(verb: str) -> None:
    ours, theirs = (inspect.signature(getattr(kind, verb)).parameters for kind in (AsyncClient, AsyncJobManager))
    takes_more = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in ours.values())
    lacking = theirs.keys() - ours.keys() - NOT_SENT.keys()
    assert not lacking or takes_more, f"{verb} lacks {sorted(lacking)}"


LISTS = {
    "/jobs": ("limit", "offset"),
    "/jobs/{job}/logs": ("limit", "after"),
    "/jobs/{job}/results": ("after",),
    "/jobs/{job}/steps": ("limit",),
    "/jobs/{job}/dependencies": ("limit",),
    "/jobs/{job}/dependents": ("limit",),
    "/runs": ("limit",),
    "/batches": ("limit",),
    "/batches/{batch_id}/jobs": ("limit",),
    "/events": ("limit",),
    "/reviews": ("limit",),
}
NO_NUMBERS = ("nan", "inf", "2.5", "-1", "1e3", "ten", "", "10000000000000000", "9" * 5000)


def asked_parts(document: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """The parameters of each list that say which part of it is wanted."""
    return {
        path.removeprefix("/api/v1").replace("{job_id}", "{job}"): names
        for path, item in document["paths"].items()
        for parameters in [item.get("get", {}).get("parameters", [])]
        if (names := tuple(sorted((each["name"] for each in parameters if each["name"] in PARTS), key=PARTS.index)))
    }


PARTS = ("limit", "offset", "after")


def test_what_is_no_number_of_records_is_refused_by_name() -> None:
    site = ApiSite(worker=False)
    try:
        assert asked_parts(site.get("/openapi.json").json) == LISTS
        job = site.create(auto_start=False)["id"]
        for route, fields in LISTS.items():
            for field in fields:
                for value in NO_NUMBERS:
                    answer = site.client.get(
                        f"/api/v1{route.format(job=job, batch_id=job)}", query_string={field: value}
                    )
                    assert (answer.status_code, answer.json["code"], answer.json["field"]) == (422, "BAD_INPUT", field)
        assert site.get("/jobs?cursor=x&offset=1").json["field"] == "offset"
    finally:
        site.close()

"""Whatever is sent to the API, fitting its OpenAPI document or not: no failure of the server, and no answer of another
form than the document says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.unit.web.api_site import ApiSite

EXAMPLES = 8
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def site() -> Iterator[ApiSite]:
    site = ApiSite(worker=False)
    yield site
    site.close()


def known(site: ApiSite) -> dict[str, str]:
    """What there is, by the names of the parameters that stand for it."""
    batch = site.post("/batches", {"jobs": [{"type": "quick"}, {"type": "quick", "dependencies": [0]}]}).json
    site.post("/schedules", {"name": "hourly", "job_type": "quick", "interval_seconds": 3600})
    parent, child = batch["jobs"]
    there = {"job_id": child["id"], "depends_on": parent["id"], "batch_id": batch["id"]}
    return {**there, "name": "hourly", "job_type": "quick", "queue": "priority"}


def aim(case: Case, there: dict[str, str]) -> None:
    """Let a call be about something that there is: by itself it hardly ever is."""
    for name in case.path_parameters or {}:
        case.path_parameters[name] = there[name]
    body: Any = case.body
    if isinstance(body, dict):
        for name in ("type", "job_type"):
            if isinstance(body.get(name), str):
                body[name] = "quick"
    if case.headers is not None:
        case.headers.pop("If-Match", None)


def check_operation(operation: APIOperation[Any, Any, Any], mode: GenerationMode, there: dict[str, str]) -> set[int]:
    """Call an operation with this and that.

    Returns:
        The statuses of its answers.
    """
    seen: set[int] = set()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_aimed=st.booleans())
    def check(case: Case, is_aimed: bool) -> None:
        if is_aimed:
            aim(case, there)
        answer = case.call()
        assert answer.status_code < 500, (case.method, case.formatted_path, case.query, case.body, answer.text)
        case.validate_response(answer, checks=CHECKS)
        seen.add(answer.status_code)

    check()
    return seen


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_as_described(site: ApiSite, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app=site.app)
    operations = [found.ok() for found in schema.get_all_operations()]
    seen = [check_operation(operation, mode, known(site)) for operation in operations]
    assert len(operations) > 40
    assert {200, 404, 422} <= set().union(*seen)

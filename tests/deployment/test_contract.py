"""That what terraform tells the services is what the code listens to: settings, services and routes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.bootstrap import request_time_of
from app.cloud.tasks import DISPATCH_SECONDS
from app.settings import Settings
from app.web.instance import DRAIN_SECONDS
from docs.list_settings import settings


@pytest.fixture(scope="module")
def services(pytestconfig: pytest.Config) -> str:
    return (pytestconfig.rootpath / "terraform/services.tf").read_text(encoding="utf-8")


def test_every_variable_that_a_service_gets_is_a_setting(services: str) -> None:
    given = set(re.findall(r"\b(TORPOR_[A-Z_]+)\s*=", services))
    known = {variable for each in settings() for variable in each.variables}

    assert {
        "TORPOR_API_TOKENS",
        "TORPOR_SERVICE",
        "TORPOR_OIDC_AUDIENCE",
        "TORPOR_OIDC_CALLERS",
        "TORPOR_REQUEST_SECONDS",
    } <= given
    assert given <= known


def test_nobody_sets_by_hand_what_follows_from_other_variables(services: str, pytestconfig: pytest.Config) -> None:
    variables = (pytestconfig.rootpath / "terraform/variables.tf").read_text(encoding="utf-8")
    block = variables[variables.index('variable "environment"') :]
    refused = set(re.findall(r'"((?:TORPOR_)?[A-Z_]+)"', block[: block.index("error_message")]))

    assert set(re.findall(r"\b(TORPOR_[A-Z_]+)\s*=", services)) <= refused


@pytest.mark.parametrize(
    ("service", "callers"), [("worker", ("job_worker", "catalog_worker")), ("watchdog", ("watchdog_worker",))]
)
def test_who_may_call_may_call_routes_that_the_service_has(
    services: str, pytestconfig: pytest.Config, service: str, callers: tuple[str, ...]
) -> None:
    block = services[services.index(f"    {service} = {{") :]
    allowed = _routes(block[: block.index("\n    }\n")])

    assert allowed
    for name in callers:
        module = pytestconfig.rootpath / "workers" / f"{name}.py"
        assert module.is_file(), f"terraform starts a service as {name}"
        assert _routes(module.read_text(encoding="utf-8")) == allowed


def test_who_calls_waits_for_as_long_as_a_request_may_take(pytestconfig: pytest.Config) -> None:
    """A task says itself how long its call may take; the other callers are told by terraform, and tested there."""
    variables = (pytestconfig.rootpath / "terraform/variables.tf").read_text(encoding="utf-8")
    match = re.search(r"var\.worker\.request_seconds <= (\d+)", variables)

    assert match
    assert int(match[1]) == DISPATCH_SECONDS


def test_the_shortest_request_has_time_for_a_sweep(pytestconfig: pytest.Config) -> None:
    """Also where it has everything to do that can follow the work: ending jobs, waking the next, telemetry."""
    variables = (pytestconfig.rootpath / "terraform/variables.tf").read_text(encoding="utf-8")
    match = re.search(r"var\.worker\.request_seconds >= (\d+)", variables)
    assert match
    given = {"wake_topic": "projects/p/topics/t", "telemetry": "google", "request_seconds": match[1]}

    time = request_time_of(Settings(_env_file=None, **given), runs_jobs=True)

    assert time.work_seconds >= DRAIN_SECONDS


def test_the_image_starts_as_a_service_that_there_is(pytestconfig: pytest.Config) -> None:
    dockerfile = (pytestconfig.rootpath / "Dockerfile").read_text(encoding="utf-8")
    match = re.search(r"TORPOR_SERVICE=(\w+)", dockerfile)

    assert match
    assert Path(pytestconfig.rootpath, "workers", f"{match[1]}.py").is_file()


def _routes(text: str) -> set[str]:
    return set(re.findall(r'"(/(?:pubsub|tasks)/\w+)"', text))

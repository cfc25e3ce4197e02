"""That the walk through a deployment names what there is, and that its costs are those of what was measured."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from app.bootstrap import discover_tasks, make_runtime
from app.jobs import AsyncJobManager
from app.settings import Settings
from app.web.instance import Instance
from docs.list_costs import IDLE_READS, MONTHS, PAGE, Prices, lines, page
from tests.deployment.test_image import DERIVED


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def variables(pytestconfig: pytest.Config) -> set[str]:
    declared = (pytestconfig.rootpath / "terraform/variables.tf").read_text(encoding="utf-8")
    return set(re.findall(r'^variable "(\w+)"', declared, re.MULTILINE))


def test_the_costs_are_up_to_date(text: str) -> None:
    assert text == page(text), "run: python -m docs.list_costs"


def test_nothing_but_alerts_costs_anything_while_nothing_happens() -> None:
    idle, few = (dict(lines(month, Prices())) for month in MONTHS[:2])

    assert {item for item, amount in idle.items() if amount} == {"Alerts"}
    assert sum(few.values()) - few["Alerts"] < 0.01


@pytest.mark.anyio
async def test_an_idle_minute_reads_no_more_than_the_costs_say(
    firestore_emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", firestore_emulator)
    discover_tasks(())
    store_url = "firestore://idle-minute/(default)"
    manager = AsyncJobManager(runtime=make_runtime(Settings(store_url=store_url)), worker=False)
    await manager.open()
    instance = Instance(manager, slots=10, work_seconds=60)
    try:
        # The first round of a process looks for roll-ups that it does not know of yet.
        await instance.watch_over()
        before = replace(manager.runtime.store.usage)
        await instance.sweep()
        await instance.tick()
        await instance.watch_over()
        after = manager.runtime.store.usage
    finally:
        await instance.close()

    assert after.reads - before.reads <= IDLE_READS
    assert after.writes == before.writes


def test_every_variable_that_is_named_exists(text: str, variables: set[str]) -> None:
    named = set(re.findall(r"-var '?(\w+)=", text))

    assert {"project", "region", "image"} <= named
    assert named <= variables


def test_every_substitution_that_is_named_exists(text: str, pytestconfig: pytest.Config) -> None:
    build = (pytestconfig.rootpath / "cloudbuild.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(_[A-Z_]+)\b", text))

    assert {"_DEPLOY", "_REGION"} <= named
    assert named <= set(re.findall(r"^  (_[A-Z_]+):", build, re.MULTILINE))


def test_the_derived_image_is_the_one_that_is_built_and_run(text: str) -> None:
    first, second = re.findall(r"```dockerfile\n(.*?)```", text, re.DOTALL)
    assert first == DERIVED
    argument, *lines = first.splitlines()
    assert (argument, lines[0], len(lines)) == ("ARG IMAGE", "FROM ${IMAGE}", 3)
    # An argument that names what is built from has to come before all stages.
    assert second.splitlines()[0] == argument
    for each in (first, second):
        # All else that is named is there: nothing but the argument is filled in.
        assert set(re.findall(r"\$\{?(\w+)", each)) == {"IMAGE"}
    assert "--build-arg IMAGE=$IMAGE" in text


def test_every_output_and_every_file_that_is_named_exists(text: str, pytestconfig: pytest.Config) -> None:
    outputs = (pytestconfig.rootpath / "terraform/outputs.tf").read_text(encoding="utf-8")
    for name in re.findall(r"terraform output -raw (\w+)", text):
        assert f'output "{name}"' in outputs
    for link in re.findall(r"\]\(([\w./-]+)\)", text):
        assert (Path(PAGE).parent / link).is_file(), link


def test_the_logged_fields_that_alerts_read_are_named(text: str, pytestconfig: pytest.Config) -> None:
    alerts = (pytestconfig.rootpath / "terraform/alerts.tf").read_text(encoding="utf-8")
    extracted = set(re.findall(r"EXTRACT\(jsonPayload\.(\w+)\)", alerts))

    assert extracted == {"oldest_due_seconds", "outcome"}
    for name in extracted:
        assert f"`{name}`" in text

"""docs/catalog.md says what there is: kinds, paths and codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import app.catalog.tasks  # noqa: F401 - registers the job types
from app.catalog.plans import OperationKind
from app.catalog.plans.paths import CONTENT_PATHS, WRITABLE
from app.catalog.plans.validators import CODES
from app.jobs import JobRegistry
from tests.unit.catalog.test_validators import FAULTS

PAGE = Path(__file__).parents[3] / "docs" / "catalog.md"


def rows(heading: str) -> Iterator[list[str]]:
    """The rows of the tables under a heading."""
    _, found, rest = PAGE.read_text(encoding="utf-8").partition(f"\n{heading}\n")
    assert found, heading
    for line in re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0].splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_every_code_is_on_the_page_with_what_it_means() -> None:
    assert {row[0].strip("`"): row[1] for row in rows("### Findings")} == CODES


@pytest.mark.parametrize("code", CODES)
def test_the_page_says_whether_a_rule_mends_it(code: str) -> None:
    told = {row[0].strip("`"): row[2] for row in rows("### Findings")}[code]
    mended = {fault.code for fault in FAULTS if fault.mended is not None}

    assert (told != "a person") is (code in mended)


def test_every_job_type_is_on_the_page_with_its_queue_and_its_payload() -> None:
    shown = {row[0].strip("`"): row[1:3] for row in rows("## Job types")}
    shipped = [
        definition
        for definition in map(JobRegistry.registry.get, JobRegistry.list_jobs())
        if definition.origin.startswith("app.catalog.")
    ]

    assert set(shown) == {definition.type for definition in shipped}
    for definition in shipped:
        queue, payload = shown[definition.type]
        assert queue == definition.options.queue
        if payload and payload != "see below":
            fields = set(definition.options.payload_model.model_fields)
            assert set(re.findall(r"`([a-z_]+)`", payload)) <= fields, definition.type
            assert all(f"`{name}`" in payload for name in sum(definition.options.payload_model.needs.values(), ()))


def test_every_code_of_refusal_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    catalog = PAGE.parents[1] / "app" / "catalog"
    payloads = (catalog / "payloads.py").read_text(encoding="utf-8")
    planners = "".join(path.read_text(encoding="utf-8") for path in (catalog / "planners").glob("*.py"))

    codes = set(re.findall(r"MISSING_[A-Z_]+", payloads)) | set(re.findall(r'CannotPlan\(\s*"([A-Z_]+)"', planners))
    assert len(codes) > 20
    assert [code for code in sorted(codes) if f"`{code}`" not in page] == []


def test_every_kind_is_on_the_page_with_what_it_writes() -> None:
    shown = {row[0].strip("`"): row[2] if len(row) > 2 else "" for row in rows("### Operations")}

    assert list(shown) == list(OperationKind)
    for kind in OperationKind:
        for path in WRITABLE[kind] - CONTENT_PATHS - {"attributes.", "locked_fields"}:
            assert f"`{path}" in shown[kind], (kind, path)

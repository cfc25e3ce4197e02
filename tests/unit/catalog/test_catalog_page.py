"""docs/catalog.md says what there is: kinds, paths and codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.catalog.plans import OperationKind
from app.catalog.plans.paths import CONTENT_PATHS, WRITABLE
from app.catalog.plans.validators import CODES
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


def test_every_kind_is_on_the_page_with_what_it_writes() -> None:
    shown = {row[0].strip("`"): row[2] if len(row) > 2 else "" for row in rows("### Operations")}

    assert list(shown) == list(OperationKind)
    for kind in OperationKind:
        for path in WRITABLE[kind] - CONTENT_PATHS - {"attributes.", "locked_fields"}:
            assert f"`{path}" in shown[kind], (kind, path)

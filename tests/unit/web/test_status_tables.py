"""The tables of statuses on the pages are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from werkzeug.exceptions import default_exceptions

from app.web.instance import WakeUpOutcome
from app.web.problems import STATUS_OF

BY_THE_LIBRARY = (400, 404, 405, 408, 413, 415)
"""What Flask and the applications themselves abort with."""
_ROW = re.compile(r"^\| (\d{3}) \| (`[A-Z_`, ]+) \|", re.MULTILINE)


@pytest.fixture(scope="module")
def page(pytestconfig: pytest.Config) -> str:
    return (pytestconfig.rootpath / "docs/http.md").read_text(encoding="utf-8")


def in_the_code(web: Path) -> dict[str, int]:
    """Every code and its status: of errors, of the library, and those that are written where they are answered."""
    written = [
        match
        for file in sorted(web.rglob("*.py"))
        for match in re.findall(r'problem\((\d{3}), "([A-Z_]+)"', file.read_text(encoding="utf-8"))
    ]
    assert written
    library = {default_exceptions[status]().name.upper().replace(" ", "_"): status for status in BY_THE_LIBRARY}
    return STATUS_OF | library | {code: int(status) for status, code in written}


def test_every_code_is_in_the_table_with_its_status(page: str, pytestconfig: pytest.Config) -> None:
    told = {code: int(status) for status, codes in _ROW.findall(page) for code in re.findall(r"[A-Z_]+", codes)}
    assert told == in_the_code(pytestconfig.rootpath / "app/web")


def test_every_outcome_of_a_wake_up_is_in_the_table(page: str) -> None:
    told = set(re.findall(r"\| 200 \| `([a-z]+)` \|$", page, re.MULTILINE))
    assert told == {*map(str, WakeUpOutcome), "malformed"}

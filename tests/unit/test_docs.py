"""The pages name what there is: rooms, modules, verbs and options."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.jobs.definition import JobOptions
from app.jobs.manager import AsyncJobManager
from app.jobs.request import JobRequest

CHECKOUT = Path(__file__).parents[2]
DOCS = CHECKOUT / "docs"
MODULES = sorted(path.stem for path in (CHECKOUT / "app/jobs").glob("*.py") if path.stem != "__init__")


def _section(page: str, heading: str) -> str:
    """What stands under a heading, as far as the next one."""
    _, found, rest = (DOCS / page).read_text(encoding="utf-8").partition(f"\n{heading}\n")
    assert found, f"{page} has no heading {heading!r}"
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def _names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _rows(section: str) -> Iterator[list[str]]:
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_rooms_are_those_of_the_import_rules() -> None:
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]

    shown = {
        _names(row[0])[0]: _names(row[2]) for row in _rows(_section("architecture.md", "## The house")) if "`" in row[0]
    }

    assert shown == contract["rooms"]


def test_every_module_of_the_engine_is_on_the_page_once() -> None:
    rows = _rows(_section("architecture.md", "### Modules of `app/jobs/`"))

    named = [name for row in rows for name in _names(row[0])]

    assert sorted(named) == MODULES


def test_every_verb_of_the_manager_stands_beside_its_file() -> None:
    section = _section("architecture.md", "### Modules of `app/jobs/`")
    shown = {
        verb: _names(row[0])[0] for row in _rows(section.partition("| file | verbs |")[2]) for verb in _names(row[1])
    }

    there = {
        name: (found.fget if isinstance(found, property) else found).__module__.removeprefix("app.jobs.")
        for name, found in inspect.getmembers(AsyncJobManager)
        if not name.startswith("_")
    }

    assert shown == there


@pytest.mark.parametrize(
    ("heading", "options"),
    [
        ("### Options of `@job`", set(JobOptions.model_fields)),
        ("### Options of `create_job`", set(JobRequest.model_fields)),
    ],
    ids=["of a type", "of a job"],
)
def test_every_option_is_in_its_table(heading: str, options: set[str]) -> None:
    shown = {name for row in _rows(_section("jobs.md", heading)) for name in _names(row[0])}

    assert options <= shown, f"{heading} lacks {sorted(options - shown)}"
    unknown = (
        shown
        - options
        - {"job_type", "delay", "retry_delay", "timeout", "auto_start", "transaction", "requires_…=True"}
    )
    assert not unknown, f"{heading} names what is not there: {sorted(unknown)}"

"""The locks and the packaging: what an install on another machine depends on."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

LOCKS = ("requirements.lock", "requirements-dev.lock")
REQUIREMENT = re.compile(r"(?P<name>[a-z0-9-]+)(\[[a-z,]+\])?==(?P<version>\S+)")


def _logical_lines(lock: Path) -> list[str]:
    """The requirements of a lock, each with its hashes on one line."""
    code = [line for line in lock.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(code).replace("\\\n", " ").splitlines()


def _pins(lock: Path) -> dict[str, str]:
    matches = [REQUIREMENT.match(line) for line in _logical_lines(lock)]
    return {match["name"]: match["version"] for match in matches if match}


def _project(checkout: Path) -> dict[str, Any]:
    return tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))


def _bare_name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_of_a_lock_is_pinned_and_hashed(pytestconfig: pytest.Config, lock: str) -> None:
    lines = _logical_lines(pytestconfig.rootpath / lock)

    assert lines
    for line in lines:
        assert REQUIREMENT.match(line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", line), line


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_no_place_on_a_machine(pytestconfig: pytest.Config, lock: str) -> None:
    text = (pytestconfig.rootpath / lock).read_text(encoding="utf-8")

    assert not re.findall(r"^.*://.*$", text, re.MULTILINE)
    assert not re.findall(r"^\s*-(?!-hash=sha256:).*$", text, re.MULTILINE)
    assert not re.findall(r"(?:^|[\s=@])/\S+", text)


def test_the_locks_agree_and_hold_every_direct_dependency(pytestconfig: pytest.Config) -> None:
    runtime, dev = (_pins(pytestconfig.rootpath / lock) for lock in LOCKS)
    project = _project(pytestconfig.rootpath)
    needed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]

    assert runtime.items() <= dev.items()
    assert {_bare_name(requirement) for requirement in needed} <= runtime.keys()
    assert {_bare_name(tool) for tool in project["project"]["optional-dependencies"]["dev"]} <= dev.keys()


def test_the_locked_build_backend_is_the_one_that_builds(pytestconfig: pytest.Config) -> None:
    project = _project(pytestconfig.rootpath)

    assert project["dependency-groups"]["build"] == project["build-system"]["requires"]

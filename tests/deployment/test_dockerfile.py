"""What can be told of the image without building it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

BUILD_BACKEND = "hatchling"


@pytest.fixture(scope="module")
def dockerfile(pytestconfig: pytest.Config) -> str:
    return (pytestconfig.rootpath / "Dockerfile").read_text(encoding="utf-8")


def test_what_only_the_build_backend_needs_is_removed_with_it(dockerfile: str, pytestconfig: pytest.Config) -> None:
    parents = _parents(pytestconfig.rootpath / "requirements.lock")
    removed = {BUILD_BACKEND}
    while more := {name for name, needed_by in parents.items() if needed_by and needed_by <= removed} - removed:
        removed |= more
    match = re.search(r"uninstall --yes \\\n\s+([a-z0-9 -]+)\n", dockerfile)

    assert match
    assert match[1].split() == sorted(removed)


def test_everything_is_installed_by_hash_and_nothing_is_compiled(dockerfile: str) -> None:
    installs = re.findall(r"pip --python \S+ install (.*)", dockerfile)

    assert len(installs) == 2
    assert "--require-hashes --only-binary :all: -r requirements.lock" in installs[0]
    assert "--no-deps --no-build-isolation --no-index ." in installs[1]


def test_both_stages_begin_with_one_image_of_a_python_that_the_package_supports(dockerfile: str) -> None:
    match = re.search(r"^ARG PYTHON_IMAGE=\S+:3\.(\d+)-slim", dockerfile, re.MULTILINE)

    assert match
    assert int(match[1]) >= 12
    assert re.findall(r"^FROM (.*)$", dockerfile, re.MULTILINE) == [
        "${PYTHON_IMAGE} AS build",
        "${PYTHON_IMAGE} AS run",
    ]


def test_the_user_is_a_number_and_not_root(dockerfile: str) -> None:
    users = re.findall(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)

    assert users == [("10001", "10001")]
    assert dockerfile.index("USER ") > dockerfile.rindex("RUN ")


def test_only_what_is_shipped_is_sent_to_the_builder(dockerfile: str, pytestconfig: pytest.Config) -> None:
    lines = (pytestconfig.rootpath / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    copied = {
        name
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
        for name in sources.split()
    }

    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    assert "**/__pycache__" in rules


def _parents(lock: Path) -> dict[str, set[str]]:
    """Which requirements each requirement of a lock is there for."""
    parents: dict[str, set[str]] = {}
    name = ""
    for line in lock.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([a-z0-9-]+)(?:\[[a-z,]+\])?==", line):
            name = match[1]
            parents[name] = set()
        elif name and (match := re.match(r"\s+#\s+(?:via\s+)?([a-z0-9-]+)( \(.*\))?$", line)) and match[1] != "via":
            # What the project itself asks for stays, but for the build backend, which nobody else asks for.
            parents[name].add(match[1])
    return parents

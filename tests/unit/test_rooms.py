"""The import table of pyproject.toml and the contract that keeps it."""

import tomllib
from pathlib import Path

import pytest
from grimp import ImportGraph

from tests.checks.rooms import Table, may_import, room_of, trespasses

TABLE: Table = {
    "house": (),
    "house.core": ("pydantic", "house.stores.base"),
    "house.stores": (),
    "house.stores.base": (),
    "house.stores.sql": ("house.stores.*",),
    "house.web": ("house.core", "house.cloud.**"),
    "house.cli": ("*",),
}


@pytest.mark.parametrize(
    ("module", "room"),
    [
        ("house", "house"),
        ("house.core.models", "house.core"),
        ("house.stores.memory", "house.stores"),
        ("house.stores.base", "house.stores.base"),
        ("house.corefront", "house"),
        ("elsewhere", None),
    ],
)
def test_a_module_is_in_the_innermost_room_around_it(module: str, room: str | None) -> None:
    assert room_of(module, TABLE) == room


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("house.core.models", "pydantic", True),
        ("house.core.models", "asyncio", True),
        ("house.core.models", "house.core.errors", True),
        ("house.core.models", "house.stores.base", True),
        ("house.core.models", "house.stores.memory", False),
        ("house.core.models", "flask", False),
        ("house.stores.base", "house.stores.memory", False),
        ("house.stores.sql.claim", "house.stores.schema", True),
        ("house.stores.sql.claim", "house.stores.base", False),
        ("house.web.api", "house.core", True),
        ("house.web.api", "house.core.models", False),
        ("house.web.api", "house.cloud.hints.push", True),
        ("house.cli", "anything.at.all", True),
        ("elsewhere", "house.core", False),
    ],
)
def test_a_room_imports_itself_the_standard_library_and_what_it_names(
    importer: str, imported: str, allowed: bool
) -> None:
    assert may_import(importer, imported, TABLE) is allowed


def test_a_trespass_names_module_import_room_and_line() -> None:
    graph = ImportGraph()
    graph.add_module("flask", is_squashed=True)
    graph.add_import(importer="house.core.models", imported="flask", line_number=7, line_contents="import flask")

    (trespass,) = trespasses(graph, TABLE)

    assert trespass.module == "house.core.models"
    assert trespass.reason == "may not import flask (room house.core, line 7)"


def test_a_module_without_a_room_is_a_trespass() -> None:
    graph = ImportGraph()
    graph.add_module("shed.tools")

    (trespass,) = trespasses(graph, TABLE)

    assert trespass.module == "shed.tools"
    assert "in no room" in trespass.reason


def test_every_package_of_the_project_has_a_room_of_its_own(pytestconfig: pytest.Config) -> None:
    rooms = _project_rooms(pytestconfig.rootpath)
    packages = [path.parent for path in pytestconfig.rootpath.glob("app/*/__init__.py")]

    assert packages
    assert {f"app.{package.name}" for package in packages} <= set(rooms)


def _project_rooms(checkout: Path) -> Table:
    settings = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    rooms: Table = contract["rooms"]
    return rooms

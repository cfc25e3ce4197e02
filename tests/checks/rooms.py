"""An import-linter contract that is an allow-list: each room of the house names all that it may import.

import-linter's own contracts list what is forbidden, so a library that nobody thought of would pass; and they refuse
rooms that are not built yet. The table itself stands in pyproject.toml.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

Table = Mapping[str, tuple[str, ...]]
"""Room to the names it may import.

`name` is that module alone, `name.*` what is in the room of that name and in no room inside it, `name.**` the module
and all below it, `*` everything.
"""


@dataclass(frozen=True, slots=True)
class Trespass:
    """One module that breaks the table."""

    module: str
    reason: str


def room_of(module: str, table: Table) -> str | None:
    """The innermost room that a module is in, if any."""
    rooms = [room for room in table if _is_within(module, room)]
    return max(rooms, key=len, default=None)


def may_import(importer: str, imported: str, table: Table) -> bool:
    """Whether the table lets one module import another."""
    room = room_of(importer, table)
    if room is None:
        return False
    if room_of(imported, table) == room or imported.partition(".")[0] in sys.stdlib_module_names:
        return True
    return any(_covers(name, imported, table) for name in table[room])


def trespasses(graph: ImportGraph, table: Table) -> Iterator[Trespass]:
    """Every import that the table does not allow, and every module that is in no room."""
    for module in sorted(graph.modules):
        if graph.is_module_squashed(module):
            continue
        room = room_of(module, table)
        if room is None:
            yield Trespass(module, "is in no room: give it one in pyproject.toml")
            continue
        for imported in sorted(graph.find_modules_directly_imported_by(module)):
            if not may_import(module, imported, table):
                lines = [
                    detail["line_number"] for detail in graph.get_import_details(importer=module, imported=imported)
                ]
                yield Trespass(module, f"may not import {imported} (room {room}, line {', '.join(map(str, lines))})")


def _is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _covers(name: str, imported: str, table: Table) -> bool:
    if name == "*":
        return True
    if name.endswith(".**"):
        return _is_within(imported, name.removesuffix(".**"))
    if name.endswith(".*"):
        return room_of(imported, table) == name.removesuffix(".*")
    return imported == name


class _TableField(fields.Field[Table]):
    """The table as TOML gives it: room to list of names."""

    def parse(self, raw_data: object) -> Table:
        if not isinstance(raw_data, dict):
            raise fields.ValidationError("Expected a table: a list of names for each room.")
        return {str(room): tuple(names) for room, names in raw_data.items()}


class RoomsContract(Contract):
    """Keeps the rooms apart."""

    type_name = "rooms"
    rooms = _TableField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        # The base class has put the parsed table where the field was declared.
        found = list(trespasses(graph, cast(Table, self.rooms)))
        return ContractCheck(kept=not found, metadata={"trespasses": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for trespass in check.metadata["trespasses"]:
            output.print_error(f"- {trespass.module} {trespass.reason}")

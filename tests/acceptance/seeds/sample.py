"""Runs a stored sample as it is written, one top-level statement after the other.

A sample is a story told in a few lines: "later", "when completed", "a running job". So a test may let something
happen before a statement, but it never changes one.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import symtable
import textwrap
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

FOLDER = Path(__file__).parent / "samples"

Namespace = dict[str, Any]
Happening = Callable[[Namespace], Awaitable[None] | None]
"""What happens before a statement. It may set names that the sample leaves free, and no other."""


def stored_samples() -> dict[str, str]:
    """Every stored sample by its name, such as `001_02_basic_usage`."""
    return {path.name.partition(".")[0]: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.txt"))}


def free_names(source: str) -> set[str]:
    """The names that code uses and nobody gives it: neither itself at its top level nor Python."""
    # Inside a function `await` is allowed, and what the code assigns is the function's own.
    table = symtable.symtable("async def sample():\n" + textwrap.indent(source, "    "), "sample", "exec")
    return {name for function in table.get_children() for name in _globals(function)} - set(dir(builtins))


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    yield from (symbol.get_name() for symbol in table.get_symbols() if symbol.is_global() and symbol.is_referenced())
    for inner in table.get_children():
        yield from _globals(inner)


@dataclass(frozen=True, slots=True)
class _Statement:
    text: str
    code: CodeType


class Sample:
    """One stored sample.

    Args:
        name: its stored name, without endings.
        below: what its last line decorates, where the document shows the decorator alone.
    """

    def __init__(self, name: str, below: str = "") -> None:
        self.name = name
        source = stored_samples()[name] + below
        self.free = free_names(source)
        self._statements = [
            _Statement(
                ast.get_source_segment(source, node) or "",
                compile(
                    ast.Module([node], []),
                    name,
                    "exec",
                    flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                    dont_inherit=True,  # this module's own __future__ is not the sample's
                ),
            )
            for node in ast.parse(source).body
        ]

    def run(
        self,
        prelude: Mapping[str, object] | None = None,
        *,
        before: Mapping[str, Happening] | None = None,
        without: str | None = None,
    ) -> Namespace:
        """Run a sample that does not await anything; see `run_async`."""
        namespace: Namespace = {}
        for awaitable in self._steps(namespace, prelude or {}, before or {}, without):
            if awaitable is not None:
                raise AssertionError(f"{self.name} awaits: use run_async")
        return namespace

    async def run_async(
        self,
        prelude: Mapping[str, object] | None = None,
        *,
        before: Mapping[str, Happening] | None = None,
        without: str | None = None,
    ) -> Namespace:
        """Run the sample.

        Args:
            prelude: values for names that the sample leaves free.
            before: what happens before the one statement that begins so.
            without: the beginning of one statement that is left out, where the sample shows alternatives.

        Returns:
            All names and their values at the end.
        """
        namespace: Namespace = {}
        for awaitable in self._steps(namespace, prelude or {}, before or {}, without):
            if awaitable is not None:
                await awaitable
        return namespace

    def _steps(
        self, namespace: Namespace, prelude: Mapping[str, object], before: Mapping[str, Happening], without: str | None
    ) -> Iterator[Awaitable[None] | None]:
        left_out = None if without is None else self._the_one(without)
        happenings = {self._the_one(beginning): happening for beginning, happening in before.items()}
        namespace |= {"__name__": f"seed_{self.name}"}
        self._give(namespace, prelude)
        for statement in self._statements:
            if statement is left_out:
                continue
            if statement in happenings:
                yield from self._happen(namespace, happenings[statement])
            answer = eval(statement.code, namespace)  # noqa: S307 - the stored sample is the code under test
            yield answer if statement.code.co_flags & inspect.CO_COROUTINE else None

    def _happen(self, namespace: Namespace, happening: Happening) -> Iterator[Awaitable[None] | None]:
        given = dict(namespace)
        yield happening(given)
        self._give(namespace, {name: value for name, value in given.items() if namespace.get(name) is not value})

    def _give(self, namespace: Namespace, values: Mapping[str, object]) -> None:
        """Set names that the sample leaves free; a test that sets another one does not run the sample as written."""
        assert set(values) <= self.free, f"{self.name} does not leave {set(values) - self.free} free"
        namespace |= values

    def _the_one(self, beginning: str) -> _Statement:
        found = [statement for statement in self._statements if statement.text.startswith(beginning)]
        assert len(found) == 1, f"{len(found)} statements of {self.name} begin with {beginning!r}"
        return found[0]

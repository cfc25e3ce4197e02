"""Holds terraform/firestore.tf to the queries of the whole test run, because the emulator never misses an index.

Every Firestore store of the session shows its queries here. When the Firestore suites ran whole and green, the session
fails for an index that a query needs and the file lacks, and for one that no query needed. Where the tests are spread
over processes, each of them tells what its queries needed when it ends, and the one that spreads them judges.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from app.stores.firestore.indexes import Index, Need

SUITES = ("tests/conformance/test_firestore.py", "tests/integration/stores/test_firestore_*.py")
"""What must have run whole for the verdict to mean anything."""
TERRAFORM = "terraform/firestore.tf"

_TOLD = "firestore_indexes"
"""Under which word a process tells what it knows."""

_COMPOSITE = re.compile(r'^ *\{ collection = "(\w+)", fields = \[(.*)\] \},$', re.MULTILINE)
_SORTED = re.compile(r'^ *\{ collection = "(\w+)", field = "(\w+)", orders = \[(.*)\] \},$', re.MULTILINE)
_QUOTED = re.compile(r'"([^"]+)"')


def declared_indexes(terraform: str) -> frozenset[Index]:
    """The indexes that the file's lists name."""
    from app.stores.firestore.indexes import Index, IndexField, Mode

    modes = {"": Mode.ASCENDING, "desc": Mode.DESCENDING, "contains": Mode.CONTAINS}
    composite = [
        Index(
            collection,
            tuple(
                IndexField(path, modes[mode])
                for path, _, mode in (each.partition(" ") for each in _QUOTED.findall(fields))
            ),
        )
        for collection, fields in _COMPOSITE.findall(terraform)
    ]
    alone = [
        Index(collection, (IndexField(field, Mode(order)),))
        for collection, field, orders in _SORTED.findall(terraform)
        for order in _QUOTED.findall(orders)
    ]
    return frozenset((*composite, *alone))


def complaints(needs: Iterable[Need], declared: frozenset[Index]) -> list[str]:
    """What is wrong with the declared indexes, given all that queries needed."""
    used: set[Index] = set()
    missing: set[Index] = set()
    for need in needs:
        serving = need.served_by(declared)
        if serving is None:
            missing.add(need.index)
        else:
            used |= serving
    return [
        *(f"a query needs, add: {line_of(index)}" for index in sorted(missing)),
        *(f"no query needs, remove: {line_of(index)}" for index in sorted(declared - used)),
    ]


def line_of(index: Index) -> str:
    """The line of the file that declares an index."""
    from app.stores.firestore.indexes import Mode

    if len(index.fields) == 1:
        (only,) = index.fields
        return f'{{ collection = "{index.collection}", field = "{only.path}", orders = ["{only.mode}"] }},'
    short = {Mode.ASCENDING: "", Mode.DESCENDING: " desc", Mode.CONTAINS: " contains"}
    fields = ", ".join(f'"{each.path}{short[each.mode]}"' for each in index.fields)
    return f'{{ collection = "{index.collection}", fields = [{fields}] }},'


class IndexCheck:
    """Watches one pytest session."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._root = config.rootpath
        self._asked_for_parts = any("::" in argument for argument in config.args)
        self._needs: set[Need] = set()
        self._open: set[str] = set()
        self._passed: set[str] = set()
        self._is_partial = False
        self._complaints: list[str] = []
        self._verdict = ""
        self._patch = pytest.MonkeyPatch()

    # --- what ran ----------------------------------------------------------------------------------------

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        suites = self._suites()
        self._is_partial |= any(item.path in suites for item in items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        suites = self._suites()
        self._open = {item.nodeid for item in session.items if item.path in suites}
        self._is_partial |= not suites <= {item.path for item in session.items}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._open.discard(report.nodeid)
            self._passed.add(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        suites = self._suites()
        paths = {item: self._root / item.partition("::")[0] for item in ids}
        self._open = {item for item, path in paths.items() if path in suites} - self._passed
        self._is_partial |= not suites <= set(paths.values())

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        told = getattr(node, "workeroutput", {}).get(_TOLD)
        if told is None:
            self._is_partial = True  # it crashed, and nobody knows what it asked
            return
        needs, is_partial = pickle.loads(told)  # noqa: S301 - from a process of this very run
        self._needs |= needs
        self._is_partial |= is_partial

    def _suites(self) -> set[Path]:
        return {path for pattern in SUITES for path in self._root.glob(pattern)}

    def _ran_whole(self) -> bool:
        return not (self._asked_for_parts or self._is_partial or self._open)

    # --- what was asked ----------------------------------------------------------------------------------

    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        if fixturedef.argname == "firestore_emulator":
            self._listen_to_stores()

    def _listen_to_stores(self) -> None:
        from app.stores.firestore.store import FirestoreJobStore

        make = FirestoreJobStore.__init__

        def make_with_recorder(store: FirestoreJobStore, **settings: Any) -> None:
            own: Callable[[Any], None] | None = settings.pop("on_query", None)

            def on_query(structured: Any) -> None:
                self._note(structured)
                if own is not None:
                    own(structured)

            make(store, on_query=on_query, **settings)

        self._patch.setattr(FirestoreJobStore, "__init__", make_with_recorder)

    def _note(self, structured: Any) -> None:
        from dataclasses import replace

        from app.stores.firestore.indexes import need_of
        from app.stores.schema import BY_NAME

        need = need_of(structured)
        plain = next((name for name in BY_NAME if need.collection.endswith(name)), need.collection)
        self._needs.add(replace(need, collection=plain))

    # --- what to say about it ----------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._patch.undo()
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[_TOLD] = pickle.dumps((self._needs, self._is_partial))
            return
        if not self._ran_whole():
            return
        declared = declared_indexes((self._root / TERRAFORM).read_text(encoding="utf-8"))
        self._complaints = complaints(self._needs, declared)
        self._verdict = f"{len(declared)} indexes serve {len(self._needs)} kinds of queries"
        if self._complaints and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._verdict and not self._complaints:
            terminalreporter.line(f"{TERRAFORM}: {self._verdict}")
        if self._complaints:
            terminalreporter.section(f"indexes of {TERRAFORM}", red=True, bold=True)
            for complaint in self._complaints:
                terminalreporter.line(complaint)


def pytest_configure(config: pytest.Config) -> None:
    """Begin to watch the session."""
    config.pluginmanager.register(IndexCheck(config), "firestore-indexes")

"""Engines, settings and folders that the samples run in, each put back as it was."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.bootstrap import SHIPPED_TASKS
from app.jobs import JobRegistry, Registry, discover
from app.settings import JobSettings, Settings, StorageSettings, settings
from tests.services.reach import reached
from tests.services.unavailable import ServiceUnavailable
from tests.support.engine import Engine


@contextmanager
def seed_folder(data: Path) -> Iterator[str]:
    """The folder of the seed documents, which lie beside the real data.

    Raises:
        ServiceUnavailable: there are none.
    """
    folder = data.parent / "seeds"
    if not any(folder.glob("*.txt")):
        raise ServiceUnavailable(f"no seed documents in {folder}, though there is real data in {data}: put them there")
    yield str(folder)


@pytest.fixture(scope="session")
def seeds(shared_data: Path) -> Iterator[dict[str, Path]]:
    """The seed documents by their numbers. Without real data skipped, in CI too; with it they must be there in CI."""
    for folder in reached(seed_folder(shared_data)):
        yield {path.name.partition("_")[0]: path for path in sorted(Path(folder).glob("*.txt"))}


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def use_registry(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `@job` and new managers use this registry, and forget what discovery does to the import path."""
    # Modules are imported once: those that are shipped must not register in a registry that is thrown away.
    discover(SHIPPED_TASKS)
    monkeypatch.setattr(JobRegistry, "registry", registry)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The process's registry, empty for this test: a sample may register what it likes."""
    registry = Registry()
    use_registry(registry, monkeypatch)
    return registry


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine on a memory store and a clock that the test moves; `@job` registers there."""
    engine = Engine()
    use_registry(engine.registry, monkeypatch)
    return engine


@pytest.fixture
def own_settings(workdir: Path) -> Iterator[Settings]:
    """The global settings, with what they have by default, whatever the environment says; put back afterwards."""
    kept = settings.model_copy(deep=True)
    settings.store_url = None
    settings.prefix = ""
    settings.job = JobSettings()
    settings.storage = StorageSettings()
    yield settings
    for name in ("store_url", "prefix", "job", "storage"):
        setattr(settings, name, getattr(kept, name))
    settings.model_fields_set.intersection_update(kept.model_fields_set)

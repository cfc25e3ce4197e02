"""The file store keeps every promise, on a directory that several store objects share."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.stores.conformance import MakeStore, SharedStoreConformance
from app.stores.file import FileJobStore


class TestFileStore(SharedStoreConformance):
    bills_reads = True

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> MakeStore:
        return lambda prefix="": FileJobStore(tmp_path / "jobs_data", prefix)

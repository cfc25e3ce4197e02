"""Fixtures of the engine's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.engine import Engine


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """An engine on an open, empty memory store."""
    engine = Engine()
    await engine.store.open()
    yield engine
    await engine.store.close()

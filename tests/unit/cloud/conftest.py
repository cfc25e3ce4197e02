"""The engine's own tests and these have one engine."""

from __future__ import annotations

from tests.unit.jobs.conftest import engine

__all__ = ["engine"]

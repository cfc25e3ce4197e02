"""A cold start pays for one database's library, and for nothing that a running store does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIBRARIES = {"psycopg", "pymysql", "alembic", "sqlalchemy.orm", "sqlalchemy.dialects.mysql.base"}


@pytest.mark.parametrize(
    ("url", "needed"),
    [
        ("sqlite:///jobs.db", set()),
        ("postgresql://db.example/jobs", {"psycopg"}),
        ("mysql://db.example/jobs", {"pymysql"}),
    ],
)
def test_a_store_imports_only_its_own_driver(url: str, needed: set[str]) -> None:
    code = "import sys; from app.stores import DatabaseJobStore; DatabaseJobStore(url=sys.argv[1]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True)
    assert LIBRARIES & set(done.stdout.split()) == needed


def test_an_open_store_imports_only_its_own_dialect(tmp_path: Path) -> None:
    """Once its tables are there: what makes them knows all dialects."""
    code = (
        "import asyncio, sys; from app.stores import DatabaseJobStore; store = DatabaseJobStore(url=sys.argv[1]);"
        "asyncio.run(store.open()); print(*sys.modules)"
    )
    for _ in ("makes the tables", "finds them"):
        done = subprocess.run(
            [sys.executable, "-c", code, f"sqlite:///{tmp_path}/jobs.db"], capture_output=True, text=True, check=True
        )
    others = {"sqlalchemy.dialects.mysql", "sqlalchemy.dialects.postgresql", "alembic", "sqlalchemy.orm"}
    assert others & set(done.stdout.split()) == set()

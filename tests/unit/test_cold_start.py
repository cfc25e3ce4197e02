"""A server imports what its settings need, and nothing else, until somebody asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ALWAYS_LATER = {
    "alembic",
    "cryptography",  # tokens are checked when one comes
    "google.auth",
    "google.cloud.logging",
    "google.genai",
    "google.pubsub_v1",  # hints are published when there are jobs to hint at
    "httpx",
    "opentelemetry",
    "rapidfuzz",
    "requests",
    "rich",
    "sqlalchemy.orm",
    "typer",
}
STORES = {"sqlalchemy", "psycopg", "pymysql", "google.cloud.firestore", "google.cloud.firestore_v1", "grpc"}
PAGES = {"flask_openapi3", "simple_websocket"}
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("service", "url"),
    [
        ("job_worker", "sqlite:///jobs.db"),
        ("job_worker", "firestore://project/(default)"),
        ("watchdog_worker", "firestore://project/(default)"),
        ("catalog_worker", "firestore://project/(default)"),
        ("web", "firestore://project/(default)"),
    ],
)
def test_a_service_starts_without_what_it_does_not_need_yet(tmp_path: Path, service: str, url: str) -> None:
    """The store itself opens with the first request, so a start needs no store's library either."""
    settings = {"TORPOR_STORE_URL": url, "TORPOR_SERVICE": service, "TORPOR_WAKE_TOPIC": "projects/p/topics/t"}
    program = f"import sys, workers.{service}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, **settings, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stdout.split())
    forbidden = ALWAYS_LATER | STORES | (set() if service == "web" else PAGES)
    assert forbidden & imported == set()
    # The job worker meets the catalogue with the first job of one of its types.
    assert ("app.catalog.tasks" in imported) is (service != "job_worker")


def test_a_job_worker_knows_the_shipped_types_when_it_meets_one(tmp_path: Path) -> None:
    program = (
        "import workers.job_worker; from app.jobs import JobRegistry; types = JobRegistry.registry;"
        "print([each.type for each in types.known()], types.get('catalog_enrich_field').type)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "TORPOR_STORE_URL": "memory:", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["[]", "catalog_enrich_field"]

"""What one size of catalogue costs, part by part. `python -m bench.catalog.parts FILE` prints the figures as JSON.

A process of its own for each size, so that the peak of its memory is that size's.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from app.catalog import Exercise, read_catalog
from app.catalog.enrichment import DeterministicEnricher, FieldSpec, ReferenceIndex
from app.catalog.payloads import DEFAULT_FIELDS
from app.catalog.reviewer import scan_families, scan_quality
from app.catalog.reviewer.duplicates import scan_duplicates

ENRICHED = 2_000
"""Records that are enriched, spread over the catalogue; each is enriched by itself, so that more would tell no more."""
T = TypeVar("T")


def parts_of(content: bytes) -> dict[str, float]:
    """Milliseconds a record for each part, and the memory that the process needed at most.

    Args:
        content: a catalogue file.
    """
    figures: dict[str, float] = {}
    enricher, chosen = _look_at_all(content, figures)
    _timed(figures, "enrich", len(chosen), lambda: _enrich(enricher, chosen))
    return figures


def _look_at_all(content: bytes, figures: dict[str, float]) -> tuple[DeterministicEnricher, Sequence[Exercise]]:
    """What looks at the whole catalogue; then the reference and some exercises, which is all that a shard holds."""
    exercises = _timed(figures, "read", 0, lambda: read_catalog(content, datetime.now(UTC)).exercises)
    size = len(exercises)
    figures["read ms"] /= size
    _timed(figures, "families", size, lambda: scan_families(exercises))
    _timed(figures, "quality", size, lambda: scan_quality(exercises))
    doubles = _timed(figures, "doubles", size, lambda: scan_duplicates(exercises))
    figures["compared a record"] = doubles.compared / size
    enricher = DeterministicEnricher(_timed(figures, "index", size, lambda: ReferenceIndex(exercises)))
    figures["peak RSS MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return enricher, exercises[:: max(1, size // ENRICHED)]


def _timed(figures: dict[str, float], name: str, records: int, work: Callable[[], T]) -> T:
    began = time.process_time()
    done = work()
    figures[f"{name} ms"] = 1000 * (time.process_time() - began) / (records or 1)
    return done


def _enrich(enricher: DeterministicEnricher, exercises: Sequence[Exercise]) -> None:
    specs = [FieldSpec(path=path) for path in DEFAULT_FIELDS]
    for exercise in exercises:
        for spec in specs:
            enricher.propose(exercise, spec)


if __name__ == "__main__":
    print(json.dumps(parts_of(Path(sys.argv[1]).read_bytes())))

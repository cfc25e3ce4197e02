"""Filling in what exercises lack: field specifications, enrichers, and the rules by which proposals are written."""

from app.catalog.enrichment.deterministic import DETERMINISTIC, DeterministicEnricher
from app.catalog.enrichment.enricher import (
    DEFAULT_THRESHOLD,
    DropReason,
    Enricher,
    EnrichmentOutcome,
    FieldProposal,
    apply_proposals,
    enrich_exercise,
    fields_to_ask,
)
from app.catalog.enrichment.fields import FieldSpec, OutputType, enrichable_paths
from app.catalog.enrichment.reference import ReferenceIndex, Vote

__all__ = [
    "DEFAULT_THRESHOLD",
    "DETERMINISTIC",
    "DeterministicEnricher",
    "DropReason",
    "Enricher",
    "EnrichmentOutcome",
    "FieldProposal",
    "FieldSpec",
    "OutputType",
    "ReferenceIndex",
    "Vote",
    "apply_proposals",
    "enrich_exercise",
    "enrichable_paths",
    "fields_to_ask",
]

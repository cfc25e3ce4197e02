"""Judging the catalogue without changing it: how good each exercise is, and what is wrong with families."""

from app.catalog.reviewer.equipment import equipment_finder
from app.catalog.reviewer.legacy import propose_cleanups
from app.catalog.reviewer.maintenance import FamilyFinding, FamilyReport, FindingCode, scan_families
from app.catalog.reviewer.proposals import ProposedJob, in_order, waits_for
from app.catalog.reviewer.quality_scanner import (
    RULES,
    QualityReport,
    QualityScore,
    Rule,
    RuleKind,
    heuristic_score_exercise,
    scan_quality,
)

__all__ = [
    "RULES",
    "FamilyFinding",
    "FamilyReport",
    "FindingCode",
    "ProposedJob",
    "QualityReport",
    "QualityScore",
    "Rule",
    "RuleKind",
    "equipment_finder",
    "heuristic_score_exercise",
    "in_order",
    "propose_cleanups",
    "scan_families",
    "scan_quality",
    "waits_for",
]

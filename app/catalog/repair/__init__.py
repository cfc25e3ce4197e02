"""Mending plans that are not valid, or whose applying went wrong.

A repairer is any `app.jobs.Repairer[ChangePlan]`: it is given the plan and an error whose findings are those of the
validators, as JSON, and answers with a mended plan; `repaired` makes such an answer from fixes.
"""

from app.catalog.repair.rules import RuleBasedRepairer, findings_of, not_repairable, repaired
from app.catalog.repair.skipping import SkippingRepairer

__all__ = ["RuleBasedRepairer", "SkippingRepairer", "findings_of", "not_repairable", "repaired"]

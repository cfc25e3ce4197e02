"""The repairer of plans whose operations have nothing to do with each other: what can't be done is left out."""

from __future__ import annotations

from app.catalog.plans.fix import Fix, FixAction
from app.catalog.plans.plan import ChangePlan
from app.catalog.repair.rules import findings_of, repaired
from app.jobs import Repair, RepairableError, Repairer

LEFT_OUT = frozenset({"STALE_TARGET", "CONTENDED", "UNKNOWN_TARGET"})
"""Somebody else changed or removed the record since the plan was made; what they wrote stays."""


class SkippingRepairer:
    """Leaves out the operations whose records were changed meanwhile, and asks another repairer about the rest.

    Args:
        inner: for everything else.
    """

    def __init__(self, inner: Repairer[ChangePlan]) -> None:
        self._inner = inner

    async def repair(self, work: ChangePlan | None, error: RepairableError, repairs_left: int) -> Repair[ChangePlan]:
        """A mended plan; see `RuleBasedRepairer.repair`."""
        errors = [finding for finding in findings_of(error) if finding.is_error]
        if not errors or any(finding.code not in LEFT_OUT or not finding.operation for finding in errors):
            return await self._inner.repair(work, error, repairs_left)
        plan = work if work is not None else ChangePlan.model_validate(error.work)
        names = dict.fromkeys(finding.operation for finding in errors)
        fixes = [Fix(action=FixAction.REMOVE, operation=name, reason="changed meanwhile") for name in names]
        return repaired(plan, fixes, f"{len(fixes)} record(s) were changed meanwhile and stay as they are", 1.0)

"""`maintenance_scan`: what is wrong with families and exercises, and which jobs would mend it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from app.catalog.payloads import MaintenanceScan
from app.catalog.reviewer import equipment_finder, in_order, propose_cleanups, scan_families, scan_quality
from app.catalog.store import CatalogStore
from app.catalog.tasks.report import tell
from app.jobs import JobContext, JobQueue, job


@job("maintenance_scan", queue=JobQueue.MAINTENANCE, payload_model=MaintenanceScan, timeout_seconds=1800)
async def maintenance_scan(ctx: JobContext, payload: MaintenanceScan) -> dict[str, Any]:
    """Scan all families and exercises: missing qualifiers, duplicate equipment, quality; propose jobs."""
    await ctx.report_progress(0, 3, "reading the catalogue")
    stored = await CatalogStore(ctx.store).all()
    exercises = [each.exercise for each in stored]
    await ctx.report_progress(1, 3, f"scanning the families of {len(exercises)} exercises")
    # In threads: renewals of this worker's other jobs must not wait for them.
    find_equipment = await asyncio.to_thread(equipment_finder, [each.given for each in stored])
    families = await asyncio.to_thread(scan_families, exercises, find_equipment)
    await ctx.report_progress(2, 3, "judging each exercise")
    quality = await asyncio.to_thread(scan_quality, exercises)
    proposed = in_order([*families.proposed_jobs, *propose_cleanups(exercises)])
    findings = [asdict(finding) for finding in families.findings]
    told = await tell(ctx, findings, proposed, create_jobs=payload.create_jobs)
    await ctx.report_progress(3, 3, f"{len(findings)} findings, {len(proposed)} jobs proposed")
    return {
        "exercises": len(exercises),
        "families": families.families,
        "multi_equipment_families": families.multi_equipment_families,
        "findings": families.counts(),
        **told,
        "quality": {"by_score": quality.by_score, "failed": quality.failed},
    }

"""`alias_invariant_scan`: orphaned, missing, doubled and two-target aliases."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from app.catalog.payloads import AliasInvariantScan
from app.catalog.reviewer.aliases import scan_aliases
from app.catalog.store import CatalogStore
from app.catalog.tasks.report import tell
from app.jobs import JobContext, JobQueue, job


@job("alias_invariant_scan", queue=JobQueue.MAINTENANCE, payload_model=AliasInvariantScan, timeout_seconds=1800)
async def alias_invariant_scan(ctx: JobContext, payload: AliasInvariantScan) -> dict[str, Any]:
    """Scan all aliases: each has exactly one existing target, and every old slug has its alias; propose repairs."""
    await ctx.report_progress(0, 2, "reading the catalogue")
    catalog = await CatalogStore(ctx.store).everything()
    await ctx.report_progress(1, 2, f"looking at {len(catalog.aliases)} aliases")
    # In a thread: renewals of this worker's other jobs must not wait for it.
    report = await asyncio.to_thread(
        scan_aliases, catalog.exercises.values(), catalog.aliases.values(), catalog.families.values()
    )
    findings = [asdict(finding) for finding in report.findings]
    told = await tell(ctx, findings, report.proposed_jobs, create_jobs=payload.create_jobs)
    await ctx.report_progress(2, 2, f"{len(findings)} findings")
    return {"aliases": report.aliases, "findings": report.counts(), **told}

"""`duplicate_detection_scan`: exercises that are the same, and families that may be one."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from app.catalog.payloads import DuplicateDetectionScan
from app.catalog.reviewer.duplicates import scan_duplicates
from app.catalog.reviewer.merges import propose_merges
from app.catalog.store import CatalogStore
from app.catalog.tasks.report import tell
from app.jobs import JobContext, JobQueue, job


@job("duplicate_detection_scan", queue=JobQueue.MAINTENANCE, payload_model=DuplicateDetectionScan, timeout_seconds=1800)
async def duplicate_detection_scan(ctx: JobContext, payload: DuplicateDetectionScan) -> dict[str, Any]:
    """Scan for likely doubles and mergeable families, with evidence; propose merges or reviews."""
    await ctx.report_progress(0, 2, "reading the catalogue")
    exercises = [stored.exercise for stored in await CatalogStore(ctx.store).all()]
    await ctx.report_progress(1, 2, f"comparing the likely ones of {len(exercises)} exercises")
    # In a thread: renewals of this worker's other jobs must not wait for it.
    report = await asyncio.to_thread(scan_duplicates, exercises)
    findings = [{"kind": "pair", **asdict(pair)} for pair in report.pairs]
    findings += [{"kind": "families", **asdict(found)} for found in report.families]
    told = await tell(ctx, findings, propose_merges(report, exercises), create_jobs=payload.create_jobs)
    await ctx.report_progress(2, 2, f"{len(findings)} findings")
    return {"exercises": report.exercises, "compared": report.compared, "findings": report.counts(), **told}

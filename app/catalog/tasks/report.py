"""How a scan tells what it found: some of it in its result, all of it in saved results, and the jobs if asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from app.catalog.curation import create_proposed
from app.catalog.reviewer import ProposedJob
from app.catalog.tasks.mode import may_write, mode_of
from app.jobs import JobContext

SHOWN = 20
"""How many findings and proposed jobs a scan's own result shows; all of them are saved results."""
SAVED_PAGE = 200
FINDINGS = "findings"
PROPOSED_JOBS = "proposed_jobs"


async def save_rows(ctx: JobContext, part: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Save rows of one kind as pages of results."""
    for start in range(0, len(rows), SAVED_PAGE):
        page = [dict(row) for row in rows[start : start + SAVED_PAGE]]
        await ctx.save_result({"part": part, "from": start, "rows": page})


async def tell(
    ctx: JobContext, findings: Sequence[Mapping[str, Any]], proposed: Sequence[ProposedJob], *, create_jobs: bool
) -> dict[str, Any]:
    """Save findings and proposals, and create the proposed jobs if asked for.

    Returns:
        What the scan's result says of them.

    Raises:
        ApplyDisabled: jobs are to be created that apply, and applying is not enabled.
    """
    rows = [asdict(proposal) for proposal in proposed]
    await save_rows(ctx, FINDINGS, findings)
    await save_rows(ctx, PROPOSED_JOBS, rows)
    created = known = 0
    if create_jobs:
        may_write(ctx)
        await ctx.flush()  # who has lost the lease creates nothing
        jobs = await create_proposed(ctx.manager, proposed, mode_of(ctx), tags=ctx.job.tags)
        created, known = len(jobs.new), jobs.known
    told = f"{len(findings)} findings, {len(proposed)} jobs proposed"
    await ctx.log(f"{told}, {created} created" if create_jobs else told)
    return {
        "first_findings": [dict(finding) for finding in findings[:SHOWN]],
        "proposed_jobs": len(proposed),
        "first_proposed_jobs": rows[:SHOWN],
        "created_jobs": created,
        "known_jobs": known,
    }


def proposals_of(saved: Iterable[Any]) -> list[ProposedJob]:
    """The proposals among the saved results of a scan, as they were when it saved them."""
    pages = (page for page in saved if isinstance(page, dict) and page.get("part") == PROPOSED_JOBS)
    return [
        ProposedJob(
            row["type"],
            row["payload"],
            row["reason"],
            tuple(row["families"]),
            row["state"],
            tuple(row["identity"]),
        )
        for page in pages
        for row in page["rows"]
    ]

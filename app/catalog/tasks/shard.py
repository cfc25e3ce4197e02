"""`catalog_enrich_field_shard`: proposals page by page, then one plan that is carried out like every other."""

from __future__ import annotations

import asyncio
from typing import Any

from app.catalog.enrichment import DeterministicEnricher, Enricher, FieldProposal, fields_to_ask
from app.catalog.enrichment.reference import MAX_EXERCISES, ReferenceIndex
from app.catalog.payloads import EnrichShard
from app.catalog.plans import ChangePlan, Touches
from app.catalog.repair import SkippingRepairer
from app.catalog.store import CatalogStore
from app.catalog.tasks.counts import Counts
from app.catalog.tasks.enriching import (
    EQUIPMENT,
    Decided,
    Proposals,
    counted,
    decide,
    plan_of,
    proposals_as_json,
    proposals_of_json,
    touches_of,
)
from app.catalog.tasks.mode import may_write, mode_of
from app.catalog.tasks.planning import carry_out, repairer_of
from app.jobs import JobContext, JobQueue, job

PAGE = 40
"""Exercises that an enricher is asked about before what it found is recorded."""


@job("catalog_enrich_field_shard", queue=JobQueue.MAINTENANCE, payload_model=EnrichShard)
async def catalog_enrich_field_shard(ctx: JobContext, payload: EnrichShard) -> dict[str, Any]:
    """Enrich the exercises of one shard; an enricher is asked once about each of them, however often it is run."""
    may_write(ctx)
    catalog = CatalogStore(ctx.store)
    asking = _Asking(catalog, payload)
    ids = payload.exercise_ids
    found: dict[str, list[FieldProposal]] = {}
    for start in range(0, len(ids), PAGE):
        told: Any = await ctx.step(f"ask {start}", asking.page, start)
        found.update(proposals_of_json(told))
        done = min(start + PAGE, len(ids))
        await ctx.report_progress(done, len(ids), f"{done} of {len(ids)} exercises looked at")
    recorded: Any = await ctx.step("decide", _decided, ctx, catalog, payload, found)
    decided = [Decided.of_json(each) for each in recorded]
    missing = Counts(missing=len(ids) - len(decided))
    if not any(each.patch for each in decided):
        counts = missing + counted(decided, None)
        return {**counts.model_dump(), "mode": mode_of(ctx), "change_id": None, "applied": 0, "diff": []}
    result = await carry_out(
        ctx,
        lambda snapshot: plan_of(ctx.job_type, decided, snapshot),
        touches=touches_of(decided),
        repairer=SkippingRepairer(repairer_of(ctx)),
    )
    # The plan is in the journal, or in the job's steps, and too large to be told again.
    plan = ChangePlan.model_validate(result.pop("plan"))
    counts = missing + counted(decided, plan)
    await ctx.report_progress(len(ids), len(ids), f"{counts.enriched} of {counts.exercises} exercises enriched")
    return {**counts.model_dump(), **result}


class _Asking:
    """Asks an enricher about pages of exercises. It is made when it is first needed."""

    def __init__(self, catalog: CatalogStore, payload: EnrichShard) -> None:
        self._catalog = catalog
        self._payload = payload
        self._enricher: Enricher | None = None

    async def page(self, start: int) -> dict[str, Any]:
        """What is proposed for the exercises of one page.

        The enricher is shown only what people and files say of an exercise. A guess that fed on earlier guesses would
        depend on what ran before: a second run would go on where the first was not sure enough, and shards that run
        side by side would come out differently each time.
        """
        if self._enricher is None:
            self._enricher = await make_enricher(self._catalog)
        stored = await self._catalog.get(self._payload.exercise_ids[start : start + PAGE])
        proposals: dict[str, list[FieldProposal]] = {}
        for each in stored:
            if each is None:
                continue
            wanted = fields_to_ask(each.exercise, self._payload.fields, overwrite=self._payload.overwrite)
            if wanted:
                proposals[each.exercise.id] = await self._enricher.enrich(each.given, wanted)
            await asyncio.sleep(0)  # renewals and other jobs come in between
        return proposals_as_json(proposals)


async def make_enricher(catalog: CatalogStore) -> Enricher:
    """The enricher that needs no network, with what the catalogue teaches it."""
    known = [stored.given for stored in await catalog.all(limit=MAX_EXERCISES)]
    # In a thread: renewals of this worker's other jobs must not wait for it.
    return DeterministicEnricher(await asyncio.to_thread(ReferenceIndex, known))


async def _decided(ctx: JobContext, catalog: CatalogStore, payload: EnrichShard, found: Proposals) -> list[Any]:
    stored = await catalog.get(payload.exercise_ids)
    exercises = [each.exercise for each in stored if each is not None]
    regrouped = [each for each, proposals in found.items() if any(one.path == EQUIPMENT for one in proposals)]
    families = await catalog.snapshot(Touches.of(families_of=regrouped))
    at = max((ctx.manager.runtime.clock.now(), *(each.created_at for each in exercises)))
    # In a thread: judging many exercises takes its time.
    decided = await asyncio.to_thread(decide, exercises, families, found, payload, at)
    return [each.as_json() for each in decided]

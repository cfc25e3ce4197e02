"""`catalog_enrich_field_shard`: proposals page by page, then one plan that is carried out like every other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from app.catalog.apply import Journal
from app.catalog.enrichment import DETERMINISTIC, DeterministicEnricher, Enricher, FieldProposal, fields_to_ask
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
    patched_by,
    plan_of,
    proposals_as_json,
    proposals_of_json,
    touches_of,
)
from app.catalog.tasks.mode import may_write, mode_of
from app.catalog.tasks.planning import carry_out, repairer_of
from app.jobs import JobContext, JobQueue, PermanentError, job

PAGE = 40
"""Exercises that the deterministic enricher is asked about before what it found is recorded."""
MODEL_PAGE = 5
"""The same for any other one, whose answers take seconds and cost money: at most so many are asked for twice."""


class UnknownEnricher(PermanentError):
    """No enricher has that name here."""

    code = "UNKNOWN_ENRICHER"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"there is no enricher {name!r} in this worker; there are: {', '.join(known)}. "
            "For gemini, set TORPOR_CATALOG_GEMINI_PROJECT"
        )


@job("catalog_enrich_field_shard", queue=JobQueue.MAINTENANCE, payload_model=EnrichShard)
async def catalog_enrich_field_shard(ctx: JobContext, payload: EnrichShard) -> dict[str, Any]:
    """Enrich the exercises of one shard; an enricher is asked once about each of them, however often it is run."""
    may_write(ctx)
    catalog = CatalogStore(ctx.store)
    asking = _Asking(ctx, catalog, payload)
    ids = payload.exercise_ids
    found: dict[str, list[FieldProposal]] = {}
    spent = Counts()
    for start in range(0, len(ids), asking.size):
        told: Any = await ctx.step(f"ask {start}", asking.page, start)
        found.update(proposals_of_json(told["proposals"]))
        spent += Counts(spent=told["spent"])
        done = min(start + asking.size, len(ids))
        await ctx.report_progress(done, len(ids), f"{done} of {len(ids)} exercises looked at")
    recorded: Any = await ctx.step("decide", _decided, ctx, catalog, payload, found)
    decided = [Decided.of_json(each) for each in recorded]
    missing = Counts(missing=len(ids) - len(decided)) + spent
    if not any(each.patch for each in decided):
        counts = missing + counted(decided, ())
        return {**counts.model_dump(), "mode": mode_of(ctx), "change_id": None, "applied": 0, "diff": []}
    result = await carry_out(
        ctx,
        lambda snapshot: plan_of(ctx.job_type, decided, snapshot),
        touches=touches_of(decided),
        repairer=SkippingRepairer(repairer_of(ctx)),
    )
    # The plan is in the job's steps, and too large to be told again.
    operations = ChangePlan.model_validate(result.pop("plan")).operations
    if result["change_id"] is not None:
        operations = tuple(line.operation for line in await Journal(ctx.store).lines(result["change_id"]))
    counts = missing + counted(decided, patched_by(operations))
    await ctx.report_progress(len(ids), len(ids), f"{counts.enriched} of {counts.exercises} exercises enriched")
    return {**counts.model_dump(), **result}


class _Asking:
    """Asks an enricher about pages of exercises. It is made when it is first needed."""

    def __init__(self, ctx: JobContext, catalog: CatalogStore, payload: EnrichShard) -> None:
        self.size = PAGE if payload.enricher == DETERMINISTIC else MODEL_PAGE
        """Exercises of one page. It follows from the payload alone: pages are recorded by where they begin."""
        self._ctx = ctx
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
            self._enricher = await make_enricher(self._ctx, self._catalog, self._payload.enricher)
        before = self._enricher.spent
        stored = await self._catalog.get(self._payload.exercise_ids[start : start + self.size])
        proposals: dict[str, list[FieldProposal]] = {}
        for each in stored:
            if each is None:
                continue
            wanted = fields_to_ask(each.exercise, self._payload.fields, overwrite=self._payload.overwrite)
            if wanted:
                proposals[each.exercise.id] = await self._enricher.enrich(each.given, wanted)
            await asyncio.sleep(0)  # renewals and other jobs come in between
        spent = (self._enricher.spent - before).as_numbers()
        return {"proposals": proposals_as_json(proposals), "spent": spent}


async def make_enricher(ctx: JobContext, catalog: CatalogStore, name: str) -> Enricher:
    """The enricher of that name: the one that needs no network, with what the catalogue teaches it, or another.

    Others are those of the application's setting `catalog_enrichers`, each of which is called without arguments.

    Raises:
        UnknownEnricher: there is none.
    """
    others: Any = ctx.application.get("catalog_enrichers") or {}
    if name in others:
        other: Enricher = await asyncio.to_thread(others[name])  # what it imports may take a second
        return other
    if name != DETERMINISTIC:
        raise UnknownEnricher(name, (DETERMINISTIC, *others))
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

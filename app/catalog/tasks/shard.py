"""`catalog_enrich_field_shard`: enriches its exercises page by page, each page once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.catalog.enrichment import DeterministicEnricher, Enricher, FieldProposal, FieldSpec, enrich_exercise
from app.catalog.enrichment.reference import MAX_EXERCISES, ReferenceIndex
from app.catalog.exercise import Exercise
from app.catalog.payloads import EnrichShard
from app.catalog.store import CatalogStore, StoredExercise
from app.catalog.tasks.counts import Counts
from app.catalog.tasks.mode import may_write
from app.jobs import ContinueLater, JobContext, JobQueue, job
from app.stores.base import PreconditionFailed, Write

COMMIT_SIZE = 40
"""Exercises that are written in one commit."""
MAX_REFUSED = 5
"""How often one page is done again because somebody else changed an exercise of it."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a shard is: so many of its exercises are done, with these counts."""

    done: int
    counts: Counts

    def as_json(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"done": self.done, "counts": self.counts.model_dump()}

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Position:
        """From a checkpoint."""
        return cls(data["done"], Counts.model_validate(data["counts"]))


@dataclass(frozen=True, slots=True)
class Page:
    """What is to be written for the next exercises of a shard."""

    writes: tuple[Write, ...]
    at: datetime
    """`updated_at` of every exercise that is written: by it the page is known again."""
    after: Position


async def position_of(catalog: CatalogStore, exercise_ids: Sequence[str], checkpoint: Any) -> Position:
    """Where a shard with this checkpoint stands.

    A checkpoint can be stored before the page that it was saved with: a pause or a renewal may come between. So it
    announces the page, and the exercises tell whether that was written.
    """
    if checkpoint is None:
        return Position(0, Counts())
    position = Position.of_json(checkpoint)
    announced = checkpoint.get("next")
    if announced is not None:
        after = Position.of_json(announced)
        page = await catalog.get(exercise_ids[position.done : after.done])
        at = datetime.fromisoformat(announced["at"])
        if any(stored is not None and stored.exercise.updated_at == at for stored in page):
            return after
    return position


class _FromGiven:
    """Shows an enricher only what people and files say of an exercise.

    A guess that fed on earlier guesses would depend on what ran before: a second run would go on where the first
    was not sure enough, and shards that run side by side would come out differently each time.
    """

    def __init__(self, inner: Enricher, stored: StoredExercise) -> None:
        self.name = inner.name
        self._inner = inner
        self._given = stored.given

    async def enrich(self, exercise: Exercise, fields: Sequence[FieldSpec]) -> list[FieldProposal]:
        return await self._inner.enrich(self._given, fields)


@job("catalog_enrich_field_shard", queue=JobQueue.MAINTENANCE, payload_model=EnrichShard)
async def catalog_enrich_field_shard(ctx: JobContext, payload: EnrichShard) -> dict[str, Any]:
    """Enrich the exercises of one shard; run again, it goes on behind the last page that was written."""
    writes_allowed = may_write(ctx)
    catalog = CatalogStore(ctx.store)
    enricher = await _make_enricher(catalog)
    position = await position_of(catalog, payload.exercise_ids, ctx.checkpoint)
    refused = 0
    while position.done < len(payload.exercise_ids) and not ctx.is_cancelled:
        if ctx.is_stopping:
            raise ContinueLater(checkpoint=position.as_json())
        page = await _enrich_page(catalog, enricher, payload, position, ctx.manager.runtime.clock.now())
        after = page.after
        if page.writes and writes_allowed:
            announced = {**after.as_json(), "at": page.at.isoformat()}
            await ctx.save_checkpoint({**position.as_json(), "next": announced})
            try:
                await ctx.commit(page.writes)
            except PreconditionFailed:
                refused += 1
                if refused > MAX_REFUSED:
                    raise
                continue
        else:
            await ctx.save_checkpoint(after.as_json())
        position, refused = after, 0
        await ctx.report_progress(
            after.done, len(payload.exercise_ids), f"{after.counts.enriched} of {after.done} exercises enriched"
        )
    return position.counts.model_dump()


async def _make_enricher(catalog: CatalogStore) -> Enricher:
    known = [stored.given for stored in await catalog.all(limit=MAX_EXERCISES)]
    # In a thread: renewals of this worker's other jobs must not wait for it.
    return DeterministicEnricher(await asyncio.to_thread(ReferenceIndex, known))


async def _enrich_page(
    catalog: CatalogStore, enricher: Enricher, payload: EnrichShard, position: Position, now: datetime
) -> Page:
    ids = payload.exercise_ids[position.done : position.done + COMMIT_SIZE]
    found = [stored for stored in await catalog.get(ids) if stored is not None]
    at = max((now, *(stored.exercise.created_at for stored in found)))
    counts = position.counts + Counts(missing=len(ids) - len(found))
    writes = []
    for stored in found:
        outcome = await enrich_exercise(
            stored.exercise,
            _FromGiven(enricher, stored),
            payload.fields,
            at,
            threshold=payload.threshold,
            overwrite=payload.overwrite,
        )
        counts += Counts.of(stored.exercise, outcome)
        if outcome.written:
            paths = [proposal.path for proposal in outcome.written]
            writes.append(catalog.change(stored, outcome.exercise, paths))
        await asyncio.sleep(0)  # renewals and other jobs come in between
    return Page(tuple(writes), at, Position(position.done + len(ids), counts))

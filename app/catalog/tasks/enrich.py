"""`catalog_enrich_field`: a parent that makes one child job a shard, and ends when they have, with their totals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.catalog.apply import Journal, change_id_of
from app.catalog.payloads import EnrichField, EnrichmentChoice
from app.catalog.plans import OperationKind, Touches
from app.catalog.store import CatalogStore
from app.catalog.tasks.counts import Counts
from app.catalog.tasks.mode import may_write, mode_of
from app.jobs import ContinueLater, Job, JobContext, JobQueue, JobRequest, JobStatus, PermanentError, job

SHARD_TYPE = "catalog_enrich_field_shard"
CREATED_AT_ONCE = 50
"""Children that are created in one call."""
LONGEST_PAUSE_SECONDS = 30.0


class NothingSelected(PermanentError):
    """The selection holds no exercise."""

    code = "NOTHING_SELECTED"

    def __init__(self) -> None:
        super().__init__("no exercise is selected; import a catalogue first, or mend exercise_ids or families")


@job("catalog_enrich_field", queue=JobQueue.MAINTENANCE, payload_model=EnrichField)
async def catalog_enrich_field(ctx: JobContext, payload: EnrichField) -> dict[str, Any]:
    """Enrich fields of many exercises: one child job a shard; ends with the children's totals."""
    may_write(ctx)
    shards = ctx.checkpoint
    if shards is None:
        shards = await _create_shards(ctx, payload)
        await ctx.save_checkpoint(shards)
    children = await _children(ctx)
    ended = len(shards) - sum(not child.is_terminal for child in children)
    completed = {child.id for child in children if child.status is JobStatus.COMPLETED}
    failed = [shard for shard in shards if shard not in completed]
    message = f"{ended} of {len(shards)} shards ended"
    if ended < len(shards):
        await ctx.report_progress(*_advance(children), message)
        # Held by nobody while it waits. The pause grows, so that a long run costs few looks.
        raise ContinueLater(min(LONGEST_PAUSE_SECONDS, 0.5 * 1.5**ctx.job.slices), shards)
    await ctx.report_progress(*_advance(children), message + (f", {len(failed)} not COMPLETED" if failed else ""))
    totals = await _totals(Journal(ctx.store), children)
    return {"mode": mode_of(ctx), "shards": len(shards), "not_completed": failed, **totals.model_dump()}


async def _children(ctx: JobContext) -> list[Job]:
    """The shards that this job has created, in this attempt or an earlier one, as far as they are still there."""
    jobs = await ctx.manager.list_jobs(parent_id=ctx.job_id, sort_order="asc")
    return [child for child in jobs if child.type == SHARD_TYPE]


def _exercise_ids(child: Job) -> list[str]:
    ids: list[str] = child.payload["exercise_ids"]
    return ids


async def _create_shards(ctx: JobContext, payload: EnrichField) -> list[str]:
    """One child for every so many of the selected exercises that no child of an earlier attempt has."""
    there = await _children(ctx)
    taken = {exercise_id for child in there for exercise_id in _exercise_ids(child)}
    ids = [exercise_id for exercise_id in await _selected(ctx, payload) if exercise_id not in taken]
    if not ids and not there:
        raise NothingSelected
    choice = payload.model_dump(mode="json", include={*EnrichmentChoice.model_fields})
    requests = [
        JobRequest(
            type=SHARD_TYPE,
            payload={**choice, "exercise_ids": ids[start : start + payload.shard_size]},
            parent_id=ctx.job_id,
            idempotency_key=f"{ctx.job_id}/shard/{ids[start]}",
            mode=ctx.mode,
            queue=ctx.job.queue,
            priority=ctx.job.priority,
            tags=ctx.job.tags,
        )
        for start in range(0, len(ids), payload.shard_size)
    ]
    await ctx.log(f"{len(ids)} exercises in {len(requests)} new shards")
    await ctx.flush()  # who has lost the lease creates nothing
    shards = [child.id for child in there]
    for start in range(0, len(requests), CREATED_AT_ONCE):
        created = await ctx.manager.create_jobs(requests[start : start + CREATED_AT_ONCE], auto_start=True)
        shards.extend(child.id for child in created)
    return shards


async def _selected(ctx: JobContext, payload: EnrichField) -> Sequence[str]:
    """Ids of the exercises to enrich. Named ones that are not there stay, to be counted, unless none is."""
    catalog = CatalogStore(ctx.store)
    if payload.exercise_ids:
        found = await catalog.get(payload.exercise_ids)
        return payload.exercise_ids if any(found) else ()
    if payload.families:
        read = await catalog.snapshot(Touches.of(families=payload.families))
        return [exercise.id for slug in payload.families for exercise in read.members(slug)]
    active = [stored.exercise for stored in await catalog.all("active")]
    # Of one family beside each other: shards lock the families of what they write, and should not wait for others.
    return [exercise.id for exercise in sorted(active, key=lambda exercise: exercise.family_slug)]


def _advance(children: Sequence[Job]) -> tuple[float, float]:
    """How many exercises of all shards are done, and how many there are."""
    sizes = [len(_exercise_ids(child)) for child in children]
    done = [size if child.is_terminal else child.progress.current for child, size in zip(children, sizes, strict=True)]
    return sum(done), sum(sizes)


async def _totals(journal: Journal, children: Sequence[Job]) -> Counts:
    """The children's counts, added up; of a child that did not complete, what it had written until then."""
    totals = Counts()
    for child in children:
        if child.status is JobStatus.COMPLETED and child.result is not None:
            told = child.result.data
            totals += Counts.model_validate({name: told[name] for name in Counts.model_fields})
        else:
            totals += await _written_by(journal, child)
    return totals


async def _written_by(journal: Journal, child: Job) -> Counts:
    """What a shard that did not complete has in the journal."""
    totals = Counts()
    for attempt in range(1, child.attempt + 1):
        for line in await journal.lines(change_id_of(child.id, attempt)):
            if line.operation.kind is OperationKind.PATCH_EXERCISE and line.undone_at is None:
                totals += Counts(exercises=1, enriched=1, written=dict.fromkeys(line.operation.patch, 1))
    return totals

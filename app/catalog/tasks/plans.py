"""The job types that change the catalogue by a plan: each a payload, a planner, and the street that all plans take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from app.catalog.payloads import (
    AliasRepair,
    ExerciseAdd,
    FamilyAudit,
    FamilyMerge,
    FamilyNormalize,
    FamilyRenameSlug,
    FamilySplit,
    MergeCandidate,
    SchemaCleanup,
    TargetedFix,
)
from app.catalog.planners import (
    add_exercise,
    alias_repair,
    audit,
    cleanup,
    merge_candidate,
    merge_families,
    normalize,
    rename_family_slug,
    split_family,
    targeted_fix,
)
from app.catalog.plans import ChangePlan, OperationKind, Snapshot, Touches
from app.catalog.plans.diff import diff_lines
from app.catalog.plans.replay import with_previews
from app.catalog.store import CatalogStore
from app.catalog.tasks.mode import may_write
from app.catalog.tasks.planning import Decided, carry_out
from app.jobs import JobContext, JobQueue, JobRequest, RetryLater, job

PayloadT = TypeVar("PayloadT", bound=BaseModel)
MOST_LOOKS = 20
"""Reads in a row after which a planner that still asks for more is wrong: chains of merges are shorter."""
MOVED_SECONDS = 1.0
"""How long a job waits when what it looks at has just been moved."""


@dataclass(frozen=True, slots=True)
class Planner(Generic[PayloadT]):
    """What a job type plans with; see `app.catalog.planners`."""

    needs: Callable[[PayloadT, Snapshot], Touches]
    build: Callable[[PayloadT, Snapshot], ChangePlan]
    follows: bool = False
    """Whether what it needs depends on what it reads, such as where an alias leads."""


async def touches_of(catalog: CatalogStore, planner: Planner[PayloadT], payload: PayloadT) -> Touches:
    """What a plan is made of: asked again when that was read, until nothing more is asked for."""
    touches = planner.needs(payload, Snapshot())
    if not planner.follows:
        return touches
    for _ in range(MOST_LOOKS):
        wanted = touches | planner.needs(payload, await catalog.snapshot(touches))
        if wanted == touches:
            return touches
        touches = wanted
    raise RuntimeError(f"{payload!r:.200} asked for more after {MOST_LOOKS} reads; its planner never comes to an end")


async def plan_of(catalog: CatalogStore, planner: Planner[PayloadT], payload: PayloadT) -> tuple[ChangePlan, Snapshot]:
    """A plan as it would be made now, not judged, and what it was made of.

    Raises:
        CannotPlan: what the planner refused.
    """
    snapshot = await catalog.snapshot(await touches_of(catalog, planner, payload))
    return planner.build(payload, snapshot), snapshot


async def run_plan(
    ctx: JobContext, planner: Planner[PayloadT], payload: PayloadT, decided: Decided | None = None
) -> dict[str, Any]:
    """Carry a planner's plan out, or the one that a person gave instead of it; see `carry_out`.

    Raises:
        RetryLater: what it looks at was moved between looking and locking.
    """
    catalog = CatalogStore(ctx.store)
    touches = await touches_of(catalog, planner, payload)

    def build(snapshot: Snapshot) -> ChangePlan:
        if not planner.needs(payload, snapshot) <= touches:
            raise RetryLater(MOVED_SECONDS)
        return planner.build(payload, snapshot)

    return await carry_out(ctx, build, touches=touches, decided=decided)


async def ask_first(
    ctx: JobContext, planner: Planner[PayloadT], payload: PayloadT, question: str, evidence: dict[str, Any]
) -> Decided | None:
    """Before a job applies what it is not sure of, a person decides, with the plan and the evidence in view.

    Nobody is asked about a plan that would change nothing.

    Returns:
        What was decided; None if nobody was asked.
    """
    if not may_write(ctx):
        return None

    async def shown() -> dict[str, Any] | None:
        plan, snapshot = await plan_of(CatalogStore(ctx.store), planner, payload)
        if all(operation.kind is OperationKind.NO_CHANGE for operation in plan.operations):
            return None
        plan = with_previews(plan, snapshot, ctx.manager.runtime.clock.now())
        return {"plan": plan.model_dump(mode="json"), "diff": diff_lines(plan), "evidence": evidence}

    request = await ctx.step("show", shown)
    if request is None:
        return None
    return Decided(request["plan"], await ctx.request_review(question, request, name="approve"))


NORMALIZE = Planner(normalize.needs, normalize.build)
MERGE_FAMILIES = Planner(merge_families.needs, merge_families.build)
SPLIT_FAMILY = Planner(split_family.needs, split_family.build)
RENAME_FAMILY = Planner(rename_family_slug.needs, rename_family_slug.build)
AUDIT = Planner(audit.needs, audit.build)
ADD_EXERCISE = Planner(add_exercise.needs, add_exercise.build, follows=True)
TARGETED_FIX = Planner(targeted_fix.needs, targeted_fix.build, follows=True)
MERGE_CANDIDATE = Planner(merge_candidate.needs, merge_candidate.build, follows=True)
ALIAS_REPAIR = Planner(alias_repair.needs, alias_repair.build, follows=True)
CLEANUP = Planner(cleanup.needs, cleanup.build)


@job("family_normalize", queue=JobQueue.MAINTENANCE, payload_model=FamilyNormalize)
async def family_normalize(ctx: JobContext, payload: FamilyNormalize) -> dict[str, Any]:
    """Names of one family to "Base (Equipment)" if it has several kinds; old slugs become aliases."""
    return await run_plan(ctx, NORMALIZE, payload)


@job("family_merge", queue=JobQueue.MAINTENANCE, payload_model=FamilyMerge)
async def family_merge(ctx: JobContext, payload: FamilyMerge) -> dict[str, Any]:
    """One family into another: what the target lacks moves, the rest is listed for a person."""
    decided = None
    if payload.needs_review:
        question = f"are {payload.source_family} and {payload.target_family} one family?"
        decided = await ask_first(ctx, MERGE_FAMILIES, payload, question, payload.evidence)
    return await run_plan(ctx, MERGE_FAMILIES, payload, decided)


@job("family_split", queue=JobQueue.MAINTENANCE, payload_model=FamilySplit)
async def family_split(ctx: JobContext, payload: FamilySplit) -> dict[str, Any]:
    """Exercises of some equipment into families of their own."""
    return await run_plan(ctx, SPLIT_FAMILY, payload)


@job("family_rename_slug", queue=JobQueue.MAINTENANCE, payload_model=FamilyRenameSlug)
async def family_rename_slug(ctx: JobContext, payload: FamilyRenameSlug) -> dict[str, Any]:
    """Another slug for one family; the old one becomes an alias."""
    return await run_plan(ctx, RENAME_FAMILY, payload)


@job("family_audit", queue=JobQueue.MAINTENANCE, payload_model=FamilyAudit)
async def family_audit(ctx: JobContext, payload: FamilyAudit) -> dict[str, Any]:
    """What is wrong with one family, as a plan that changes nothing."""
    return await run_plan(ctx, AUDIT, payload)


@job("exercise_add", queue=JobQueue.PRIORITY, payload_model=ExerciseAdd)
async def exercise_add(ctx: JobContext, payload: ExerciseAdd) -> dict[str, Any]:
    """A new exercise, its family, name and slug derived; its enrichment is queued."""
    result = await run_plan(ctx, ADD_EXERCISE, payload)
    created = [each["targets"][0] for each in result["plan"]["operations"] if each["kind"] == "create_exercise"]
    ids = [target.removeprefix("exercise/") for target in created]
    enrichment = None
    if result["applied"] and ids and payload.enrich:
        request = JobRequest(
            type="catalog_enrich_field",
            payload={"exercise_ids": ids},
            mode=ctx.mode,
            tags=ctx.job.tags,
            idempotency_key=f"{ctx.job_id}/enrich",
        )
        await ctx.flush()  # who has lost the lease creates nothing
        (queued,) = await ctx.manager.create_jobs([request], auto_start=True)
        enrichment = queued.id
    return {**result, "exercise_ids": ids, "enrichment_job": enrichment}


@job("targeted_fix", queue=JobQueue.PRIORITY, payload_model=TargetedFix)
async def targeted_fix_(ctx: JobContext, payload: TargetedFix) -> dict[str, Any]:
    """One change of one exercise: rename, archive, fix_identity or patch."""
    return await run_plan(ctx, TARGETED_FIX, payload)


@job("merge_candidate", queue=JobQueue.PRIORITY, payload_model=MergeCandidate)
async def merge_candidate_(ctx: JobContext, payload: MergeCandidate) -> dict[str, Any]:
    """One exercise folded into another that is the same."""
    decided = None
    if payload.needs_review:
        question = f"is {payload.source_id} the same exercise as {payload.target_id}?"
        decided = await ask_first(ctx, MERGE_CANDIDATE, payload, question, payload.evidence)
    return await run_plan(ctx, MERGE_CANDIDATE, payload, decided)


@job("alias_repair", queue=JobQueue.MAINTENANCE, payload_model=AliasRepair)
async def alias_repair_(ctx: JobContext, payload: AliasRepair) -> dict[str, Any]:
    """What the alias scan found, mended as far as it is sure what an alias means."""
    return await run_plan(ctx, ALIAS_REPAIR, payload)


@job("schema_cleanup", queue=JobQueue.MAINTENANCE, payload_model=SchemaCleanup)
async def schema_cleanup(ctx: JobContext, payload: SchemaCleanup) -> dict[str, Any]:
    """Deprecated fields of some exercises removed."""
    return await run_plan(ctx, CLEANUP, payload)


PLANNERS: dict[str, tuple[type[BaseModel], Planner[Any]]] = {
    "family_normalize": (FamilyNormalize, NORMALIZE),
    "family_merge": (FamilyMerge, MERGE_FAMILIES),
    "family_split": (FamilySplit, SPLIT_FAMILY),
    "family_rename_slug": (FamilyRenameSlug, RENAME_FAMILY),
    "family_audit": (FamilyAudit, AUDIT),
    "exercise_add": (ExerciseAdd, ADD_EXERCISE),
    "targeted_fix": (TargetedFix, TARGETED_FIX),
    "merge_candidate": (MergeCandidate, MERGE_CANDIDATE),
    "alias_repair": (AliasRepair, ALIAS_REPAIR),
    "schema_cleanup": (SchemaCleanup, CLEANUP),
}
"""By job type, what its payload is checked by and its planner."""

"""The one street of every job that changes the catalogue by a plan: plan, judge, mend, show or apply, read back.

What must not come out differently when an attempt is interrupted is a recorded step: the plan, each repair, each
judgement of what a person decided, and how applying ended. A later attempt is given what was recorded, and applying
goes on behind the last operation that is in the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from pydantic import ValidationError

from app.catalog.apply import ApplyEngine, ApplyOutcome, Journal, change_id_of
from app.catalog.locks import FamilyLocks
from app.catalog.plans.diff import diff_lines
from app.catalog.plans.finding import Finding
from app.catalog.plans.plan import ChangePlan
from app.catalog.plans.replay import with_previews
from app.catalog.plans.snapshot import Snapshot, Touches, touched
from app.catalog.plans.validate import validate
from app.catalog.repair import RuleBasedRepairer
from app.catalog.store import CatalogStore
from app.catalog.tasks.mode import may_write, mode_of
from app.jobs import (
    Cancel,
    ContinueLater,
    JobContext,
    PermanentError,
    Repair,
    RepairableError,
    Repairer,
    ReviewDecision,
    ReviewNeeded,
    TooLarge,
    execute_with_repair_loop,
)

Build: TypeAlias = Callable[[Snapshot], ChangePlan]
"""A planner: pure. What it refuses it raises as `PermanentError`."""

ResultT = TypeVar("ResultT")

AT_ONCE = 200
"""Exercises in a snapshot up to which a plan is made and judged on the event loop: a tenth of a second."""
SHOWN_LINES = 500
"""Lines of the readable diff that a job's result has; the plan in it has everything."""


async def carry_out(
    ctx: JobContext,
    build: Build,
    *,
    touches: Touches,
    locks: Iterable[str] | None = None,
    repairer: Repairer[ChangePlan] | None = None,
    decided: Decided | None = None,
) -> dict[str, Any]:
    """Plan, judge, mend; then show the plan, or apply it and read it back.

    Args:
        ctx: the job's. Its mode says whether anything is written.
        build: makes the plan from the part of the catalogue that `touches` names.
        touches: what the planner looks at. What its plan touches besides is read by itself.
        locks: the families to lock while applying; by default those that `touches` names, and those of its exercises.
            What the plan touches besides, and what a person's plan touches, is locked as well, unless this is empty.
            A dry run locks nothing.
        repairer: mends plans; by default the application's setting `catalog_repairer`, else the one without a model.
        decided: what a person decided about a plan that was shown before; a plan given instead is the one to judge.

    Returns:
        For the job's result: `mode`, `status` (`planned`, `applied`), `change_id` (None in a dry run), `risk`,
        `operations` and `applied` (numbers), `plan`, `findings` (those that did not hold it up), `repairs` (each with
        its fixes) and `diff` (lines).

    Raises:
        ApplyDisabled, UnknownMode: see `may_write`.
        PlanTooLarge: the plan fits no record.
        PermanentError: what the planner refused.
        LeaseLost: the job is somebody else's.
        Leave: the job waits for a lock, or for a person.
    """
    writes = may_write(ctx)
    catalog = CatalogStore(ctx.store)
    named = None if locks is None else frozenset(locks)
    async with AsyncExitStack() as stack:
        held = FamilyLocks(ctx, stack) if writes and named != frozenset() else None
        if held is not None:
            # An exercise may be moved between the look at its family and the lock on that.
            while await held.hold(await _families(catalog, touches) if named is None else named):
                pass
        chosen = repairer or repairer_of(ctx)
        return await _Street(ctx, catalog, build, touches, chosen, writes=writes, locks=held).walk(decided)


async def _families(catalog: CatalogStore, touches: Touches) -> set[str]:
    found = await catalog.get(sorted(touches.exercises | touches.families_of))
    return set(touches.families) | {stored.exercise.family_slug for stored in found if stored is not None}


def _families_of(plan: ChangePlan, snapshot: Snapshot) -> tuple[str, ...]:
    """The families that a plan changes: those that its exercises are in, or come into, and those that it names."""
    exercises = (snapshot.exercises.get(each) for operation in plan.operations for each in operation.exercise_ids())
    found = {exercise.family_slug for exercise in exercises if exercise is not None} | touched(plan).families
    return tuple(sorted(found))


def repairer_of(ctx: JobContext) -> Repairer[ChangePlan]:
    """The application's repairer: its setting `catalog_repairer`, else the one without a model."""
    chosen: Any = ctx.application.get("catalog_repairer")
    return RuleBasedRepairer() if chosen is None else chosen


@dataclass(frozen=True, slots=True)
class Decided:
    """What a person decided about a plan before it was carried out."""

    shown: dict[str, Any]
    """The plan that the person saw."""
    decision: ReviewDecision


def _given_plan(decision: ReviewDecision) -> object | None:
    """The plan that a person gave instead of the one shown, if any."""
    return decision.data.get("plan") if isinstance(decision.data, dict) else None


class PlanTooLarge(PermanentError):
    """A plan that does not fit one record of its job. Nothing of it was applied."""

    code = "PLAN_TOO_LARGE"

    def __init__(self, problem: TooLarge) -> None:
        super().__init__(f"{problem}; let the job change fewer exercises at once")


@dataclass(frozen=True, slots=True)
class _Judged:
    """A plan with what is wrong with it."""

    plan: ChangePlan
    findings: tuple[Finding, ...]
    families: tuple[str, ...] = ()
    """The families that it changes."""

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.is_error]

    def as_json(self) -> dict[str, Any]:
        return {
            "plan": self.plan.model_dump(mode="json"),
            "findings": [finding.model_dump(mode="json") for finding in self.findings],
            "families": list(self.families),
        }

    @classmethod
    def of_json(cls, told: dict[str, Any]) -> _Judged:
        findings = tuple(Finding.model_validate(each) for each in told["findings"])
        return cls(ChangePlan.model_validate(told["plan"]), findings, tuple(told["families"]))


class _Street:
    """One job's walk from its planner to its result."""

    def __init__(
        self,
        ctx: JobContext,
        catalog: CatalogStore,
        build: Build,
        touches: Touches,
        repairer: Repairer[ChangePlan],
        *,
        writes: bool,
        locks: FamilyLocks | None,
    ) -> None:
        self._ctx = ctx
        self._catalog = catalog
        self._build = build
        self._touches = touches
        self._repairer = repairer
        self._writes = writes
        self._locks = locks
        self._repairs: list[dict[str, Any]] = []
        self._steps = 0
        self._first: _Judged
        self._change_id: str

    async def walk(self, decided: Decided | None) -> dict[str, Any]:
        """To the end, through as many decisions of people as it takes."""
        planned = await self._step("plan", self._plan)
        self._change_id = planned["change_id"]
        self._first = _Judged.of_json(planned)
        if decided is not None and _given_plan(decided.decision) is not None:
            judged = await self._step("judge", self._judge_decided, decided.shown, decided.decision)
            self._first = _Judged.of_json(judged)
        while True:
            try:
                return await execute_with_repair_loop(self._execute, self)
            except ReviewNeeded as needed:
                request: dict[str, Any] = dict(needed.request) if isinstance(needed.request, dict) else {}
            self._steps += 1
            request["diff"] = diff_lines(ChangePlan.model_validate(request["work"]))[:SHOWN_LINES]
            decision = await self._ctx.request_review(request["code"], request, name=f"review {self._steps}")
            judged = await self._step("judge", self._judge_decided, request["work"], decision)
            self._first = _Judged.of_json(judged)

    # --- the repair loop's two sides ---

    async def _execute(self, work: _Judged | None) -> dict[str, Any]:
        judged = work or self._first
        if judged.errors:
            raise _needs_repair("the plan is not valid", judged.plan, judged.errors)
        if not self._writes:
            return self._result(judged, None)
        if self._locks is not None:
            await self._locks.hold(judged.families)
        told = await self._step("apply", self._apply, judged.plan)
        findings = [Finding.model_validate(each) for each in told["findings"]]
        if findings:
            # What was applied is in the journal, and would only look wrong when it is judged again.
            left = [operation for operation in judged.plan.operations if operation.id in told["left"]]
            rest = judged.plan.changed(operations=left)
            raise _needs_repair("the plan was not applied as it should be", rest, findings)
        return self._result(judged, told["applied"])

    async def repair(self, work: _Judged | None, error: RepairableError, repairs_left: int) -> Repair[_Judged]:
        """What the repairer proposes, judged, and recorded: a model is not asked twice about the same."""
        told = await self._step("repair", self._mend, error, repairs_left)
        mended = None if told["judged"] is None else _Judged.of_json(told["judged"])
        answer = {name: told[name] for name in ("can_repair", "analysis", "fixes", "confidence")}
        self._repairs.append({**answer, "findings": error.findings})
        return Repair(work=mended, **answer)

    # --- what is recorded ---

    async def _step(self, name: str, work: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        self._steps += 1
        try:
            told: dict[str, Any] = await self._ctx.step(f"{name} {self._steps}", work, *arguments)
        except TooLarge as problem:
            raise PlanTooLarge(problem) from problem
        return told

    async def _plan(self) -> dict[str, Any]:
        snapshot = await self._catalog.snapshot(self._touches)
        at = self._ctx.manager.runtime.clock.now()
        plan = await _worked_out(self._build, snapshot)
        judged = await self._judge(plan, at, snapshot)
        return {"change_id": change_id_of(self._ctx.job_id, self._ctx.attempt), **judged.as_json()}

    async def _mend(self, error: RepairableError, repairs_left: int) -> dict[str, Any]:
        plan = ChangePlan.model_validate(error.work)
        answer = await self._repairer.repair(plan, error, repairs_left)
        judged = None
        if answer.can_repair and answer.work is not None:
            judged = (await self._judge(answer.work, plan.made_at)).as_json()
        return {
            "can_repair": answer.can_repair,
            "analysis": answer.analysis,
            "fixes": answer.fixes,
            "confidence": answer.confidence,
            "judged": judged,
        }

    async def _judge_decided(self, work: dict[str, Any], decision: ReviewDecision) -> dict[str, Any]:
        """The plan that a person approved, or gave instead, judged on the catalogue as it is now."""
        reviewed = ChangePlan.model_validate(work)
        given = _given_plan(decision)
        try:
            plan = reviewed if given is None else ChangePlan.model_validate(given)
        except ValidationError as error:
            message = f"{decision.by} gave a plan that is none: {error}; mend the plan that is shown"
            finding = Finding(code="BAD_PLAN", field="plan", message=message)
            return _Judged(reviewed, (finding,)).as_json()
        newer = plan.changed(version=reviewed.version + 1)
        return (await self._judge(newer, self._ctx.manager.runtime.clock.now())).as_json()

    async def _apply(self, plan: ChangePlan) -> dict[str, Any]:
        engine = ApplyEngine(self._catalog, Journal(self._ctx.store), self._ctx.commit)
        outcome: ApplyOutcome = await engine.apply(plan, self._change_id, self._between)
        findings = [finding.model_dump(mode="json") for finding in outcome.findings]
        return {"applied": outcome.applied, "left": list(outcome.left), "findings": findings}

    # --- smaller parts ---

    async def _judge(self, plan: ChangePlan, at: datetime | None, snapshot: Snapshot | None = None) -> _Judged:
        """A plan with its previews and findings; `snapshot` is what was read for `touches`, if it was just read."""
        made = plan.changed(job_id=self._ctx.job_id, made_at=at)
        needed = self._touches | touched(made)
        if snapshot is None or not needed <= self._touches:
            snapshot = await self._catalog.snapshot(needed)

        def work(part: Snapshot) -> _Judged:
            shown = with_previews(made, part, at) if at is not None else made
            return _Judged(shown, validate(shown, part), _families_of(shown, part))

        return await _worked_out(work, snapshot)

    async def _between(self, done: int, total: int) -> None:
        """Between two operations: tell how far it is, and stop where a later attempt can go on."""
        await self._ctx.report_progress(done, total, f"{done} of {total} operations applied")
        if done == total:
            return
        if self._ctx.is_cancelled:
            raise Cancel(
                f"cancelled after {done} of {total} operations; undo change {self._change_id} to take them back"
            )
        await self._ctx.save_checkpoint({"operations": done})  # ends the attempt here for a pause or a slice
        if self._ctx.is_stopping:
            raise ContinueLater

    def _result(self, judged: _Judged, applied: int | None) -> dict[str, Any]:
        plan = judged.plan
        return {
            "mode": mode_of(self._ctx),
            "status": "planned" if applied is None else "applied",
            "change_id": None if applied is None else self._change_id,
            "risk": str(plan.risk),
            "operations": len(plan.operations),
            "applied": applied or 0,
            "plan": plan.model_dump(mode="json"),
            "findings": [finding.model_dump(mode="json") for finding in judged.findings],
            "repairs": self._repairs,
            "diff": diff_lines(plan)[:SHOWN_LINES],
        }


async def _worked_out(work: Callable[[Snapshot], ResultT], snapshot: Snapshot) -> ResultT:
    """What pure work on a snapshot comes to; in a thread if that takes long: renewals of other jobs must not wait."""
    if len(snapshot.exercises) <= AT_ONCE:
        return work(snapshot)
    return await asyncio.to_thread(work, snapshot)


def _needs_repair(message: str, plan: ChangePlan, findings: Iterable[Finding]) -> RepairableError:
    found = list(findings)
    told = "; ".join(str(finding) for finding in found[:5])
    return RepairableError(
        f"{message}: {told}", plan.model_dump(mode="json"), [finding.model_dump(mode="json") for finding in found]
    )

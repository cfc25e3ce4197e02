"""The repair loop: run, mend, run again, and when nothing helps leave it to a person with all that was tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.jobs import (
    BaseTask,
    Job,
    JobContext,
    JobStatus,
    NoEngine,
    Repair,
    RepairableError,
    ReviewNeeded,
    RunnerResult,
    execute_with_repair_loop,
)
from app.jobs.errors import BadInput
from tests.support.engine import Engine

C, F, Q, N = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.QUEUED, JobStatus.NEEDS_REVIEW


@dataclass
class Scripted:
    """A repairer that answers from a list, and notes what it was asked."""

    answers: list[Repair[Any]]
    asked: list[tuple[Any, str, list[Any], int]] = field(default_factory=list)

    async def repair(self, work: Any, error: RepairableError, repairs_left: int) -> Repair[Any]:
        self.asked.append((work, str(error), error.findings, repairs_left))
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


def fixed(work: Any, confidence: float = 1.0, analysis: str = "mended") -> Repair[Any]:
    return Repair(can_repair=True, analysis=analysis, work=work, fixes=[f"now {work}"], confidence=confidence)


async def run(
    engine: Engine, execute: Callable[[Any], Any], repairer: Scripted, **options: Any
) -> tuple[Job, list[Any], list[str]]:
    """The job after a repair loop, what was executed, and its log."""
    executed: list[Any] = []

    async def noting(work: Any) -> Any:
        executed.append(work)
        return execute(work)

    @engine.job("it", retry_delay_seconds=60)
    async def handler(ctx: JobContext) -> Any:
        return await execute_with_repair_loop(noting, repairer, **options)

    job_id = await engine.submitted("it")
    await engine.drain()
    return await engine.get(job_id), executed, await engine.log(job_id)


def works_with(*good: Any) -> Callable[[Any], Any]:
    def execute(work: Any) -> Any:
        if work not in good:
            raise RepairableError(f"{work} will not do", work=work, findings=[{"at": work}])
        return {"done": work}

    return execute


async def test_what_works_at_once_is_not_repaired(engine: Engine) -> None:
    repairer = Scripted([])
    job, executed, log = await run(engine, works_with(None), repairer)
    assert (job.status, executed, repairer.asked, log) == (C, [None], [], [])
    assert job.result is not None
    assert job.result.data == {"done": None}


async def test_what_was_mended_is_run_again_and_logged(engine: Engine) -> None:
    repairer = Scripted([fixed("plan 2"), fixed("plan 3", 0.75, "another slip")])
    job, executed, log = await run(engine, works_with("plan 3"), repairer)
    assert (job.status, executed) == (C, [None, "plan 2", "plan 3"])
    assert repairer.asked == [
        (None, "None will not do", [{"at": None}], 3),
        ("plan 2", "plan 2 will not do", [{"at": "plan 2"}], 2),
    ]
    assert log == [
        "try 1 failed: None will not do",
        "repair 1 of 3: mended (confidence 1.00)",
        "try 2 failed: plan 2 will not do",
        "repair 2 of 3: another slip (confidence 0.75)",
    ]


@pytest.mark.parametrize("max_repairs", [0, 1, 3])
async def test_when_every_try_is_used_up_a_person_decides(engine: Engine, max_repairs: int) -> None:
    """Given a loop of so many repairs, when none helps, then it was run once more than that, and waits for review."""
    repairer = Scripted([fixed(f"plan {number}") for number in range(1, 10)])
    job, executed, log = await run(engine, works_with("never"), repairer, max_repairs=max_repairs)
    assert executed == [None, *(f"plan {number}" for number in range(1, max_repairs + 1))]
    assert (job.status, job.retries_used) == (N, 0)
    request = job.review["request"]
    assert (job.review["reason"], request["code"]) == ("REPAIR_LOOP_EXHAUSTED", "REPAIR_LOOP_EXHAUSTED")
    assert [each["number"] for each in request["tries"]] == list(range(1, max_repairs + 2))
    assert request["work"] == executed[-1]
    assert request["findings"] == [{"at": executed[-1]}]
    assert log[-1] == f"REPAIR_LOOP_EXHAUSTED after {max_repairs + 1} tries; a person has to decide"
    assert len(log) == 2 * max_repairs + 2


@pytest.mark.parametrize(
    "hopeless",
    [
        Repair(can_repair=False, analysis="beyond me"),
        Repair(can_repair=True, analysis="beyond me", work=None),
        fixed("plan 2", confidence=0.49, analysis="beyond me"),
    ],
    ids=["cannot", "nothing proposed", "not sure enough"],
)
async def test_what_cannot_be_repaired_goes_to_a_person_at_once(engine: Engine, hopeless: Repair[Any]) -> None:
    job, executed, log = await run(engine, works_with("never"), Scripted([hopeless]))
    assert (job.status, executed) == (N, [None])
    (only,) = job.review["request"]["tries"]
    assert (only["analysis"], only["error"]) == ("beyond me", "None will not do")
    assert log[1].startswith("not repaired: beyond me (confidence ")


async def test_how_sure_a_repairer_must_be_can_be_said(engine: Engine) -> None:
    repairer = Scripted([fixed("plan 2", confidence=0.2)])
    job, executed, _ = await run(engine, works_with("plan 2"), repairer, min_confidence=0.1)
    assert (job.status, executed) == (C, [None, "plan 2"])


async def test_other_errors_go_through_to_the_retry_policy(engine: Engine) -> None:
    def execute(work: Any) -> Any:
        raise ConnectionError("the model is away")

    repairer = Scripted([])
    job, executed, _ = await run(engine, execute, repairer)
    assert (job.status, job.error and job.error.code, executed, repairer.asked) == (Q, "ConnectionError", [None], [])


async def test_an_error_of_the_repairer_is_a_failed_attempt(engine: Engine) -> None:
    class Broken(Scripted):
        async def repair(self, work: Any, error: RepairableError, repairs_left: int) -> Repair[Any]:
            raise KeyError("repairer")

    job, _, log = await run(engine, works_with("never"), Broken([]))
    assert (job.status, job.error and job.error.code, log) == (Q, "KeyError", ["try 1 failed: None will not do"])


async def test_a_person_can_approve_and_it_runs_again(engine: Engine) -> None:
    job, _, _ = await run(engine, works_with("never"), Scripted([Repair(can_repair=False, analysis="?")]))
    approved = await engine.manager.review(job.id, "approve", by="ann")
    assert approved.status is Q
    await engine.drain()
    assert (await engine.get(job.id)).attempt == 2


async def test_it_works_inside_a_task_class_too(engine: Engine) -> None:
    @engine.job("it")
    class It(BaseTask[RunnerResult]):
        async def _execute_impl(self, context: JobContext) -> list[RunnerResult]:
            async def execute(work: Any) -> Any:
                return works_with("never")(work)

            return await execute_with_repair_loop(execute, Scripted([Repair(can_repair=False, analysis="?")]))

        async def _handle_execution_error(self, error: Exception, context: JobContext) -> list[RunnerResult]:
            return [RunnerResult(success=False, message="swallowed")]

    job_id = await engine.submitted("it")
    await engine.drain()
    assert (await engine.get(job_id)).status is N


async def test_outside_of_a_job_there_is_nobody_to_ask() -> None:
    async def execute(work: Any) -> Any:
        return 1

    with pytest.raises(NoEngine):
        await execute_with_repair_loop(execute, Scripted([]))


async def test_a_negative_number_of_repairs_is_refused(engine: Engine) -> None:
    job, executed, _ = await run(engine, works_with(None), Scripted([]), max_repairs=-1)
    assert executed == []
    assert job.error is not None
    assert job.error.message == "max_repairs: -1 is negative; give 0 or more"
    with pytest.raises(BadInput, match=r"^max_repairs: "):
        await execute_with_repair_loop(lambda work: None, Scripted([]), max_repairs=-1)  # type: ignore[arg-type, return-value]


def test_the_review_carries_its_reason() -> None:
    asked = ReviewNeeded("why", {"a": 1})
    assert (asked.reason, asked.request, str(asked)) == ("why", {"a": 1}, "why")

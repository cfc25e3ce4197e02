"""The repair loop: run, and when it went wrong let a repairer mend the cause and run again.

`max_repairs` counts the tries after the first. When nothing can be repaired, or every
try is used up, the job waits for a person with everything that was tried.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from app.jobs.context import JobContext, get_current_job_context
from app.jobs.errors import BadInput, NoEngine, ReviewNeeded, TorporError
from app.jobs.models import Json

logger = logging.getLogger(__name__)

T = TypeVar("T")
WorkT = TypeVar("WorkT")

REPAIR_LOOP_EXHAUSTED = "REPAIR_LOOP_EXHAUSTED"
MIN_CONFIDENCE = 0.5
"""Below this a repairer's proposal is left to a person."""


class RepairableError(TorporError):
    """Raised by what is executed when its input is wrong in ways that might be repaired.

    Args:
        message: what went wrong.
        work: what was executed, such as a plan: any JSON value.
        findings: what is wrong with it, one JSON value each.
    """

    code = "REPAIRABLE"

    def __init__(self, message: str, work: Json = None, findings: list[Json] | None = None) -> None:
        self.work = work
        self.findings = findings or []
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Repair(Generic[WorkT]):
    """A repairer's answer."""

    can_repair: bool
    analysis: str
    work: WorkT | None = None
    """What to execute next."""
    fixes: list[Json] = field(default_factory=list)
    """What was changed, for the log and for a person."""
    confidence: float = 1.0


class Repairer(Protocol[WorkT]):
    """Reads what went wrong and proposes what to execute instead."""

    async def repair(self, work: WorkT | None, error: RepairableError, repairs_left: int) -> Repair[WorkT]:
        """A proposal. `work` is None at the first failure if the first execution made its own."""


@dataclass(frozen=True, slots=True)
class Try:
    """One execution and what was made of its failure."""

    number: int
    error: str
    findings: list[Json]
    analysis: str = ""
    fixes: list[Json] = field(default_factory=list)
    confidence: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


async def execute_with_repair_loop(
    execute: Callable[[WorkT | None], Awaitable[T]],
    repairer: Repairer[WorkT],
    *,
    max_repairs: int = 3,
    min_confidence: float = MIN_CONFIDENCE,
) -> T:
    """Execute, repairing what went wrong, at most `max_repairs` times after the first.

    Args:
        execute: does the work; given None first, then what the repairer proposed. Raises `RepairableError`
            when its input is wrong in a way that may be repaired; any other error goes through.
        repairer: proposes what to execute instead.
        max_repairs: tries after the first one.
        min_confidence: a proposal below this is left to a person.

    Returns:
        What `execute` returned.

    Raises:
        ReviewNeeded: not repairable, or every try is used up; the job goes to NEEDS_REVIEW with each try.
        NoEngine: called outside of a job.
        BadInput: a negative `max_repairs`.
    """
    if max_repairs < 0:
        raise BadInput("max_repairs", f"{max_repairs} is negative", "give 0 or more")
    context = get_current_job_context()
    if not isinstance(context, JobContext):
        raise NoEngine
    tries: list[Try] = []
    work: WorkT | None = None
    for number in range(1, max_repairs + 2):
        try:
            return await execute(work)
        except RepairableError as error:
            failed = error
        left = max_repairs + 1 - number
        await context.log(f"try {number} failed: {failed}", "WARNING")
        if left == 0:
            tries.append(Try(number, str(failed), failed.findings))
            break
        proposal = await repairer.repair(work, failed, left)
        tries.append(Try(number, str(failed), failed.findings, proposal.analysis, proposal.fixes, proposal.confidence))
        usable = proposal.can_repair and proposal.work is not None and proposal.confidence >= min_confidence
        verdict = f"repair {number} of {max_repairs}" if usable else "not repaired"
        await context.log(f"{verdict}: {proposal.analysis} (confidence {proposal.confidence:.2f})")
        if not usable:
            break
        work = proposal.work
    await context.log(f"{REPAIR_LOOP_EXHAUSTED} after {len(tries)} tries; a person has to decide", "ERROR")
    request = {"code": REPAIR_LOOP_EXHAUSTED, "work": failed.work, "findings": failed.findings}
    raise ReviewNeeded(REPAIR_LOOP_EXHAUSTED, {**request, "tries": [each.as_dict() for each in tries]})

"""Whether and when a failed attempt is tried again: pure decisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.jobs.errors import PayloadInvalid, PermanentError, RetryLater
from app.jobs.models import Job

MAX_DELAY_SECONDS = 86400.0
"""No backoff waits longer than a day."""

JITTER = 0.25


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """Try again after `delay_seconds`, or not at all, and why."""

    again: bool
    delay_seconds: float = 0.0
    reason: str = ""


def delay_seconds(
    backoff: Literal["fixed", "exponential"], base_seconds: float, retries_used: int, fraction: float
) -> float:
    """The pause before the next try: never shorter than what was declared.

    Exponential doubles the base for each retry used, and adds a random part of up to a quarter, so that jobs
    that failed together do not come back together.

    Args:
        backoff: `fixed` or `exponential`.
        base_seconds: the delay before the first retry.
        retries_used: how many retries there were already.
        fraction: a random number in [0, 1).
    """
    if backoff == "fixed":
        return min(base_seconds, MAX_DELAY_SECONDS)
    shortest = base_seconds * 2.0 ** min(retries_used, 60)
    return min(shortest * (1 + JITTER * fraction), MAX_DELAY_SECONDS)


def decide_retry(job: Job, error: BaseException, wanted: bool, fraction: Callable[[], float]) -> RetryDecision:
    """What follows a failed attempt.

    Args:
        job: the job as it was while the attempt ran.
        error: what the handler raised.
        wanted: what the handler's `_should_retry_on_error` says.
        fraction: gives a random number in [0, 1).
    """
    if isinstance(error, PermanentError | PayloadInvalid):
        return RetryDecision(again=False, reason=f"{type(error).__name__}: trying again cannot help")
    if job.retries_used >= job.max_retries:
        return RetryDecision(again=False, reason=f"all {job.max_retries} retries are used")
    if isinstance(error, RetryLater):
        return RetryDecision(again=True, delay_seconds=error.seconds, reason="the handler raised RetryLater")
    if not wanted:
        return RetryDecision(again=False, reason="the handler does not retry this error")
    delay = delay_seconds(job.retry_backoff, job.retry_delay_seconds, job.retries_used, fraction())
    return RetryDecision(again=True, delay_seconds=delay, reason=f"retry {job.retries_used + 1} of {job.max_retries}")

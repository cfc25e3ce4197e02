"""Whether and when a failed attempt is tried again."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.errors import AttemptTimeout, BadInput, PayloadInvalid, PermanentError, RetryLater
from app.jobs.models import Job
from app.jobs.retry import MAX_DELAY_SECONDS, decide_retry, delay_seconds
from tests.support.clock import NOON


def job(retries_used: int = 0, max_retries: int = 3, backoff: Literal["fixed", "exponential"] = "exponential") -> Job:
    return Job(
        id="j",
        type="t",
        created_at=NOON,
        updated_at=NOON,
        max_retries=max_retries,
        retries_used=retries_used,
        retry_delay_seconds=10.0,
        retry_backoff=backoff,
    )


def no_jitter() -> float:
    return 0.0


@pytest.mark.parametrize(
    ("backoff", "base", "retries_used", "shortest", "longest"),
    [
        ("fixed", 10.0, 0, 10.0, 10.0),
        ("fixed", 10.0, 9, 10.0, 10.0),
        ("fixed", 0.0, 3, 0.0, 0.0),
        ("fixed", 1e9, 0, MAX_DELAY_SECONDS, MAX_DELAY_SECONDS),
        ("exponential", 10.0, 0, 10.0, 12.5),
        ("exponential", 10.0, 1, 20.0, 25.0),
        ("exponential", 10.0, 4, 160.0, 200.0),
        ("exponential", 0.0, 4, 0.0, 0.0),
        ("exponential", 10.0, 1000, MAX_DELAY_SECONDS, MAX_DELAY_SECONDS),
    ],
)
def test_delays(
    backoff: Literal["fixed", "exponential"], base: float, retries_used: int, shortest: float, longest: float
) -> None:
    assert delay_seconds(backoff, base, retries_used, 0.0) == shortest
    assert delay_seconds(backoff, base, retries_used, 1.0) == longest


@given(st.floats(0, 1e12), st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_jitter_never_shortens_the_delay(base: float, retries_used: int, fraction: float) -> None:
    shortest = min(base * 2.0 ** min(retries_used, 60), MAX_DELAY_SECONDS)
    longest = min(shortest * 1.25, MAX_DELAY_SECONDS)
    assert shortest <= delay_seconds("exponential", base, retries_used, fraction) <= longest
    assert delay_seconds("fixed", base, retries_used, fraction) == min(base, MAX_DELAY_SECONDS)


@pytest.mark.parametrize(
    ("error", "retries_used", "wanted", "again", "delay", "reason"),
    [
        (ValueError("x"), 0, True, True, 10.0, "retry 1 of 3"),
        (ValueError("x"), 2, True, True, 40.0, "retry 3 of 3"),
        (ValueError("x"), 3, True, False, 0.0, "all 3 retries are used"),
        (ValueError("x"), 0, False, False, 0.0, "the handler does not retry this error"),
        (AttemptTimeout(5), 0, True, True, 10.0, "retry 1 of 3"),
        (RetryLater(42), 0, True, True, 42.0, "the handler raised RetryLater"),
        (RetryLater(0), 0, False, True, 0.0, "the handler raised RetryLater"),
        (RetryLater(42), 3, True, False, 0.0, "all 3 retries are used"),
        (PermanentError("no"), 0, True, False, 0.0, "PermanentError: trying again cannot help"),
        (PayloadInvalid("payload.x", "bad", "mend"), 0, True, False, 0.0, "PayloadInvalid: trying again cannot help"),
        (BadInput("x", "bad", "mend"), 0, True, True, 10.0, "retry 1 of 3"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_decisions(error: Exception, retries_used: int, wanted: bool, again: bool, delay: float, reason: str) -> None:
    decision = decide_retry(job(retries_used), error, wanted, no_jitter)
    assert (decision.again, decision.delay_seconds, decision.reason) == (again, delay, reason)


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_max_retries_are_executions_after_the_first(max_retries: int) -> None:
    executions = 1
    while decide_retry(job(executions - 1, max_retries), ValueError(), True, no_jitter).again:
        executions += 1
    assert executions == max_retries + 1


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e18])
def test_a_delay_nobody_can_keep_is_refused_where_it_is_asked_for(seconds: float) -> None:
    with pytest.raises(BadInput, match=r"^seconds: "):
        RetryLater(seconds)

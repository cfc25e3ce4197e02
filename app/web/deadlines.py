"""How much of a request's time there is for its work, and when it is answered at the latest."""

from __future__ import annotations

from dataclasses import dataclass

from app.jobs import BadInput, TorporError

ANSWER_SECONDS = 1.0
"""For what no deadline holds for: reading the request, a thread, and the way of the answer."""
LEAST_WORK_SECONDS = 1.0
"""A request that has less time for its work than this gets nothing done."""


class OutOfTime(TorporError):
    """A request whose time ended before what it asked for was done."""

    code = "OUT_OF_TIME"

    def __init__(self) -> None:
        super().__init__("the request's time was up before this was done; ask again")


@dataclass(frozen=True, slots=True)
class RequestTime:
    """What may be done how long after a request has arrived.

    Args:
        work_seconds: from then on jobs are sliced and leases given back, so that the answer comes in time.
        answer_seconds: from then on nothing is waited for any more, whatever it is.
    """

    work_seconds: float
    answer_seconds: float


def request_time(
    request_seconds: float, *, shutdown_seconds: float = 0.0, publish_seconds: float = 0.0, flush_seconds: float = 0.0
) -> RequestTime:
    """Share a request's time out.

    Args:
        request_seconds: how long whoever calls waits for an answer.
        shutdown_seconds: how long jobs take at most to end once their time is up.
        publish_seconds: how long waking the next one takes at most.
        flush_seconds: how long delivering telemetry takes at most.

    Raises:
        BadInput: nothing would be left for the work.
    """
    answer_seconds = request_seconds - ANSWER_SECONDS - flush_seconds
    work_seconds = answer_seconds - shutdown_seconds - publish_seconds
    if work_seconds < LEAST_WORK_SECONDS:
        least = request_seconds - work_seconds + LEAST_WORK_SECONDS
        problem = f"{request_seconds:g} s leave no time for work beside what ending it takes"
        raise BadInput("request_seconds", problem, f"give it {least:g} at least, or less to shutdown_seconds")
    return RequestTime(work_seconds, answer_seconds)

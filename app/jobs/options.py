"""How an engine behaves: every number of the protocol, in one place, with its default and its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from math import inf

from app.jobs.errors import BadInput
from app.jobs.records import DataLimits

MAX_SHARDS = 64
"""Over how many shards jobs can be spread at most: a worker looks into all of them, however few it knows of."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Settings of an engine. All durations in seconds unless they are a `timedelta`."""

    lease_seconds: float = 60.0
    """How long a worker may be silent before its job is taken back; renewed at a third of it."""
    flush_seconds: float = 5.0
    """How long progress, log and checkpoint wait for a renewal before they are written by themselves."""
    watched_flush_seconds: float = 1.0
    """The same while somebody follows the job."""
    cancel_grace_seconds: float = 10.0
    """How long a handler may go on after a cancel before it is cut off."""
    shutdown_seconds: float = 8.0
    """How long a stopping worker takes at most; Cloud Run kills after 10."""
    abandoned_lease_seconds: float = 15.0
    """What is left of the lease of a handler that will not stop."""
    recovery_timeout: timedelta = timedelta(0)
    """How long a lease must have run out before start-up recovery takes its job back; never lengthens a lease."""
    keep_jobs: timedelta | None = timedelta(days=30)
    """How long an ended job is kept; None for ever."""
    keep_runs: timedelta | None = timedelta(days=90)
    """How long a run summary is kept; None for ever."""
    concurrency: int = 10
    """How many handlers a worker runs at once."""
    shards: int = 1
    """Over how many shards new jobs are spread; 1 keeps one strict order."""
    poll_seconds: float = 60.0
    """How often an idle worker looks that hears of all that becomes claimable; others look as often as their store
    says. A minute, as a sweep: what no hint told of is found as soon."""
    max_depth: int = 100
    """How many jobs may create each other, one the next: more is a loop."""
    claim_batch: int | None = None
    """Most jobs that one claim takes; None leaves it to the store, which knows what it does best."""
    data: DataLimits = field(default_factory=DataLimits)

    def __post_init__(self) -> None:
        durations = ("lease_seconds", "flush_seconds", "watched_flush_seconds", "shutdown_seconds", "poll_seconds")
        for name in (*durations, "abandoned_lease_seconds"):
            if not 0 < getattr(self, name) < inf:
                raise BadInput(name, f"{getattr(self, name)!r} is not above zero", "give seconds above 0")
        if not 0 <= self.cancel_grace_seconds < inf:
            raise BadInput(
                "cancel_grace_seconds", f"{self.cancel_grace_seconds!r} is negative", "give seconds, 0 or more"
            )
        for name in ("concurrency", "shards", "max_depth", "claim_batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadInput(name, f"{value!r} is less than 1", "give 1 or more")
        if self.shards > MAX_SHARDS:
            raise BadInput("shards", f"{self.shards!r} is more than {MAX_SHARDS}", f"give {MAX_SHARDS} or fewer")

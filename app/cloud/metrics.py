"""The metrics: what there is to do, what was done, how long it took, and what the store was asked for it.

What is declared here is the table of docs/telemetry.md. A test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation

from app.jobs import Job, JobQueue, Middleware, QueueDepth, RunSummary, Runtime, queue_depths

SCOPE = "torpor"
"""Says who made the metrics."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name, what one of it is, and what it says."""

    name: str
    unit: str
    says: str


DEPTH = Metric("torpor.queue.depth", "{job}", "Jobs of the queue that could run now.")
OLDEST = Metric("torpor.queue.oldest", "s", "How long the job of the queue has waited that waits longest.")
ATTEMPTS = Metric("torpor.attempts", "{attempt}", "Ended leases, by type and outcome.")
LOSSES = Metric("torpor.lease.losses", "{lease}", "Leases that ran out and were taken back, by type.")
SLICES = Metric("torpor.slices", "{slice}", "Leases that ended because time was up, by type.")
PICKUP = Metric("torpor.job.pickup", "s", "From when a job could run until an attempt began, by type and queue.")
RUN = Metric("torpor.job.run", "s", "How long an attempt ran, by type and outcome.")
TOTAL = Metric("torpor.job.total", "s", "From a job's creation to its end by an attempt, by type and status.")
READS = Metric("torpor.store.reads", "{read}", "Reads of the store, as it bills them.")
WRITES = Metric("torpor.store.writes", "{write}", "Writes of the store.")
DELETES = Metric("torpor.store.deletes", "{delete}", "Deletes of the store.")
RPCS = Metric("torpor.store.rpcs", "{call}", "Calls to the store.")
COST = Metric("torpor.store.cost", "{USD}", "What reads, writes and deletes cost by the list price.")

METRICS = (DEPTH, OLDEST, ATTEMPTS, LOSSES, SLICES, PICKUP, RUN, TOTAL, READS, WRITES, DELETES, RPCS, COST)

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0)
"""Upper bounds of the histograms' buckets, from what a push takes to what a long job does."""


class Metrics(Middleware):
    """Counts and measures.

    Args:
        provider: makes meters.
    """

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter(SCOPE)
        self._attempts = meter.create_counter(ATTEMPTS.name, ATTEMPTS.unit, ATTEMPTS.says)
        self._losses = meter.create_counter(LOSSES.name, LOSSES.unit, LOSSES.says)
        self._slices = meter.create_counter(SLICES.name, SLICES.unit, SLICES.says)
        self._pickup = _histogram(meter, PICKUP)
        self._run = _histogram(meter, RUN)
        self._total = _histogram(meter, TOTAL)
        self._depths: Mapping[JobQueue, QueueDepth] = {}
        self._unread: set[Metric] = set()
        """Which of the two gauges have not been read since the queues were looked at."""
        for metric, value in ((DEPTH, _due), (OLDEST, _oldest)):
            callback = self._observing(metric, value)
            meter.create_observable_gauge(metric.name, [callback], metric.unit, metric.says)
        self._store = StoreTotals(meter)

    def attach(self, runtime: Runtime) -> None:
        """Read the counters of this engine's store from now on."""
        self._store.attach(runtime)

    async def after_attempt(self, job: Job, run: RunSummary) -> None:
        """Count an ended lease."""
        of_type = {"torpor.job.type": run.type}
        ended = {**of_type, "torpor.outcome": str(run.outcome)}
        self._attempts.add(1, ended)
        if run.outcome == "lease_lost":
            self._losses.add(1, of_type)
        elif run.outcome == "sliced":
            self._slices.add(1, of_type)
        self._pickup.record(run.waited_seconds, {**of_type, "torpor.queue": str(run.queue)})
        self._run.record(run.duration_seconds, ended)
        if job.is_terminal:
            total = max(0.0, (run.ended_at - job.created_at).total_seconds())
            self._total.record(total, {**of_type, "torpor.job.status": str(job.status)})

    async def after_round(self, runtime: Runtime) -> None:
        """Look at the queues, unless nobody has read yet what was seen last time: so at most once for each export."""
        if not self._unread:
            self._depths = await queue_depths(runtime.store, runtime.clock.now())
            self._unread = {DEPTH, OLDEST}

    def _observing(
        self, metric: Metric, value: Callable[[QueueDepth], float]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(options: CallbackOptions) -> Iterable[Observation]:
            if metric not in self._unread:
                return []  # what was seen is told once: by now another process may have looked
            self._unread.discard(metric)
            return [Observation(value(depth), {"torpor.queue": str(queue)}) for queue, depth in self._depths.items()]

        return observe


class StoreTotals:
    """The counters of the store that is attached, which begin anew when it is opened anew; these do not.

    Args:
        meter: makes the instruments.
    """

    def __init__(self, meter: Meter) -> None:
        self._runtime: Runtime | None = None
        self._seen: dict[Metric, float] = {}
        self._before: dict[Metric, float] = {}
        for metric in (READS, WRITES, DELETES, RPCS, COST):
            meter.create_observable_counter(metric.name, [self._observing(metric)], metric.unit, metric.says)

    def attach(self, runtime: Runtime) -> None:
        """Read this engine's store from now on, beside what was read of the one before."""
        for metric in (READS, WRITES, DELETES, RPCS, COST):
            if (now := self._now(metric)) is not None:
                self._total(metric, now)
                self._before[metric] = self._before.get(metric, 0.0) + self._seen.pop(metric)
        self._runtime = runtime

    def _now(self, metric: Metric) -> float | None:
        """What the store has counted since it was opened; None if there is no store, or nobody bills for it."""
        if self._runtime is None:
            return None
        usage, prices = self._runtime.store.usage, self._runtime.store.limits().prices
        if metric is COST:
            return None if prices is None else float(prices.cost(usage))
        return {READS: usage.reads, WRITES: usage.writes, DELETES: usage.deletes, RPCS: usage.rpcs}[metric]

    def _total(self, metric: Metric, now: float) -> float:
        seen = self._seen.get(metric, 0.0)
        if now < seen:
            self._before[metric] = self._before.get(metric, 0.0) + seen
        self._seen[metric] = now
        return self._before.get(metric, 0.0) + now

    def _observing(self, metric: Metric) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(options: CallbackOptions) -> Iterable[Observation]:
            now = self._now(metric)
            return [] if now is None else [Observation(self._total(metric, now))]

        return observe


def _histogram(meter: Meter, metric: Metric) -> Histogram:
    return meter.create_histogram(metric.name, metric.unit, metric.says, explicit_bucket_boundaries_advisory=SECONDS)


def _due(depth: QueueDepth) -> float:
    return depth.due


def _oldest(depth: QueueDepth) -> float:
    return depth.oldest_seconds

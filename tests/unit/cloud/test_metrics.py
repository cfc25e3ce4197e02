"""The metrics, as a reader collects them: their names and units, and that nothing is counted twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric

from app.cloud.metrics import METRICS, Metrics
from app.jobs import ContinueLater, JobContext
from app.stores.base import PriceList, Usage
from tests.support.engine import Engine


class Site:
    """An engine under metrics."""

    def __init__(self, engine: Engine) -> None:
        self._reader = InMemoryMetricReader()
        self.engine = engine
        self.metrics = Metrics(MeterProvider([self._reader], shutdown_on_exit=False))
        self.metrics.attach(engine.runtime)
        engine.runtime.hooks.add([self.metrics])

    def collected(self) -> dict[str, Metric]:
        """What an export would say now."""
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        found = (each for of in data.resource_metrics for scope in of.scope_metrics for each in scope.metrics)
        return {each.name: each for each in found}

    def points(self, name: str) -> dict[tuple[Any, ...], Any]:
        """The points of a metric by the values of their attributes: a value, or how often and how much in all."""
        metric = self.collected().get(name)
        return {} if metric is None else points_of(metric)


def points_of(metric: Metric) -> dict[tuple[Any, ...], Any]:
    return {
        tuple(point.attributes.values()): (point.count, point.sum) if hasattr(point, "count") else point.value
        for point in metric.data.data_points
    }


@pytest.fixture
def site(engine: Engine) -> Site:
    return Site(engine)


async def test_each_attempt_is_counted_once_by_how_it_ended(site: Site) -> None:
    engine = site.engine

    @engine.job("order", max_retries=1, retry_delay_seconds=30)
    async def order(ctx: JobContext) -> None:
        engine.clock.jump(2)
        if ctx.attempt == 1:
            raise ContinueLater(30)
        if ctx.attempt == 2:
            raise ValueError("once")

    await engine.submitted("order")
    for _ in range(3):
        engine.clock.jump(5)
        await engine.drain()
        engine.clock.jump(30)
    await engine.submitted("order")
    await engine.runtime.queue.claim("gone", ["default"], 1)
    engine.clock.jump(61)
    await engine.manager.run_watchdog()

    told = {name: points_of(metric) for name, metric in site.collected().items()}
    once = {("order", outcome): 1 for outcome in ("sliced", "retried", "completed", "lease_lost")}
    assert told["torpor.attempts"] == once
    assert told["torpor.lease.losses"] == {("order",): 1}
    assert told["torpor.slices"] == {("order",): 1}
    assert told["torpor.job.run"] == {("order", name): (1, 61.0 if name == "lease_lost" else 2.0) for _, name in once}
    # 5 seconds each time, but nothing for the job that was claimed at once.
    assert told["torpor.job.pickup"] == {("order", "priority"): (4, 15.0)}
    assert told["torpor.job.total"] == {("order", "completed"): (1, 81.0)}


async def test_they_have_the_names_and_units_that_are_declared(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = site.engine
    limits = replace(engine.store.limits(), prices=PriceList())
    monkeypatch.setattr(engine.store, "limits", lambda: limits)

    @engine.job("it")
    async def it(ctx: JobContext) -> None:
        if ctx.attempt == 1:
            raise ContinueLater(30)

    await engine.submitted("it")
    await engine.drain()
    engine.clock.jump(31)
    await engine.drain()
    await engine.submitted("it")
    await engine.runtime.queue.claim("gone", ["default"], 1)
    engine.clock.jump(61)
    await engine.manager.run_watchdog()

    collected = site.collected().values()
    assert sorted((each.name, each.unit, each.description) for each in collected) == sorted(
        (each.name, each.unit, each.says) for each in METRICS
    )


def test_the_page_names_them_all(pytestconfig: pytest.Config) -> None:
    page = (pytestconfig.rootpath / "docs" / "telemetry.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[:3] for line in page.splitlines() if line.startswith("| `torpor.")]
    assert rows == [[f"| `{each.name}`", each.unit, each.says] for each in METRICS]


async def test_the_queues_are_looked_at_once_for_each_export(site: Site) -> None:
    engine = site.engine

    @engine.job("it")
    async def it(ctx: JobContext) -> None:
        """Nothing."""

    await engine.submitted("it")
    engine.clock.jump(7)
    await engine.manager.run_watchdog()
    reads = engine.store.usage.reads
    await site.metrics.after_round(engine.runtime)
    assert engine.store.usage.reads == reads, "nobody has read yet what was seen"
    told = {name: points_of(metric) for name, metric in site.collected().items()}
    assert told["torpor.queue.depth"] == {("priority",): 1, ("maintenance",): 0}
    assert told["torpor.queue.oldest"] == {("priority",): 7.0, ("maintenance",): 0.0}
    assert "torpor.queue.depth" not in site.collected(), "what was seen is told once"
    await site.metrics.after_round(engine.runtime)
    assert site.points("torpor.queue.depth") == {("priority",): 1, ("maintenance",): 0}


async def test_what_the_store_is_asked_only_grows(site: Site) -> None:
    engine = site.engine
    usage = engine.store.usage
    usage.reads, usage.writes, usage.deletes, usage.rpcs = 5, 4, 3, 2
    assert site.points("torpor.store.reads") == {(): 5.0}
    engine.memory._ledger.usage = Usage(reads=1)  # opened anew
    assert site.points("torpor.store.reads") == {(): 6.0}
    assert site.points("torpor.store.writes") == {(): 4.0}
    other = Engine()
    other.store.usage.reads = 10
    site.metrics.attach(other.runtime)
    assert site.points("torpor.store.reads") == {(): 16.0}
    assert site.points("torpor.store.cost") == {}, "nobody is billed for memory"


async def test_the_price_is_that_of_the_list(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = replace(site.engine.store.limits(), prices=PriceList())
    monkeypatch.setattr(site.engine.store, "limits", lambda: limits)
    usage = site.engine.store.usage
    usage.reads, usage.writes = 1_000_000, 100_000
    assert site.points("torpor.store.cost") == {(): pytest.approx(0.3 + 0.09)}
    assert (await site.engine.manager.get_job_metrics())["store_cost_usd"] == pytest.approx(0.39, abs=0.001)

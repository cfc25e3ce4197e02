"""Progress inside one process: one publisher, many subscribers, nobody waits for anybody."""

from __future__ import annotations

import asyncio

import pytest

from app.jobs import JobProgress, ProgressBroker
from tests.support.clock import settle


@pytest.mark.parametrize(
    ("current", "total", "percentage"),
    [(0, 0, 0), (5, 0, 0), (1, 2, 50), (2, 2, 100), (3, 2, 100), (-1, 2, 0), (1, 3, 100 / 3), (5, -1, 0)],
)
def test_percentages(current: float, total: float, percentage: float) -> None:
    assert JobProgress(current=current, total=total).percentage == pytest.approx(percentage)


async def heard_by(broker: ProgressBroker, job_id: str, heard: list[float]) -> None:
    heard.extend([progress.current async for progress in broker.subscribe(job_id)])


async def test_every_subscriber_hears_everything_until_the_end() -> None:
    broker = ProgressBroker()
    ears: list[list[float]] = [[], [], []]
    tasks = [asyncio.ensure_future(heard_by(broker, "j", heard)) for heard in ears]
    other: list[float] = []
    stranger = asyncio.ensure_future(heard_by(broker, "other", other))
    await settle()
    for number in range(5):
        await broker.publish("j", JobProgress(current=number, total=4))
    await broker.close("j")
    await asyncio.gather(*tasks)
    assert ears == [[0, 1, 2, 3, 4]] * 3
    assert other == []
    await broker.close("other")
    await stranger


async def test_a_slow_subscriber_gets_the_newest_and_delays_nobody() -> None:
    broker = ProgressBroker(backlog=3)
    heard: list[float] = []
    async with broker.feed("j") as feed:
        for number in range(100):
            await broker.publish("j", JobProgress(current=number))
        await broker.close("j")
        while (progress := feed.get_nowait()) is not None:
            heard.append(progress.current)
    assert heard == [98, 99]


async def test_what_was_published_before_is_not_heard() -> None:
    broker = ProgressBroker()
    await broker.publish("j", JobProgress(current=1))
    heard: list[float] = []
    task = asyncio.ensure_future(heard_by(broker, "j", heard))
    await settle()
    await broker.publish("j", JobProgress(current=2))
    await broker.close("j")
    await task
    assert heard == [2]


async def test_whoever_stops_listening_is_forgotten() -> None:
    broker = ProgressBroker()
    feed = broker.subscribe("j")
    first = asyncio.ensure_future(anext(feed))
    await settle()
    await broker.publish("j", JobProgress(current=1))
    assert (await first).current == 1
    await feed.aclose()
    assert not broker._feeds
    await broker.publish("j", JobProgress(current=2))
    await broker.close("j")

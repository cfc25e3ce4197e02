"""Each slot of a schedule exactly once, on every store, however many tick at once."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

from app.jobs import Job, JobContext, JobStatus, Outcome
from app.jobs.schedules import Schedule, slot_job_id
from tests.support.clock import NOON
from tests.support.site import Peer, Site
from tests.support.ticking_processes import WEEK, moments

TICKERS = 8
ROUNDS = 5
PROCESSES = {"sqlite": 50, "postgresql": 40, "firestore": 10}
"""A process has a connection to read and one to write, and PostgreSQL lets 97 connect unless told otherwise; the
emulator answers one transaction after the other.
"""
CRONS = {"often": "0 */12 * * *", "daily": "0 12 * * *", "weekdays": "0 0 * * MON-FRI", "berlin": "0 13 * * *"}


def declare(site: Site) -> None:
    """Types whose schedules have slots every twelve hours, in different ways."""
    for name, cron in CRONS.items():

        @site.job(name, cron=cron, timezone="Europe/Berlin" if name == "berlin" else "UTC", overlap=True)
        async def handler(ctx: JobContext) -> None: ...


async def expect_each_slot_once(peer: Peer, until: timedelta) -> None:
    for schedule in await peer.manager.list_schedules():
        slots = schedule.definition.timetable.between(NOON, NOON + until, 10_000)
        jobs: list[Job] = await peer.manager.list_jobs(type=schedule.name)
        assert {job.id for job in jobs} == {slot_job_id(schedule.name, slot) for slot in slots}
        assert len(jobs) == len(slots)
        assert schedule.high_water == slots[-1]
        assert schedule.skipped == ()


async def test_many_that_tick_at_once_create_each_slot_once(site: Site) -> None:
    declare(site)
    peers = [await site.peer(str(number)) for number in range(TICKERS)]
    await asyncio.gather(*(peer.manager.sync_schedules() for peer in peers))
    assert len(await peers[0].manager.list_schedules()) == len(CRONS)
    created = 0
    for moment in moments()[:ROUNDS]:
        for peer in peers:
            peer.clock.jump((moment - peer.clock.now()).total_seconds())
        reports = await asyncio.gather(*(peer.runtime.ticker.tick() for peer in peers))
        assert not any(report.failed for report in reports)
        created += sum(report.created for report in reports)
    await expect_each_slot_once(peers[0], moments()[ROUNDS - 1] - NOON + timedelta(minutes=1))
    assert created == await peers[0].manager.count_jobs()


async def test_processes_tick_through_a_week_together(shared_site: Site) -> None:
    """Real ones, which share nothing but the store: 50 on SQLite, 40 on PostgreSQL, 10 on the emulator."""
    declare(shared_site)
    peer = await shared_site.peer()
    await peer.manager.sync_schedules()
    command = [sys.executable, "-m", "tests.support.ticking_processes", "--url", shared_site.url]
    count = PROCESSES[shared_site.url.partition(":")[0]]
    command += ["--prefix", shared_site.prefix, "--processes", str(count)]
    ticking = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await ticking.communicate()
    assert ticking.returncode == 0, said.decode()
    await expect_each_slot_once(peer, WEEK)


async def test_a_schedule_changes_pauses_and_catches_up_alike_everywhere(site: Site) -> None:
    @site.job("report", interval_seconds=60)
    async def report(ctx: JobContext) -> None: ...

    @site.job("chain", interval_seconds=3600, catch_up="all", catch_up_limit=2)
    async def chain(ctx: JobContext) -> None: ...

    peer = await site.peer()
    await peer.manager.tick()
    peer.clock.jump(60)
    assert (await peer.drain()).completed == 1
    assert (await peer.manager.tick()).created == 1
    assert (await peer.manager.pause_schedule("report")).status == "paused"
    assert await peer.manager.count_jobs(type="report") == 1, "the slot to come is withdrawn"
    peer.clock.jump(10 * 3600 + 120)
    assert (await peer.manager.tick()).created == 2
    assert await peer.manager.count_jobs(type="chain", status="pending") == 1, "it waits for the one before"
    triggered = await peer.manager.trigger_schedule("report")
    assert await peer.manager.backfill_schedule("report", NOON, NOON + timedelta(minutes=3)) == 2
    await peer.drain()
    assert (await peer.get(triggered.id)).outcome is Outcome.COMPLETED
    assert await peer.manager.count_jobs(status=JobStatus.COMPLETED) == await peer.manager.count_jobs() == 6
    resumed: Schedule = await peer.manager.resume_schedule("report")
    assert resumed.next_at == peer.clock.now() + timedelta(seconds=60)
    site.registry.remove("report")
    assert (await peer.manager.sync_schedules()).stopped == ["report"]

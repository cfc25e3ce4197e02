"""Seed 003: jobs that are scheduled, as the samples declare them."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from app.jobs import BaseTask, Job, JobContext, JobScheduler, JobStatus, Outcome, job
from tests.acceptance.seeds.sample import Sample
from tests.acceptance.seeds.test_seed_003 import MyJobResult, variables
from tests.support.clock import NOON
from tests.support.engine import Engine


async def run_for(engine: Engine, seconds: float, step: float = 15) -> None:
    """Let time go by for a worker that ticks for itself."""
    for _ in range(int(seconds / step)):
        await engine.manager.tick()
        engine.clock.jump(step)
        await engine.drain()


async def times(engine: Engine, job_type: str) -> list[float]:
    """How long after noon the jobs of a type began."""
    jobs: list[Job] = await engine.manager.list_jobs(type=job_type, status="completed", sort_order="asc")
    return sorted((each.started_at - NOON).total_seconds() for each in jobs if each.started_at is not None)


def watch_chain(results: list[MyJobResult]) -> None:
    """The self-contained sample."""
    given = {"job": job, "BaseTask": BaseTask, "ChainStateMonitorResult": MyJobResult, "JobContext": JobContext}
    Sample("003_03_self_contained_job").run({**given, "List": list, "results": results})


async def test_a_self_contained_job_runs_each_90_seconds(engine: Engine) -> None:
    watch_chain([MyJobResult(message="block 7")])
    await run_for(engine, 600)
    assert await times(engine, "chain_state_monitor") == [90, 180, 270, 360, 450, 540]


async def test_a_queue_processing_job_runs_each_30_seconds_if_messages_wait(engine: Engine) -> None:
    waiting: list[str] = []
    backend = SimpleNamespace(list_queue_messages=lambda filters: waiting)
    given: dict[str, Any] = {"job": job, "BaseTask": BaseTask, "TweetProcessingResult": MyJobResult}
    given |= {"JobContext": JobContext, "List": list, "backend": backend, "QueueMessageFilter": dict}
    Sample("003_04_queue_processing_job").run(
        given | {"QueueMessageType": SimpleNamespace(TWEET="tweet"), "results": [MyJobResult()]}
    )
    await run_for(engine, 60)
    waiting.append("tweet 1")
    await run_for(engine, 60)
    assert await times(engine, "tweet") == [30, 60, 90, 120]
    jobs = await engine.manager.list_jobs(type="tweet", status="completed", sort_order="asc")
    outcomes = [each.outcome for each in sorted(jobs, key=lambda each: str(each.started_at))]
    assert outcomes == [Outcome.SKIPPED, Outcome.SKIPPED, Outcome.COMPLETED, Outcome.COMPLETED]


async def test_a_new_job_is_scheduled_by_its_declaration_alone(engine: Engine) -> None:
    Sample("003_05_adding_a_job").run()
    await run_for(engine, 300)
    assert await times(engine, "my_awesome_job") == [120, 240]


@pytest.mark.parametrize("spelling", ["MY_AWESOME_JOB_RUNNER_", "MY_AWESOME_JOB_"])
async def test_the_schedule_obeys_both_variables(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    for option in ("ENABLED", "INTERVAL_SECONDS"):
        monkeypatch.setenv(spelling + option, variables()[spelling + option])
    Sample("003_05_adding_a_job").run()
    await run_for(engine, 650)
    assert await times(engine, "my_awesome_job") == [300, 600]
    monkeypatch.setenv(f"{spelling}ENABLED", "false")
    Sample("003_05_adding_a_job").run()
    await run_for(engine, 650)
    assert await times(engine, "my_awesome_job") == [300, 600]


async def test_a_slot_does_not_start_while_its_job_runs_and_a_late_one_is_skipped(engine: Engine) -> None:
    watch_chain([MyJobResult()])
    scheduler = JobScheduler(engine.manager)
    Sample("003_01_scheduler_add_job").run({"scheduler": scheduler})
    await engine.manager.tick()
    (slot,) = await engine.manager.list_jobs(type="chain_state_monitor") or [None]
    assert slot is None, "the first one is too far ahead"
    engine.clock.jump(90 + 61)
    await engine.manager.tick()
    schedule = await engine.manager.get_schedule("chain_state_monitor")
    assert [each.last for each in schedule.skipped] == [NOON + timedelta(seconds=90)], "late by more than 60 seconds"
    (first,) = await engine.manager.list_jobs(type="chain_state_monitor")
    engine.clock.jump(30)
    leases, _ = await engine.runtime.queue.claim("another", ["default"], 1)
    assert [lease.job.id for lease in leases] == [first.id]
    engine.clock.jump(50)
    await leases[0].flush()
    await engine.manager.tick()
    engine.clock.jump(40)
    await engine.drain()
    (second,) = [each for each in await engine.manager.list_jobs(type="chain_state_monitor") if each.id != first.id]
    assert (second.status, second.outcome) == (JobStatus.COMPLETED, Outcome.SKIPPED)


async def test_add_job_changes_one_type_or_every_scheduled_one(engine: Engine) -> None:
    watch_chain([])
    Sample("003_05_adding_a_job").run()

    @job("unscheduled")
    async def unscheduled(context: JobContext) -> None: ...

    scheduler = JobScheduler(engine.manager)
    assert scheduler.add_job() == ["chain_state_monitor", "my_awesome_job"]
    assert scheduler.add_job("my_awesome_job", max_instances=2, misfire_grace_time=None) == ["my_awesome_job"]
    await engine.manager.tick()
    mine = (await engine.manager.get_schedule("my_awesome_job")).definition
    other = (await engine.manager.get_schedule("chain_state_monitor")).definition
    assert (mine.overlap, mine.misfire_grace_seconds, mine.template["route"]) == (
        True,
        366 * 86400,
        (await engine.manager.create_job("my_awesome_job")).route,
    )
    assert (other.overlap, other.misfire_grace_seconds) == (False, 60)
    assert scheduler.add_job("unscheduled", cron="0 * * * *") == ["unscheduled"]
    await engine.manager.tick()
    assert (await engine.manager.get_schedule("unscheduled")).next_at == NOON + timedelta(hours=1)

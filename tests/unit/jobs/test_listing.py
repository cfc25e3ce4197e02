"""Which jobs there are: filters, sorting, pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.jobs import AsyncJobManager, Job
from tests.support.clock import NOON
from tests.support.engine import Engine

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def manager(engine: Engine) -> AsyncJobManager:
    """A manager with sixty jobs, created a minute apart, that differ in everything that can be asked for."""
    for job_type in ("a", "b"):
        engine.job(job_type)(lambda: None)
    parent = await engine.manager.create_job("a", name="parent")
    for number in range(60):
        job = await engine.manager.create_job(
            "ab"[number % 2],
            name=str(number),
            queue=["priority", "maintenance"][number % 3 == 0],
            priority=["low", "normal", "high", "critical"][number % 4],
            tags=[tag for tag, every in (("two", 2), ("three", 3), ("five", 5)) if number % every == 0],
            batch_id=f"batch-{number % 6}" if number % 7 else None,
            parent_id=parent.id if number % 8 == 0 else None,
        )
        if number % 5 == 1:
            await engine.manager.start_job(job.id)
        if number % 5 == 2:
            await engine.manager.cancel_job(job.id)
        engine.clock.jump(60)
    return engine.manager


def numbers(jobs: list[Job]) -> list[int]:
    return [int(job.name) for job in jobs if job.name != "parent"]


def newest_first(found: Any) -> list[int]:
    return sorted(found, reverse=True)


EVERY = range(60)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, EVERY),
        ({"status": "cancelled"}, [n for n in EVERY if n % 5 == 2]),
        ({"status": "stopped"}, [n for n in EVERY if n % 5 == 2]),
        ({"status": "QUEUED"}, [n for n in EVERY if n % 5 == 1]),
        ({"type": "b"}, [n for n in EVERY if n % 2]),
        ({"queue": "maintenance"}, [n for n in EVERY if n % 3 == 0]),
        ({"batch_id": "batch-4"}, [n for n in EVERY if n % 6 == 4 and n % 7]),
        ({"tags": ["two"]}, [n for n in EVERY if n % 2 == 0]),
        ({"tags": "two"}, [n for n in EVERY if n % 2 == 0]),
        ({"tags": ["two", "three", "five"]}, [0, 30]),
        ({"tags": ["two", "nobody's"]}, []),
        ({"created_after": NOON + 50 * MINUTE}, [n for n in EVERY if n >= 50]),
        ({"created_before": "2026-11-02T12:10:00"}, [n for n in EVERY if n < 10]),
        ({"created_after": NOON + 10 * MINUTE, "created_before": NOON + 20 * MINUTE}, list(range(10, 20))),
        (
            {
                "status": "pending",
                "type": "a",
                "queue": "priority",
                "tags": ["two"],
                "created_after": NOON + 9 * MINUTE,
            },
            [n for n in EVERY if n % 5 not in (1, 2) and n % 2 == 0 and n % 3 and n >= 9],
        ),
    ],
    ids=str,
)
async def test_filters_newest_first(manager: AsyncJobManager, filters: dict[str, Any], expected: Any) -> None:
    found = await manager.list_jobs(**filters)
    assert numbers(found) == newest_first(expected)
    assert await manager.count_jobs(**filters) == len(found)
    assert numbers(await manager.list(**filters, sort_order="asc")) == sorted(expected)


async def test_children_of_a_parent(manager: AsyncJobManager) -> None:
    (parent,) = [job for job in await manager.list_jobs() if job.name == "parent"]
    assert numbers(await manager.list_jobs(parent_id=parent.id)) == [56, 48, 40, 32, 24, 16, 8, 0]


async def test_sorted_by_priority_and_then_by_age(manager: AsyncJobManager) -> None:
    found = [job for job in await manager.list_jobs(sort_by="priority") if job.name != "parent"]
    assert [(job.priority, job.created_at) for job in found] == sorted(
        ((job.priority, job.created_at) for job in found), reverse=True
    )
    found = await manager.list_jobs(sort_by="priority", sort_order="asc", type="a")
    assert [job.priority for job in found] == sorted(job.priority for job in found)


async def test_sorted_by_end_only_what_has_ended(manager: AsyncJobManager) -> None:
    assert numbers(await manager.list_jobs(sort_by="finished_at")) == [n for n in reversed(EVERY) if n % 5 == 2]


@pytest.mark.parametrize(("limit", "offset"), [(1, 0), (10, 0), (10, 55), (100, 0), (7, 3), (5, 1000), (None, 20)])
async def test_limit_and_offset(manager: AsyncJobManager, limit: int | None, offset: int) -> None:
    whole = [job.id for job in await manager.list_jobs()]
    page = [job.id for job in await manager.list_jobs(limit=limit, offset=offset)]
    assert page == whole[offset : None if limit is None else offset + limit]


@pytest.mark.parametrize("sort", ["created_at", "priority", "finished_at"])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("size", [1, 7, 61])
async def test_pages_by_cursor_hold_everything_once(manager: AsyncJobManager, sort: str, order: str, size: int) -> None:
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = await manager.list_page(limit=size, cursor=cursor, sort_by=sort, sort_order=order)
        assert len(page.jobs) <= size
        ids += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    assert ids == [job.id for job in await manager.list_jobs(sort_by=sort, sort_order=order)]


async def test_more_jobs_than_a_page_of_the_store(engine: Engine) -> None:
    for _ in range(450):
        await engine.manager.create_job()
    assert len({job.id for job in await engine.manager.list_jobs()}) == 450
    assert len(await engine.manager.list_jobs(limit=301)) == 301
    assert len(await engine.manager.list_jobs(limit=250, offset=300)) == 150


CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["pending", "queued", "cancelled"]),
        "type": st.sampled_from("ab"),
        "queue": st.sampled_from(["priority", "maintenance"]),
        "batch_id": st.sampled_from([f"batch-{n}" for n in range(6)]),
        "tags": st.lists(st.sampled_from(["two", "three", "five"]), min_size=1, unique=True),
        "sort_by": st.sampled_from(["created_at", "priority"]),
        "sort_order": st.sampled_from(["asc", "desc"]),
    },
)


@given(CHOICES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_combination_of_filters(manager: AsyncJobManager, filters: dict[str, Any]) -> None:
    """Given any filters together, then the same jobs come as when all of them are looked at one by one."""

    def fits(job: Job) -> bool:
        equal = {name: filters[name] for name in ("status", "type", "queue", "batch_id") if name in filters}
        return all(getattr(job, name) == value for name, value in equal.items()) and set(
            filters.get("tags", [])
        ) <= set(job.tags)

    found = await manager.list_jobs(**filters)
    assert {job.id for job in found} == {job.id for job in await manager.list_jobs() if fits(job)}

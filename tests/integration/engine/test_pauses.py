"""Paused queues and types: every worker obeys within one poll, nothing is hidden, and what was held back goes on."""

from __future__ import annotations

from app.jobs import JobQueue, JobStatus, Watchdog
from tests.support.site import Site


def handlers(site: Site) -> list[str]:
    """Types whose handlers note that they ran."""
    ran: list[str] = []

    @site.job("tidy", queue="maintenance")
    async def tidy() -> None:
        ran.append("tidy")

    @site.job("mail")
    async def mail() -> None:
        ran.append("mail")

    @site.job("bill")
    async def bill() -> None:
        ran.append("bill")

    return ran


async def test_a_paused_queue_is_left_alone_until_it_is_resumed_by_every_worker(site: Site) -> None:
    ran = handlers(site)
    worker, person = await site.peer("worker"), await site.peer("person")
    await person.manager.pause_queue("priority")
    mail, _ = await worker.submitted("mail"), await worker.submitted("tidy")
    await worker.drain()
    assert ran == ["tidy"]
    assert (await worker.get(mail)).ready_at is not None

    await person.manager.resume_queue("priority")
    worker.clock.jump(worker.store.limits().poll_seconds)
    await worker.drain()
    assert ran == ["tidy", "mail"]


async def test_a_due_job_of_a_paused_queue_is_promoted_and_hides_no_other(site: Site) -> None:
    ran = handlers(site)
    peer = await site.peer()
    await peer.manager.pause_queue(JobQueue.MAINTENANCE)
    delayed = [await peer.submitted("tidy", delay=5) for _ in range(3)]
    mail = await peer.submitted("mail", delay=6)
    peer.clock.jump(10)
    await peer.drain(concurrency=2)
    assert ran == ["mail"]
    assert (await peer.get(mail)).status is JobStatus.COMPLETED
    assert all([(await peer.get(each)).ready_at is not None for each in delayed])


async def test_a_paused_type_parks_its_jobs_hides_no_other_and_goes_on(site: Site) -> None:
    ran = handlers(site)
    worker, person = await site.peer("worker"), await site.peer("person")
    await person.manager.pause_type("mail")
    held = [await worker.submitted("mail", priority="critical") for _ in range(5)]
    await worker.submitted("bill", priority="low")
    await worker.drain(concurrency=2)
    assert ran == ["bill"]
    jobs = [await worker.get(each) for each in held]
    assert {(job.status, job.parked_on, job.attempt) for job in jobs} == {(JobStatus.QUEUED, "pause:mail", 0)}

    assert (await person.manager.resume_type("mail")).types == frozenset()
    assert all([(await worker.get(each)).ready_at is not None for each in held])
    worker.clock.jump(worker.store.limits().poll_seconds)
    await worker.drain()
    assert ran == ["bill", *["mail"] * 5]


async def test_what_a_worker_with_an_old_view_parks_after_the_resume_is_freed_by_the_watchdog(site: Site) -> None:
    ran = handlers(site)
    worker, person = await site.peer("worker"), await site.peer("person")
    await person.manager.pause_type("mail")
    await worker.drain()
    await person.manager.resume_type("mail")
    late = await worker.submitted("mail")
    await worker.drain()  # within one poll: it still knows of the pause
    assert (await worker.get(late)).parked_on == "pause:mail"

    report = await Watchdog(person.runtime).run()
    assert report.unparked == 1
    worker.clock.jump(worker.store.limits().poll_seconds)
    await worker.drain()
    assert ran == ["mail"]
    assert (await Watchdog(person.runtime).run()).unparked == 0


async def test_the_watchdog_leaves_parked_what_is_still_paused(site: Site) -> None:
    handlers(site)
    peer = await site.peer()
    await peer.manager.pause_type("mail")
    held = await peer.submitted("mail")
    await peer.drain()
    assert (await Watchdog(peer.runtime).run()).unparked == 0
    assert (await peer.get(held)).parked_on == "pause:mail"

"""The manager's verbs that follow a running job: its progress, its log, and what it saves."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from app.jobs.models import JobProgress, LogEntry
from app.jobs.progress import Feed
from app.jobs.reader import JobReader
from app.jobs.streams import Follow, SavedResult, Subscription, check_after, log_stream, result_stream


class StreamVerbs(JobReader):
    """Follows jobs, in whichever process they run. Several may follow one job; nobody waits for anybody."""

    async def subscribe_progress(self, job_id: str) -> AsyncGenerator[JobProgress, None]:
        """The job's progress, newest state first, until the job ends; from whichever process runs it.

        Raises:
            JobNotFound: there is no such job.
        """
        runtime = await self._ready()
        nothing = seen = JobProgress()
        told_attempt, just_told = 0, False
        # What runs in this process is told at once; what runs elsewhere is read when it has been stored.
        async with Follow(runtime, job_id, live=False) as follow, runtime.broker.feed(job_id) as feed:
            while True:
                job = await follow.look()
                if just_told:
                    told_attempt, just_told = job.attempt, False
                # What is stored of an attempt that was told here is older than what was told.
                newer = job.is_terminal or job.attempt > told_attempt
                if newer and job.progress not in (seen, nothing):
                    seen = job.progress
                    yield seen
                if job.is_terminal:
                    return
                told: list[JobProgress | None] = []
                await follow.news(_take(feed, told))
                while not feed.empty():
                    told.append(feed.get_nowait())
                for progress in told:
                    if progress is not None and progress != seen:
                        seen, just_told = progress, True
                        yield seen
                follow.live = not just_told

    def subscribe_logs(self, job_id: str, after: int = 0) -> Subscription[LogEntry]:
        """The lines of the job's log, as they are stored, until the job ends; from whichever process runs it.

        Args:
            job_id: the job.
            after: the number of the last line that is known already; 0 begins with the first.

        Returns:
            An asynchronous iterator of the lines, in order and without gaps, however slowly it is read. It raises
            JobNotFound if there is no such job, and StoreUnavailable if the store cannot be reached: subscribe again
            after the last line's number.

        Raises:
            BadInput: a number that is none.
        """
        check_after(after)
        return Subscription(lambda closed: log_stream(self._ready, job_id, after, closed))

    def unsubscribe_logs(self, job_id: str, subscription: Subscription[Any]) -> None:
        """End a subscription early, from whatever task. Ending one that has ended changes nothing."""
        subscription.close()

    def subscribe_results(self, job_id: str, after: int = 0) -> Subscription[SavedResult]:
        """What the job saves with `save_result`, as it is stored, until the job ends.

        Args:
            job_id: the job.
            after: the number of the last result that is known already; 0 begins with the first.

        Returns:
            An asynchronous iterator, as for `subscribe_logs`.

        Raises:
            BadInput: a number that is none.
        """
        check_after(after)
        return Subscription(lambda closed: result_stream(self._ready, job_id, after, closed))


async def _take(feed: Feed, told: list[JobProgress | None]) -> None:
    """Wait for the next of a feed. Cancelling it loses nothing."""
    told.append(await feed.get())

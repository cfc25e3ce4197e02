"""The manager's verbs that follow a running job: its progress, its log, and what it saves."""

from __future__ import annotations

from typing import Any

from app.jobs.models import JobProgress, LogEntry
from app.jobs.reader import JobReader
from app.jobs.streams import SavedResult, Subscription, check_after, log_stream, progress_stream, result_stream


class StreamVerbs(JobReader):
    """Follows jobs, in whichever process they run. Several may follow one job; nobody waits for anybody."""

    def subscribe_progress(self, job_id: str) -> Subscription[JobProgress]:
        """The job's progress, newest state first, until the job ends; from whichever process runs it.

        Returns:
            An asynchronous iterator. It raises JobNotFound if there is no such job, and StoreUnavailable if the store
            cannot be reached.
        """
        return Subscription(lambda closed: progress_stream(self._ready, job_id, closed))

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

"""Changes that hold for one revision of a job only: what a caller decided about something that it had looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from app.jobs.errors import RevisionChanged
from app.jobs.models import Job

E = TypeVar("E")


def check_revision(revision: int | None, job: Job) -> None:
    """Refuse a job in another revision than the one wanted; None is any.

    Raises:
        RevisionChanged: it is.
    """
    if revision is not None and job.revision != revision:
        raise RevisionChanged(job.id, revision, job.revision)


def at_revision(revision: int | None, decide: Callable[[Job], E]) -> Callable[[Job], E]:
    """The same decision, for jobs in this revision only. It is asked anew whenever somebody was faster."""

    def checked(job: Job) -> E:
        check_revision(revision, job)
        return decide(job)

    return checked

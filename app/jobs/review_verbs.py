"""The manager's verbs about jobs that wait for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, cast, get_args

from app.jobs.codec import canonical_json
from app.jobs.errors import BadInput
from app.jobs.events import Decide
from app.jobs.models import Job, JobStatus, Json
from app.jobs.reader import JobReader
from app.jobs.request import check_reason, payload_for
from app.jobs.reviews import ReviewRequest, request_in
from app.jobs.revisions import at_revision

Decision: TypeAlias = Literal["approve", "edit", "reject"]


class ReviewVerbs(JobReader):
    """Decides, and lists what is to be decided."""

    async def review(
        self,
        job_id: str,
        decision: str,
        by: str,
        comment: str = "",
        payload: Mapping[str, Json] | None = None,
        data: Json = None,
        *,
        revision: int | None = None,
    ) -> Job:
        """Decide about a job that waits for a person.

        Args:
            job_id: the job.
            decision: `approve` runs it again, `edit` with another payload, `reject` ends it CANCELLED.
            by: who decided; never empty.
            comment: why.
            payload: for `edit`, the new payload; checked as at creation.
            data: what the handler is told besides, such as a choice; any JSON value.
            revision: the job's revision that was looked at; None is any.

        Raises:
            JobNotFound, IllegalTransition: there is no such job, or it does not wait for review.
            RevisionChanged: the job is in another revision.
            BadInput: an unknown decision, a payload that does not fit, or what cannot be stored.
        """
        if decision not in get_args(Decision):
            raise BadInput("decision", f"{decision!r} is not a decision", "use approve, edit or reject")
        if (decision == "edit") != (payload is not None):
            raise BadInput("payload", "goes with edit, and edit needs it", "give a payload exactly when editing")
        check_reason(comment, "comment")
        check_reason(by, "by")
        if not by.strip():
            raise BadInput("by", "names nobody", "say who decides: it is kept with the decision")
        canonical_json(data, "data")
        runtime = await self._ready()

        def decide(job: Job) -> Decide:
            checked = payload_for(job, payload, runtime.registry)
            return Decide(cast(Decision, decision), by, comment, checked, data)

        job = await runtime.queue.apply(job_id, at_revision(revision, decide))
        await runtime.settled(job)
        return job

    async def list_reviews(self, *, limit: int = 100, type: str | None = None) -> list[ReviewRequest]:
        """What waits for a person, the newest job first.

        Args:
            limit: at most so many.
            type: only jobs of this type.

        Raises:
            BadInput: naming the filter and what it takes.
        """
        jobs = await self.list_jobs(status=JobStatus.NEEDS_REVIEW, type=type, limit=limit)
        return [request_in(job) for job in jobs]

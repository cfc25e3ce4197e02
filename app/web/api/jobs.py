"""`/jobs`: creating, reading and steering jobs."""

from __future__ import annotations

from flask import Response

from app.jobs import BadInput
from app.web.api.answers import answer, is_known, job_answer, tag_of, wanted_revision
from app.web.api.bodies import Cancel, NewDependency, NewJob, NewJobs, Reason, Retry, RetryMany
from app.web.api.calls import (
    DependencyPath,
    IdempotencyHeader,
    JobPath,
    JobsFilter,
    JobsQuery,
    MatchHeader,
    NoneMatchHeader,
    PageQuery,
)
from app.web.api.routes import ETAG, PREFIX, Answers, Routes
from app.web.api.views import (
    CreatedJobs,
    JobPageView,
    JobView,
    Number,
    StatusView,
    StepList,
    StepView,
)
from app.web.tokens import Scope

TAG = "jobs"


def one_key(header: str | None, body: str | None) -> str | None:
    """The idempotency key, which may be given in the header or in the body.

    Raises:
        BadInput: two different ones.
    """
    if header is not None and not header.strip():
        raise BadInput("Idempotency-Key", "is empty", "give a text, or leave the header out")
    if header is not None and body is not None and header != body:
        raise BadInput("Idempotency-Key", "differs from idempotency_key in the body", "give one of the two")
    return header if header is not None else body


def add_jobs(routes: Routes) -> None:
    """Add the routes."""
    _add_creating(routes)
    _add_reading(routes)
    _add_steering(routes)
    _add_dependencies(routes)


def _add_creating(routes: Routes) -> None:
    def create_job(header: IdempotencyHeader, body: NewJob) -> Response:
        """Create a job.

        It is started unless `auto_start` is false. With an idempotency key that is taken the job there is answered,
        with 200.
        """
        request = body.model_copy(update={"idempotency_key": one_key(header.key, body.idempotency_key)})
        (job,) = routes.ask(lambda manager: manager.create_jobs([request], auto_start=body.auto_start))
        return job_answer(job, 200 if job.existing else 201, Location=f"{PREFIX}/jobs/{job.id}")

    def create_jobs(body: NewJobs) -> Response:
        """Create many jobs, each by itself, in as few round trips as the store can.

        If one of them is wrong, none is created. One whose idempotency key is taken is answered with the job there.
        """
        jobs = routes.ask(lambda manager: manager.create_jobs(body.jobs, auto_start=body.auto_start))
        return answer(CreatedJobs.of(jobs), 201)

    answers = {201: JobView, 200: JobView}
    routes.add("post", "/jobs", create_job, Scope.ENQUEUE, answers, tag=TAG)
    routes.add("post", "/jobs/many", create_jobs, Scope.ENQUEUE, {201: CreatedJobs}, tag=TAG)


def _add_reading(routes: Routes) -> None:
    def list_jobs(query: JobsQuery) -> Response:
        """List jobs, newest first unless sorted otherwise."""
        wanted = query.model_dump(exclude_none=True)
        return answer(JobPageView.page(routes.portion(lambda parts: parts.jobs(**wanted))))

    def count_jobs(query: JobsFilter) -> Response:
        """How many jobs there are."""
        wanted = query.model_dump(exclude_none=True)
        return answer(Number(jobs=routes.ask(lambda manager: manager.count_jobs(**wanted))))

    def count_due_jobs() -> Response:
        """How many jobs could be claimed now, by whoever serves their routes."""
        return answer(Number(jobs=routes.ask(lambda manager: manager.count_due_jobs())))

    def get_job(path: JobPath, header: NoneMatchHeader) -> Response:
        """A job as it is now."""
        job = routes.ask(lambda manager: manager.get_job(path.job_id))
        if is_known(header.none_match, job):
            return Response(status=304, headers={"ETag": tag_of(job)})
        return job_answer(job)

    def get_job_status(path: JobPath) -> Response:
        """A job's status alone."""
        return answer(StatusView(status=routes.ask(lambda manager: manager.get_job_status(path.job_id))))

    def get_steps(path: JobPath, query: PageQuery) -> Response:
        """The recorded steps of a job, in the order in which its handler called them."""
        page = routes.portion(lambda parts: parts.steps(path.job_id, query.limit, query.cursor))
        return answer(StepList(steps=[StepView.model_validate(step) for step in page.steps], cursor=page.cursor))

    routes.add("get", "/jobs/<job_id>/steps", get_steps, Scope.READ, {200: StepList}, tag=TAG)
    routes.add("get", "/jobs", list_jobs, Scope.READ, {200: JobPageView}, tag=TAG)
    routes.add("get", "/jobs/count", count_jobs, Scope.READ, {200: Number}, tag=TAG)
    routes.add("get", "/jobs/due", count_due_jobs, Scope.READ, {200: Number}, tag=TAG)
    answers: Answers = {200: JobView, 304: {"description": "It has not changed.", "headers": ETAG}}
    routes.add("get", "/jobs/<job_id>", get_job, Scope.READ, answers, tag=TAG)
    routes.add("get", "/jobs/<job_id>/status", get_job_status, Scope.READ, {200: StatusView}, tag=TAG)


def _add_steering(routes: Routes) -> None:
    def start_job(path: JobPath, header: MatchHeader) -> Response:
        """Let a held job run."""
        revision = wanted_revision(header.match, path.job_id)
        return job_answer(routes.ask(lambda manager: manager.start_job(path.job_id, revision=revision)))

    def pause_job(path: JobPath, header: MatchHeader, body: Reason) -> Response:
        """Hold a job: at once if it does not run, else at its next checkpoint."""
        revision = wanted_revision(header.match, path.job_id)
        why = body.reason if body.reason is not None else "paused on request"
        return job_answer(routes.ask(lambda manager: manager.pause_job(path.job_id, why, revision=revision)))

    def resume_job(path: JobPath, header: MatchHeader) -> Response:
        """Let a paused job go on from its checkpoint."""
        revision = wanted_revision(header.match, path.job_id)
        return job_answer(routes.ask(lambda manager: manager.resume_job(path.job_id, revision=revision)))

    def cancel_job(path: JobPath, header: MatchHeader, body: Cancel) -> Response:
        """End a job: at once if it does not run, else its holder is told at its next write."""
        revision = wanted_revision(header.match, path.job_id)
        why = body.reason if body.reason is not None else "cancelled on request"
        return job_answer(
            routes.ask(
                lambda manager: manager.cancel_job(path.job_id, why, dependents=body.dependents, revision=revision)
            )
        )

    def retry_job(path: JobPath, header: MatchHeader, body: Retry) -> Response:
        """Run a job again that ended FAILED or CANCELLED or waits for review, with its counters back at zero."""
        revision = wanted_revision(header.match, path.job_id)
        changes = body.model_dump()
        return job_answer(routes.ask(lambda manager: manager.retry_job(path.job_id, revision=revision, **changes)))

    def retry_jobs(body: RetryMany) -> Response:
        """Run every job again that the filters find, the oldest first."""
        wanted = body.model_dump(exclude_none=True)
        return answer(Number(jobs=routes.ask(lambda manager: manager.retry_jobs(**wanted))))

    def delete_job(path: JobPath, header: MatchHeader) -> Response:
        """Remove a job with its log, results and chunks; its run summaries stay."""
        revision = wanted_revision(header.match, path.job_id)
        routes.ask(lambda manager: manager.delete_job(path.job_id, revision=revision))
        return Response(status=204)

    answers = {200: JobView}
    routes.add("post", "/jobs/<job_id>/start", start_job, Scope.ENQUEUE, answers, tag=TAG)
    routes.add("post", "/jobs/<job_id>/pause", pause_job, Scope.ADMIN, answers, tag=TAG, body_optional=True)
    routes.add("post", "/jobs/<job_id>/resume", resume_job, Scope.ADMIN, answers, tag=TAG)
    routes.add("post", "/jobs/<job_id>/cancel", cancel_job, Scope.ADMIN, answers, tag=TAG, body_optional=True)
    routes.add("post", "/jobs/<job_id>/retry", retry_job, Scope.ADMIN, answers, tag=TAG, body_optional=True)
    routes.add("post", "/jobs/retry", retry_jobs, Scope.ADMIN, {200: Number}, tag=TAG, body_optional=True)
    routes.add("delete", "/jobs/<job_id>", delete_job, Scope.ADMIN, {204: None}, tag=TAG)


def _add_dependencies(routes: Routes) -> None:
    def get_dependencies(path: JobPath, query: PageQuery) -> Response:
        """The jobs that a job depends on, whether they are COMPLETED or not."""
        page = routes.portion(lambda parts: parts.dependencies(path.job_id, query.limit, query.cursor))
        return answer(JobPageView.page(page))

    def get_dependent_jobs(path: JobPath, query: PageQuery) -> Response:
        """The jobs that depend on a job, oldest first."""
        page = routes.portion(lambda parts: parts.dependents(path.job_id, query.limit, query.cursor))
        return answer(JobPageView.page(page))

    def add_job_dependency(path: JobPath, header: MatchHeader, body: NewDependency) -> Response:
        """Let a job that has not begun wait for another one."""
        revision = wanted_revision(header.match, path.job_id)
        return job_answer(
            routes.ask(lambda manager: manager.add_job_dependency(path.job_id, body.depends_on, revision=revision))
        )

    def remove_job_dependency(path: DependencyPath, header: MatchHeader) -> Response:
        """Let a job not wait for another one any more."""
        revision = wanted_revision(header.match, path.job_id)
        return job_answer(
            routes.ask(lambda manager: manager.remove_job_dependency(path.job_id, path.depends_on, revision=revision))
        )

    place = "/jobs/<job_id>/dependencies"
    routes.add("get", place, get_dependencies, Scope.READ, {200: JobPageView}, tag=TAG)
    routes.add("post", place, add_job_dependency, Scope.ADMIN, {200: JobView}, tag=TAG)
    routes.add("delete", f"{place}/<depends_on>", remove_job_dependency, Scope.ADMIN, {200: JobView}, tag=TAG)
    routes.add("get", "/jobs/<job_id>/dependents", get_dependent_jobs, Scope.READ, {200: JobPageView}, tag=TAG)

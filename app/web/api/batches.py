"""`/batches`: whole graphs of jobs."""

from __future__ import annotations

from flask import Response

from app.jobs import BatchInfo
from app.web.api.answers import answer
from app.web.api.bodies import NewBatch, Reason
from app.web.api.calls import BatchPath, IdempotencyHeader, LastEventHeader, LimitQuery, PageQuery
from app.web.api.following import follow, stream_answer, wants_stream
from app.web.api.jobs import one_key
from app.web.api.routes import PREFIX, Routes
from app.web.api.streams import Event
from app.web.api.views import BatchList, BatchView, JobPageView, NewBatchView, Number
from app.web.tokens import Scope

TAG = "batches"


def add_batches(routes: Routes) -> None:
    """Add the routes."""

    def create_job_batch(header: IdempotencyHeader, body: NewBatch) -> Response:
        """Create a whole graph of jobs, or nothing of it.

        A number among a job's `dependencies` is a place in the list. With an idempotency key that is taken the batch
        there is answered, with 200.
        """
        key = one_key(header.key, body.idempotency_key)
        batch = routes.ask(
            lambda manager: manager.create_job_batch(
                body.jobs,
                auto_start=body.auto_start,
                name=body.name,
                on_complete=body.on_complete,
                idempotency_key=key,
            )
        )
        status = 200 if batch.existing else 201
        return answer(NewBatchView.of(batch), status, Location=f"{PREFIX}/batches/{batch.id}")

    def list_batches(query: LimitQuery) -> Response:
        """The newest batches, without how their jobs stand."""
        found = routes.ask(lambda manager: manager.list_batches(query.limit))
        return answer(BatchList(batches=[BatchView.of(each) for each in found]))

    def get_batch(path: BatchPath, header: LastEventHeader) -> Response:
        """A batch, and how many of its jobs are in each status.

        As `text/event-stream`: an event `batch` whenever that changes, and at last `end`.
        """
        info = routes.ask(lambda manager: manager.get_batch(path.batch_id))
        if not wants_stream():
            return answer(BatchView.of(info))
        numbers = iter(range(int(header.last or 0) + 1, 10**16))

        def shown(batch: BatchInfo) -> Event:
            return Event("batch", BatchView.of(batch).model_dump(mode="json"), next(numbers))

        def ending() -> Event | None:
            batch = routes.ask(lambda manager: manager.get_batch(path.batch_id))
            return Event("end", {"counts": batch.counts}) if batch.is_over else None

        return stream_answer(follow(routes, lambda manager: manager.subscribe_batch(path.batch_id), shown, ending))

    def get_batch_jobs(path: BatchPath, query: PageQuery) -> Response:
        """The jobs of a batch, in the order in which they were given."""
        wanted = {"batch_id": path.batch_id, "sort_order": "asc", **query.model_dump()}
        page = routes.portion(lambda parts: parts.jobs(**wanted))
        if not page.jobs:
            routes.ask(lambda manager: manager.get_batch(path.batch_id))  # says so if there is none
        return answer(JobPageView.page(page))

    def cancel_batch(path: BatchPath, body: Reason) -> Response:
        """Cancel every job of a batch that has not ended."""
        why = body.reason if body.reason is not None else "its batch was cancelled"
        return answer(Number(jobs=routes.ask(lambda manager: manager.cancel_batch(path.batch_id, why))))

    routes.add("post", "/batches", create_job_batch, Scope.ENQUEUE, {201: NewBatchView, 200: NewBatchView}, tag=TAG)
    routes.add("get", "/batches", list_batches, Scope.READ, {200: BatchList}, tag=TAG)
    routes.add("get", "/batches/<batch_id>", get_batch, Scope.READ, {200: BatchView}, tag=TAG, stream=True)
    routes.add("get", "/batches/<batch_id>/jobs", get_batch_jobs, Scope.READ, {200: JobPageView}, tag=TAG)
    answers = {200: Number}
    routes.add("post", "/batches/<batch_id>/cancel", cancel_batch, Scope.ADMIN, answers, tag=TAG, body_optional=True)

"""What a manager can be asked about batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from app.jobs.batch_plan import MAX_JOBS, BatchPlan, Links, check_graph, plan_of
from app.jobs.batches import BatchInfo, BatchStatus, JobBatch, NewBatch
from app.jobs.cancelling import cancelled
from app.jobs.codec import canonical_json
from app.jobs.errors import BadInput, BatchNotFound, IdempotencyConflict
from app.jobs.linking import check_number
from app.jobs.listing import JobFilter, page_of
from app.jobs.models import Job, JobStatus, is_key
from app.jobs.paging import check_limit
from app.jobs.preparing import prepared
from app.jobs.queue import job_id_of_key
from app.jobs.ramp import Progress
from app.jobs.reader import JobReader, Jobs
from app.jobs.request import JobRequest, check_reason, request_of
from app.jobs.runtime import Runtime
from app.jobs.streams import Subscription, batch_stream
from app.jobs.uniqueness import check_not_unique
from app.stores.base import Query, Record

BatchItem = Mapping[str, Any] | JobRequest
CANCEL_PAGE = 100
CANCEL_ORDER = (
    # What waits first: a job that is cancelled under others that wait for it has to let go of each of them.
    JobStatus.PENDING,
    JobStatus.PAUSED,
    JobStatus.QUEUED,
    JobStatus.NEEDS_REVIEW,
    JobStatus.RUNNING,
)


class BatchVerbs(JobReader):
    """Creating, reading and cancelling batches."""

    async def create_job_batch(
        self,
        jobs: Sequence[BatchItem],
        *,
        auto_start: bool = True,
        name: str = "",
        on_complete: BatchItem | None = None,
        idempotency_key: str | None = None,
        on_progress: Progress | None = None,
    ) -> JobBatch:
        """Create a whole graph of jobs, or nothing of it.

        Args:
            jobs: for each the arguments of `create_job`; a number among its `dependencies` is a place in this list.
            auto_start: let those run that wait for nothing, and the others when nothing is unmet.
            name: what the batch is called.
            on_complete: one more job, which runs once when all the others have ended, however they did; its metadata
                names the batch.
            idempotency_key: one batch for one key.
            on_progress: told how many of how many jobs are written.

        Returns:
            The batch; it unpacks to its id and its jobs, which are in the order given.

        Raises:
            BadInput: one of the jobs is wrong, named by its place; nothing was written.
            DependencyCycle: naming the jobs on it by their places.
            IdempotencyConflict: the key belongs to a batch of other jobs.
        """
        check_reason(name, "name")
        if idempotency_key is not None:
            check_reason(idempotency_key, "idempotency_key")
        runtime = await self._ready()
        batch_id = f"batch-{job_id_of_key(idempotency_key) if idempotency_key else runtime.chance.token()}"
        requests = _requests(jobs, batch_id)
        check_not_unique(requests, "jobs")
        follower = None if on_complete is None else _follower(on_complete, batch_id, len(requests))
        links = [await _links_of(runtime, requests, place) for place in range(len(requests))]
        order = check_graph(links, lambda place: f"jobs[{place}]")
        every = await prepared(runtime, requests, start=auto_start, in_batch=True)
        if follower is not None:
            every += await prepared(runtime, [follower], start=True, in_batch=True)
            links.append(Links(tuple(range(len(requests)))))
            order = [len(requests), *order]
        new = NewBatch(
            id=batch_id,
            name=name,
            total=len(requests),
            digest=_digest(requests, follower),
            on_complete=every[-1].id if follower is not None else None,
        )
        now, token = runtime.clock.now(), runtime.chance.token()

        def planning(outside: Mapping[str, Job]) -> BatchPlan:
            return plan_of(every, links, order, outside, now, token, runtime.records.insert)

        outside = list(dict.fromkeys(job_id for each in links for job_id in each.outside))
        planning({job.id: job for job in await runtime.links.parents(outside)})  # refused before anything is written
        plan = await runtime.batches.create(new, outside, planning, on_progress)
        if plan is None:
            return await self._there(runtime, new, idempotency_key or batch_id)
        created = await runtime.limits.turns.begun(plan.jobs)
        await runtime.wake_ups.send()
        await runtime.hooks.after_create(created)
        return JobBatch(batch_id, created[: len(requests)], created[-1] if follower is not None else None)

    async def _there(self, runtime: Runtime, new: NewBatch, key: str) -> JobBatch:
        record = await runtime.batches.find(new.id)
        if record is None:
            raise BatchNotFound(new.id)
        if record.fields.get("digest") != new.digest:
            raise IdempotencyConflict(key, new.id, "jobs")
        follower = record.fields.get("on_complete")
        (job,) = await runtime.records.get([str(follower)]) if follower is not None else [None]
        return JobBatch(new.id, await self.get_batch_jobs(new.id), job, existing=True)

    async def get_batch_jobs(self, batch_id: str) -> Jobs:
        """The jobs of a batch, in the order in which they were given.

        Raises:
            BatchNotFound: there is no such batch, and no job that says it belongs to it.
        """
        _check_id(batch_id)
        jobs = await self.list_jobs(batch_id=batch_id, sort_order="asc")
        if not jobs and await (await self._ready()).batches.find(batch_id) is None:
            raise BatchNotFound(batch_id)
        return jobs

    async def get_batch(self, batch_id: str) -> BatchInfo:
        """A batch, and how many of its jobs are in each status.

        Raises:
            BatchNotFound: there is no such batch, and no job that says it belongs to it.
        """
        runtime = await self._ready()
        _check_id(batch_id)
        counts: dict[str, int] = {}
        for status in JobStatus:
            query = Query("jobs.list", {"batch_id": batch_id, "status": str(status)})
            if count := await runtime.store.count(query):
                counts[str(status)] = count
        record = await runtime.batches.find(batch_id)
        if record is None:
            if not counts:
                raise BatchNotFound(batch_id)
            return BatchInfo(batch_id, "", BatchStatus.OPEN, None, sum(counts.values()), counts=counts)
        info = _info(record)
        info.counts = counts
        return info

    def subscribe_batch(self, batch_id: str) -> Subscription[BatchInfo]:
        """How the jobs of a batch stand, whenever that has changed, until all of them have ended.

        The store is asked every two seconds, and more rarely while nothing changes.

        Returns:
            An asynchronous iterator. It raises BatchNotFound if there is no such batch, and StoreUnavailable if the
            store cannot be reached.
        """
        return Subscription(lambda closed: batch_stream(lambda: self.get_batch(batch_id), self.runtime.clock, closed))

    async def list_batches(self, limit: int = 100) -> list[BatchInfo]:
        """The newest batches, without how their jobs stand.

        Raises:
            BadInput: a limit that is no number of records.
        """
        query = Query("batches.list", reverse=True, limit=check_limit(limit))
        runtime = await self._ready()
        page = await runtime.store.query(query)
        return [_info(record) for record in page.records]

    async def cancel_batch(self, batch_id: str, reason: str = "its batch was cancelled") -> int:
        """Cancel every job of a batch that has not ended; those that run are told at their next write.

        Returns:
            How many had not ended, and so were cancelled or told.

        Raises:
            BatchNotFound: there is no such batch, and no job that says it belongs to it.
            BadInput: a reason that cannot be stored.
        """
        check_reason(reason)
        info = await self.get_batch(batch_id)
        runtime = await self._ready()
        record = await runtime.batches.find(batch_id)
        if record is not None and record.fields.get("status") == BatchStatus.CREATING:
            await runtime.batches.finish(record)
            info = await self.get_batch(batch_id)
        for status in CANCEL_ORDER:
            await self._cancel_all(runtime, batch_id, status, reason)
        return sum(info.counts.values()) - info.ended

    async def _cancel_all(self, runtime: Runtime, batch_id: str, status: JobStatus, reason: str) -> None:
        wanted = JobFilter.of(batch_id=batch_id, status=status, sort_order="asc")
        cursor: str | None = None
        while True:
            page = await page_of(runtime.store, runtime.records, wanted, CANCEL_PAGE, 0, cursor)
            for job in page.jobs:
                await cancelled(runtime, job.id, reason)
            cursor = page.cursor
            if cursor is None:
                return


def _requests(jobs: Sequence[BatchItem], batch_id: str) -> list[JobRequest]:
    if not 1 <= len(jobs) <= MAX_JOBS:
        raise BadInput("jobs", f"{len(jobs):,} jobs", f"give 1 to {MAX_JOBS:,}")
    return [_request(each, f"jobs[{place}]", batch_id) for place, each in enumerate(jobs)]


def _request(given: BatchItem, where: str, batch_id: str | None) -> JobRequest:
    try:
        if not isinstance(given, JobRequest | Mapping):
            raise BadInput("", f"is a {type(given).__name__}", "give the arguments of create_job by their names")
        request = given if isinstance(given, JobRequest) else request_of(given)
        for field in ("batch_id", "idempotency_key"):
            if getattr(request, field) is not None:
                raise BadInput(field, "is the whole batch's own", "leave it out, or give the batch a key")
    except BadInput as problem:
        named = f"{where}.{problem.field}" if problem.field else where
        raise BadInput(named, problem.problem, problem.remedy) from problem
    return request if batch_id is None else request.model_copy(update={"batch_id": batch_id})


def _follower(given: BatchItem, batch_id: str, jobs: int) -> JobRequest:
    request = _request(given, "on_complete", None)
    if request.dependencies:
        raise BadInput("on_complete.dependencies", "are all the other jobs", "leave them out")
    check_number(jobs, "on_complete")
    metadata = {**request.metadata, "batch_id": batch_id}
    return request.model_copy(update={"metadata": metadata, "on_dependency_failure": "run"})


async def _links_of(runtime: Runtime, requests: Sequence[JobRequest], place: int) -> Links:
    """What a job of the batch depends on; of a type that is in the batch before it, on the last one there."""
    request = requests[place]
    inside = [each for each in request.dependencies if isinstance(each, int)]
    types: list[str] = []
    for job_type in runtime.registry.dependencies(request.type):
        before = [number for number in range(place) if requests[number].type == job_type]
        if before:
            inside.append(before[-1])
        else:
            types.append(job_type)
    named = [each for each in request.dependencies if not isinstance(each, int)]
    outside = await runtime.links.wanted(request.model_copy(update={"dependencies": tuple(named)}), types)
    check_number(len(inside) + len(outside), f"jobs[{place}].dependencies")
    return Links(tuple(dict.fromkeys(inside)), outside)


def _digest(requests: Sequence[JobRequest], follower: JobRequest | None) -> str:
    every = [*requests, *([follower] if follower is not None else [])]
    told = [request.model_dump(mode="json", include={"type", "payload", "dependencies"}) for request in every]
    return sha256(canonical_json(told, "jobs").encode()).hexdigest()


def _info(record: Record) -> BatchInfo:
    fields: Mapping[str, Any] = record.fields
    return BatchInfo(
        id=record.id,
        name=fields.get("name", ""),
        status=BatchStatus(fields["status"]),
        created_at=fields["created_at"],
        total=fields["total"],
        on_complete=fields.get("on_complete"),
    )


def _check_id(batch_id: str) -> None:
    if not is_key(batch_id):
        raise BatchNotFound(str(batch_id))

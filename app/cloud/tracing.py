"""Spans of requests, wake-ups and jobs: one trace from the request that creates a job to the end of its last attempt.

A job carries its trace in its metadata and a wake-up in its message, as W3C Trace Context has it, so it does not matter
who finds the job, and by which way.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from app.jobs import TRACE_FIELDS, Hint, Job, JobContext, Middleware, RunSummary, Waker, continue_trace, trace_of

SCOPE = "torpor"
"""Says who made the spans."""
LINKS = 32
"""Most jobs that the span of a publish is linked to."""
CREATED_KEPT = 2048
"""So many jobs are remembered between their creation and its end; no more spans than that are kept anyway."""
CLOUD_TRACE = "x-cloud-trace-context"

_PROPAGATOR = TraceContextTextMapPropagator()
_CLOUD_TRACE = re.compile(r"([0-9a-fA-F]{32})(?:/(\d{1,20}))?(?:;o=(\d))?")


def w3c_of(cloud_trace: str) -> str | None:
    """Google's older header as a `traceparent`; None if it is none.

    Source: https://cloud.google.com/trace/docs/trace-context#legacy-http-header.
    """
    found = _CLOUD_TRACE.fullmatch(cloud_trace.strip())
    if found is None or found[2] is None or not 0 < int(found[2]) < 1 << 64:
        return None
    return f"00-{found[1].lower()}-{int(found[2]):016x}-{'00' if found[3] == '0' else '01'}"


def carried_by(headers: Mapping[str, str]) -> dict[str, str]:
    """The trace that a request's headers carry, in W3C's words; headers by their names in lower case."""
    carried = {name: headers[name] for name in TRACE_FIELDS if headers.get(name)}
    if TRACE_FIELDS[0] not in carried and (said := w3c_of(headers.get(CLOUD_TRACE, ""))) is not None:
        carried = {TRACE_FIELDS[0]: said}
    return carried


def _current() -> SpanContext:
    return trace.get_current_span().get_span_context()


def _carrier(span: Span) -> dict[str, str]:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
    return carrier


def _context_of(carried: Mapping[str, str]) -> Context | None:
    """The context that a carrier names; None if it names none."""
    if not carried:
        return None
    found = _PROPAGATOR.extract(carried, Context())
    return found if trace.get_current_span(found).get_span_context().is_valid else None


class RequestSpan:
    """The span of one HTTP request."""

    def __init__(self, span: Span, method: str) -> None:
        self._span = span
        self._method = method

    def answered(self, status: int) -> None:
        """What it was answered with."""
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)

    def routed(self, route: str) -> None:
        """Which route took it."""
        self._span.update_name(f"{self._method} {route}")
        self._span.set_attribute("http.route", route)


class Tracing:
    """Makes the spans.

    Args:
        provider: makes tracers.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(SCOPE)
        self.middleware = JobSpans(self._tracer)

    @contextmanager
    def request(self, method: str, path: str, headers: Mapping[str, str]) -> Iterator[RequestSpan]:
        """The span of an HTTP request, which continues the trace of whoever calls.

        Args:
            method: such as POST.
            path: without its query, which may hold what nobody else should know.
            headers: by their names in lower case.
        """
        with self._tracer.start_as_current_span(
            method,
            context=_context_of(carried_by(headers)),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "url.path": path},
        ) as span:
            yield RequestSpan(span, method)

    @contextmanager
    def woken(self, hint: Hint) -> Iterator[None]:
        """The span of doing what a hint says: in the trace of the job that it names, linked to the request."""
        carried = _context_of(hint.trace)
        outer = _current()
        is_of_job = hint.job_id is not None and carried is not None
        told = outer if is_of_job else trace.get_current_span(carried or Context()).get_span_context()
        attributes: dict[str, AttributeValue] = {"messaging.operation.type": "process", "torpor.more": hint.more}
        if hint.job_id is not None:
            attributes["torpor.job.id"] = hint.job_id
        with self._tracer.start_as_current_span(
            "wake-up",
            context=carried if is_of_job else None,
            kind=SpanKind.CONSUMER,
            links=[Link(told)] if told.is_valid else None,
            attributes=attributes,
        ):
            yield

    def waker(self, inner: Waker) -> Waker:
        """The same waker, with a span for each time that it tells somebody."""
        return TracedWaker(inner, self._tracer)


class TracedWaker:
    """Tells of hints under a span, and lets those that belong to no job carry it.

    Args:
        inner: who really tells.
        tracer: makes the spans.
    """

    def __init__(self, inner: Waker, tracer: Tracer) -> None:
        self._inner = inner
        self._tracer = tracer

    async def wake(self, hints: Sequence[Hint]) -> None:
        """See `Waker.wake`."""
        if not hints:
            return
        of_jobs = [found for hint in hints[:LINKS] if (found := _context_of(hint.trace)) is not None]
        with self._tracer.start_as_current_span(
            "send wake-ups",
            kind=SpanKind.PRODUCER,
            links=[Link(trace.get_current_span(each).get_span_context()) for each in of_jobs],
            attributes={"messaging.operation.type": "send", "messaging.batch.message_count": len(hints)},
        ) as span:
            carrier = _carrier(span)
            await self._inner.wake([hint if hint.trace else replace(hint, trace=carrier) for hint in hints])

    async def close(self) -> None:
        """Let go of connections."""
        await self._inner.close()


@dataclass(slots=True)
class _Running:
    """The spans of an attempt that runs here."""

    attempt: Span
    settle: Span | None = None


class JobSpans(Middleware):
    """The spans of jobs: created, run, settled.

    Args:
        tracer: makes them.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._created: OrderedDict[str, Span] = OrderedDict()
        self._running: dict[tuple[str, int], _Running] = {}

    async def before_create(self, job: Job) -> None:
        """Begin its trace, or continue that in which it is created, or else the one that its metadata name."""
        span = self._tracer.start_span(
            f"create {job.type}",
            context=None if _current().is_valid else _context_of(trace_of(job.metadata)),
            kind=SpanKind.PRODUCER,
            attributes=_about(job),
        )
        continue_trace(job, _carrier(span))
        if span.is_recording():
            self._created[job.id] = span
            if len(self._created) > CREATED_KEPT:
                # Of one that was refused, was there already, or is in a transaction of the caller: nobody tells.
                self._created.popitem(last=False)

    async def after_create(self, job: Job) -> None:
        """It is stored."""
        span = self._created.pop(job.id, None)
        if span is not None:
            span.end()

    async def before_run(self, context: JobContext) -> None:
        """An attempt begins, in the trace of its job, linked to what it was found by."""
        job = context.job
        carried = _context_of(trace_of(job.metadata))
        found_by = _current()
        span = self._tracer.start_span(
            f"run {job.type}",
            context=carried,
            kind=SpanKind.CONSUMER,
            links=[Link(found_by)] if carried is not None and found_by.is_valid else None,
            attributes={**_about(job), "torpor.job.attempt": context.attempt},
        )
        self._running[job.id, context.attempt] = _Running(span)
        # The task of an attempt ends with it, so this is never taken back: what is logged of its end belongs here too.
        contexts.attach(trace.set_span_in_context(span))

    async def after_run(self, context: JobContext, event: object) -> None:
        """Its handler has ended, or was given up."""
        if event is None:
            self._end(context.job.id, context.attempt, "abandoned")

    async def before_settle(self, job: Job, event: object) -> None:
        """Its end is about to be stored."""
        running = self._running.get((job.id, job.attempt))
        if running is None:
            # It was not run: nobody here has its handler, or its data cannot be read.
            return
        running.settle = self._tracer.start_span(
            f"settle {job.type}",
            context=trace.set_span_in_context(running.attempt),
            attributes={"torpor.job.id": job.id, "torpor.event": type(event).__name__},
        )

    async def after_attempt(self, job: Job, run: RunSummary) -> None:
        """Its end is stored."""
        running = self._running.pop((job.id, run.attempt), None)
        if running is None:
            self._tell_of_other(job, run)
            return
        if running.settle is not None:
            running.settle.end()
        _tell_end(running.attempt, run)
        running.attempt.end()

    async def after_loss(self, job: Job) -> None:
        """Its end cannot be stored by who ran it."""
        self._end(job.id, job.attempt, "lease lost")

    def _end(self, job_id: str, attempt: int, why: str) -> None:
        running = self._running.pop((job_id, attempt), None)
        if running is not None:
            if running.settle is not None:
                running.settle.set_status(StatusCode.ERROR, why)
                running.settle.end()
            running.attempt.set_status(StatusCode.ERROR, why)
            running.attempt.end()

    def _tell_of_other(self, job: Job, run: RunSummary) -> None:
        """An attempt that ran elsewhere, or not at all, has been ended here."""
        span = self._tracer.start_span(
            f"recover {job.type}",
            context=_context_of(trace_of(job.metadata)),
            attributes={**_about(job), "torpor.job.attempt": run.attempt},
            start_time=_nanoseconds(run.started_at),
        )
        _tell_end(span, run)
        span.end(_nanoseconds(run.ended_at))


def _about(job: Job) -> dict[str, AttributeValue]:
    about: dict[str, AttributeValue] = {
        "torpor.job.id": job.id,
        "torpor.job.type": job.type,
        "torpor.queue": str(job.queue),
    }
    if job.batch_id is not None:
        about["torpor.batch.id"] = job.batch_id
    return about


def _tell_end(span: Span, run: RunSummary) -> None:
    span.set_attribute("torpor.outcome", str(run.outcome))
    span.set_attribute("torpor.job.status", str(run.status))
    if run.error is not None:
        # Its code only: the message may hold what the job is about.
        span.set_attribute("error.type", run.error.code)
        span.set_status(StatusCode.ERROR, run.error.code)


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1_000

"""The spans of requests, wake-ups and jobs, and what of them agrees with the log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from app.cloud import tracing as module
from app.cloud.logs import JobFields
from app.cloud.tracing import Tracing, w3c_of
from app.jobs import BadInput, BlockingJobContext, ContinueLater, Hint, Job, JobContext, LoggingMiddleware, Middleware
from app.jobs.functions import complete_job, lease_job
from tests.support.engine import Engine
from tests.unit.jobs.test_waking import Ear

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Site:
    """An engine under tracing."""

    def __init__(self, engine: Engine, provider: TracerProvider | None = None) -> None:
        self._kept = InMemorySpanExporter()
        self.provider = provider or TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracing = Tracing(self.provider)
        self.engine = engine
        engine.runtime.hooks.add([self.tracing.middleware, LoggingMiddleware()])

    @property
    def spans(self) -> list[ReadableSpan]:
        """In the order in which they ended."""
        return list(self._kept.get_finished_spans())

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def only(self, name: str) -> ReadableSpan:
        (span,) = (span for span in self.spans if span.name == name)
        return span


@pytest.fixture
def site(engine: Engine) -> Site:
    return Site(engine)


def id_of(span: ReadableSpan) -> int:
    return span.context.span_id


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def links_of(span: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in span.links]


def traces_of(spans: Sequence[ReadableSpan]) -> set[int]:
    return {span.context.trace_id for span in spans}


async def test_one_trace_from_create_over_retry_and_slice_to_the_end(site: Site) -> None:
    engine = site.engine
    tracer = site.provider.get_tracer("shop")

    @engine.job("order", max_retries=1, retry_delay_seconds=30)
    async def order(ctx: JobContext) -> None:
        with tracer.start_as_current_span(f"step {ctx.attempt}"):
            if ctx.attempt == 1:
                raise ContinueLater(30)
            if ctx.attempt == 2:
                raise ValueError("secret")

    job_id = await engine.submitted("order", metadata={"mine": 1})
    for _ in range(3):
        await engine.drain()
        engine.clock.jump(31)

    create = site.only("create order")
    runs = [span for span in site.spans if span.name == "run order"]
    settles = [span for span in site.spans if span.name == "settle order"]
    assert traces_of(site.spans) == {create.context.trace_id}
    assert [parent_of(run) for run in runs] == [id_of(create)] * 3
    assert [parent_of(each) for each in settles] == [id_of(run) for run in runs]
    assert [parent_of(site.only(f"step {n}")) for n in (1, 2, 3)] == [id_of(run) for run in runs]
    said = [run.attributes for run in runs]
    assert [each["torpor.outcome"] for each in said] == ["sliced", "retried", "completed"]
    assert [each["torpor.job.attempt"] for each in said] == [1, 2, 3]
    assert {each["torpor.job.id"] for each in said} == {job_id}
    assert (said[1]["error.type"], runs[1].status.is_ok) == ("ValueError", False)
    assert "secret" not in str([(run.attributes, run.status.description) for run in runs])
    assert (await engine.get(job_id)).metadata["mine"] == 1
    assert (create.kind, runs[0].kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)


async def test_a_thread_sees_its_attempt_and_each_job_only_its_own(site: Site) -> None:
    engine = site.engine

    @engine.job("of_thread")
    def of_thread(ctx: BlockingJobContext) -> str:
        return f"{trace.get_current_span().get_span_context().span_id}"

    @engine.job("of_loop")
    async def of_loop(ctx: JobContext) -> str:
        return f"{trace.get_current_span().get_span_context().span_id}"

    ids = [await engine.submitted(name) for name in ("of_thread", "of_loop", "of_thread", "of_loop")]
    await engine.drain()
    seen = []
    for job_id in ids:
        result = (await engine.get(job_id)).result
        assert result is not None
        seen.append(int(result.data))
    by_job = {span.attributes["torpor.job.id"]: id_of(span) for span in site.spans if span.name.startswith("run")}
    assert seen == [by_job[job_id] for job_id in ids]
    assert len(set(seen)) == 4
    assert not trace.get_current_span().get_span_context().is_valid


async def test_a_job_is_created_in_the_trace_of_its_creator(site: Site) -> None:
    engine = site.engine

    @engine.job("child")
    async def child(ctx: JobContext) -> None:
        """Nothing."""

    @engine.job("parent")
    async def parent(ctx: JobContext) -> None:
        await ctx.manager.submit("child", metadata={"traceparent": PARENT})

    await engine.submitted("parent", metadata={"traceparent": PARENT})
    await engine.drain()
    assert {f"{each:032x}" for each in traces_of(site.spans)} == {TRACE}
    runs = [span for span in site.spans if span.name == "run parent"]
    assert parent_of(site.only("create child")) == id_of(runs[0]), "where it is created goes before what it says"
    assert parent_of(site.only("run child")) == id_of(site.only("create child"))


async def test_what_was_not_created_has_no_span(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = site.engine

    class Refuses(Middleware):
        async def before_create(self, job: Job) -> None:
            if job.payload:
                raise BadInput("payload", "is there", "leave it out")

    engine.runtime.hooks.add([Refuses()])

    @engine.job("it")
    async def it(ctx: JobContext, **rest: object) -> None:
        """Nothing."""

    monkeypatch.setattr(module, "CREATED_KEPT", 2)
    await engine.manager.create_job("it", idempotency_key="k")
    await engine.manager.create_job("it", idempotency_key="k")
    for _ in range(5):
        with pytest.raises(BadInput):
            await engine.manager.create_job("it", {"x": 1})
    assert site.names == ["create it"]
    assert len(site.tracing.middleware._created) == 2


async def test_an_attempt_that_ends_elsewhere_is_told_by_who_took_it_back(site: Site) -> None:
    engine = site.engine

    @engine.job("it")
    async def it(ctx: JobContext) -> None:
        """Nothing."""

    await engine.submitted("it")
    await engine.runtime.queue.claim("gone", ["default"], 1)
    engine.clock.jump(61)
    await engine.manager.run_watchdog()
    span = site.only("recover it")
    assert span.attributes["torpor.outcome"] == "lease_lost"
    assert parent_of(span) == id_of(site.only("create it"))
    assert span.end_time - span.start_time == 61 * 10**9

    async with engine.manager:
        lease = await lease_job((await engine.manager.list_jobs())[0])
        assert lease is not None
        await complete_job(lease)
    assert site.spans[-1].attributes["torpor.outcome"] == "completed"


async def test_a_holder_that_lost_its_lease_ends_its_spans(site: Site) -> None:
    engine = site.engine

    @engine.job("slow")
    async def slow(ctx: JobContext) -> None:
        engine.clock.jump(120)

    await engine.submitted("slow")
    await engine.drain()
    assert site.names == ["create slow", "settle slow", "run slow"]
    assert site.only("run slow").status.description == "lease lost"
    assert site.tracing.middleware._running == {}


async def test_a_sampler_that_wants_none_is_obeyed_down_to_the_last_attempt(engine: Engine) -> None:
    site = Site(engine, TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))

    @engine.job("it")
    async def it(ctx: JobContext) -> None:
        """Nothing."""

    job_id = await engine.submitted("it")
    await engine.drain()
    assert site.spans == []
    flags = (await engine.get(job_id)).metadata["traceparent"].rsplit("-", 1)[1]
    assert int(flags, 16) & 1 == 0


# --- requests and wake-ups ---


@pytest.mark.parametrize(
    ("header", "traceparent"),
    [
        (f"{TRACE}/255;o=1", f"00-{TRACE}-00000000000000ff-01"),
        (f"{TRACE.upper()}/255", f"00-{TRACE}-00000000000000ff-01"),
        (f"{TRACE}/255;o=0", f"00-{TRACE}-00000000000000ff-00"),
        (TRACE, None),
        (f"{TRACE}/0;o=1", None),
        (f"{TRACE}/{2**64}", None),
        ("x/1", None),
        ("", None),
    ],
)
def test_googles_older_header_says_the_same(header: str, traceparent: str | None) -> None:
    assert w3c_of(header) == traceparent


@pytest.mark.parametrize(
    ("headers", "continued"),
    [
        ({"traceparent": PARENT}, True),
        ({"x-cloud-trace-context": f"{TRACE}/7;o=1"}, True),
        ({"traceparent": PARENT, "x-cloud-trace-context": f"{'1' * 32}/7;o=1"}, True),
        ({"traceparent": "nonsense"}, False),
        ({}, False),
    ],
)
async def test_a_request_continues_its_callers_trace(site: Site, headers: dict[str, str], continued: bool) -> None:
    with site.tracing.request("POST", "/tasks/drain", headers) as span:
        span.routed("/tasks/<what>")
        span.answered(503)
    (span,) = site.spans
    assert (f"{span.context.trace_id:032x}" == TRACE) is continued
    assert (span.name, span.kind, span.status.is_ok) == ("POST /tasks/<what>", SpanKind.SERVER, False)
    assert span.attributes["http.response.status_code"] == 503


async def test_a_wake_up_is_of_its_jobs_trace_and_linked_to_its_request(site: Site, engine: Engine) -> None:
    ear = Ear()
    waker = site.tracing.waker(ear)
    await waker.wake([])
    await waker.wake([Hint("j", trace={"traceparent": PARENT}), Hint(more=True)])
    await waker.close()
    of_job, of_many = ear.take()
    sent = site.only("send wake-ups")
    assert of_job.trace == {"traceparent": PARENT}
    assert f"{id_of(sent):016x}" in of_many.trace["traceparent"]
    assert links_of(sent) == [int("b7ad6b7169203331", 16)]

    for hint in (of_job, of_many):
        with site.tracing.request("POST", "/pubsub/push", {}), site.tracing.woken(hint):
            assert trace.get_current_span().is_recording()
    first, second = (span for span in site.spans if span.name == "wake-up")
    requests = [span for span in site.spans if span.name == "POST"]
    assert (f"{first.context.trace_id:032x}", links_of(first)) == (TRACE, [id_of(requests[0])])
    assert (parent_of(second), links_of(second)) == (id_of(requests[1]), [id_of(sent)])


async def test_an_attempt_is_linked_to_what_it_was_found_by(site: Site) -> None:
    engine = site.engine

    @engine.job("it")
    async def it(ctx: JobContext) -> None:
        """Nothing."""

    await engine.submitted("it")
    with site.tracing.request("POST", "/tasks/drain", {}):
        await engine.drain()
    run = site.only("run it")
    assert links_of(run) == [id_of(site.only("POST"))]
    assert parent_of(run) == id_of(site.only("create it"))


# --- the log ---


@pytest.fixture
def said() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    from google.cloud.logging_v2.handlers.structured_log import StructuredLogHandler

    stream = io.StringIO()
    handler = StructuredLogHandler(project_id="p", stream=stream)
    handler.addFilter(JobFields())
    handler.filters.reverse()
    logger = logging.getLogger("app.jobs.middleware")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.setLevel(before)


async def test_the_log_names_the_spans_that_it_is_about(site: Site, said: Callable[[], list[dict[str, Any]]]) -> None:
    engine = site.engine
    logger = logging.getLogger("app.jobs.middleware")

    @engine.job("it")
    def it(ctx: BlockingJobContext) -> None:
        logger.info("from the handler")

    await engine.submitted("it")
    await engine.drain()
    run = site.only("run it")
    lines = [line for line in said() if "created" not in line.get("message", "created")]
    expected = (f"projects/p/traces/{run.context.trace_id:032x}", f"{id_of(run):016x}", True)
    said_at = ("begins", "from the handler", "is completed")
    assert all(any(part in line["message"] for line in lines) for part in said_at)
    for line in lines:
        names = ("trace", "spanId", "trace_sampled")
        assert tuple(line[f"logging.googleapis.com/{name}"] for name in names) == expected

"""What is exported, and when; and that what could not be is kept, as far as there is room."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from app.cloud.outgoing import SPANS_AT_ONCE, NotTaken, Outgoing, Reasons, WaitingSpans
from tests.support.collector import Collector
from tests.support.worker_processes import PATIENCE_SECONDS

LOG = "tests.exporter"


class Spans(SpanExporter):
    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.refuses = self.raises = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.raises:
            raise OSError("broken")
        if self.refuses:
            logging.getLogger(f"{LOG}.spans").error("Failed: %s", "code 500")
            return SpanExportResult.FAILURE
        self.batches.append([span.name for span in spans])
        return SpanExportResult.SUCCESS


class Points(MetricExporter):
    def __init__(self) -> None:
        super().__init__()
        self.exported = 0
        self.refuses = False

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        self.exported += 1
        return MetricExportResult.FAILURE if self.refuses else MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Nothing."""


class Desk:
    """Outgoing with both exporters, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.spans, self.points = Spans(), Points()
        self.outgoing = Outgoing(
            self.spans, self.points, metric_seconds=60.0, reasons=Reasons(LOG), monotonic=lambda: self.now
        )
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(self.outgoing.waiting)
        self.tracer = provider.get_tracer("t")
        assert self.outgoing.reader is not None
        meters = MeterProvider([self.outgoing.reader], shutdown_on_exit=False)
        meters.get_meter("t").create_counter("c").add(1)

    def end_spans(self, number: int) -> None:
        for each in range(number):
            self.tracer.start_span(str(each)).end()


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_spans_go_at_once_and_metrics_when_it_is_time(desk: Desk) -> None:
    desk.end_spans(SPANS_AT_ONCE + 1)
    desk.outgoing.deliver(last=False)
    assert [len(batch) for batch in desk.spans.batches] == [SPANS_AT_ONCE, 1]
    assert desk.points.exported == 0
    desk.now = 55.0  # what is called each minute may come a little early
    desk.outgoing.deliver(last=False)
    desk.outgoing.deliver(last=False)
    assert desk.points.exported == 1
    desk.outgoing.deliver(last=True)
    assert desk.points.exported == 2


def test_spans_that_are_refused_are_kept_and_the_exporters_reason_is_told(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(sys.stdout)])
    desk.end_spans(3)
    desk.spans.refuses = True
    with pytest.raises(NotTaken, match="Failed: code 500"):
        desk.outgoing.deliver(last=False)
    assert capsys.readouterr().out == "", "it is told by who catches this, once"
    desk.spans.refuses, desk.spans.raises = False, True
    with pytest.raises(OSError, match="broken"):
        desk.outgoing.deliver(last=False)
    desk.spans.raises = False
    desk.end_spans(1)
    desk.outgoing.deliver(last=False)
    assert desk.spans.batches == [["0", "1", "2", "0"]]


def test_metrics_go_out_whatever_becomes_of_spans(desk: Desk) -> None:
    desk.end_spans(1)
    desk.now, desk.spans.refuses = 60.0, True
    with pytest.raises(NotTaken):
        desk.outgoing.deliver(last=False)
    assert desk.points.exported == 1
    desk.spans.refuses, desk.spans.raises = False, True
    with pytest.raises(OSError, match="broken"):
        desk.outgoing.deliver(last=True)
    assert desk.points.exported == 2


def test_what_fails_over_its_spans_for_ever_is_not_given_them_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise TypeError("no such value")

    desk.end_spans(2)
    with monkeypatch.context() as patch:
        patch.setattr(desk.spans, "export", fails)
        with pytest.raises(TypeError, match="no such value"):
            desk.outgoing.deliver(last=True)
    desk.end_spans(1)
    desk.outgoing.deliver(last=False)
    assert desk.spans.batches == [["0"]]
    assert desk.points.exported == 1


HALF = os.fsdecode(b"caf\xe9")
"""The name of a file that is not in UTF-8, as Python has it: no encoder takes it."""


def test_spans_that_cannot_be_encoded_are_dropped_and_the_others_go_out(caplog: pytest.LogCaptureFixture) -> None:
    with Collector() as collector:
        exporter = OTLPSpanExporter(f"{collector.url}/v1/traces", timeout=PATIENCE_SECONDS)
        outgoing = Outgoing(exporter, None, metric_seconds=60.0, reasons=Reasons(LOG))
        provider = TracerProvider(resource=Resource({"service.name": "t"}), shutdown_on_exit=False)
        provider.add_span_processor(outgoing.waiting)
        tracer = provider.get_tracer("t")
        for name in ("before", HALF, "after"):
            tracer.start_span(name).end()
        with pytest.raises(ValueError, match="caf"), tracer.start_as_current_span("failed"):
            raise ValueError(HALF)
        tracer.start_span("last").end()
        outgoing.deliver(last=False)
        assert [span.name for span in collector.spans] == ["before", "after", "last"]
    said = [record.getMessage() for record in caplog.records if record.name == "app.cloud.outgoing"]
    assert [line.partition(" was dropped")[0] for line in said] == [r"the span 'caf\udce9'", "the span 'failed'"]


def test_metrics_that_are_refused_wait_for_their_next_time(desk: Desk) -> None:
    desk.now, desk.points.refuses = 60.0, True
    with pytest.raises(NotTaken, match="it was not taken"):
        desk.outgoing.deliver(last=False)
    desk.outgoing.deliver(last=False)
    assert desk.points.exported == 1


def test_the_oldest_make_room() -> None:
    waiting = WaitingSpans(4)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(waiting)
    tracer = provider.get_tracer("t")
    for name in "abcde":
        tracer.start_span(name).end()
    taken = waiting.take(3)
    assert [span.name for span in taken] == ["b", "c", "d"]
    tracer.start_span("f").end()
    waiting.put_back(taken)
    assert [span.name for span in waiting.take(9)] == ["c", "d", "e", "f"]


def test_what_was_not_sampled_is_not_kept() -> None:
    waiting = WaitingSpans()
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(waiting)
    provider.get_tracer("t").start_span("a").end()
    assert waiting.take(9) == []


def test_a_signal_that_nobody_wants_is_not_exported() -> None:
    outgoing = Outgoing(None, None, metric_seconds=1.0, reasons=Reasons(LOG))
    assert outgoing.reader is None
    outgoing.deliver(last=True)

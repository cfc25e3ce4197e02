"""What is to be exported: ended spans, as many as are kept, and the metrics as they are when they are asked for."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from google.auth.exceptions import GoogleAuthError
from opentelemetry.context import Context
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricReader, MetricsData
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

logger = logging.getLogger(__name__)

SPANS_KEPT = 2048
"""How many ended spans wait at most; then the oldest are dropped. As in OpenTelemetry's own processor."""
SPANS_AT_ONCE = 512
EARLY_SHARE = 0.9
"""Metrics go out when this part of their interval has passed: what is called each minute is not so to the second."""


class NotTaken(Exception):
    """An exporter did not get rid of what it was given."""


class Reasons(logging.Handler):
    """Keeps what exporters log about a failure, which they do not return; their lines are not logged beside ours.

    Args:
        name: of the exporters' logger.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._first = ""
        logger = logging.getLogger(name)
        logger.addHandler(self)
        logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Remember it, if it is the first: those that follow say that it did not help to try again."""
        self._first = self._first or record.getMessage()

    def take(self) -> str:
        """The first since the last time."""
        first, self._first = self._first, ""
        return first or "it was not taken"


class WaitingSpans(SpanProcessor):
    """Ended spans that were sampled, in their order."""

    def __init__(self, most: int = SPANS_KEPT) -> None:
        self._spans: deque[ReadableSpan] = deque(maxlen=most)
        self._lock = threading.Lock()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing: only what has ended can be told."""

    def on_end(self, span: ReadableSpan) -> None:
        """Keep it."""
        context = span.get_span_context()
        if context is not None and context.trace_flags.sampled:
            self._spans.append(span)

    def take(self, most: int) -> list[ReadableSpan]:
        """The oldest of them; they wait no more."""
        with self._lock:
            return [self._spans.popleft() for _ in range(min(most, len(self._spans)))]

    def put_back(self, spans: Sequence[ReadableSpan]) -> None:
        """What was taken and not got rid of, as far as there is room beside newer ones."""
        with self._lock:
            room = (self._spans.maxlen or 0) - len(self._spans)
            self._spans.extendleft(reversed(spans[max(0, len(spans) - room) :]))

    def shutdown(self) -> None:
        """Nothing: whoever ends the process delivers first."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing either: what waits is delivered by a courier."""
        return True


class CurrentMetrics(MetricReader):
    """Collects when it is asked to.

    Args:
        exporter: says whether it wants totals or differences.
    """

    def __init__(self, exporter: MetricExporter) -> None:
        # As the SDK's own reader takes them over: exporters have no public name for their preferences.
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)
        self._collected: MetricsData | None = None

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        self._collected = metrics_data

    def read(self) -> MetricsData | None:
        """The metrics as they are now; None if there are none."""
        self._collected = None
        self.collect()
        return self._collected

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Nothing to let go of."""


class Outgoing:
    """Delivers spans each time, and metrics when it is time for them.

    Args:
        spans: exports spans; None where nobody wants them.
        metrics: exports metrics; None where nobody wants them.
        metric_seconds: how far exports of metrics are apart.
        reasons: why an exporter has failed.
        monotonic: the time in seconds.
    """

    def __init__(
        self,
        spans: SpanExporter | None,
        metrics: MetricExporter | None,
        *,
        metric_seconds: float,
        reasons: Reasons,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.waiting = WaitingSpans()
        self.reader = None if metrics is None else CurrentMetrics(metrics)
        self._spans = spans
        self._metrics = metrics
        self._metric_seconds = metric_seconds
        self._reasons = reasons
        self._monotonic = monotonic
        self._metrics_from = monotonic() + metric_seconds * EARLY_SHARE

    def deliver(self, *, last: bool) -> None:
        """Export what there is: the metrics too when nobody takes the spans.

        Spans that are not taken wait for the next time. Those that cannot be encoded are dropped, and that is logged:
        they would hold up all others for ever.

        Raises:
            NotTaken: an exporter said so, and why.
            Exception: whatever an exporter raised.
        """
        self._reasons.take()
        try:
            self._deliver_spans()
        finally:
            if last or self._monotonic() >= self._metrics_from:
                self._deliver_metrics()

    def _deliver_spans(self) -> None:
        while self._spans is not None and (batch := self.waiting.take(SPANS_AT_ONCE)):
            try:
                if self._spans.export(batch) is not SpanExportResult.SUCCESS:
                    raise NotTaken(self._reasons.take())
            except Exception as error:  # whatever a library raises; all that is not dropped here goes on below
                sound = _sound(batch)
                if len(sound) < len(batch):
                    self.waiting.put_back(sound)
                    continue  # at once: nobody else has refused them
                if isinstance(error, NotTaken | OSError | GoogleAuthError):
                    self.waiting.put_back(batch)
                # Whatever else is raised may be raised for ever over the same spans.
                raise

    def _deliver_metrics(self) -> None:
        data = None if self.reader is None else self.reader.read()
        self._metrics_from = self._monotonic() + self._metric_seconds * EARLY_SHARE
        if data is None or self._metrics is None:
            return
        if self._metrics.export(data) is not MetricExportResult.SUCCESS:
            raise NotTaken(self._reasons.take())


def _sound(batch: Sequence[ReadableSpan]) -> list[ReadableSpan]:
    """Those that can be encoded: one that cannot be, such as a name with half a character, fails its whole batch."""
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    sound: list[ReadableSpan] = []
    for span in batch:
        try:
            encode_spans([span]).SerializePartialToString()
        except Exception as error:  # noqa: BLE001 - whatever the encoder raises over a value
            # Escaped, because the name may be just what cannot be encoded.
            logger.warning("the span %a was dropped, which cannot be encoded: %a", span.name[:200], str(error)[:200])
        else:
            sound.append(span)
    return sound

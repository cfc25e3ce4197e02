"""A collector that speaks OTLP over HTTP, for tests: keeps what it is sent, or behaves badly."""

from __future__ import annotations

import gzip
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Behaviour = Literal["take", "fail", "hang"]


@dataclass(frozen=True)
class SentSpan:
    """A span as it was exported."""

    name: str
    service: str
    kind: int
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    attributes: dict[str, Any]
    is_error: bool


@dataclass(frozen=True)
class SentMetric:
    """A metric as it was exported, and its points."""

    name: str
    unit: str
    service: str
    points: tuple[tuple[dict[str, Any], float], ...]
    """Attributes, and the value; of a histogram, how much was counted."""


class Collector:
    """Listens on a free port of loopback until it is closed."""

    def __init__(self, behaviour: Behaviour = "take") -> None:
        self.behaviour = behaviour
        self.calls: Counter[str] = Counter()
        """How often each path was called."""
        self.callers: set[str | None] = set()
        """What the calls said of who calls."""
        self._bodies: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()
        self._let_go = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def spans(self) -> list[SentSpan]:
        """What was sent to it."""
        return [span for path, body in self._sent() if path == "/v1/traces" for span in _spans(body)]

    @property
    def metrics(self) -> dict[tuple[str, str], SentMetric]:
        """The newest state of each metric that was sent to it, by service and name."""
        sent = (metric for path, body in self._sent() if path == "/v1/metrics" for metric in _metrics(body))
        return {(metric.service, metric.name): metric for metric in sent}

    def _sent(self) -> list[tuple[str, bytes]]:
        with self._lock:
            return list(self._bodies)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                with collector._lock:
                    collector.calls[self.path] += 1
                    collector.callers.add(self.headers["Authorization"])
                if collector.behaviour == "hang":
                    collector._let_go.wait()
                    return
                if collector.behaviour == "take":
                    with collector._lock:
                        collector._bodies.append((self.path, body))
                self.send_response(200 if collector.behaviour == "take" else 500)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Nothing."""

        return Handler

    def close(self) -> None:
        """Listen no more, and let go of whoever hangs."""
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


def _pairs(attributes: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in attributes}


def _spans(body: bytes) -> Iterator[SentSpan]:
    for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _pairs(of_resource.resource.attributes)["service.name"]
        for span in (span for scope in of_resource.scope_spans for span in scope.spans):
            yield SentSpan(
                span.name,
                service,
                span.kind,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                tuple(link.span_id.hex() for link in span.links),
                _pairs(span.attributes),
                span.status.code == span.status.STATUS_CODE_ERROR,
            )


def _metrics(body: bytes) -> Iterator[SentMetric]:
    for of_resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        service = _pairs(of_resource.resource.attributes)["service.name"]
        for metric in (metric for scope in of_resource.scope_metrics for metric in scope.metrics):
            points = getattr(metric, metric.WhichOneof("data")).data_points
            yield SentMetric(
                metric.name,
                metric.unit,
                service,
                tuple((_pairs(point.attributes), _number(point)) for point in points),
            )


def _number(point: Any) -> float:
    return point.count if hasattr(point, "bucket_counts") else float(getattr(point, point.WhichOneof("value")))

"""Telemetry of one process: its spans and metrics, put together and sent where the settings say.

Importing this module imports OpenTelemetry, so it is imported only where telemetry is on.
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Literal, Self

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.trace import ProxyTracerProvider, TracerProvider

from app.cloud.courier import FLUSH_SECONDS, Courier
from app.cloud.exporters import EXPORTERS_LOG, google_exporters, metric_seconds, otlp_exporters, resource_of
from app.cloud.metrics import Metrics
from app.cloud.outgoing import Outgoing, Reasons
from app.cloud.tracing import RequestSpan, Tracing
from app.jobs import Hint, Middleware, NoWaker, Runtime, Waker

DELIVERY_SECONDS = 5.0
"""A process that lives long delivers so often, as OpenTelemetry's own processor does."""


class Telemetry:
    """What makes spans and metrics in one process.

    Args:
        traces: makes tracers.
        meters: makes meters.
        courier: delivers both; None where the application that made the two sees to that.
    """

    def __init__(self, traces: TracerProvider, meters: MeterProvider, courier: Courier | None = None) -> None:
        self._tracing = Tracing(traces)
        self._metrics = Metrics(meters)
        self._courier = courier
        self._is_resident = False
        """Whether what there is goes out without anybody's asking."""

    @property
    def middleware(self) -> list[Middleware]:
        """What an engine has to ask around its jobs."""
        return [self._tracing.middleware, self._metrics]

    def attach(self, runtime: Runtime) -> None:
        """Count what this engine asks of its store."""
        self._metrics.attach(runtime)

    def waker(self, inner: Waker) -> Waker:
        """The same waker under spans; nobody needs any for one that tells nobody."""
        return inner if isinstance(inner, NoWaker) else self._tracing.waker(inner)

    def request(self, method: str, path: str, headers: Mapping[str, str]) -> AbstractContextManager[RequestSpan]:
        """The span of an HTTP request; see `Tracing.request`."""
        return self._tracing.request(method, path, headers)

    def woken(self, hint: Hint) -> AbstractContextManager[None]:
        """The span of doing what a hint says; see `Tracing.woken`."""
        return self._tracing.woken(hint)

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Deliver what there is, unless that goes by itself; see `Courier.flush`."""
        if self._courier is not None and not self._is_resident:
            self._courier.flush(seconds)

    def start(self) -> None:
        """Deliver at intervals, without being asked: for a process that has a processor all the time."""
        if self._courier is not None:
            self._is_resident = True
            self._courier.start(DELIVERY_SECONDS)
            atexit.register(self._courier.close)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self, seconds: float = FLUSH_SECONDS) -> None:
        """Deliver for the last time, and wait for that so long at most."""
        if self._courier is not None:
            self._courier.close(seconds)


def telemetry_to(kind: Literal["otlp", "google"], service: str, version: str) -> Telemetry:
    """Telemetry that is exported.

    The handlers' own spans and metrics come along: this process's global providers are set, as OpenTelemetry has it,
    unless the application has set some already. Then those are used, and exporting is their affair.

    Args:
        kind: `otlp` for a collector, `google` for Google Cloud.
        service: the name of the service.
        version: its version.

    Raises:
        BadInput: an environment variable asks for what is not there, or Google knows no account of this process.
    """
    traces = trace.get_tracer_provider()
    if not isinstance(traces, ProxyTracerProvider):
        return Telemetry(traces, metrics.get_meter_provider())
    exporters = google_exporters() if kind == "google" else otlp_exporters()
    outgoing = Outgoing(
        exporters.spans, exporters.metrics, metric_seconds=metric_seconds(), reasons=Reasons(EXPORTERS_LOG)
    )
    resource = resource_of(service, version, on_google=kind == "google")
    # Nothing is exported when the interpreter ends: by then whoever made this has closed it, in time and for so long.
    own_traces = SdkTracerProvider(resource=resource, shutdown_on_exit=False)
    own_traces.add_span_processor(outgoing.waiting)
    readers = [] if outgoing.reader is None else [outgoing.reader]
    own_meters = SdkMeterProvider(readers, resource=resource, shutdown_on_exit=False)
    trace.set_tracer_provider(own_traces)
    metrics.set_meter_provider(own_meters)
    return Telemetry(own_traces, own_meters, Courier(outgoing.deliver, exporters.place))

"""Where telemetry goes: any collector that speaks OTLP, or Google's own endpoint, which speaks it too.

Google takes traces and metrics at telemetry.googleapis.com and recommends it over its older exporters
(https://docs.cloud.google.com/stackdriver/docs/otlp/overview), of which that for metrics has never left alpha. So there
is one protocol here, and only who calls differs.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from google.auth.exceptions import GoogleAuthError
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace.export import SpanExporter

from app.jobs import BadInput

logger = logging.getLogger(__name__)

EXPORTERS_LOG = "opentelemetry.exporter.otlp.proto.http"
"""Where the exporters log what went wrong."""
PROTOCOL = "http/protobuf"
GOOGLE = "https://telemetry.googleapis.com"
GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
POINTS_AT_ONCE = 200
"""Most points of metrics in one request to Google."""
METRIC_SECONDS = 60.0
"""How far exports of metrics are apart, unless OTEL_METRIC_EXPORT_INTERVAL says otherwise. Google refuses points of one
series that are less than five seconds apart."""


@dataclass(frozen=True, slots=True)
class Exporters:
    """What sends spans and metrics, and where to."""

    spans: SpanExporter | None
    metrics: MetricExporter | None
    place: str


def _is_wanted(signal: str) -> bool:
    return os.environ.get(f"OTEL_{signal}_EXPORTER", "otlp").strip().lower() != "none"


def otlp_exporters() -> Exporters:
    """To whom the standard variables `OTEL_EXPORTER_OTLP_…` name; without them to a collector on this machine.

    Raises:
        BadInput: they ask for a protocol that is not spoken here.
    """
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    for signal in ("", "TRACES_", "METRICS_"):
        name = f"OTEL_EXPORTER_OTLP_{signal}PROTOCOL"
        if (asked := os.environ.get(name, PROTOCOL)) != PROTOCOL:
            raise BadInput(name, f"{asked!r} is not spoken here", f"leave it out, or set it to {PROTOCOL}")
    return Exporters(
        OTLPSpanExporter() if _is_wanted("TRACES") else None,
        OTLPMetricExporter() if _is_wanted("METRICS") else None,
        os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "the collector on this machine"),
    )


def google_exporters() -> Exporters:
    """To Google Cloud, as this process's own account.

    Raises:
        BadInput: it has none.
    """
    import google.auth
    from google.auth.transport.requests import AuthorizedSession
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    try:
        credentials, _ = google.auth.default(scopes=[GOOGLE_SCOPE])
    except GoogleAuthError as error:
        remedy = "run on Google Cloud, or `gcloud auth application-default login`"
        raise BadInput("telemetry", f"is google, and there are no credentials: {error}", remedy) from error

    def session() -> AuthorizedSession:
        return AuthorizedSession(credentials)  # type: ignore[no-untyped-call]  # the library's own lack

    return Exporters(
        OTLPSpanExporter(f"{GOOGLE}/v1/traces", session=session()) if _is_wanted("TRACES") else None,
        OTLPMetricExporter(f"{GOOGLE}/v1/metrics", session=session(), max_export_batch_size=POINTS_AT_ONCE)
        if _is_wanted("METRICS")
        else None,
        GOOGLE,
    )


def resource_of(service: str, version: str, *, on_google: bool) -> Resource:
    """Who tells: this process. What the standard variables say goes before what is found out.

    Args:
        service: the name of the service.
        version: its version.
        on_google: whether to ask Google Cloud where this process runs.
    """
    own = Resource(
        {
            "service.name": service,
            "service.version": version,
            # Counters of two processes of one service must not be taken for one counter that jumps.
            "service.instance.id": str(uuid.uuid4()),
        }
    )
    found = _place() if on_google else Resource.get_empty()
    return Resource.get_empty().merge(own).merge(found).merge(OTELResourceDetector().detect())


def _place() -> Resource:
    from opentelemetry.resourcedetector.gcp_resource_detector import GoogleCloudResourceDetector

    try:
        found = GoogleCloudResourceDetector().detect()
    except Exception as error:  # noqa: BLE001 - whatever the metadata server does: telemetry then says less
        logger.warning("it is not known where on Google Cloud this process runs: %s", error)
        found = Resource.get_empty()
    project = os.environ.get("GOOGLE_CLOUD_PROJECT") or found.attributes.get("cloud.account.id")
    more: Mapping[str, str] = {} if project is None else {"gcp.project_id": str(project)}
    return found.merge(Resource(more))


def metric_seconds() -> float:
    """How far exports of metrics are apart.

    Raises:
        BadInput: the variable is no time.
    """
    name = "OTEL_METRIC_EXPORT_INTERVAL"
    said = os.environ.get(name, str(METRIC_SECONDS * 1000))
    try:
        milliseconds = float(said)
    except ValueError:
        milliseconds = 0.0
    if not milliseconds > 0:
        raise BadInput(name, f"{said!r} is no time", "give milliseconds, such as 60000")
    return milliseconds / 1000

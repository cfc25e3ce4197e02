"""Where telemetry goes, as the settings and the standard variables say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import google.auth
import google.oauth2.credentials
import pytest
from google.auth.exceptions import DefaultCredentialsError
from opentelemetry.resourcedetector.gcp_resource_detector import GoogleCloudResourceDetector
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from app.bootstrap import make_telemetry
from app.cloud import exporters as module
from app.cloud.exporters import Exporters, google_exporters, metric_seconds, otlp_exporters, resource_of
from app.cloud.outgoing import Outgoing, Reasons
from app.jobs import BadInput
from tests.support.collector import Collector
from tests.unit.test_bootstrap import plain


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def export(exporters: Exporters, resource: Resource) -> None:
    """One span and one counter."""
    outgoing = Outgoing(exporters.spans, exporters.metrics, metric_seconds=60.0, reasons=Reasons(module.EXPORTERS_LOG))
    traces = TracerProvider(resource=resource, shutdown_on_exit=False)
    traces.add_span_processor(outgoing.waiting)
    traces.get_tracer("t").start_span("it").end()
    assert outgoing.reader is not None
    meters = MeterProvider([outgoing.reader], resource=resource, shutdown_on_exit=False)
    meters.get_meter("t").create_counter("counted").add(3)
    outgoing.deliver(last=True)
    for exporter in (exporters.spans, exporters.metrics):
        assert exporter is not None
        exporter.shutdown()


def test_the_standard_variables_say_where_to_and_who(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20x")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    resource = resource_of("torpor-web", "1.2", on_google=False)
    export(otlp_exporters(), resource)

    (span,) = collector.spans
    assert (span.name, span.service) == ("it", "shop")
    assert collector.metrics["shop", "counted"].points == (({}, 3.0),)
    assert collector.callers == {"Basic x"}
    assert (resource.attributes["service.version"], resource.attributes["deployment.environment"]) == ("1.2", "test")
    another = resource_of("torpor-web", "1.2", on_google=False)
    assert resource.attributes["service.instance.id"] != another.attributes["service.instance.id"]


def test_a_signal_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert otlp_exporters().spans is None
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "None")
    assert otlp_exporters().metrics is None


def test_a_protocol_that_is_not_spoken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc")
    with pytest.raises(BadInput, match="'grpc' is not spoken here; leave it out, or set it to http/protobuf"):
        otlp_exporters()


@pytest.mark.parametrize("said", ["x", "0", "-1", "nan"])
def test_an_interval_that_is_none_is_refused(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert metric_seconds() == 60.0
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", said)
    with pytest.raises(BadInput, match="OTEL_METRIC_EXPORT_INTERVAL"):
        metric_seconds()


def test_google_is_told_by_this_process_own_account(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    scopes: list[Any] = []

    def default(scopes_asked: list[str] | None = None, **given: Any) -> tuple[Any, str]:
        scopes.extend(given["scopes"])
        return google.oauth2.credentials.Credentials(token="a-token"), "p"  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", default)
    monkeypatch.setattr(module, "GOOGLE", collector.url)
    export(google_exporters(), resource_of("torpor-web", "1", on_google=False))

    assert collector.calls == {"/v1/traces": 1, "/v1/metrics": 1}
    assert collector.callers == {"Bearer a-token"}
    assert scopes == ["https://www.googleapis.com/auth/cloud-platform"]


def test_without_an_account_google_is_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def default(**given: Any) -> None:
        raise DefaultCredentialsError("none were found")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", default)
    with pytest.raises(BadInput, match="there are no credentials: none were found; run on Google Cloud"):
        google_exporters()


def test_google_is_told_where_this_process_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    found = Resource({"cloud.region": "europe-west1", "cloud.account.id": "p"})
    monkeypatch.setattr(GoogleCloudResourceDetector, "detect", lambda self: found)
    told = resource_of("torpor-web", "1", on_google=True).attributes
    assert (told["cloud.region"], told["gcp.project_id"], told["service.name"]) == ("europe-west1", "p", "torpor-web")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "q")
    assert resource_of("torpor-web", "1", on_google=True).attributes["gcp.project_id"] == "q"

    def detect(self: object) -> Resource:
        raise OSError("no metadata server")

    monkeypatch.setattr(GoogleCloudResourceDetector, "detect", detect)
    assert resource_of("torpor-web", "1", on_google=True).attributes["service.name"] == "torpor-web"
    assert "no metadata server" in caplog.text


def test_telemetry_is_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_telemetry(plain()) is None
    monkeypatch.setenv("OTEL_SDK_DISABLED", "TRUE")
    assert make_telemetry(plain(telemetry="otlp")) is None


OWN_PROVIDER = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from app.cloud.telemetry import telemetry_to

own = TracerProvider(shutdown_on_exit=False)
trace.set_tracer_provider(own)
telemetry = telemetry_to("otlp", "torpor", "1")
assert trace.get_tracer_provider() is own
ended = []
own.add_span_processor(type("Ends", (), {"on_start": lambda *a, **k: None, "_on_ending": lambda *a: None,
    "on_end": lambda self, span: ended.append(span.name)})())
with telemetry, telemetry.request("GET", "/", {}):
    pass
telemetry.flush()
print(ended)
"""


def test_an_application_that_exports_by_itself_gets_the_spans() -> None:
    done = subprocess.run([sys.executable, "-c", OWN_PROVIDER], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("['GET']\n", "")

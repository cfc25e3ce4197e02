"""Requests under spans: what is told of each, and that it goes out before the answer does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from flask import Flask
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.cloud.telemetry import Telemetry
from app.web.traced import TracedApp


class Noted(Telemetry):
    """Notes when it is to be delivered."""

    def __init__(self, traces: TracerProvider, order: list[str]) -> None:
        super().__init__(traces, NoOpMeterProvider())
        self._order = order

    def flush(self, seconds: float = 1.0) -> None:
        self._order.append("flush")


class Site:
    def __init__(self) -> None:
        self.order: list[str] = []
        self._kept = InMemorySpanExporter()
        traces = TracerProvider(shutdown_on_exit=False)
        traces.add_span_processor(SimpleSpanProcessor(self._kept))
        app = Flask("traced")

        @app.get("/jobs/<job_id>")
        def job(job_id: str) -> Any:
            def body() -> Iterable[str]:
                self.order.append("body")
                yield "x"

            return body()

        @app.get("/broken")
        def broken() -> str:
            raise ValueError("broken")

        @app.get("/healthz")
        def alive() -> str:
            return "alive"

        app.wsgi_app = TracedApp(app.wsgi_app, Noted(traces, self.order))  # type: ignore[method-assign]
        self.client = app.test_client()

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._kept.get_finished_spans())


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_request_is_named_by_its_route_and_told_before_its_answer(site: Site) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Cloud-Trace-Context": f"{trace}/1;o=1"}
    assert site.client.get("/jobs/7?token=secret", headers=headers).text == "x"
    (span,) = site.spans
    assert span.name == "GET /jobs/<job_id>"
    assert f"{span.context.trace_id:032x}" == trace
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/jobs/<job_id>",
        "http.response.status_code": 200,
        "url.path": "/jobs/7",
    }
    assert site.order == ["flush", "body"]


def test_what_goes_wrong_is_told(site: Site) -> None:
    assert site.client.get("/broken").status_code == 500
    assert site.client.get("/nowhere").status_code == 404
    broken, nowhere = site.spans
    assert (broken.name, broken.status.is_ok) == ("GET /broken", False)
    assert (nowhere.name, nowhere.status.is_unset) == ("GET", True)
    assert site.order == ["flush", "flush"]


def test_the_platforms_questions_are_not_worth_a_span(site: Site) -> None:
    assert site.client.get("/healthz").text == "alive"
    assert (site.spans, site.order) == ([], [])

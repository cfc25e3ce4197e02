"""A WSGI application whose requests have spans, and whose process delivers its telemetry inside of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Request

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from app.cloud.telemetry import Telemetry

SILENT = frozenset({"/healthz", "/readyz"})
"""Asked by the platform, over and over: spans of these would tell nobody anything."""
REQUEST = "werkzeug.request"
"""Where Flask keeps the request that it made of the environment, until it has answered."""


class TracedApp:
    """Around an application.

    Args:
        app: answers.
        telemetry: makes the spans and delivers them.
    """

    def __init__(self, app: WSGIApplication, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Let the application answer; what was told meanwhile goes out before the answer does.

        Afterwards the process may have no processor any more, until the next request.
        """
        path = environ.get("PATH_INFO", "")
        if path in SILENT:
            return self._app(environ, start_response)
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): text
            for name, text in environ.items()
            if name.startswith("HTTP_") and isinstance(text, str)
        }
        try:
            with self._telemetry.request(environ["REQUEST_METHOD"], path, headers) as span:

                def started(status: str, *rest: Any) -> Any:
                    span.answered(int(status.split(" ", 1)[0]))
                    request = environ.get(REQUEST)
                    if isinstance(request, Request) and request.url_rule is not None:
                        span.routed(request.url_rule.rule)
                    return start_response(status, *rest)

                return self._app(environ, started)
        finally:
            self._telemetry.flush()

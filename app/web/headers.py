"""What every answer says, and how much a request may."""

from __future__ import annotations

from flask import Flask, Response
from werkzeug.middleware.proxy_fix import ProxyFix

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Sent unless the route says otherwise: these answers are data for programs."""


def harden(app: Flask, *, body_bytes: int, proxies: int = 0) -> None:
    """Limit request bodies and add the headers.

    Args:
        app: the application.
        body_bytes: the largest body that is read; larger ones are refused with 413.
        proxies: how many proxies in front say for whom they call. What a caller says itself counts for nothing.
    """
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)  # type: ignore[method-assign]
    app.config["MAX_CONTENT_LENGTH"] = body_bytes

    @app.after_request
    def add(answer: Response) -> Response:
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

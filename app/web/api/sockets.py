"""`/jobs/{id}/logs` over a WebSocket: the same lines as the stream, one message each."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable
from functools import partial
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask, Response, request
from simple_websocket import ConnectionClosed, Server  # type: ignore[import-untyped]
from werkzeug.exceptions import BadRequest
from wsproto.utilities import RemoteProtocolError

from app.jobs import BadInput
from app.web.api.following import follow_logs
from app.web.api.routes import PREFIX, Routes
from app.web.api.streams import EventStream
from app.web.tokens import Scope

ENDPOINT = "log_socket"
PING_SECONDS = 10.0
"""How often a reader is asked whether it is there. Shorter than a silence after which the server hangs up."""
LOOK_SECONDS = 1.0
"""How often a reader who is told nothing is looked after: one that has gone leaves its place to others."""
GOODBYE_SECONDS = 2.0
"""How long a reader may take to say goodbye."""
MESSAGE_BYTES = 1024
"""Readers have nothing to say."""
SOCKET = "gunicorn.socket"
"""Under this name gunicorn hands the connection over."""


class WholeSocket:
    """A socket whose `send` sends all of it, from whichever thread: half a frame is none."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self._lock = threading.Lock()

    def send(self, data: bytes) -> None:
        """Send all."""
        with self._lock:
            self._inner.sendall(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Spoken(Response):
    """The answer to a request whose connection has been used up."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Let the server close the connection without another word."""
        raise StopIteration


def add_log_socket(app: Flask, routes: Routes) -> None:
    """Add the route."""

    def log_socket(job_id: str) -> Response:
        if SOCKET not in request.environ:
            raise BadInput("Upgrade", "this server has no WebSockets", "ask for text/event-stream")
        after = request.args.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) <= 15):
            raise BadInput("after", f"{after[:200]!r} is no line's number", "give the number of the last line, or 0")
        stream = follow_logs(routes, job_id, int(after), LOOK_SECONDS)
        try:
            connection = {**request.environ, SOCKET: WholeSocket(request.environ[SOCKET])}
            reader = _accepted(connection)
            _tell(reader, stream)
            # The library's thread listens for the reader's goodbye; the server hangs up when this returns.
            reader.thread.join(GOODBYE_SECONDS)
        finally:
            stream.close()
        return Spoken()

    app.add_url_rule(f"{PREFIX}/jobs/<job_id>/logs", ENDPOINT, log_socket, websocket=True)
    routes.scopes[ENDPOINT] = Scope.READ


def _accepted(connection: WSGIEnvironment) -> Server:
    try:
        return Server.accept(
            connection,
            ping_interval=PING_SECONDS,
            max_message_size=MESSAGE_BYTES,
            thread_class=partial(threading.Thread, daemon=True),
        )
    except RemoteProtocolError as error:  # nothing has been said yet over the connection
        raise BadRequest(f"that is no handshake of a WebSocket, version 13: {error}") from error


def _tell(reader: Server, stream: EventStream) -> None:
    try:
        for event in stream:
            if not reader.connected:
                return
            if event is not None:
                reader.send(json.dumps({"event": event.kind, "data": event.data}, separators=(",", ":")))
        reader.close()
    except (ConnectionClosed, OSError):
        return  # the reader has gone

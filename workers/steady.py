"""gunicorn's thread worker, whose threads wait for nobody.

A thread is taken when a request's headers are there, all of them: connections over which nothing, or not everything,
has come are watched by the one loop that watches all. So clients that send slowly, or not at all, cost a socket.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from gunicorn.workers.gthread import _DEFER, ThreadWorker  # type: ignore[import-untyped]

HEADER_BYTES = 65_536
"""So much is looked at for the end of the headers; gunicorn refuses more than that itself."""
HEADER_SECONDS = 15.0
"""How long the headers of one request may take."""
STALLED_SECONDS = 20.0
"""How long one read or write of a request may take."""


class SteadyWorker(ThreadWorker):  # type: ignore[misc]
    """See above."""

    def handle(self, conn: Any) -> Any:
        """Handle a request, if its headers are there; else leave the connection to the loop."""
        if not self._has_headers(conn):
            return _DEFER if self._may_wait(conn) else False
        conn.began = None
        conn.data_ready = True
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Let the application answer; reads and writes that do not move any more end it."""
        conn.sock.settimeout(STALLED_SECONDS)
        try:
            return super().handle_request(req, conn)
        except TimeoutError as error:
            raise StopIteration from error  # what gunicorn closes a connection for without a word

    @staticmethod
    def _has_headers(conn: Any) -> bool:
        if conn.parser is not None and conn.parser.unreader.buf.getvalue():
            return True  # they came together with the request before
        conn.sock.setblocking(False)
        try:
            there = conn.sock.recv(HEADER_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True  # what is wrong with it is found again, and told, where it is read
        whole = not there or b"\r\n\r\n" in there or len(there) >= HEADER_BYTES
        # The loop is to be woken by more than what is there already, or it would turn without a pause.
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1 if whole else len(there) + 1)
        return whole

    @staticmethod
    def _may_wait(conn: Any) -> bool:
        now = time.monotonic()
        if getattr(conn, "began", None) is None:
            conn.began = now
        return bool(now < conn.began + HEADER_SECONDS)

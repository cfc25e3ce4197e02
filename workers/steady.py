"""gunicorn's thread worker, whose threads wait for nobody.

A thread is taken when a whole request is there. Connections over which nothing, or not everything, has come are watched
by the one loop that watches all. So clients that send slowly, or stop in the middle, cost a socket. A request that is
too large to be looked at whole, or does not say how large it is, has to be read by a thread; of those there are few at
once, and one more is told to come again. Nor does the loop wait itself, as gunicorn's own does, when a connection is
closed whose client has not hung up.
"""

from __future__ import annotations

import re
import select
import selectors
import socket
import threading
import time
from concurrent.futures import Future
from enum import Enum, auto
from functools import partial
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from gunicorn.workers.gthread import _DEFER, ThreadWorker  # type: ignore[import-untyped]

from app.web.problems import BrokenBody

VIEW_BYTES = 65_536
"""So much of a request is looked at before a thread takes it. gunicorn refuses headers that are longer by itself."""
WHOLE_SECONDS = 15.0
"""How long a request that is looked at whole may take to come."""
STALLED_SECONDS = 20.0
"""How long one read or write of a request may take."""
LARGE_AT_ONCE = 4
"""Large requests that are read at once: half of the spare threads, so that they can hold up only each other."""

LINGER_SECONDS = 2.0
"""How long a connection stays half open after the last answer, so that the client gets to read it."""
LINGER_BYTES = 1_048_576
"""So much is taken off meanwhile and thrown away."""

_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
_UNTOLD = re.compile(rb"\r\n(?:transfer-encoding|expect)[ \t]*:", re.IGNORECASE)


class Arrival(Enum):
    """How much of a request has come."""

    WHOLE = auto()
    """All of it, or so much that it is refused: no thread that takes it waits."""
    PART = auto()
    """The rest can be awaited by the loop."""
    LARGE = auto()
    """The rest has to be read by a thread: it is more than is looked at, or nobody knows how much it is."""


def arrival_of(view: bytes) -> Arrival:
    """How much has come of a request.

    Args:
        view: its first bytes, as far as they have come, `VIEW_BYTES` at most.
    """
    head, end, body = view.partition(_END)
    if not end:
        return Arrival.PART if len(view) < VIEW_BYTES else Arrival.WHOLE
    lines = head + b"\r\n"
    if _UNTOLD.search(lines):
        return Arrival.LARGE
    length = _LENGTH.search(lines)
    if length is None or int(length[1]) <= len(body):
        return Arrival.WHOLE
    return Arrival.PART if len(view) - len(body) + int(length[1]) <= VIEW_BYTES else Arrival.LARGE


def look(sock: socket.socket, read: bytes = b"") -> Arrival:
    """How much has come of the request that is next on a connection, without taking anything off.

    Args:
        sock: the connection; it is left non-blocking, and readable when there is more to look at.
        read: what came together with the request before.
    """
    sock.setblocking(False)
    try:
        there = sock.recv(VIEW_BYTES, socket.MSG_PEEK)
    except BlockingIOError:
        return arrival_of(read) if read else Arrival.PART
    except OSError:
        return Arrival.WHOLE  # what is wrong with it is found again, and told, where it is read
    arrival = arrival_of(read + there)
    if arrival is Arrival.PART and _is_over(sock):
        return Arrival.WHOLE  # nothing more will come: it is read to its early end, and dropped
    # The loop is to be woken by more than what is there already, or it would turn without a pause.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, len(there) + 1 if arrival is Arrival.PART else 1)
    return arrival


def _is_over(sock: socket.socket) -> bool:
    """Whether the other side has said that it sends nothing more."""
    asked = select.poll()
    asked.register(sock, select.POLLRDHUP)
    return bool(asked.poll(0))


class BodyReader:
    """Reads a request's body for the application, which is told of a fault in terms of its own.

    Args:
        inner: gunicorn's reader.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def read(self, size: int) -> bytes:
        """So many bytes, or what there is.

        Raises:
            BrokenBody: it is said to come in chunks, and they are none.
        """
        try:
            data: bytes = self._inner.read(size)
        except ParseException as error:
            raise BrokenBody(str(error)) from error
        return data


class SteadyWorker(ThreadWorker):  # type: ignore[misc]
    """See above."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._large = threading.BoundedSemaphore(LARGE_AT_ONCE)

    def handle(self, conn: Any) -> Any:
        """Handle a request, if it is there; else leave the connection to the loop."""
        arrival = look(conn.sock, conn.parser.unreader.buf.getvalue() if conn.parser is not None else b"")
        if arrival is Arrival.PART:
            return _DEFER if self._may_wait(conn) else False
        conn.began = None
        conn.data_ready = True
        if arrival is Arrival.WHOLE:
            return super().handle(conn)
        if not self._large.acquire(blocking=False):
            return self._turned_away(conn)
        try:
            return super().handle(conn)
        finally:
            self._large.release()

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Let the application answer; reads and writes that do not move any more end it."""
        conn.sock.settimeout(STALLED_SECONDS)
        # gunicorn's own body stays around it: that one remembers that the connection is of no more use.
        reader, req.body.reader = req.body.reader, BodyReader(req.body.reader)
        try:
            return super().handle_request(req, conn)
        except TimeoutError as error:
            raise StopIteration from error  # what gunicorn closes a connection for without a word
        finally:
            req.body.reader = reader  # what the application has left is gunicorn's to throw away

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        """Take a connection back from a thread. Runs in the loop."""
        if fs.cancelled() or fs.exception() is not None or fs.result() is not False:
            super().finish_request(conn, fs)
            return
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        except OSError:
            self._let_go(conn)
            return
        conn.drained = 0
        conn.timeout = time.monotonic() + LINGER_SECONDS
        # Among those that have to say something until then; gunicorn closes them if they do not.
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))

    def _drain(self, conn: Any, _client: Any) -> None:
        """Throw away what still comes, until the client hangs up too. Runs in the loop."""
        try:
            come = len(conn.sock.recv(VIEW_BYTES))
        except BlockingIOError:
            return
        except OSError:
            come = 0
        conn.drained += come
        if not come or conn.drained > LINGER_BYTES:
            self.poller.unregister(conn.sock)
            self.pending_conns.remove(conn)
            self._let_go(conn)

    def _let_go(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    @staticmethod
    def _may_wait(conn: Any) -> bool:
        now = time.monotonic()
        if getattr(conn, "began", None) is None:
            conn.began = now
        return bool(now < conn.began + WHOLE_SECONDS)

    def _turned_away(self, conn: Any) -> bool:
        try:
            conn.sock.settimeout(STALLED_SECONDS)
            util.write_error(conn.sock, 503, "Service Unavailable", "too many large requests at once; try again")
        except OSError as error:
            self.log.debug("it did not wait for its answer: %s", error)
        return False

"""Stands between Pub/Sub and workers, and does to messages what networks and Pub/Sub itself may do to them."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import requests

from tests.support.worker_processes import PATIENCE_SECONDS


class Fate(StrEnum):
    """What becomes of one message."""

    PASSED = "passed"
    DOUBLED = "doubled"
    """Handed on twice, at the same time."""
    DELAYED = "delayed"
    REFUSED = "refused"
    """Answered with 503 and not handed on: Pub/Sub sends it again."""
    SWALLOWED = "swallowed"
    """Answered as if it had been handed on."""
    LOST = "lost"
    """Handed on to nobody, because the worker was gone: answered with 503."""


class UnrulyProxy:
    """An HTTP server on loopback that hands POST requests on, or not.

    Args:
        upstream: gives the address of a worker, another one each time.
        seed: of the randomness.
        weights: how often each fate befalls a message, as parts of the whole.
        longest_delay_seconds: how long a delayed message is kept at most.
    """

    def __init__(
        self,
        upstream: Callable[[], str],
        *,
        seed: int,
        weights: Mapping[Fate, float],
        longest_delay_seconds: float = 1.0,
    ) -> None:
        self._upstream = upstream
        self._random = random.Random(seed)
        self._fates, self._weights = list(weights), list(weights.values())
        self._longest = longest_delay_seconds
        self._lock = threading.Lock()
        self.met: Counter[Fate] = Counter()
        """How many messages met each fate."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = proxy._decide(self.path, body, self.headers.get("Content-Type", "application/json"))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # Threads that wait for killed workers are not waited for.
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def url(self) -> str:
        """Where Pub/Sub is to push to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decide(self, path: str, body: bytes, content_type: str) -> int:
        with self._lock:
            (fate,) = self._random.choices(self._fates, self._weights)
            delay = self._random.uniform(0, self._longest) if fate is Fate.DELAYED else 0.0
            self.met[fate] += 1
        match fate:
            case Fate.REFUSED:
                return 503
            case Fate.SWALLOWED:
                return 204
            case Fate.DELAYED:
                time.sleep(delay)
            case Fate.DOUBLED:
                threading.Thread(target=self._hand_on, args=[path, body, content_type], daemon=True).start()
        return self._hand_on(path, body, content_type)

    def _hand_on(self, path: str, body: bytes, content_type: str) -> int:
        try:
            answer = requests.post(
                self._upstream() + path, data=body, headers={"Content-Type": content_type}, timeout=PATIENCE_SECONDS
            )
        except requests.RequestException:
            with self._lock:
                self.met[Fate.LOST] += 1
            return 503
        return answer.status_code

"""A web page with certificates on loopback, in the place of Google's, and servers that take their keys from it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import ClassVar, Self

from tests.support.server_process import ServerProcess
from tests.support.worker_processes import PATIENCE_SECONDS

ADDRESS = "TORPOR_TEST_CERTIFICATES"


class GuardedServer(ServerProcess):
    """A serving process that checks tokens as ever, by the keys of a `KeyServer`."""

    module: ClassVar[str] = "tests.support.key_server"


class KeyServer:
    """Answers what the certificates are.

    Args:
        certificates: by the ids of their keys.
    """

    def __init__(self, certificates: Mapping[str, str]) -> None:
        body = json.dumps(certificates).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Cache-Control", "public, max-age=600")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def settings(self) -> dict[str, str]:
        """What tells a `GuardedServer` of it."""
        return {ADDRESS: f"http://127.0.0.1:{self._server.server_address[1]}/certificates"}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE_SECONDS)


def serve() -> None:
    """Be `python -m workers`, but for the address of the certificates."""
    from app.cloud import oidc
    from workers.__main__ import main

    oidc.GOOGLE_CERTIFICATES = os.environ[ADDRESS]
    main()


if __name__ == "__main__":
    serve()

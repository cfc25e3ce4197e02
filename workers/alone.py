"""gunicorn's worker in a process that has more to do than HTTP: without the process that otherwise watches over it."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any
from wsgiref.types import WSGIApplication

from gunicorn.app.base import Application  # type: ignore[import-untyped]

from app.jobs import TorporError
from workers.steady import SteadyWorker

CONFIGURATION = Path(__file__).with_name("gunicorn.conf.py")
BACKLOG = 2048
"""Connections that the system keeps waiting: gunicorn's own number."""

KEPT_CONNECTIONS = 100
"""Connections beside those that are being answered, at least."""


class CannotListen(TorporError):
    """A place where no server can listen."""

    code = "CANNOT_LISTEN"

    def __init__(self, host: str, port: int, error: OSError) -> None:
        remedy = "end who listens there, or give another --port" if port else "give another --host"
        super().__init__(f"{host}:{port}: {error.strerror or error}; {remedy}")


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there. Close it.

    Args:
        host: a name or an address.
        port: 0 takes a free one.

    Raises:
        CannotListen: somebody else does, there is no such place, or it is not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address, family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(host, port, error) from None


class _Configured(Application):  # type: ignore[misc]
    """What gunicorn is told: as in a service of its own, but for what only that has."""

    def __init__(self, application: WSGIApplication, threads: int) -> None:
        self._application = application
        self._threads = threads
        super().__init__()

    def load_config(self) -> None:
        self.load_config_from_file(str(CONFIGURATION))
        own = {
            "threads": self._threads,
            "worker_connections": max(self.cfg.worker_connections, self._threads + KEPT_CONNECTIONS),
            "loglevel": "warning",
            "worker_tmp_dir": None,
            "post_worker_init": lambda worker: None,
            "worker_exit": lambda server, worker: None,
        }
        for name, value in own.items():
            self.cfg.set(name, value)

    def load(self) -> WSGIApplication:
        return self._application


class Server(SteadyWorker):
    """Serves an application in this process's main thread until it is told to stop.

    Args:
        application: what answers.
        listener: the socket.
        threads: how many requests at once.
        on_stop: called once when a SIGTERM or Ctrl-C came, from a signal handler: it must wait for nothing.
    """

    def __init__(
        self, application: WSGIApplication, listener: socket.socket, threads: int, on_stop: Callable[[], None]
    ) -> None:
        configured = _Configured(application, threads)
        logger = configured.cfg.logger_class(configured.cfg)
        super().__init__(1, 0, [listener], configured, 0, configured.cfg, logger)
        self._on_stop = on_stop

    def serve(self) -> None:
        """Answer requests. Returns when it was told to stop and those in flight are answered, or ten seconds later."""
        self.init_process()

    def stop(self) -> None:
        """Take no more connections, and return from `serve`, which may not have begun. From any thread."""
        if self.poller is None:
            self.alive = False
        else:
            self.handle_exit(signal.SIGTERM, None)

    def init_signals(self) -> None:
        """What ends it. Whoever presses Ctrl-C a second time has no patience, and need not have any."""
        signal.signal(signal.SIGTERM, self.handle_exit)
        signal.signal(signal.SIGINT, self.handle_exit)

    def handle_exit(self, sig: int, frame: FrameType | None) -> Any:
        """Begin to stop."""
        if self.alive:
            self._on_stop()
        if sig == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        super().handle_exit(sig, frame)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Take connections, or none for now; none any more when it stops, so that nobody waits in vain."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                listener.close()

    def is_parent_alive(self) -> bool:
        """Nobody watches over this process who could be gone."""
        return True

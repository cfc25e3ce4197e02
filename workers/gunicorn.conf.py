"""gunicorn's configuration: one process, whose threads are the slots and a few more for the platform's questions."""

import gc
import resource
import signal
from types import FrameType
from typing import Any

from app.bootstrap import calm_collector, server_settings

SPARE_THREADS = 8
"""So that a full instance still answers at once: that it is full, and that it is alive."""

IDLE_CONNECTIONS = 2000
"""They cost little while no request has come over them; beyond these the platform keeps them waiting."""
OTHER_FILES = 200
"""Open files of the process that are no connections to it: the store's, Python's, gunicorn's."""


def _connections(wanted: int) -> int:
    """So many connections as there may be open files, whose limit is raised if it has to be.

    gunicorn's worker ends when it has to accept a connection and may open no more files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + OTHER_FILES:
        needed = wanted + OTHER_FILES
        soft = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, max(1, soft - OTHER_FILES))


_settings = server_settings()
wsgi_app = f"workers.{_settings.service}:app"
bind = f"{_settings.host}:{_settings.port}"
workers = 1
worker_class = "workers.steady.SteadyWorker"
# The service `web` runs no jobs: there a slot is a request, and whoever follows a job has a thread of its own.
threads = _settings.concurrency + SPARE_THREADS + (_settings.streams if _settings.service == "web" else 0)
worker_connections = _connections(threads + IDLE_CONNECTIONS)
timeout = 0
graceful_timeout = 10
keepalive = 5
preload_app = False
accesslog = None
errorlog = "-"
control_socket_disable = True
# Headers are read before any of our code runs, so their size is limited here; bodies are limited by the application.
limit_request_line = 4094
limit_request_fields = 50
limit_request_field_size = 16_384
# A read-only root file system has nowhere else to write.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - a file in memory, made by gunicorn with a name of its own


def when_ready(server: Any) -> None:
    """The process that watches the worker collects its garbage as any does."""
    gc.enable()


def post_fork(server: Any, worker: Any) -> None:
    """Import the application without looking for garbage."""
    gc.disable()


def post_worker_init(worker: Any) -> None:
    """On SIGTERM give the leases back first: requests in flight are waiting for that."""
    calm_collector(tidy=False)
    service = worker.wsgi.extensions["torpor"]
    before = signal.getsignal(signal.SIGTERM)

    def ending(number: int, frame: FrameType | None) -> None:
        service.begin_stop()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, ending)


def worker_exit(server: Any, worker: Any) -> None:
    """Close the store, so that its connections end in order."""
    if hasattr(worker, "wsgi"):  # not if the application could not be loaded
        worker.wsgi.extensions["torpor"].close()

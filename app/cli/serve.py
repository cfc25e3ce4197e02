"""`torpor serve`: the whole product in one process."""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.doctor import where_jobs_are
from app.cli.session import FAILED, FALLBACK_URL, errors_as_exit_codes, logs_of_a_server

if TYPE_CHECKING:
    import socket

    from app.settings import Settings
    from workers.alone import Server

SPARE_THREADS = 16
"""Requests beside the streams that are answered at once: none of them waits for a job."""


def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, max=10_000, help="Handlers at once.")] = None,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Whether jobs run in this process.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show warnings only.")] = False,
) -> None:
    """Everything in one process: the HTTP API, a worker, and a clock for schedules, sweeps and the watchdog.

    SIGTERM or Ctrl-C answers the requests in flight and gives every lease back within 8 seconds.
    """
    from app.settings import settings
    from workers.alone import listening

    logs_of_a_server(quiet=quiet)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    asked = {"host": host, "port": port, "concurrency": concurrency}
    given = settings.model_copy(update={name: value for name, value in asked.items() if value is not None})
    if not given.host:
        raise typer.BadParameter("it is empty; give a name or an address", param_hint="--host")
    with errors_as_exit_codes(), closing(listening(given.host, given.port)) as listener:
        has_ended = _serve(given, listener, runs_jobs=worker)
    _leave(FAILED if has_ended else 0)


def _serve(given: Settings, listener: socket.socket, *, runs_jobs: bool) -> bool:
    """Serve until told to stop, or until the worker has ended by itself; gives whether that was it."""
    from app.bootstrap import calm_collector, make_house
    from workers.alone import Server

    has_ended = threading.Event()
    servers: list[Server] = []

    def worker_ended() -> None:
        has_ended.set()
        for server in servers:
            server.stop()

    application, service = make_house(given, FALLBACK_URL, runs_jobs=runs_jobs, on_end=worker_ended)
    try:
        service.begin()
        servers.append(Server(application, listener, given.streams + SPARE_THREADS, service.begin_stop))
        calm_collector()
        typer.echo(_first_line(given, listener, runs_jobs=runs_jobs))
        sys.stdout.flush()
        if not has_ended.is_set():
            servers[0].serve()
    finally:
        service.close()
    return has_ended.is_set()


def _first_line(given: Settings, listener: socket.socket, *, runs_jobs: bool) -> str:
    host = f"[{given.host.strip('[]')}]" if ":" in given.host else given.host
    url = f"http://{host}:{listener.getsockname()[1]}"
    jobs = f"{given.concurrency} jobs at once" if runs_jobs else "no jobs run here"
    return f"torpor serves {url}: jobs are in {where_jobs_are(given)}, {jobs}; Ctrl-C ends it"


def _leave(code: int) -> None:
    """End, though a thread may still wait for a client that sends nothing: all that counts has been done."""
    sys.stdout.flush()
    sys.stderr.flush()
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        os._exit(code)
    raise typer.Exit(code)

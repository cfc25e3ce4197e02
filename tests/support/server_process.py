"""Starts `python -m workers` for a test, on loopback and a free port, and leaves none behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import requests

from tests.support.worker_processes import PATIENCE_SECONDS, ROOT

_LISTENING = re.compile(r"Listening at: http://127\.0\.0\.1:(\d+)")


class ServerProcess:
    """One serving process: gunicorn with its one worker."""

    module: ClassVar[str] = "workers"
    """What Python runs."""

    def __init__(self, folder: Path, **settings: str) -> None:
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("TORPOR_", "PORT"))}
        environment = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "TORPOR_PORT": "0",
            "TORPOR_TASK_PACKAGES": "tests.support.served_jobs",
            "TORPOR_TEST_EFFECTS": str(folder / "effects"),
            **settings,
        }
        self.effects = folder / "effects"
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=subprocess.STDOUT,
        )

    @property
    def said(self) -> str:
        """All that it has printed and logged."""
        size = os.fstat(self._said.fileno()).st_size
        return os.pread(self._said.fileno(), size, 0).decode(errors="replace")

    @property
    def url(self) -> str:
        """Where it listens; waits until it does."""
        end = time.monotonic() + PATIENCE_SECONDS
        while (found := _LISTENING.search(self.said)) is None:
            assert self._process.poll() is None, self.said
            assert time.monotonic() < end, self.said
            time.sleep(0.02)
        return f"http://127.0.0.1:{found[1]}"

    def post(self, route: str, body: Mapping[str, Any] | None = None, **headers: str) -> requests.Response:
        """Call a route."""
        return requests.post(self.url + route, json=body, headers=headers, timeout=PATIENCE_SECONDS)

    def get(self, route: str) -> requests.Response:
        """Ask a route."""
        return requests.get(self.url + route, timeout=PATIENCE_SECONDS)

    def noted(self, what: str) -> list[str]:
        """The ids of the jobs of which a handler noted this."""
        lines = self.effects.read_text().splitlines() if self.effects.exists() else []
        return [line.split()[1] for line in lines if line.split()[0] == what]

    def terminate(self) -> None:
        """SIGTERM, as the platform sends it."""
        self._process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Its exit code; waits for it."""
        return self._process.wait(timeout=PATIENCE_SECONDS)

    def kill(self) -> None:
        """SIGKILL gunicorn and its worker together."""
        import psutil

        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for child in children:
            child.kill()
        self._process.wait(timeout=PATIENCE_SECONDS)

    def close(self) -> None:
        """End it, if it has not ended."""
        if self._process.poll() is None:
            self.kill()
        self._said.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

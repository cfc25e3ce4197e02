"""Running what an image says as a container engine would, with what the kernel has.

The root file system is read-only, the process has namespaces of its own for processes and mounts, and the image's user.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.deployment.base_image import Builder

_START = """
root=$1 user=$2 folder=$3
shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 dev "$root/dev"
for each in null zero random urandom; do
  : >"$root/dev/$each"
  mount --bind "/dev/$each" "$root/dev/$each"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -o remount,bind,ro "$root"
cd "$root"
exec chroot --userspec="$user" "$root" /usr/bin/env -i --chdir="$folder" "$@"
"""
"""The first process of the container becomes the command itself, so that it is process 1 there, as under an engine:
the kernel gives that one no signal which it did not ask for."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended."""

    status: int
    output: str


class Image:
    """An image in a builder's storage, unpacked.

    Args:
        builder: where it is.
        name: its name there.
    """

    def __init__(self, builder: Builder, name: str) -> None:
        self._builder = builder
        self.name = name
        described: dict[str, Any] = json.loads(builder.buildah("inspect", "--type", "image", name))["Docker"]
        self.config: dict[str, Any] = described["config"]
        self._container = builder.buildah("from", "--pull-never", name)
        self.root = Path(builder.buildah("mount", self._container))

    def remove(self) -> None:
        """Remove the unpacked copy; the image stays."""
        self._builder.buildah("rm", self._container)

    def run(self, *command: str, **environment: str) -> Finished:
        """Run a command to its end in a container of its own, at most two minutes."""
        with self.start(*command, **environment) as running:
            return running.wait(120)

    def start(self, *command: str, **environment: str) -> Container:
        """Start a command, or without one what the image says, as the image's user in its folder."""
        settings = dict(each.split("=", 1) for each in self.config["Env"]) | environment
        assignments = [f"{name}={value}" for name, value in settings.items()]
        where = [str(self.root), self.config["User"], self.config["WorkingDir"]]
        return Container([*where, *assignments, *(command or self.config["Cmd"])])


class Container:
    """A running container; left alone it is killed at the end of the `with`."""

    def __init__(self, arguments: Sequence[str]) -> None:
        # --kill-child: nothing of the container outlives `unshare`, whatever becomes of it.
        command = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-euc",
            _START,
            "container",
            *arguments,
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    @property
    def is_running(self) -> bool:
        """Whether its first process lives."""
        return self._process.poll() is None

    def terminate(self) -> None:
        """Send SIGTERM to its first process, as a platform does that takes an instance away."""
        os.kill(self._first_process(), signal.SIGTERM)

    def wait(self, seconds: float) -> Finished:
        """Wait for its end; `subprocess.TimeoutExpired` if it takes longer."""
        output, _ = self._process.communicate(timeout=seconds)
        return Finished(self._process.returncode, output)

    def _first_process(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        limit = time.monotonic() + 30
        while not (found := children.read_text().split()):
            assert time.monotonic() < limit, "the container has no process"
            time.sleep(0.05)
        return int(found[0])

"""An emulator's process: started on a free port, waited for, and stopped by its own handle."""

import http.client
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from tests.services.unavailable import ServiceUnavailable

READY_SECONDS = 60.0
STOP_SECONDS = 15.0


@contextmanager
def emulator_process(name: str, arguments: Callable[[int], Sequence[str]]) -> Iterator[str]:
    """Give the `host:port` of an emulator that ends with this block.

    Args:
        name: what it is called in messages.
        arguments: what Java is given, for a port.

    Raises:
        ServiceUnavailable: Java is missing, or the emulator did not get ready within 60 s.
    """
    java = shutil.which("java")
    if java is None:
        raise ServiceUnavailable(f"the {name} emulator needs Java: install Debian's package openjdk-17-jre-headless")
    port = free_port()
    command = [java, *arguments(port)]
    # A killed test run can't stop its emulator any more; where the kernel's parent-death signal can be had, it does.
    setpriv = shutil.which("setpriv")
    if setpriv is not None:
        command = [setpriv, "--pdeathsig", "TERM", *command]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_until_ready(name, process, port, output)
            yield f"127.0.0.1:{port}"
        finally:
            _stop(process)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(name: str, process: subprocess.Popen[bytes], port: int, output: IO[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _answers(port):
        if process.poll() is not None:
            raise ServiceUnavailable(f"the {name} emulator ended with {process.returncode}:\n{_tail(output)}")
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f"the {name} emulator was not ready in {READY_SECONDS:g} s:\n{_tail(output)}")
        time.sleep(0.1)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _tail(output: IO[bytes], size: int = 2000) -> str:
    output.seek(0)
    return output.read().decode(errors="replace")[-size:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

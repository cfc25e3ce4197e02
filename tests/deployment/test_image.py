"""The image, built for real and started: what is in it, who it runs as, and how it ends."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment import real_image
from tests.deployment.base_image import Builder
from tests.deployment.container import Container, Image
from tests.services.unavailable import ServiceUnavailable

SHUTDOWN_SECONDS = 10
"""How long a platform waits between SIGTERM and the end."""
BUILD_TOOLS = (
    "ar", "as", "cc", "cmake", "g++", "gcc", "git", "hatch", "hatchling", "ld", "make", "pip", "pip3", "rustc", "uv",
)  # fmt: skip

DERIVED = """\
ARG IMAGE
FROM ${IMAGE}
COPY my_tasks /tasks/my_tasks
ENV TORPOR_TASK_PACKAGES=my_tasks
"""
TASKS = """\
from app.jobs import JobContext, job


@job("greet")
async def greet(ctx: JobContext, name: str) -> str:
    return f"hello {name}"
"""


@pytest.fixture(scope="module")
def builder() -> Builder:
    try:
        return Builder(real_image.STORE)
    except ServiceUnavailable as unavailable:
        pytest.skip(str(unavailable))


@pytest.fixture(scope="module")
def image(builder: Builder) -> Iterator[Image]:
    try:
        built = real_image.build(builder)
    except ServiceUnavailable as unavailable:
        pytest.skip(str(unavailable))
    yield built
    built.remove()


def test_it_starts_the_workers_without_a_shell_in_between(image: Image) -> None:
    assert image.config["Cmd"] == ["python", "-m", "workers"]
    assert not image.config.get("Entrypoint")
    assert image.config.get("StopSignal", "SIGTERM") == "SIGTERM"


def test_it_runs_as_somebody_who_may_write_nowhere(image: Image) -> None:
    code = """
import os, pwd, tempfile
print(os.getuid(), os.getgid(), pwd.getpwuid(os.getuid()).pw_name, os.getcwd(), tempfile.gettempdir())
for folder, _, _ in os.walk("/", onerror=None):
    if folder.startswith(("/proc", "/dev", "/sys")):
        continue
    if os.access(folder, os.W_OK):
        print("writable", folder)
"""
    answer = image.run("python", "-c", code)

    assert answer.output.splitlines() == ["10001 10001 torpor /tasks /dev/shm"]
    assert answer.status == 0


def test_it_holds_the_package_and_no_build_tools(image: Image) -> None:
    code = f"""
import importlib.util, json, shutil
from importlib import metadata
import app, workers
print(json.dumps({{
    "tools": [name for name in {BUILD_TOOLS!r} if shutil.which(name)],
    "modules": [name for name in ("pip", "hatchling", "setuptools", "wheel") if importlib.util.find_spec(name)],
    "installed": sorted(each.name for each in metadata.distributions()),
    "compiled": app.__cached__ is not None and __import__("os").path.exists(app.__cached__),
}}))
"""
    answer = image.run("python", "-c", code)
    assert answer.status == 0, answer.output
    found = json.loads(answer.output)

    assert found["tools"] == []
    assert found["modules"] == []
    assert found["compiled"], "a read-only image compiles its modules at each start, if they were not compiled before"
    assert {"torpor", "gunicorn", "google-cloud-firestore"} <= set(found["installed"])
    assert not {"hatchling", "pathspec", "pluggy", "pytest", "trove-classifiers"} & set(found["installed"])


def test_every_requirement_is_still_there(image: Image) -> None:
    # The image has no `packaging`, so names are compared and markers are left to the lock.
    code = """
import re
from importlib import metadata
names = {re.sub("[-_.]+", "-", each.name).lower() for each in metadata.distributions()}
for each in metadata.requires("torpor"):
    if "extra ==" not in each and re.sub("[-_.]+", "-", re.match("[A-Za-z0-9._-]+", each)[0]).lower() not in names:
        print("missing", each)
import alembic, flask, google.cloud.firestore_v1, google.cloud.logging, gunicorn.app.wsgiapp, sqlalchemy
import psycopg, pymysql
print("imported")
"""
    answer = image.run("python", "-c", code)

    assert answer.output == "imported\n"


def test_it_works_with_a_read_only_root(image: Image) -> None:
    store = "sqlite:////dev/shm/jobs.db"
    shell = "torpor enqueue maintenance_scan --json >/dev/null && torpor worker --drain && torpor jobs list"
    answer = image.run("sh", "-c", shell, TORPOR_STORE_URL=store)

    assert answer.status == 0, answer.output


def test_it_answers_and_ends_on_sigterm(image: Image) -> None:
    port = _free_port()
    settings = {
        "PORT": str(port),
        "TORPOR_STORE_URL": "sqlite:////dev/shm/jobs.db",
        "TORPOR_OIDC_AUDIENCE": "https://torpor-worker.example",
        "TORPOR_OIDC_CALLERS": json.dumps({"push@example.iam.gserviceaccount.com": ["/pubsub/push"]}),
        "TORPOR_REQUEST_SECONDS": "60",
    }
    with image.start(**settings) as running:
        _wait_for(running, port)
        health = image.config["Healthcheck"]["Test"]
        assert health[0] == "CMD"
        checked = image.run(*health[1:], PORT=str(port))
        assert checked.status == 0, checked.output
        assert image.run(*health[1:], PORT=str(_free_port())).status != 0, "a check that finds no server must fail"
        assert _status(port, "POST", "/pubsub/push") in (401, 403), "nobody may call without a token"

        running.terminate()
        ended = running.wait(SHUTDOWN_SECONDS)
    assert ended.status == 0, ended.output


def test_it_does_not_start_where_nobody_would_be_asked_who_they_are(image: Image) -> None:
    ended = image.run(PORT=str(_free_port()), TORPOR_STORE_URL="sqlite:////dev/shm/jobs.db")

    assert ended.status != 0
    assert "TORPOR_OIDC_AUDIENCE" in ended.output


def test_a_task_package_joins_by_a_derived_image_of_three_lines_and_its_argument(
    builder: Builder, image: Image, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    documented = (pytestconfig.rootpath / "docs/deploy.md").read_text(encoding="utf-8")
    assert DERIVED in documented
    package = tmp_path / "my_tasks"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "greetings.py").write_text(TASKS, encoding="utf-8")

    derived = real_image.derive(builder, DERIVED, tmp_path, "localhost/torpor:derived", IMAGE=image.name)
    try:
        assert derived.config["Cmd"] == image.config["Cmd"]
        assert derived.config["User"] == image.config["User"]
        enqueue = """torpor enqueue greet --payload '{"name": "you"}' >/dev/null"""
        shell = f"{enqueue} && torpor worker --drain && torpor jobs list"
        answer = derived.run("sh", "-c", shell, TORPOR_STORE_URL="sqlite:////dev/shm/jobs.db")
        assert answer.status == 0, answer.output
        assert "greet" in answer.output
        assert "completed" in answer.output.lower()
    finally:
        derived.remove()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _status(port: int, method: str, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body=b"{}" if method == "POST" else None)
        return connection.getresponse().status
    finally:
        connection.close()


def _wait_for(running: Container, port: int) -> None:
    limit = time.monotonic() + 120
    while True:
        try:
            assert _status(port, "GET", "/healthz") == 200
            return
        except OSError:
            assert running.is_running, running.wait(10).output
            assert time.monotonic() < limit, "no answer"
            time.sleep(0.2)

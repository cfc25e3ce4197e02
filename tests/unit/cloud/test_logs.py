"""Log lines as Cloud Logging reads them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from app.cloud.logs import structured_logs
from app.jobs import Job, JobContext, JobExecutor, Registry, job

logger = logging.getLogger("tests.logs")


class Lines:
    """What was logged."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def read(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [line for line in lines if line["logging.googleapis.com/labels"].get("python_logger") == logger.name]


@pytest.fixture
def lines() -> Iterator[Lines]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    lines = Lines()
    structured_logs("my-project", stream=lines.stream)
    yield lines
    root.handlers[:] = before
    root.setLevel(level)


def test_what_a_call_says_beside_its_message_are_fields(lines: Lines) -> None:
    logger.warning("swept %d", 3, extra={"event": "sweep", "oldest_due_seconds": 1.5})

    (line,) = lines.read
    assert (line["severity"], line["message"]) == ("WARNING", "swept 3")
    assert (line["event"], line["oldest_due_seconds"]) == ("sweep", 1.5)


def test_an_error_is_one_line(lines: Lines) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logger.exception("it failed")

    (line,) = lines.read
    assert line["severity"] == "ERROR"
    assert "ValueError: first" in line["message"]


async def test_a_handlers_lines_have_its_jobs_labels(lines: Lines) -> None:
    registry = Registry()

    @job("talks", registry=registry)
    async def talks(ctx: JobContext) -> None:
        logger.info("from inside")

    made = Job(type="talks")
    await JobExecutor(registry=registry).execute(made)
    logger.info("from outside")

    inside, outside = lines.read
    labels = inside["logging.googleapis.com/labels"]
    assert (labels["job_id"], labels["job_type"], labels["attempt"]) == (made.id, "talks", "1")
    assert "job_id" not in outside["logging.googleapis.com/labels"]


def test_a_request_gives_its_trace(lines: Lines) -> None:
    app = Flask("traced")
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}

    with app.test_request_context("/x", headers=headers):
        logger.info("inside a request")

    (line,) = lines.read
    assert line["logging.googleapis.com/trace"] == f"projects/my-project/traces/{trace}"
    assert line["logging.googleapis.com/trace_sampled"] is True

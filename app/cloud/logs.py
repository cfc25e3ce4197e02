"""Logs as Cloud Logging reads them: a line of JSON each, with the job's labels and the request's trace."""

from __future__ import annotations

import logging
import sys
from typing import IO

from app.jobs import get_current_job_context

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "json_fields", "labels", "trace", "span_id", "trace_sampled", "http_request", "resource",
    "source_location", "taskName",
}  # fmt: skip


class JobFields(logging.Filter):
    """Makes what a log call said beside its message fields of the line, and the running job's id and type labels."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add them; every record passes."""
        said = {name: value for name, value in vars(record).items() if name not in _PLAIN and not name.startswith("_")}
        given = getattr(record, "json_fields", None)
        record.json_fields = {**said, **(given if isinstance(given, dict) else {})}
        context = get_current_job_context()
        if context is not None:
            labels = getattr(record, "labels", None)
            of_job = {"job_id": context.job_id, "job_type": context.job_type, "attempt": str(context.attempt)}
            record.labels = {**of_job, **(labels if isinstance(labels, dict) else {})}
        return True


def structured_logs(project: str | None = None, *, level: int = logging.INFO, stream: IO[str] | None = None) -> None:
    """Let every log record of this process be a line of JSON on standard output, where Cloud Run takes it up.

    Args:
        project: the Google Cloud project, for the full names of traces.
        level: the least severe records that are written.
        stream: where to, instead of standard output.
    """
    # Heavy: half a second and two hundred modules, so only processes that log this way pay for it.
    from google.cloud.logging_v2.handlers.structured_log import StructuredLogHandler

    handler = StructuredLogHandler(project_id=project, stream=stream or sys.stdout)  # type: ignore[no-untyped-call]  # Google's
    handler.addFilter(JobFields())
    # Its own filter has to see what ours found.
    handler.filters.reverse()
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler], force=True)

"""Errors as RFC 9457 problem documents: what was wrong, never where in the code."""

from __future__ import annotations

import json
import logging
from typing import Any

from flask import Flask, Response
from werkzeug.exceptions import BadRequest, HTTPException

from app.jobs import BadInput, StoreError, TorporError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
BUSY_SECONDS = 10
"""After how long somebody who could not be served may try again, unless the answer knows better."""
STATUS_OF: dict[str, int] = {
    "BAD_INPUT": 422,
    "PAYLOAD_INVALID": 422,
    "UNKNOWN_JOB_TYPE": 422,
    "TOO_LARGE": 413,
    "DEPENDENCY_CYCLE": 422,
    "JOB_NOT_FOUND": 404,
    "SCHEDULE_NOT_FOUND": 404,
    "BATCH_NOT_FOUND": 404,
    "REVISION_CHANGED": 412,
    "ILLEGAL_TRANSITION": 409,
    "IDEMPOTENCY_CONFLICT": 409,
    "NO_HANDLER": 409,
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "CROSS_SITE": 403,
    "TOO_MANY_FAILURES": 429,
    "KEYS_UNAVAILABLE": 503,
    "STREAMS_FULL": 503,
    "MANAGER_CLOSED": 503,
    "OUT_OF_TIME": 503,
    "UNREADABLE": 500,
    "NO_ENGINE": 500,
    "RUNNING_LOOP": 500,
}
"""The HTTP status of each error code; one that is not here was not foreseen, and is no caller's doing: 500."""


class BrokenBody(BadRequest):
    """A request's body that is not sent as HTTP has it.

    Args:
        why: what is wrong with it.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"the body is not sent as HTTP has it: {why}; send the request again")


def problem(status: int, code: str, detail: str, **more: Any) -> Response:
    """A problem document.

    Args:
        status: the HTTP status.
        code: the error's code, for programs.
        detail: what was wrong and what to do, for people.
        more: further members.
    """
    said = {"type": "about:blank", "title": code.replace("_", " ").capitalize(), "status": status, "code": code}
    return Response(json.dumps({**said, "detail": detail, **more}), status=status, content_type=MEDIA_TYPE)


def _parts(error: TorporError) -> dict[str, str]:
    """What programs may want to know of an error beside its text."""
    if not isinstance(error, BadInput):
        return {}
    return {"field": error.field, "problem": error.problem, "remedy": error.remedy}


def answer_problems(app: Flask) -> None:
    """Let an application answer every error as a problem document."""

    @app.errorhandler(TorporError)
    def refused(error: TorporError) -> Response:
        status = STATUS_OF.get(error.code, 500)
        if status == 500:
            logger.error("a request failed", exc_info=error)
        answer = problem(status, error.code, str(error), **_parts(error))
        if error.code == "UNAUTHENTICATED":
            answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    @app.errorhandler(StoreError)
    def unavailable(error: StoreError) -> Response:
        logger.warning("the store could not be used: %s", error)
        answer = problem(503, "STORE_UNAVAILABLE", "the store cannot be used now; try again")
        answer.headers["Retry-After"] = "5"
        return answer

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        name = (error.name or "error").upper().replace(" ", "_")
        answer = problem(error.code or 500, name, error.description or name)
        for header, value in error.get_headers():
            if header.lower() in ("allow", "retry-after"):
                answer.headers[header] = value
        return answer

    @app.after_request
    def come_back(answer: Response) -> Response:
        if answer.status_code == 503:
            answer.headers.setdefault("Retry-After", str(BUSY_SECONDS))
        return answer

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> Response:
        logger.error("a request failed", exc_info=error)
        return problem(500, "INTERNAL", "something went wrong here; the log says what")

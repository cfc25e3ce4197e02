"""Errors as problem documents: whose doing each is."""

from __future__ import annotations

import logging

import pytest
from flask import Flask

from app.jobs import BadInput, JobNotFound, ManagerClosed, TorporError
from app.jobs.errors import NoEngine, RunningLoop, Unreadable
from app.web.problems import MEDIA_TYPE, STATUS_OF, answer_problems


class Unforeseen(TorporError):
    """An error that no status is known for."""

    code = "UNFORESEEN"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadInput("n", "is 0", "give 1"), 422),
        (JobNotFound("x"), 404),
        (ManagerClosed(), 503),
        (Unreadable("x", "payload", ValueError("secret")), 500),
        (NoEngine(), 500),
        (RunningLoop(), 500),
        (Unforeseen("this"), 500),
        (ValueError("secret"), 500),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else str(each),
)
def test_what_went_wrong_here_is_not_the_callers_doing(
    error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("problems")
    answer_problems(app)

    @app.get("/")
    def fail() -> str:
        raise error

    answer = app.test_client().get("/")

    assert (answer.status_code, answer.json["status"], answer.content_type) == (status, status, MEDIA_TYPE)
    assert answer.json["code"] == getattr(error, "code", "INTERNAL")
    assert "secret" not in answer.text
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert any(record.levelno == logging.ERROR for record in caplog.records) == (status == 500)


def test_every_code_is_an_errors() -> None:
    """A row for an error that there is none of would promise something that never comes."""
    from app.cloud import oidc  # noqa: F401 - has some of the errors
    from app.web import auth, deadlines  # noqa: F401
    from app.web.api import streams  # noqa: F401

    assert set(STATUS_OF) <= {each.code for each in _below(TorporError)}


def _below(kind: type[TorporError]) -> set[type[TorporError]]:
    kinds = set(kind.__subclasses__())
    return kinds.union(*map(_below, kinds))

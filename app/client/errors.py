"""The server's problem documents as the errors that the managers raise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from app.jobs import BadInput, StoreError, StoreUnavailable, TorporError


class ApiError(TorporError):
    """What the server refused or could not do, and no error of the engine stands for.

    Attributes:
        status: the HTTP status.
        said: the problem's code, such as `FORBIDDEN`.
    """

    code = "API_ERROR"

    def __init__(self, status: int, said: str, detail: str) -> None:
        self.status = status
        self.said = said
        super().__init__(f"{detail} ({said}, status {status})")


class Unreachable(ApiError):
    """The server did not answer. What was asked may have been done: look, or ask again with the same key."""

    code = "UNREACHABLE"

    def __init__(self, url: str, why: str) -> None:
        super().__init__(0, self.code, f"{url} cannot be reached: {why}; is the address right, and the server up?")


def error_of(status: int, body: bytes) -> TorporError | StoreError:
    """The error that an answer stands for."""
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("code"), str):
        # Something between here and the server has answered.
        return ApiError(status, "NO_PROBLEM", f"the answer is no problem document: {body[:200]!r}")
    code, detail = told["code"], str(told.get("detail", ""))
    if code == "STORE_UNAVAILABLE":
        return StoreUnavailable(detail)
    kind = _kinds().get(code)
    return ApiError(status, code, detail) if kind is None else _made(kind, detail, told)


@cache
def _kinds() -> Mapping[str, type[TorporError]]:
    """The engine's errors by code; of two with one code the more general."""
    found: dict[str, type[TorporError]] = {}
    for kind in _below(TorporError):
        if kind.__module__.startswith("app.jobs"):
            found.setdefault(kind.code, kind)
    return found


def _below(kind: type[TorporError]) -> Iterator[type[TorporError]]:
    below = kind.__subclasses__()
    yield from below
    for each in below:
        yield from _below(each)


def _made(kind: type[TorporError], detail: str, told: Mapping[str, Any]) -> TorporError:
    """An error as it was there: with its text, and without what it would be put together from here."""
    error = kind.__new__(kind)
    Exception.__init__(error, detail)
    if isinstance(error, BadInput):
        error.field, error.problem, error.remedy = (str(told.get(name, "")) for name in ("field", "problem", "remedy"))
    return error

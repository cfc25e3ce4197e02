"""Hints as texts, and back: what messages of a topic and tasks of a queue carry to a worker."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from app.jobs import Hint, TorporError


class MalformedHint(TorporError):
    """What was sent to wake a worker is no hint."""

    code = "MALFORMED_HINT"

    def __init__(self, why: str) -> None:
        super().__init__(f"this is no wake-up: {why}; check who publishes to the topic, or makes tasks of the queue")


def message_of(hint: Hint) -> bytes:
    """A hint as a JSON text."""
    said: dict[str, Any] = {"job_id": hint.job_id, "more": hint.more or None}
    if hint.at is not None:
        said["at"] = hint.at.isoformat()
    if hint.trace:
        said["trace"] = hint.trace
    return json.dumps({name: value for name, value in said.items() if value is not None}).encode()


def hint_in(said: object) -> Hint:
    """The hint that a JSON text said.

    Args:
        said: what was read of it.

    Raises:
        MalformedHint: it is nothing that `message_of` made.
    """
    if not isinstance(said, dict):
        raise MalformedHint("it is no JSON object")
    job_id = said.get("job_id")
    if job_id is not None and not isinstance(job_id, str):
        raise MalformedHint("it names no job")
    trace = said.get("trace")
    kept = {name: text for name, text in trace.items() if isinstance(text, str)} if isinstance(trace, dict) else {}
    return Hint(job_id, more=bool(said.get("more")), at=_time(said.get("at")), trace=kept)


def _time(text: object) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise MalformedHint("it names no time")
    return at

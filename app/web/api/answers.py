"""Answers as JSON, with the revision that they are about."""

from __future__ import annotations

import json
import re

from flask import Response
from pydantic import BaseModel

from app.jobs import BadInput, Job, RevisionChanged
from app.web.api.views import JobView

_TAG = re.compile(r'"(\d{1,15})"')


def answer(body: BaseModel, status: int = 200, **headers: str) -> Response:
    """A body as JSON. Any text is written in ASCII: user data may hold half characters, which UTF-8 has not."""
    text = json.dumps(body.model_dump(mode="json"), separators=(",", ":"))
    return Response(text, status=status, content_type="application/json", headers=headers)


def job_answer(job: Job, status: int = 200, **headers: str) -> Response:
    """A job, with its revision as ETag."""
    return answer(JobView.of(job), status, ETag=tag_of(job), **headers)


def tag_of(job: Job) -> str:
    """The ETag of a job: transitions and edits move it, renewals and progress do not."""
    return f'"{job.revision}"'


def wanted_revision(header: str | None, job_id: str) -> int | None:
    """The revision that `If-Match` asks for; None is any.

    Raises:
        UnknownTag: no job ever has what it asks for.
        BadInput: it names several.
    """
    if header is None or header.strip() == "*":
        return None
    if "," in header:
        raise BadInput("If-Match", f"{header[:200]!r} is more than one ETag", "send the one that the job had")
    found = _TAG.fullmatch(header.strip())
    if found is None:
        raise UnknownTag(job_id, header)
    return int(found[1])


def is_known(header: str | None, job: Job) -> bool:
    """Whether `If-None-Match` names what the job is now."""
    if header is None:
        return False
    known = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in known or tag_of(job) in known


class UnknownTag(BadInput):
    """What is no ETag of a job, so that it can be none of its present one."""

    code = RevisionChanged.code

    def __init__(self, job_id: str, tag: str) -> None:
        super().__init__(
            "If-Match", f"{tag[:200]!r} is no ETag of job {job_id[:200]}", "send the one that it came with"
        )

"""A file of jobs, one JSON object a line: all of it is checked before anything is created."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.jobs import AsyncJobManager, BadInput, IdempotencyConflict, Job, JobRequest
from app.jobs.batches import batch_closed
from app.jobs.codec import canonical_json
from app.jobs.request import job_of, request_of


@dataclass(frozen=True, slots=True)
class Line:
    """One job of the file."""

    number: int
    request: JobRequest
    start: bool
    """Whether it may run at once; else it is held."""
    job: Job
    """As it would be created now."""


_OBJECT = """write it like '{"key": "value"}'"""


def json_value(text: str, field: str, remedy: str = """write it like 3, '"text"' or '{"key": "value"}'""") -> Any:
    """The JSON value that a text holds.

    Raises:
        BadInput: it holds none.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadInput(field, f"is not JSON: {error}", remedy) from error
    except RecursionError as error:
        raise BadInput(field, "is nested too deeply", "nest it less") from error


def json_object(text: str, field: str) -> dict[str, Any]:
    """The JSON object that a text holds.

    Raises:
        BadInput: it holds none.
    """
    value = json_value(text, field, _OBJECT)
    if not isinstance(value, dict):
        raise BadInput(field, f"is a {type(value).__name__}, not an object", _OBJECT)
    return value


async def read_job_file(path: Path, manager: AsyncJobManager) -> list[Line]:
    """The jobs of a file, checked one by one and against what is stored.

    Args:
        path: UTF-8 text; each line holds the arguments of `create_job`, and blank lines are left out.
        manager: of the engine that is to create them.

    Raises:
        BadInput: the file cannot be read, holds nothing, or has a wrong line, which is named by its number.
    """
    lines: list[Line] = []
    # Not splitlines: JSON texts may hold characters that it takes for the end of a line.
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if line.strip():
            try:
                lines.append(_line(number, line, manager))
            except BadInput as error:
                raise _refused(number, error) from error
    if not lines:
        raise BadInput("--file", f"{path} holds no jobs", "write one JSON object a line")
    await _check_stored(lines, manager)
    return lines


def start_of_all(lines: list[Line]) -> bool:
    """Whether the jobs of a file that is to be one batch are started: all of them, or none.

    Raises:
        BadInput: some are, and some are not.
    """
    first = lines[0]
    for line in lines:
        if line.start is not first.start:
            wrong = f"is {str(line.start).lower()}, and that of line {first.number} is not"
            remedy = "the jobs of a batch are started together, or all of them are held"
            raise _refused(line.number, BadInput("auto_start", wrong, remedy))
    return first.start


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("--file", f"{path} cannot be read: {error}", "name a file of one JSON object a line") from error


def _refused(number: int, error: BadInput) -> BadInput:
    remedy = f"{error.remedy}; nothing of the file was created"
    return BadInput(f"line {number}, {error.field}", error.problem, remedy)


def _line(number: int, line: str, manager: AsyncJobManager) -> Line:
    runtime = manager.runtime
    given = json_object(line, "job")
    start = given.pop("auto_start", True)
    if not isinstance(start, bool):
        raise BadInput("auto_start", f"{start!r} is neither true nor false", "write true, false or leave it out")
    request = request_of(given)
    job = job_of(request, runtime.registry, runtime.clock.now(), runtime.chance, 1, start=start)
    runtime.records.insert(job)  # refuses what is too large
    return Line(number, request, start, job)


async def _check_stored(lines: list[Line], manager: AsyncJobManager) -> None:
    """Parents must be there, a batch must take further jobs, and a taken key must belong to the same job."""
    wanted = {line.request.parent_id for line in lines} | {line.job.id for line in lines if line.job.idempotency_key}
    ids = sorted(each for each in wanted if each is not None)
    found = await manager.runtime.records.get(ids)
    closed = await manager.runtime.batches.closed(line.job.batch_id for line in lines if line.job.batch_id is not None)
    there = {job.id: job for job in found if job is not None}
    for line in lines:
        try:
            if line.request.parent_id is not None and line.request.parent_id not in there:
                raise BadInput("parent_id", f"there is no job {line.request.parent_id!r}", "create the parent first")
            if line.job.batch_id in closed:
                raise batch_closed(str(line.job.batch_id))
            if line.job.idempotency_key:
                _check_key(line.job, there.setdefault(line.job.id, line.job))
        except BadInput as error:
            raise _refused(line.number, error) from error


def _check_key(job: Job, other: Job) -> None:
    for differs in ("type", "payload"):
        if canonical_json(getattr(job, differs)) != canonical_json(getattr(other, differs)):
            raise IdempotencyConflict(str(job.idempotency_key), other.id, differs)

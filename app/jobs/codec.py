"""Jobs and run summaries to and from records, without loss.

Engine fields are native. User data is one canonical JSON text per field: ASCII, keys sorted, so that NUL,
lone surrogates, nested arrays and integers of any size survive every store. A `TextCodec` (encryption,
compression, redaction) sits exactly there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from pydantic_core import to_jsonable_python

from app.jobs.errors import BadInput
from app.jobs.models import (
    Job,
    JobError,
    JobPriority,
    JobProgress,
    JobQueue,
    JobResult,
    JobStatus,
    Outcome,
    RunSummary,
    changed,
)
from app.stores.base import Record, Value

SCHEMA_VERSION = 1


class TextCodec(Protocol):
    """What happens to user data on its way to and from the store."""

    def encode(self, text: str) -> str:
        """The text as it is stored. Must not begin with `@`."""

    def decode(self, stored: str) -> str:
        """The text that `encode` was given."""


class PlainText:
    """Stores user data as it is."""

    def encode(self, text: str) -> str:
        return text

    def decode(self, stored: str) -> str:
        return stored


# --- JSON --------------------------------------------------------------------------------------------


MAX_VALUES = 1_000_000
"""Most values that one JSON text may hold: lists that share lists grow without bound, and would stop the event loop."""


def _check_json(field: str, value: object, depth: int = 0, seen: int = 0) -> int:
    """How many values there are, `seen` among them; refuses what is no JSON."""
    seen += 1
    if isinstance(value, dict):
        for key, inner in value.items():
            if type(key) is not str:
                raise BadInput(field, f"key {key!r} is a {type(key).__name__}", "JSON objects have text keys")
            seen = _check_json(field, inner, depth + 1, seen)
    elif isinstance(value, list | tuple):
        for inner in value:
            seen = _check_json(field, inner, depth + 1, seen)
    if depth > 100:
        raise BadInput(field, "is nested more than 100 levels deep", "flatten it")
    if seen > MAX_VALUES:
        raise BadInput(
            field, f"holds more than {MAX_VALUES:,} values", "keep large data elsewhere and pass its address"
        )
    return seen


def _check_lasting(field: str, value: object) -> None:
    """Refuse what is empty once it was read: a write that is sent again would find nothing."""
    if isinstance(value, Iterator):
        raise BadInput(field, f"holds a {type(value).__name__}, which can be read once only", "make a list of it")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        _check_lasting(field, inner)


def canonical_json(value: object, field: str = "value") -> str:
    """The one JSON text of a value: ASCII, no spaces, keys sorted.

    Tuples count as lists. Dataclasses, pydantic models, times, sets and the like are turned into JSON first.

    Raises:
        BadInput: not a JSON value (a key that is no text, NaN or infinity, an object, nested too deep).
    """
    try:
        _check_json(field, value)
        try:
            return _dump(value)
        except TypeError:
            _check_lasting(field, value)
            plain = to_jsonable_python(value)
            _check_json(field, plain)
            return _dump(plain)
    except BadInput:
        raise
    except Exception as error:  # an object's own methods may raise anything
        raise BadInput(field, f"is not a JSON value: {error}", "use text, finite numbers, lists and objects") from error


_dump = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"), check_circular=True
).encode


# --- fields ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """User data as its record has it, until somebody wants to know what it says."""

    text: str

    @classmethod
    def in_chunks(cls, chunk_ids: Iterable[str]) -> Stored:
        """Stands for text that lies in chunk records."""
        return cls("@" + ",".join(chunk_ids))

    @property
    def chunk_ids(self) -> tuple[str, ...]:
        """The chunk records that hold the text, if it is not here."""
        return tuple(self.text[1:].split(",")) if self.text.startswith("@") else ()


def _same(value: Any) -> Any:
    return value


def _model_text(model: Any) -> str:
    return _dump(model.model_dump(mode="json", exclude_defaults=True))


def _result_text(result: JobResult) -> str:
    # Not by pydantic's own dump, which raises whatever the serializers of a handler's models raise.
    held = result.__dict__
    if held["success"] is True and held["data"] is None and held["error"] is None and not held["artifacts"]:
        return _NOTHING_RETURNED
    return canonical_json(held, "result")


_NOTHING_RETURNED = '{"artifacts":{},"data":null,"error":null,"success":true}'
"""What most handlers' results look like."""


def _progress(text: str) -> JobProgress:
    return JobProgress.model_validate(json.loads(text))


def _error(text: str) -> JobError:
    return JobError.model_validate(json.loads(text))


@dataclass(frozen=True, slots=True)
class _Coder:
    encode: Callable[[Any], Value]
    decode: Callable[[Any], Any]
    default: Any = None
    """Stored as absence."""


def _json_coder(field: str, default: Any = None) -> _Coder:
    return _Coder(lambda value: canonical_json(value, field), json.loads, default)


_NATIVE = _Coder(_same, _same)
_ENGINE_FIELDS: Mapping[str, _Coder] = {
    "type": _NATIVE,
    "name": _Coder(_same, _same, ""),
    "description": _Coder(_same, _same, ""),
    "queue": _Coder(str, JobQueue),
    "priority": _Coder(int, JobPriority),
    "route": _NATIVE,
    "shard": _NATIVE,
    "tags": _Coder(_same, tuple, ()),
    "batch_id": _NATIVE,
    "parent_id": _NATIVE,
    "depth": _Coder(_same, _same, 0),
    "mode": _NATIVE,
    "metadata": _json_coder("metadata", {}),
    "status": _Coder(str, JobStatus),
    "revision": _NATIVE,
    "created_at": _NATIVE,
    "updated_at": _NATIVE,
    "started_at": _NATIVE,
    "finished_at": _NATIVE,
    "queued_at": _NATIVE,
    "ready_at": _NATIVE,
    "wake_at": _NATIVE,
    "parked_on": _NATIVE,
    "waiting_for": _NATIVE,
    "turn": _NATIVE,
    "holds_turn": _Coder(_same, _same, False),
    "allowed_at": _NATIVE,
    "start_before": _NATIVE,
    "attempt": _Coder(_same, _same, 0),
    "retries_used": _Coder(_same, _same, 0),
    "lease_losses": _Coder(_same, _same, 0),
    "slices": _Coder(_same, _same, 0),
    "idle_slices": _Coder(_same, _same, 0),
    "run_seconds": _Coder(_same, _same, 0.0),
    "max_retries": _NATIVE,
    "retry_delay_seconds": _NATIVE,
    "retry_backoff": _NATIVE,
    "timeout_seconds": _NATIVE,
    "max_duration_seconds": _NATIVE,
    "max_lease_losses": _NATIVE,
    "idempotent": _NATIVE,
    "idempotency_key": _NATIVE,
    "on_failure": _NATIVE,
    "worker_id": _NATIVE,
    "lease_token": _NATIVE,
    "lease_started_at": _NATIVE,
    "lease_expires_at": _NATIVE,
    "write_id": _NATIVE,
    "progress": _Coder(_model_text, _progress, JobProgress()),
    "error": _Coder(_model_text, _error),
    "outcome": _Coder(str, Outcome),
    "log_length": _Coder(_same, _same, 0),
    "results_saved": _Coder(_same, _same, 0),
    "steps": _Coder(_same, _same, 0),
    "control_id": _NATIVE,
    "control_action": _NATIVE,
    "control_reason": _NATIVE,
    "control_at": _NATIVE,
    "watched_until": _NATIVE,
    "depends_on": _Coder(_same, tuple, ()),
    "unmet": _Coder(_same, tuple, ()),
    "waiting_since": _NATIVE,
    "auto_start": _Coder(_same, _same, False),
    "start_at": _NATIVE,
    "on_dependency_failure": _Coder(_same, _same, "cancel"),
    "has_dependents": _Coder(_same, _same, False),
    "deleting": _Coder(_same, _same, False),
    "release": _NATIVE,
    "expire_at": _NATIVE,
}
_USER_FIELDS: Mapping[str, _Coder] = {
    "payload": _json_coder("payload", {}),
    "settings": _json_coder("settings", {}),
    "checkpoint": _json_coder("checkpoint"),
    "result": _Coder(_result_text, lambda t: JobResult.model_validate(json.loads(t))),
    "review": _json_coder("review"),
}
_JOB_FIELDS: Mapping[str, _Coder] = {**_ENGINE_FIELDS, **_USER_FIELDS}
USER_FIELDS = frozenset(_USER_FIELDS)
JOB_FIELDS = frozenset(_JOB_FIELDS)
_JSON_FIELDS = USER_FIELDS | {"metadata"}


def _differ_as_json(name: str, coder: _Coder, was: Any, value: Any) -> bool:
    """Whether two values that Python takes for equal are not: 1, 1.0 and True, or 0.0 and -0.0."""
    if name not in _JSON_FIELDS or isinstance(value, Stored):
        return False
    return bool(coder.encode(was) != coder.encode(value))


_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    name: Stored if name in USER_FIELDS else coder.decode for name, coder in _JOB_FIELDS.items()
}


_NEVER = datetime.min.replace(tzinfo=UTC)
_BLANK_JOB = Job(id="-", type="-", created_at=_NEVER, updated_at=_NEVER)


def blank_user_data(name: str) -> Any:
    """What a user field says when nothing is stored."""
    return {} if name in ("payload", "settings") else None


class Codec:
    """Jobs and run summaries to fields and back. `text` transforms user data."""

    def __init__(self, text: TextCodec | None = None) -> None:
        self._text = text or PlainText()

    def encode_text(self, value: object, field: str) -> str:
        """User data as it is stored.

        Raises:
            BadInput: it is not a JSON value.
        """
        return self._text.encode(canonical_json(value, field))

    def decode_text(self, stored: str) -> Any:
        """What `encode_text` was given."""
        return json.loads(self._text.decode(stored))

    def _encode(self, name: str, coder: _Coder, value: Any) -> Value:
        if value is None or value == coder.default:
            return None
        if name not in USER_FIELDS:
            return coder.encode(value)
        if isinstance(value, Stored):
            return value.text
        return self._text.encode(str(coder.encode(value)))

    def decode_field(self, name: str, stored: str) -> Any:
        """One user field of a job, from its whole stored text."""
        return _USER_FIELDS[name].decode(self._text.decode(stored))

    def fields(self, job: Job) -> dict[str, Value]:
        """All fields of a job that have a value."""
        held = job.__dict__
        encoded: dict[str, Value] = {"schema_version": SCHEMA_VERSION}
        for name, coder in _JOB_FIELDS.items():
            value = held[name]
            if value is not None and (stored := self._encode(name, coder, value)) is not None:
                encoded[name] = stored
        return encoded

    def patch(self, before: Job, after: Job) -> dict[str, Value]:
        """The fields in which two states of a job differ, as the second has them."""
        old, new = before.__dict__, after.__dict__
        changed: dict[str, Value] = {}
        for name, coder in _JOB_FIELDS.items():
            was, value = old[name], new[name]
            if was is not value and (was != value or _differ_as_json(name, coder, was, value)):
                changed[name] = self._encode(name, coder, value)
        return changed

    def job(self, record: Record) -> Job:
        """The job of a record. Its user data stays `Stored` until `JobRecords.resolve` reads it."""
        # What is stored was validated when it was created, so it is not validated again: copying a blank job
        # costs a tenth of constructing one.
        values: dict[str, Any] = {"id": record.id, "version": record.version}
        chunks: dict[str, tuple[str, ...]] = {}
        values |= {"payload": {}, "settings": {}, "metadata": {}, "chunks": chunks}
        for name, stored in record.fields.items():
            decode = _DECODERS.get(name)
            if decode is None or stored is None:
                continue
            if decode is _same:
                values[name] = stored
                continue
            value = values[name] = decode(stored)
            if decode is Stored and (chunk_ids := value.chunk_ids):
                chunks[name] = chunk_ids
        return changed(_BLANK_JOB, values)

    def run_fields(self, run: RunSummary) -> dict[str, Value]:
        """All fields of a run summary that have a value."""
        held = run.__dict__
        encoded: dict[str, Value] = {"schema_version": SCHEMA_VERSION}
        for name, coder in _RUN_FIELDS.items():
            value = held[name]
            if value is not None and value != coder.default:
                encoded[name] = coder.encode(value)
        return encoded

    def run(self, record: Record) -> RunSummary:
        """The run summary of a record."""
        values: dict[str, Any] = {"id": record.id}
        for name, stored in record.fields.items():
            coder = _RUN_FIELDS.get(name)
            if coder is not None and stored is not None:
                values[name] = coder.decode(stored)
        return RunSummary.model_construct(**values)


_RUN_FIELDS: Mapping[str, _Coder] = {
    "job_id": _NATIVE,
    "type": _NATIVE,
    "queue": _Coder(str, JobQueue),
    "priority": _Coder(int, JobPriority),
    "batch_id": _NATIVE,
    "parent_id": _NATIVE,
    "attempt": _NATIVE,
    "outcome": _Coder(str, Outcome),
    "counted": _NATIVE,
    "status": _Coder(str, JobStatus),
    "worker_id": _NATIVE,
    "started_at": _NATIVE,
    "ended_at": _NATIVE,
    "duration_seconds": _NATIVE,
    "waited_seconds": _NATIVE,
    "retries_used": _Coder(_same, _same, 0),
    "lease_losses": _Coder(_same, _same, 0),
    "message": _Coder(_same, _same, ""),
    "error": _Coder(_model_text, _error),
    "details": _json_coder("details"),
    "expire_at": _NATIVE,
}
RUN_FIELDS = frozenset(_RUN_FIELDS)

"""Keys under which something is done once, whichever job comes first; the others are given its outcome.

A key is held by a lease, named by its token: nobody but that lease's holder can say what came out, and when the lease
is dead the next job takes the key over. So the function may run again after a crash, but its outcome is recorded once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from app.jobs.clock import Clock
from app.jobs.codec import SCHEMA_VERSION, Stored, canonical_json
from app.jobs.errors import OnceTaken, TooLarge
from app.jobs.models import JobStatus, Json
from app.jobs.records import JobRecords
from app.jobs.steps import hash_of
from app.stores.base import Delete, Insert, PreconditionFailed, Record, Store, Update, Value

if TYPE_CHECKING:
    from app.jobs.lease import Holder

COLLECTION = "once"
PREFIX = "once:"
"""With what it begins that a job waits for if it is such a key."""


@dataclass(frozen=True, slots=True)
class Done:
    """It was done."""

    result: Json


@dataclass(frozen=True, slots=True)
class Mine:
    """This attempt is to do it."""

    key: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Another job is doing it, under a lease that lives until then."""

    until: datetime
    what: str
    """What to wait for."""


def is_settled(record: Record | None) -> bool:
    """Whether nobody is at work on a key, as far as its record says."""
    return record is None or _about(record)["state"] == "done"


def once_id(key: str) -> str:
    """The id of a key's record."""
    return hash_of(key)


class OnceKeys:
    """Keys as one holder sees them."""

    def __init__(self, holder: Holder, clock: Clock, store: Store, records: JobRecords) -> None:
        self._holder = holder
        self._clock = clock
        self._store = store
        self._records = records

    async def reserve(self, key: str) -> Done | Mine | Busy:
        """Take a key, unless it is done or a living holder is at work on it.

        Raises:
            LeaseLost: this holder can change nothing any more.
        """
        while True:
            (there,) = await self._store.get(COLLECTION, [once_id(key)])
            if there is not None and is_settled(there):
                (result,) = await self._records.read_texts([Stored(str(there.fields["result"]))])
                return Done(result)
            until = None if there is None else await self._lives_until(_about(there))
            if until is not None:
                return Busy(until, f"{PREFIX}{once_id(key)}")
            fields = self._fields(key, "running", None)
            write = (
                Insert(COLLECTION, once_id(key), fields)
                if there is None
                else Update(COLLECTION, there.id, fields, there.version)
            )
            try:
                await self._holder.commit([write])
            except PreconditionFailed:
                continue  # somebody was faster
            return Mine(key)

    async def finish(self, mine: Mine, result: Json) -> Json:
        """Record what came out, exactly once.

        Returns:
            The result as others will be given it.

        Raises:
            OnceTaken: another job took the key, because this lease seemed dead.
            LeaseLost: this holder can change nothing any more.
            BadInput: no JSON value, or too large.
        """
        stored = self._records.stored(result, f"once {mine.key!r:.100}")
        if len(stored.text) > self._records.inline_bytes:
            raise TooLarge(f"once {mine.key!r:.100}", len(stored.text), self._records.inline_bytes)
        record = await self._own(mine)
        fields = self._fields(mine.key, "done", stored.text)
        try:
            await self._holder.commit([Update(COLLECTION, record.id, fields, record.version)])
        except PreconditionFailed:
            raise OnceTaken(self._holder.job.id, mine.key) from None
        (kept,) = await self._records.read_texts([stored])
        return kept

    async def give_up(self, mine: Mine) -> None:
        """Let others try, because it failed here.

        Raises:
            OnceTaken, LeaseLost: as for `finish`.
        """
        record = await self._own(mine)
        await self._holder.commit([Delete(COLLECTION, record.id, record.version)])

    async def _own(self, mine: Mine) -> Record:
        (record,) = await self._store.get(COLLECTION, [once_id(mine.key)])
        if record is None or _about(record)["token"] != self._holder.job.lease_token:
            raise OnceTaken(self._holder.job.id, mine.key)
        return record

    async def _lives_until(self, about: Mapping[str, Json]) -> datetime | None:
        """Until when the lease lives under which somebody else is at work; None if it is dead, or ours."""
        job = self._holder.job
        if about["job_id"] == job.id:
            return None  # by an earlier attempt, or by a call of this one that has failed
        (record,) = await self._store.get("jobs", [about["job_id"]])
        if record is None or record.fields.get("status") != str(JobStatus.RUNNING):
            return None
        until = record.fields.get("lease_expires_at")
        is_its = record.fields.get("lease_token") == about["token"]
        return until if is_its and isinstance(until, datetime) and until > self._clock.now() else None

    def _fields(self, key: str, state: str, result: str | None) -> dict[str, Value]:
        job = self._holder.job
        now = self._clock.now()
        about = {"key": key, "job_id": job.id, "token": job.lease_token, "state": state, "at": now.isoformat()}
        text = canonical_json(about, "once")
        return {"schema_version": SCHEMA_VERSION, "about": text, "result": result, "touched_at": now}


def _about(record: Record) -> Mapping[str, Json]:
    about: Mapping[str, Json] = json.loads(str(record.fields["about"]))
    return about

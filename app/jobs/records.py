"""Jobs in the store: reading them whole, and turning what changed into writes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.jobs.clock import Chance
from app.jobs.codec import SCHEMA_VERSION, USER_FIELDS, Codec, Stored, blank_user_data
from app.jobs.errors import TooLarge, Unreadable
from app.jobs.models import Job, Json, LogEntry, RunSummary, is_key
from app.stores.base import Delete, Fields, Insert, Record, Store, Update, Value, Write

logger = logging.getLogger(__name__)

PLAIN_TEXTS = frozenset({"name", "description", "metadata"})
"""Texts that stay in the job's own record however long they are, and so must not be long."""


RECORD_SHARE = 10
"""A job has eight texts of any length; with what else it says, each gets this part of a record at most."""

SET_ASIDE = timedelta(minutes=5)
"""How long a job waits that this version of the code cannot read, until it is offered again."""
TOLD_AT_MOST = 10_000
"""So many jobs that cannot be read are remembered."""
TORN_READS = 3
"""How often a job is read again whose chunks do not fit it."""


@dataclass(frozen=True, slots=True)
class DataLimits:
    """How much user data a field may hold, in bytes of its stored text."""

    inline_bytes: int = 256 * 1024
    """Above this a field is cut into chunk records of this size; less where a store's records hold less."""
    field_bytes: int = 4 * 1024 * 1024
    """Above this it is refused."""


def set_aside(now: datetime) -> Fields:
    """What keeps a job that this version of the code cannot read out of the way of others, and in sight.

    It waits as a delayed job does, and is offered again: to a worker of the version that wrote it, perhaps.
    """
    return {"ready_at": None, "wake_at": now + SET_ASIDE, "updated_at": now}


def is_job_id(job_id: object) -> bool:
    """Whether a job can have this id: what every store takes for a record's."""
    if not is_key(job_id) or not isinstance(job_id, str):
        return False
    return "/" not in job_id and job_id not in (".", "..") and not (job_id.startswith("__") and job_id.endswith("__"))


class JobRecords:
    """Reads jobs and prepares their writes; it never writes itself."""

    def __init__(self, store: Store, codec: Codec, chance: Chance, limits: DataLimits) -> None:
        self._store = store
        self._codec = codec
        self._chance = chance
        self._limits = limits
        self._told: dict[str, None] = {}
        """The newest of the jobs that could not be read, so that each is told of once."""
        # All the texts of one job have to fit into its record together.
        self._inline_bytes = min(limits.inline_bytes, store.limits().bytes_per_record // RECORD_SHARE)

    @property
    def inline_bytes(self) -> int:
        """How long user data may be to stay in its own record."""
        return self._inline_bytes

    @property
    def codec(self) -> Codec:
        """The codec of all user data."""
        return self._codec

    def size_of(self, record: Record) -> int:
        """How many bytes a record's texts are at most, with the chunks that they stand for."""
        size = 0
        for name, text in record.fields.items():
            if isinstance(text, str):
                chunks = len(Stored(text).chunk_ids) if name in USER_FIELDS else 0
                size += chunks * self._inline_bytes if chunks else len(text)
        return size

    def readable(self, record: Record) -> Job | None:
        """The job of a record; None, told in the log once, if this version of the code cannot read it."""
        try:
            return self._codec.job(record)
        except (ValueError, TypeError) as error:
            if record.id not in self._told:
                self._told[record.id] = None
                if len(self._told) > TOLD_AT_MOST:
                    self._told.pop(next(iter(self._told)), None)
                logger.warning("job %s is set aside: this version of the code cannot read it: %s", record.id, error)
            return None

    def decoded(self, records: Sequence[Record]) -> list[Job]:
        """The jobs of records, without those that this version of the code cannot read. Their user data is not read."""
        return [job for job in map(self.readable, records) if job is not None]

    def _read(self, record: Record) -> Job:
        try:
            return self._codec.job(record)
        except (ValueError, TypeError) as error:
            raise Unreadable(record.id, "record", error) from error

    async def find(self, ids: Sequence[str]) -> list[Record | None]:
        """The record of each job, None where there is none; a store is not asked for an id that no record can have."""
        possible = [job_id for job_id in ids if is_job_id(job_id)]
        found = dict(zip(possible, await self._store.get("jobs", possible) if possible else [], strict=True))
        return [found.get(job_id) for job_id in ids]

    async def get(self, ids: Sequence[str], *, strict: bool = True) -> list[Job | None]:
        """The newest state of each job with all its data, None where there is none.

        Raises:
            Unreadable: a record that this version of the code cannot read; or stored user data that the codec
                cannot read, if `strict`; else it is left out.
        """
        for _ in range(TORN_READS):
            found = await self.find(ids)
            jobs = [self._read(record) if record is not None else None for record in found]
            try:
                await self.resolve([job for job in jobs if job is not None])
                return jobs
            except Unreadable:
                # A field in chunks may have been replaced between the two reads: what is stored now fits together.
                continue
        await self.resolve([job for job in jobs if job is not None], strict=strict)
        return jobs

    async def decode(self, records: Sequence[Record]) -> list[Job]:
        """The jobs of records that a query brought, with all their data but what the codec cannot read.

        Those that this version of the code cannot read at all are left out, and told in the log.
        """
        jobs = self.decoded(records)
        await self.resolve(jobs, strict=False)
        return jobs

    async def resolve(self, jobs: Sequence[Job], *, strict: bool = True) -> None:
        """Read the user data of jobs that came straight from records; chunks of all of them in one read.

        Args:
            jobs: changed in place.
            strict: whether data that cannot be read is an error; else it is left out, so that such a job can
                still be listed, cancelled and deleted.

        Raises:
            Unreadable: naming the first job and field that the codec cannot read.
        """
        wanted = [
            (job, name, stored, stored.chunk_ids)
            for job in jobs
            for name in USER_FIELDS
            if type(stored := job.__dict__[name]) is Stored
        ]
        texts = await self._chunk_texts([chunk_id for _, _, _, ids in wanted for chunk_id in ids])
        for job, name, stored, ids in wanted:
            text = "".join(texts[chunk_id] for chunk_id in ids) if ids else stored.text
            try:
                value = self._codec.decode_field(name, text)
            except Exception as error:
                if strict:
                    raise Unreadable(job.id, name, error) from error
                value = blank_user_data(name)
            setattr(job, name, value)

    async def _chunk_texts(self, ids: Sequence[str]) -> dict[str, str]:
        if not ids:
            return {}
        texts = dict.fromkeys(ids, "")
        for record in await self._store.get("chunks", ids):
            if record is not None:
                texts[record.id] = str(record.fields.get("text", ""))
        return texts

    def _chunked(self, job: Job, text: str) -> list[Insert]:
        size = self._inline_bytes
        token = self._chance.token()
        return [
            Insert(
                "chunks",
                f"{job.id}-{token}-{n}",
                {"schema_version": SCHEMA_VERSION, "job_id": job.id, "seq": n, "text": text[start : start + size]},
            )
            for n, start in enumerate(range(0, len(text), size))
        ]

    def _outgrown(self, job: Job, fields: dict[str, Value]) -> list[Write]:
        """Move what is too large for its record into chunk records.

        Raises:
            TooLarge: a field is over the set limit.
        """
        writes: list[Write] = []
        for name in USER_FIELDS & fields.keys():
            text = fields[name]
            if not isinstance(text, str) or len(text) <= self._inline_bytes:
                continue
            if len(text) > self._limits.field_bytes:
                raise TooLarge(name, len(text), self._limits.field_bytes)
            inserts = self._chunked(job, text)
            chunked = Stored.in_chunks(insert.id for insert in inserts)
            fields[name] = chunked.text
            job.chunks = {**job.chunks, name: chunked.chunk_ids}
            writes.extend(inserts)
        return writes

    def stored(self, data: Json, field: str) -> Stored:
        """User data as a record will have it.

        Raises:
            BadInput: it is not a JSON value, or over the set limit.
        """
        text = self._codec.encode_text(data, field)
        if len(text) > self._limits.field_bytes:
            raise TooLarge(field, len(text), self._limits.field_bytes)
        return Stored(text)

    def log_page(self, job: Job, entries: Sequence[LogEntry]) -> Insert:
        """The create-only write of the next lines of a job's log."""
        lines = [[entry.number, entry.at.isoformat(), entry.level, entry.message, entry.attempt] for entry in entries]
        first = entries[0].number
        fields: dict[str, Value] = {
            "schema_version": SCHEMA_VERSION,
            "job_id": job.id,
            "first": first,
            "count": len(entries),
            "entries": self._codec.encode_text(lines, "log"),
        }
        return Insert("logs", f"{job.id}-{first:09d}", fields)

    def saved_result(self, job: Job, seq: int, stored: Stored, now: datetime) -> list[Write]:
        """The create-only writes of one more saved result."""
        text, chunks = self.placed(job, stored)
        fields: dict[str, Value] = {
            "schema_version": SCHEMA_VERSION,
            "job_id": job.id,
            "seq": seq,
            "attempt": job.attempt,
            "saved_at": now,
            "data": text,
        }
        return [*chunks, Insert("results", f"{job.id}-{seq:09d}", fields)]

    def placed(self, job: Job, stored: Stored) -> tuple[str, list[Insert]]:
        """What stands for user data in a record of a job, and the chunk records that hold it if it is large."""
        if len(stored.text) <= self._inline_bytes:
            return stored.text, []
        chunks = self._chunked(job, stored.text)
        return Stored.in_chunks(chunk.id for chunk in chunks).text, chunks

    async def read_texts(self, stored: Sequence[Stored]) -> list[Json]:
        """What stored user data says, fetching chunks in one read."""
        texts = await self._chunk_texts([chunk_id for each in stored for chunk_id in each.chunk_ids])
        whole = ["".join(texts[i] for i in each.chunk_ids) if each.chunk_ids else each.text for each in stored]
        return [self._codec.decode_text(text) for text in whole]

    def insert(self, job: Job) -> list[Write]:
        """The writes that create a job.

        Raises:
            BadInput: user data that is no JSON value, or too large.
        """
        fields = self._codec.fields(job)
        for name in PLAIN_TEXTS & fields.keys():
            size = len(str(fields[name]).encode())
            if size > self._inline_bytes:
                raise TooLarge(name, size, self._inline_bytes)
        return [*self._outgrown(job, fields), Insert("jobs", job.id, fields)]

    def update(self, before: Job, after: Job) -> list[Write]:
        """The writes that bring a job from the state that was read to another; the last one is the job's own.

        Raises:
            BadInput: user data that is no JSON value, or too large.
        """
        fields = self._codec.patch(before, after)
        after.chunks = {name: ids for name, ids in before.chunks.items() if name not in fields}
        writes = self._outgrown(after, fields)
        for name in before.chunks.keys() & fields.keys():
            writes.extend(Delete("chunks", chunk_id) for chunk_id in before.chunks[name])
        return [*writes, Update("jobs", after.id, fields, before.version)]

    def summary(self, run: RunSummary) -> Insert:
        """The create-only write of the run summary of an ended lease; it goes with the guarded write that ends it."""
        return Insert("runs", run.id, self._codec.run_fields(run))

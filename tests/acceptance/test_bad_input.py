"""Bad input is refused before anything is written, with an error that names the field and the remedy."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from app.jobs import (
    AsyncJobManager,
    BadInput,
    EngineOptions,
    IdempotencyConflict,
    IllegalTransition,
    JobContext,
    JobNotFound,
    JobStatus,
    NoHandler,
    PayloadInvalid,
    RunFilter,
    TooLarge,
    UnknownJobType,
)
from app.jobs.errors import ContinueLater, RetryLater
from app.jobs.request import request_of
from app.stores.base import Delete, Record, RecordKey, Watch
from app.stores.checks import checked_unit
from app.stores.memory import MemoryJobStore
from tests.support.clock import NOON
from tests.support.engine import Engine
from tests.support.values import nested

CIRCULAR: dict[str, Any] = {}
CIRCULAR["itself"] = CIRCULAR
MIB = 2**20


class Size(BaseModel):
    width: int
    height: int = 1


class StrictStore(MemoryJobStore):
    """A memory store that takes no other ids than Firestore and the databases do."""

    async def get(self, collection: str, ids: Sequence[str], also: Sequence[RecordKey] = ()) -> list[Record | None]:
        checked_unit([Delete(collection, record_id) for record_id in dict.fromkeys(ids)])
        return await super().get(collection, ids, also)

    async def watch(self, collection: str, record_id: str | None = None) -> Watch:
        if record_id is not None:
            checked_unit([Delete(collection, record_id)])
        return await super().watch(collection, record_id)


@dataclass
class Shop:
    """An engine with a job in every status, and what is stored of it."""

    engine: Engine
    store: StrictStore
    ids: dict[str, str]

    @property
    def manager(self) -> AsyncJobManager:
        return self.engine.manager

    async def stored(self) -> list[tuple[str, str, str]]:
        """Every record and its state."""
        tables = self.store._ledger.tables
        return sorted((record.collection, record.id, record.version) for record in tables)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    store = StrictStore()
    engine = Engine(store=store)
    await engine.store.open()

    @engine.job("resize")
    async def resize(ctx: JobContext, width: Annotated[int, Field(ge=1)], height: int = 1) -> None: ...

    @engine.job("modelled", payload_model=Size)
    async def modelled(ctx: JobContext) -> None: ...

    @engine.job("anything")
    async def anything(ctx: JobContext, **payload: Any) -> None:
        if payload.get("fail"):
            raise ValueError("as asked")

    @engine.job("measure")
    async def measure(ctx: JobContext, metres: float) -> None: ...

    @engine.job("switched-off", enabled=False)
    async def switched_off(ctx: JobContext) -> None: ...

    manager = engine.manager
    ids = {
        "completed": (await manager.submit("anything")).id,
        "failed": (await manager.submit("anything", {"fail": True}, max_retries=0)).id,
    }
    await engine.drain()
    ids["cancelled"] = (await manager.create_job("anything")).id
    await manager.cancel_job(ids["cancelled"])
    ids["running"] = (await manager.submit("anything")).id
    await engine.runtime.queue.claim("w", ["default"], 1)
    ids["queued"] = (await manager.submit("anything", {"a": 1}, idempotency_key="taken")).id
    ids["pending"] = (await manager.create_job("anything")).id
    ids["paused"] = (await manager.create_job("anything")).id
    await manager.pause_job(ids["paused"])
    ids["custom"] = (await manager.create_job()).id
    assert {str((await engine.get(ids[status])).status) for status in ids} == set(JobStatus) - {"needs_review"}
    yield Shop(engine, store, ids)
    await engine.store.close()


async def refused(
    shop: Shop, act: Callable[[], Awaitable[Any]], kind: type[BadInput], field: str, *words: str
) -> BadInput:
    """Assert that it is refused by name, with a remedy, and that nothing was written."""
    before = (await shop.stored(), shop.engine.store.usage.writes)
    with pytest.raises(BadInput) as info:
        await act()
    assert (await shop.stored(), shop.engine.store.usage.writes) == before
    error = info.value
    assert type(error) is kind
    assert error.field == field
    message = str(error)
    assert message == f"{error.field}: {error.problem}; {error.remedy}"
    assert error.remedy
    for word in words:
        assert word in message, f"{word!r} is not in {message!r}"
    return error


# --- creating ----------------------------------------------------------------------------------------

CREATING: list[tuple[str, dict[str, Any], type[BadInput], str, tuple[str, ...]]] = [
    # unknown type
    ("unknown type", {"job_type": "rezise"}, UnknownJobType, "type", ("'rezise'", "registered: anything, measure")),
    ("empty type", {"job_type": ""}, BadInput, "type", ("at least 1 character",)),
    ("type of another kind", {"job_type": 5}, BadInput, "type", ("valid string", "5")),
    ("disabled type", {"job_type": "switched-off"}, BadInput, "type", ("disabled", "SWITCHED_OFF_ENABLED=true")),
    # payload that fails its model
    ("missing", {"job_type": "resize"}, PayloadInvalid, "payload.width", ("'resize'", "Field required")),
    ("wrong kind", {"job_type": "resize", "payload": {"width": "x"}}, PayloadInvalid, "payload.width", ("integer",)),
    ("out of range", {"job_type": "resize", "payload": {"width": 0}}, PayloadInvalid, "payload.width", ("equal to 1",)),
    ("unknown key", {"job_type": "resize", "payload": {"width": 1, "x": 1}}, PayloadInvalid, "payload.x", ("Extra",)),
    (
        "unknown key of a model",
        {"job_type": "modelled", "payload": {"width": 1, "x": 1}},
        PayloadInvalid,
        "payload",
        ("does not know 'x'", "it takes: height, width"),
    ),
    ("payload is a list", {"job_type": "anything", "payload": [1]}, BadInput, "payload", ("dictionary",)),
    ("payload is text", {"job_type": "anything", "payload": "{}"}, BadInput, "payload", ("dictionary",)),
    # what is no JSON
    ("NaN", {"job_type": "anything", "payload": {"a": float("nan")}}, BadInput, "payload", ("not a JSON value",)),
    (
        "infinity",
        {"job_type": "anything", "payload": {"a": [float("inf")]}},
        BadInput,
        "payload",
        ("not a JSON value",),
    ),
    ("NaN for a handler's own", {"job_type": "resize", "payload": {"width": float("nan")}}, BadInput, "payload", ()),
    ("number as key", {"job_type": "anything", "payload": {"a": {1: 2}}}, BadInput, "payload", ("key 1 is a int",)),
    ("object", {"job_type": "anything", "payload": {"a": object()}}, BadInput, "payload", ("not a JSON value",)),
    ("too deep", {"job_type": "anything", "payload": {"a": nested(101)}}, BadInput, "payload", ("100 levels",)),
    ("far too deep", {"job_type": "anything", "payload": {"a": nested(5000)}}, BadInput, "payload", ()),
    ("circular", {"job_type": "anything", "payload": CIRCULAR}, BadInput, "payload", ()),
    ("settings", {"settings": {"a": float("nan")}}, BadInput, "settings", ("not a JSON value",)),
    ("metadata", {"metadata": {"a": object()}}, BadInput, "metadata", ("not a JSON value",)),
    ("checkpoint", {"checkpoint": {2: 1}}, BadInput, "checkpoint", ("key 2 is a int",)),
    (
        "a text that means NaN",
        {"job_type": "measure", "payload": {"metres": "nan"}},
        BadInput,
        "payload",
        ("not a JSON value",),
    ),
    # too large
    (
        "large payload",
        {"payload": {"a": "x" * 5 * MIB}},
        TooLarge,
        "payload",
        ("5,242,8", "over the limit of 4,194,304"),
    ),
    ("large settings", {"settings": {"a": "x" * 5 * MIB}}, TooLarge, "settings", ("keep large data elsewhere",)),
    ("large checkpoint", {"checkpoint": "x" * 5 * MIB}, TooLarge, "checkpoint", ("over the limit",)),
    ("large metadata", {"metadata": {"a": "x" * 5 * MIB}}, TooLarge, "metadata", ("over the limit",)),
    ("large name", {"name": "x" * 5 * MIB}, TooLarge, "name", ("over the limit",)),
    ("large description", {"description": "x" * 20 * MIB}, TooLarge, "description", ("over the limit",)),
    # options
    ("unknown argument", {"colour": "red"}, BadInput, "colour", ("is not an argument", "use: batch_id, checkpoint")),
    ("unknown dependency", {"dependencies": ["x"]}, BadInput, "dependencies", ("there is no job 'x'", "leave it out")),
    ("place in no batch", {"dependencies": [0]}, BadInput, "dependencies", ("0 is a place in a batch",)),
    ("policy", {"on_dependency_failure": "wait"}, BadInput, "on_dependency_failure", ("'cancel', 'run' or 'hold'",)),
    ("queue", {"queue": "fast"}, BadInput, "queue", ("'priority' or 'maintenance'", "'fast'")),
    ("priority", {"priority": "urgent"}, BadInput, "priority", ("'urgent'", "use one of low, normal, high, critical")),
    ("priority number", {"priority": 9}, BadInput, "priority", ("9",)),
    ("tag with control", {"tags": ["a\x00b"]}, BadInput, "tags.0", ()),
    ("tag with C1 control", {"tags": ["a", "b\x85"]}, BadInput, "tags.1", ()),
    ("tag of half a character", {"tags": ["\ud800"]}, BadInput, "tags.0", ()),
    ("tag too long", {"tags": ["x" * 201]}, BadInput, "tags.0", ("200",)),
    ("too many tags", {"tags": [str(n) for n in range(51)]}, BadInput, "tags", ("50",)),
    ("tags as text", {"tags": "abc"}, BadInput, "tags", ()),
    ("mode", {"mode": "a\nb"}, BadInput, "mode", ()),
    ("batch", {"batch_id": ""}, BadInput, "batch_id", ()),
    ("name with NUL", {"name": "a\x00b"}, BadInput, "name", ("NUL",)),
    ("name with half a character", {"name": "\ud800"}, BadInput, "name", ()),
    ("description with NUL", {"description": "a\x00b"}, BadInput, "description", ("NUL",)),
    ("key with NUL", {"idempotency_key": "a\x00b"}, BadInput, "idempotency_key", ("NUL",)),
    ("empty key", {"idempotency_key": ""}, BadInput, "idempotency_key", ()),
    ("key with half a character", {"idempotency_key": "\ud800"}, BadInput, "idempotency_key", ()),
    ("negative retries", {"max_retries": -1}, BadInput, "max_retries", ("-1",)),
    ("countless retries", {"max_retries": 2**70}, BadInput, "max_retries", ()),
    ("retries as text", {"max_retries": "many"}, BadInput, "max_retries", ("'many'",)),
    ("negative retry delay", {"retry_delay": -1}, BadInput, "retry_delay", ("-1",)),
    ("endless retry delay", {"retry_delay_seconds": float("inf")}, BadInput, "retry_delay_seconds", ("inf",)),
    ("no retry delay", {"retry_delay_seconds": float("nan")}, BadInput, "retry_delay_seconds", ("nan",)),
    ("backoff", {"retry_backoff": "linear"}, BadInput, "retry_backoff", ("'fixed' or 'exponential'",)),
    ("no timeout", {"timeout": 0}, BadInput, "timeout", ("0",)),
    ("endless timeout", {"timeout_seconds": float("inf")}, BadInput, "timeout_seconds", ("inf",)),
    ("duration in words", {"max_duration": "an hour"}, BadInput, "max_duration", ("'an hour'", 'like "90s"')),
    ("negative duration", {"max_duration": -5}, BadInput, "max_duration", ("-5",)),
    ("duration as list", {"max_duration": [1]}, BadInput, "max_duration", ("[1]",)),
    ("negative delay", {"job_type": "anything", "delay": -1, "auto_start": True}, BadInput, "delay", ("-1",)),
    ("delay in words", {"job_type": "anything", "delay": "later", "auto_start": True}, BadInput, "delay", ("'later'",)),
    ("endless delay", {"delay": float("inf")}, BadInput, "delay", ("ten years",)),
    ("huge delay", {"delay": 10**400}, BadInput, "delay", ()),
    ("delay of a held job", {"delay": 5}, BadInput, "delay_seconds", ("held", "start it")),
    ("start_before past", {"start_before": NOON - timedelta(seconds=1)}, BadInput, "start_before", ("is past",)),
    ("start_before naive and past", {"start_before": "2026-11-02T11:59:59"}, BadInput, "start_before", ("is past",)),
    ("start_before in words", {"start_before": "tomorrow"}, BadInput, "start_before", ("'tomorrow'", "write it like")),
    ("unknown parent", {"parent_id": "nobody"}, BadInput, "parent_id", ("'nobody'", "create the parent first")),
    ("impossible parent", {"parent_id": "a/b"}, BadInput, "parent_id", ("a/b",)),
    ("starting what nobody handles", {"auto_start": True}, NoHandler, "type", ("'custom'", "@job")),
    (
        "key taken",
        {"job_type": "anything", "payload": {"a": 2}, "idempotency_key": "taken"},
        IdempotencyConflict,
        "idempotency_key",
        ("'taken'", "whose payload differs", "use another key"),
    ),
]


@pytest.mark.parametrize(
    ("arguments", "kind", "field", "words"), [case[1:] for case in CREATING], ids=[case[0] for case in CREATING]
)
async def test_creating(
    shop: Shop, arguments: dict[str, Any], kind: type[BadInput], field: str, words: tuple[str, ...]
) -> None:
    await refused(shop, lambda: shop.manager.create_job(**arguments), kind, field, *words)


async def test_one_wrong_job_of_many_stores_none(shop: Shop) -> None:
    requests = [request_of({"type": "resize", "payload": {"width": width}}) for width in (1, 2, 0, 4)]
    await refused(shop, lambda: shop.manager.create_jobs(requests), PayloadInvalid, "payload.width", "equal to 1")


async def test_the_largest_payload_that_fits_is_taken(shop: Shop) -> None:
    payload = {"a": "x" * (4 * MIB - len('{"a":""}'))}
    job = await shop.manager.create_job("anything", payload)
    assert (await shop.manager.get_job(job.id)).payload == payload


# --- unknown ids -------------------------------------------------------------------------------------

BY_ID = [
    "start_job",
    "cancel_job",
    "cancel",
    "stop_job",
    "pause_job",
    "resume_job",
    "retry_job",
    "delete_job",
    "get_job",
    "get",
    "get_job_status",
    "get_job_results",
    "get_logs",
    "wait",
]


@pytest.mark.parametrize("verb", BY_ID)
@pytest.mark.parametrize("job_id", ["nobody", "", "a/b", "__x__", "x" * 5000, "a\x00b", "\ud800"], ids=ascii)
async def test_an_unknown_id(shop: Shop, verb: str, job_id: str) -> None:
    error = await refused(
        shop, lambda: getattr(shop.manager, verb)(job_id), JobNotFound, "job_id", "there is no job", "list the jobs"
    )
    assert error.code == "JOB_NOT_FOUND"


async def test_an_unknown_id_of_a_review_or_a_subscription(shop: Shop) -> None:
    await refused(shop, lambda: shop.manager.review("nobody", "approve", "ann"), JobNotFound, "job_id")

    async def subscribe() -> None:
        async for _ in shop.manager.subscribe_progress("nobody"):
            pass

    await refused(shop, subscribe, JobNotFound, "job_id")


# --- illegal transitions -----------------------------------------------------------------------------

ILLEGAL = [
    ("start_job", "completed"),
    ("start_job", "failed"),
    ("start_job", "cancelled"),
    ("start_job", "paused"),
    ("cancel_job", "completed"),
    ("cancel_job", "failed"),
    ("pause_job", "completed"),
    ("pause_job", "failed"),
    ("pause_job", "cancelled"),
    ("resume_job", "pending"),
    ("resume_job", "queued"),
    ("resume_job", "completed"),
    ("resume_job", "cancelled"),
    ("retry_job", "pending"),
    ("retry_job", "queued"),
    ("retry_job", "running"),
    ("retry_job", "paused"),
    ("retry_job", "completed"),
    ("delete_job", "running"),
]


@pytest.mark.parametrize(("verb", "status"), ILLEGAL)
async def test_an_illegal_transition(shop: Shop, verb: str, status: str) -> None:
    job_id = shop.ids[status]
    error = await refused(
        shop,
        lambda: getattr(shop.manager, verb)(job_id),
        IllegalTransition,
        "job_id",
        f"job {job_id} is {status} and cannot ",
        f"from {status} it can: ",
    )
    assert error.code == "ILLEGAL_TRANSITION"


@pytest.mark.parametrize("status", ["pending", "queued", "running", "paused", "completed", "failed", "cancelled"])
async def test_a_review_of_a_job_that_waits_for_none(shop: Shop, status: str) -> None:
    await refused(
        shop,
        lambda: shop.manager.review(shop.ids[status], "approve", "ann"),
        IllegalTransition,
        "job_id",
        f"is {status} and cannot review",
    )


async def test_starting_what_nobody_handles(shop: Shop) -> None:
    await refused(shop, lambda: shop.manager.start_job(shop.ids["custom"]), NoHandler, "type", "'custom'", "@job")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"decision": "perhaps"}, "decision"),
        ({"decision": "edit"}, "payload"),
        ({"decision": "approve", "payload": {}}, "payload"),
    ],
)
async def test_a_review_that_says_nothing_clear(shop: Shop, arguments: dict[str, Any], field: str) -> None:
    await refused(shop, lambda: shop.manager.review(shop.ids["paused"], by="ann", **arguments), BadInput, field)


@pytest.mark.parametrize("reason", ["a\x00b", "\ud800", "x" * 20 * MIB], ids=["NUL", "half a character", "large"])
@pytest.mark.parametrize("verb", ["cancel_job", "pause_job"])
async def test_a_reason_that_cannot_be_stored(shop: Shop, verb: str, reason: str) -> None:
    job_id = shop.ids["running"]
    await refused(shop, lambda: getattr(shop.manager, verb)(job_id, reason), BadInput, "reason")


# --- reading and cleaning ----------------------------------------------------------------------------


FILTERS: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
    ({"status": "done"}, "status", ("'done'", "pending, queued, running")),
    ({"status": ["queued"]}, "status", ()),
    ({"queue": "fast"}, "queue", ("'fast'", "priority, maintenance")),
    ({"sort_by": "colour"}, "sort_by", ("created_at, priority, finished_at",)),
    ({"sort_order": "up"}, "sort_order", ("asc or desc",)),
    ({"created_after": "yesterday"}, "created_after", ("'yesterday'", "write it like")),
    ({"created_before": 5}, "created_before", ("5",)),
    ({"created_after": datetime(2026, 1, 1, tzinfo=UTC), "sort_by": "priority"}, "created_after", ("sort by",)),
    ({"colour": "red"}, "colour", ("batch_id", "created_after", "tags")),
    ({"tags": ["a\x00b"]}, "tags", ()),
    ({"tags": 5}, "tags", ()),
    ({"type": "a\x00b"}, "type", ()),
]
NO_NUMBERS: tuple[Any, ...] = (float("nan"), float("inf"), 2.5, -1, 10**10, 10**5000, True, "5", [1])
"""What is no number of records. A number of thousands of digits cannot even be written out."""
LISTING: dict[str, tuple[str, ...]] = {
    "list_jobs": ("limit", "offset"),
    "list": ("limit", "offset"),
    "list_page": ("limit", "offset"),
    "get_logs": ("limit",),
    "get_run_history": ("limit",),
    "get_run_page": ("limit",),
    "list_batches": ("limit",),
    "list_events": ("limit",),
    "list_reviews": ("limit",),
    "retry_jobs": ("limit",),
}
"""Every verb that gives a part of a list, and what says which part."""


@pytest.mark.parametrize(("filters", "field", "words"), FILTERS, ids=[str(case[0]) for case in FILTERS])
@pytest.mark.parametrize("verb", ["list_jobs", "list", "list_page", "count_jobs"])
async def test_a_wrong_filter(
    shop: Shop, verb: str, filters: dict[str, Any], field: str, words: tuple[str, ...]
) -> None:
    await refused(shop, lambda: getattr(shop.manager, verb)(**filters), BadInput, field, *words)


def test_every_verb_that_takes_a_part_of_a_list_is_known() -> None:
    told = {
        name: tuple(each for each in inspect.signature(verb).parameters if each in ("limit", "offset"))
        for name, verb in inspect.getmembers(AsyncJobManager, inspect.isfunction)
    }
    assert {name: parts for name, parts in told.items() if parts} == LISTING


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0], ids=lambda value: str(value)[:20] if value != 10**5000 else "huge")
@pytest.mark.parametrize("verb", LISTING)
async def test_what_is_no_number_of_records(shop: Shop, verb: str, value: Any) -> None:
    needed = {"get_logs": ["no-such-job"], "get_run_page": [RunFilter.of()]}.get(verb, [])
    for field in LISTING[verb]:
        if field == "offset" and value == 0 and value is not False:
            continue
        act = partial(getattr(shop.manager, verb), *needed, **{field: value})
        await refused(shop, act, BadInput, field, "whole number from", "1,000,000,000")


async def test_an_offset_is_for_the_first_page_only(shop: Shop) -> None:
    page = await shop.manager.list_page(limit=1, offset=1)
    assert page.cursor is not None
    await refused(shop, partial(shop.manager.list_page, cursor=page.cursor, offset=1), BadInput, "offset", "cursor")


@pytest.mark.parametrize("verb", ["list_page", "get_run_page"])
@pytest.mark.parametrize("cursor", [5, 2.5, b"abc", ["a"]], ids=str)
async def test_a_cursor_that_is_no_text(shop: Shop, verb: str, cursor: Any) -> None:
    needed = [RunFilter.of()] if verb == "get_run_page" else []
    await refused(shop, partial(getattr(shop.manager, verb), *needed, cursor=cursor), BadInput, "cursor", "page before")


@pytest.mark.parametrize("cursor", ["", "from elsewhere", "é\x00"])
async def test_a_cursor_from_elsewhere(shop: Shop, cursor: str) -> None:
    await refused(shop, lambda: shop.manager.list_page(cursor=cursor), BadInput, "cursor", "page before")


@pytest.mark.parametrize("days", [-1, float("nan"), float("-inf")])
async def test_cleaning_up_the_future(shop: Shop, days: float) -> None:
    await refused(shop, lambda: shop.manager.cleanup_old_jobs(days=days), BadInput, "days")


async def test_keeping_longer_than_time_itself_deletes_nothing(shop: Shop) -> None:
    before = await shop.stored()
    assert await shop.manager.cleanup_old_jobs(days=1e7) == 0
    assert await shop.stored() == before


# --- settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"lease_seconds": 0},
        {"flush_seconds": -1},
        {"shutdown_seconds": 0},
        {"abandoned_lease_seconds": 0},
        {"concurrency": 0},
        {"shards": 0},
        {"shards": 65},
        {"claim_batch": 0},
        {"lease_seconds": float("nan")},
        {"lease_seconds": float("inf")},
        {"cancel_grace_seconds": -1},
    ],
    ids=str,
)
def test_settings_of_an_engine(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(BadInput, match=rf"^{name}: .*; give "):
        EngineOptions(**options)


@pytest.mark.parametrize("signal", [RetryLater, ContinueLater])
@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_delays_that_a_handler_asks_for(signal: type[RetryLater | ContinueLater], seconds: float) -> None:
    with pytest.raises(BadInput, match=r"^seconds: .*; give seconds from 0"):
        signal(seconds)


@pytest.mark.parametrize("text", ["\x00", "\ud800"])
@pytest.mark.parametrize("field", ["name", "idempotency_key"])
async def test_a_batch_under_a_text_that_cannot_be_stored(shop: Shop, field: str, text: str) -> None:
    create = shop.manager.create_job_batch
    await refused(shop, lambda: create([{"type": "typed"}], **{field: text}), BadInput, field, "cannot be stored")


@pytest.mark.parametrize("after", [-1, 2**63, 10**30, float("nan"), 2.5])
async def test_reading_a_log_from_where_no_line_is(shop: Shop, after: Any) -> None:
    (job, *_) = await shop.manager.list_jobs()
    await refused(shop, lambda: shop.manager.get_logs(job.id, after=after), BadInput, "after", "give a whole number")

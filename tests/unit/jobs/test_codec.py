"""Jobs and run summaries come back from a store as they went in, whatever their users put into them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.jobs.codec import JOB_FIELDS, RUN_FIELDS, USER_FIELDS, Codec, canonical_json
from app.jobs.errors import BadInput, Unreadable
from app.jobs.models import Job, JobResult, RunSummary
from app.stores.base import Insert, Record, Update
from app.stores.memory import MemoryJobStore
from app.stores.schema import JOBS, RUNS
from tests.support.clock import NOON
from tests.support.engine import Engine
from tests.support.values import EDGES, JOB_VALUES, JSON, RUN_VALUES, exact, jobs, nested, runs

NOT_STORED = {"id", "version", "chunks", "existing"}
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


class Scrambled:
    """A text codec that shows at once whether it was used: base64, backwards."""

    def encode(self, text: str) -> str:
        return base64.b64encode(text.encode()).decode()[::-1]

    def decode(self, stored: str) -> str:
        return base64.b64decode(stored[::-1], validate=True).decode()


def plain_job(**fields: Any) -> Job:
    return Job(id="job-1", type="t", created_at=NOON, updated_at=NOON, **fields)


def a_result(data: Any) -> JobResult:
    return JobResult(success=True, data=data)


def dumped(model: Job | RunSummary) -> dict[str, str]:
    """Each field as text that differs wherever its values do."""
    names = set(type(model).model_fields) - NOT_STORED
    return {name: exact(json_of(getattr(model, name))) for name in names}


def json_of(value: Any) -> Any:
    return value.model_dump() if hasattr(value, "model_dump") else str(value) if hasattr(value, "tzinfo") else value


async def through(store: MemoryJobStore, codec: Codec, job: Job) -> Record:
    """The job's record as the store answers with it."""
    await store.commit([Insert("jobs", job.id, codec.fields(job))])
    (record,) = await store.get("jobs", [job.id])
    assert record is not None
    return record


# --- fields ------------------------------------------------------------------------------------------


def test_every_field_of_a_job_is_declared_coded_and_tried() -> None:
    assert JOB_FIELDS | {"schema_version"} == set(JOBS.fields)
    assert set(Job.model_fields) == JOB_FIELDS | NOT_STORED
    assert set(JOB_VALUES) == JOB_FIELDS


def test_every_field_of_a_run_summary_is_declared_coded_and_tried() -> None:
    assert RUN_FIELDS | {"schema_version"} == set(RUNS.fields)
    assert RUN_FIELDS | {"id"} == set(RunSummary.model_fields)
    assert set(RUN_VALUES) == RUN_FIELDS


# --- round trips -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scrambled", [False, True], ids=["plain", "scrambled"])
@given(job=jobs())
@FEW
async def test_a_job_comes_back_as_it_went_in(scrambled: bool, job: Job) -> None:
    engine = Engine(text_codec=Scrambled() if scrambled else None)
    await engine.store.open()
    versions = await engine.store.commit(engine.runtime.records.insert(job))
    (found,) = await engine.runtime.records.get([job.id])
    assert found is not None
    assert (found.id, found.version) == (job.id, versions[-1])
    assert dumped(found) == dumped(job)


@given(run=runs())
@FEW
async def test_a_run_summary_comes_back_as_it_went_in(run: RunSummary) -> None:
    store, codec = MemoryJobStore(), Codec()
    await store.open()
    await store.commit([Insert("runs", run.id, codec.run_fields(run))])
    (record,) = await store.get("runs", [run.id])
    assert record is not None
    assert dumped(codec.run(record)) == dumped(run)


@pytest.mark.parametrize("value", [*EDGES, nested(98)], ids=lambda value: ascii(value)[:30])
@pytest.mark.parametrize("field", ["payload", "settings", "metadata", "checkpoint", "review", "result"])
async def test_the_values_that_stores_lose(field: str, value: Any) -> None:
    given_value: Any = {"key": value} if field in ("payload", "settings", "metadata") else value
    given_value = JobResult(success=True, data=value, artifacts={"a": value}) if field == "result" else given_value
    store, codec = MemoryJobStore(), Codec()
    await store.open()
    job = plain_job(**{field: given_value})
    record = await through(store, codec, job)
    stored = record.fields[field]
    assert isinstance(stored, str)
    assert stored.isascii()
    assert "\x00" not in stored
    back = codec.decode_field(field, stored) if field in USER_FIELDS else codec.job(record).metadata
    assert exact(json_of(back)) == exact(json_of(given_value))


@given(JSON)
@settings(max_examples=100, deadline=None)
def test_one_value_has_one_text(value: Any) -> None:
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text
    assert exact(json.loads(text)) == exact(value)


def test_absent_is_what_a_field_has_by_itself() -> None:
    fields = Codec().fields(plain_job())
    assert {"payload", "settings", "metadata", "checkpoint", "progress", "error", "tags", "attempt"}.isdisjoint(fields)
    assert fields["schema_version"] == 1


# --- patches -----------------------------------------------------------------------------------------


@given(before=jobs(), changes=st.sets(st.sampled_from(sorted(JOB_FIELDS)), max_size=6), other=jobs())
@example(
    plain_job(checkpoint=1, payload={"a": [0.0]}),
    {"checkpoint", "payload"},
    plain_job(checkpoint=True, payload={"a": [-0.0]}),
)
@example(
    plain_job(result=JobResult(success=True, data=1)), {"result"}, plain_job(result=JobResult(success=True, data=1.0))
)
@FEW
async def test_a_patch_holds_what_changed_and_nothing_else(before: Job, changes: set[str], other: Job) -> None:
    codec, store = Codec(), MemoryJobStore()
    await store.open()
    after = before.model_copy(update={name: getattr(other, name) for name in changes})
    patch = codec.patch(before, after)
    old, new = dumped(before), dumped(after)
    assert set(patch) == {name for name in JOB_FIELDS if old[name] != new[name]}
    record = await through(store, codec, before)
    await store.commit([Update("jobs", before.id, patch, record.version)])
    (found,) = await store.get("jobs", [before.id])
    assert found is not None
    assert dict(found.fields) == {name: value for name, value in codec.fields(after).items() if value is not None}


def test_a_patch_of_nothing_is_empty() -> None:
    job = plain_job(payload={"a": [1]}, metadata={"b": 2})
    same = job.model_copy(update={"payload": {"a": [1]}, "metadata": {"b": 2}})
    assert Codec().patch(job, same) == {}


def test_what_goes_is_written_as_none() -> None:
    job = plain_job(checkpoint=[1], control_id="c")
    assert Codec().patch(job, job.model_copy(update={"checkpoint": None, "control_id": None})) == {
        "checkpoint": None,
        "control_id": None,
    }


# --- refusals ----------------------------------------------------------------------------------------

CIRCULAR: list[Any] = []
CIRCULAR.append(CIRCULAR)
NOT_JSON: list[tuple[Any, str]] = [
    (float("nan"), "not a JSON value"),
    ([float("inf")], "not a JSON value"),
    ({"a": -float("inf")}, "not a JSON value"),
    ({1: "a"}, "key 1 is a int"),
    ({"a": [{None: 1}]}, "key None is a NoneType"),
    ({("a",): 1}, "key ('a',) is a tuple"),
    (object(), "not a JSON value"),
    ([lambda: 1], "not a JSON value"),
    (b"\xff", "not a JSON value"),
    (nested(101), "nested more than 100 levels deep"),
    (nested(5000), "JSON value"),
    (CIRCULAR, "JSON value"),
    (10**5000, "not a JSON value"),
]


@pytest.mark.parametrize(
    ("value", "problem"), NOT_JSON, ids=lambda value: ascii(value)[:20] if isinstance(value, str) else ""
)
def test_what_is_no_json_is_refused_by_the_name_of_its_field(value: Any, problem: str) -> None:
    with pytest.raises(BadInput) as refused:
        canonical_json(value, "settings")
    assert refused.value.field == "settings"
    assert problem in str(refused.value)


@pytest.mark.parametrize("field", sorted(USER_FIELDS - {"result"}))
def test_a_job_with_such_a_value_has_no_record(field: str) -> None:
    job = plain_job().model_copy(update={field: {"a": float("nan")}})
    with pytest.raises(BadInput, match=rf"^{field}: "):
        Codec().fields(job)


@pytest.mark.parametrize(
    ("value", "problem"), NOT_JSON, ids=lambda value: ascii(value)[:20] if isinstance(value, str) else ""
)
def test_a_result_with_such_a_value_has_no_record(value: Any, problem: str) -> None:
    job = plain_job().model_copy(update={"result": JobResult.model_construct(success=True, data=value, artifacts={})})
    with pytest.raises(BadInput, match=r"^result: "):
        Codec().fields(job)


# --- the hook ----------------------------------------------------------------------------------------


async def test_the_hook_is_given_user_data_and_nothing_else() -> None:
    """Given a codec that encrypts, when a job is stored, then user data is unreadable and the engine's own is not."""
    engine = Engine(text_codec=Scrambled())
    await engine.store.open()
    user: dict[str, Any] = {name: {"secret": name} for name in USER_FIELDS - {"result"}}
    job = plain_job(**user, result=JobResult(success=True, data="secret"), name="secret name", metadata={"m": 1})
    await engine.store.commit(engine.runtime.records.insert(job))
    (record,) = await engine.store.get("jobs", [job.id])
    assert record is not None
    plain = Codec().fields(job)
    hidden = {name for name in record.fields if record.fields[name] != plain[name]}
    assert hidden == USER_FIELDS
    assert {Scrambled().decode(str(record.fields[name])) for name in USER_FIELDS} == {
        str(plain[name]) for name in USER_FIELDS
    }


async def test_log_lines_and_saved_results_are_user_data_too() -> None:
    engine = Engine(text_codec=Scrambled())
    await engine.store.open()

    @engine.job("leaky")
    async def leaky(ctx: Any) -> None:
        await ctx.log("a secret line")
        await ctx.save_result({"a secret": "result"})

    job_id = await engine.submitted("leaky")
    await engine.drain()
    stored = [str(record.fields) for record in engine.memory._ledger.tables if record.collection != "runs"]
    assert not [text for text in stored if "secret" in text]
    assert await engine.log(job_id) == ["a secret line"]
    results = await engine.manager.get_job_results(job_id)
    assert results is not None
    assert results.saved == [{"a secret": "result"}]


@pytest.mark.parametrize("field", sorted(USER_FIELDS))
async def test_what_the_codec_cannot_read_is_named(field: str) -> None:
    writer, reader = Engine(), Engine(text_codec=Scrambled())
    await writer.store.open()
    value: Any = JobResult(success=True, data=1) if field == "result" else {"a": 1}
    job = plain_job(**{field: value})
    await writer.store.commit(writer.runtime.records.insert(job))
    (record,) = await writer.store.get("jobs", [job.id])
    assert record is not None
    with pytest.raises(Unreadable, match=f"job job-1: its {field} cannot be read .*is the codec, or its key"):
        await reader.runtime.records.resolve([reader.runtime.codec.job(record)])
    (listed,) = await reader.runtime.records.decode([record])
    assert not getattr(listed, field)  # it can still be listed, without what cannot be read

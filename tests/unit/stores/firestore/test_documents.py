"""What people see of a record in Firestore: documents that Google's own client reads and writes as plain values.

The store speaks protobuf itself. Here its documents go through the client's own decoding into mock-firestore, are
queried there, and come back, so a record stays readable to every other program on the database.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.cloud.firestore_v1 import _helpers
from google.cloud.firestore_v1.types import Value as WireValue
from mockfirestore import MockFirestore

from app.jobs import Job, JobPriority, JobQueue
from app.jobs.codec import Codec
from app.stores.base import Fields, Record
from app.stores.firestore.values import read_fields, set_fields
from app.stores.firestore.wire import WriteMessage

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def a_job(job_id: str, **fields: Any) -> Job:
    return Job(id=job_id, type="resize", created_at=NOON, updated_at=NOON, **fields)


def as_document(fields: Fields) -> dict[str, Any]:
    """The fields as Google's client hands a document to a program."""
    message = WriteMessage().update
    set_fields(message.fields, "jobs", fields)
    values = {name: WireValue.deserialize(value.SerializeToString()) for name, value in message.fields.items()}
    document: dict[str, Any] = _helpers.decode_dict(values, None)
    return document


def as_fields(document: dict[str, Any]) -> Fields:
    """The fields of a document that a program wrote through Google's client."""
    message = WriteMessage().update
    for name, value in _helpers.encode_dict(document).items():
        message.fields[name].ParseFromString(WireValue.serialize(value))
    return read_fields(message.fields, "jobs")


def test_a_job_is_a_document_of_plain_values() -> None:
    job = a_job("j1", tags=("a", "b"), priority=JobPriority.HIGH, payload={"deep": [[1, "\x00"], 10**30]})
    document = as_document(Codec().fields(job))
    assert (document["type"], document["status"], document["priority"]) == ("resize", "pending", 3)
    assert document["tags"] == ["a", "b"]
    assert document["created_at"] == NOON
    assert "finished_at" not in document, "what has no value is not there"
    assert document["payload"] == '{"deep":[[1,"\\u0000"],1000000000000000000000000000000]}'


def test_documents_are_found_and_read_back_without_loss() -> None:
    codec, database = Codec(), MockFirestore()
    jobs = [
        a_job("j1", queue=JobQueue.MAINTENANCE, payload={"n": 1}),
        a_job("j2", payload={"n": 2}, checkpoint={"page": [1, [2]]}, run_seconds=0.5),
    ]
    for job in jobs:
        database.collection("jobs").document(job.id).set(as_document(codec.fields(job)))

    found = [each.id for each in database.collection("jobs").where("queue", "==", "maintenance").stream()]
    assert found == ["j1"]

    for job in jobs:
        document = database.collection("jobs").document(job.id).get().to_dict()
        assert as_fields(document) == codec.fields(job)
        read = codec.job(Record("jobs", job.id, "1", as_fields(document)))
        assert (read.type, read.queue, read.run_seconds) == (job.type, job.queue, job.run_seconds)

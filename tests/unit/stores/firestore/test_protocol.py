"""What the store declares of Firestore's protocol is what Google declares."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from google.cloud.firestore_v1.types import firestore as calls
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from app.stores.firestore.protocol import DECLARED, MESSAGES

ROOTS = ("Commit", "BatchWrite", "BatchGetDocuments", "RunQuery", "RunAggregationQuery", "Listen")
_TYPES = FieldDescriptor


def google_messages() -> dict[str, Descriptor]:
    """Google's, by their own names, as far as they are reached from the calls that the store makes."""
    found: dict[str, Descriptor] = {}
    waiting = [getattr(calls, f"{name}{side}").pb().DESCRIPTOR for name in ROOTS for side in ("Request", "Response")]
    seen = set()
    while waiting:
        each = waiting.pop()
        # What a query says about itself is never asked for, and has a `Value` of another sort.
        if each.full_name in seen or each.full_name == "google.protobuf.Struct":
            continue
        seen.add(each.full_name)
        if not each.GetOptions().map_entry:
            found[each.name] = each
        waiting += [field.message_type for field in each.fields if field.message_type]
    return found


GOOGLE = google_messages()


def fields() -> Iterator[tuple[str, str]]:
    for message, declared in DECLARED.items():
        for field in declared:
            yield message, field


def shape(field: Any) -> tuple[object, ...]:
    """What of a field is seen on the wire or by who uses it."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        value = kind.fields_by_name["value"]
        return field.number, "map", value.message_type.name
    # An enumeration is its number.
    plain = _TYPES.TYPE_INT32 if field.type == _TYPES.TYPE_ENUM else field.type
    return field.number, plain, field.is_repeated, kind.name if kind else "", field.containing_oneof is not None


@pytest.mark.parametrize(("message", "field"), list(fields()))
def test_a_field_is_as_google_declares_it(message: str, field: str) -> None:
    ours = MESSAGES[message].DESCRIPTOR.fields_by_name[field]
    theirs = GOOGLE[message].fields_by_name[field]
    assert shape(ours) == shape(theirs)


@pytest.mark.parametrize("message", MESSAGES)
def test_fields_that_exclude_each_other_do_so_here_and_there(message: str) -> None:
    theirs = GOOGLE[message].fields_by_name
    groups = {
        theirs[field.name].containing_oneof.name
        for field in MESSAGES[message].DESCRIPTOR.fields
        if field.containing_oneof is not None
    }
    assert len(groups) <= 1


def test_what_is_not_declared_is_carried_along() -> None:
    theirs = calls.ListenRequest.pb()(database="d", labels={"a": "b"}, add_target={"target_id": 1, "once": True})
    ours = MESSAGES["ListenRequest"].FromString(theirs.SerializeToString())
    assert (ours.database, ours.add_target.target_id) == ("d", 1)
    assert calls.ListenRequest.pb().FromString(ours.SerializeToString()) == theirs


def test_the_store_needs_no_client_of_googles() -> None:
    program = (
        "import sys; from app.stores.firestore import FirestoreJobStore;"
        "FirestoreJobStore(project='p', emulator='h:1'); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "grpc.aio" in imported
    assert imported.isdisjoint({"google.cloud.firestore_v1", "google.api_core", "google.auth", "proto", "requests"})

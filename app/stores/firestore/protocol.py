"""The messages of Firestore's protocol that the store sends and reads, as protobuf classes.

Google's client has them too, but they come with the whole client: alone that costs a start about 215 ms of processor
time and 29 MB, beside google-cloud-logging, which has loaded half of it, 42 ms and 4 MB. So the messages are declared
here, with those fields that the store uses. On the wire only numbers and kinds count: fields that are not declared are
carried along unread. A test compares every line with Google's own declarations.

The numbers are those of https://cloud.google.com/firestore/docs/reference/rpc/google.firestore.v1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

MessageType: TypeAlias = Any
"""A protobuf message's class; made at run time, so it has no static type."""

PACKAGE = "torpor.firestore"

DECLARED: Mapping[str, Mapping[str, str]] = {
    # values
    "Timestamp": {"seconds": "1 int64", "nanos": "2 int32"},
    "Int32Value": {"value": "1 int32"},
    "ArrayValue": {"values": "1 Value*"},
    "MapValue": {"fields": "1 Value{}"},
    "LatLng": {"latitude": "1 double", "longitude": "2 double"},
    "Value": {
        "null_value": "11 int32?",
        "boolean_value": "1 bool?",
        "integer_value": "2 int64?",
        "double_value": "3 double?",
        "timestamp_value": "10 Timestamp?",
        "string_value": "17 string?",
        "bytes_value": "18 bytes?",
        "reference_value": "5 string?",
        "geo_point_value": "8 LatLng?",
        "array_value": "9 ArrayValue?",
        "map_value": "6 MapValue?",
    },
    "Document": {
        "name": "1 string",
        "fields": "2 Value{}",
        "create_time": "3 Timestamp",
        "update_time": "4 Timestamp",
    },
    # writing
    "DocumentMask": {"field_paths": "1 string*"},
    "Precondition": {"exists": "1 bool?", "update_time": "2 Timestamp?"},
    "Write": {
        "update": "1 Document?",
        "delete": "2 string?",
        "update_mask": "3 DocumentMask",
        "current_document": "4 Precondition",
    },
    "WriteResult": {"update_time": "1 Timestamp"},
    "Status": {"code": "1 int32", "message": "2 string"},
    "CommitRequest": {"database": "1 string", "writes": "2 Write*"},
    "CommitResponse": {"write_results": "1 WriteResult*", "commit_time": "2 Timestamp"},
    "BatchWriteRequest": {"database": "1 string", "writes": "2 Write*"},
    "BatchWriteResponse": {"write_results": "1 WriteResult*", "status": "2 Status*"},
    # reading
    "BatchGetDocumentsRequest": {"database": "1 string", "documents": "2 string*"},
    "BatchGetDocumentsResponse": {"found": "1 Document?", "missing": "2 string?", "read_time": "4 Timestamp"},
    "Projection": {"fields": "2 FieldReference*"},
    "FieldReference": {"field_path": "2 string"},
    "CollectionSelector": {"collection_id": "2 string", "all_descendants": "3 bool"},
    "CompositeFilter": {"op": "1 int32", "filters": "2 Filter*"},
    "FieldFilter": {"field": "1 FieldReference", "op": "2 int32", "value": "3 Value"},
    "UnaryFilter": {"op": "1 int32", "field": "2 FieldReference?"},
    "Filter": {
        "composite_filter": "1 CompositeFilter?",
        "field_filter": "2 FieldFilter?",
        "unary_filter": "3 UnaryFilter?",
    },
    "Order": {"field": "1 FieldReference", "direction": "2 int32"},
    "Cursor": {"values": "1 Value*", "before": "2 bool"},
    "StructuredQuery": {
        "select": "1 Projection",
        "from_": "2 CollectionSelector*",
        "where": "3 Filter",
        "order_by": "4 Order*",
        "limit": "5 Int32Value",
        "offset": "6 int32",
        "start_at": "7 Cursor",
        "end_at": "8 Cursor",
    },
    "RunQueryRequest": {"parent": "1 string", "structured_query": "2 StructuredQuery?"},
    "RunQueryResponse": {"document": "1 Document", "read_time": "3 Timestamp", "skipped_results": "4 int32"},
    "Count": {},
    "Aggregation": {"count": "1 Count?", "alias": "7 string"},
    "StructuredAggregationQuery": {"structured_query": "1 StructuredQuery?", "aggregations": "3 Aggregation*"},
    "RunAggregationQueryRequest": {
        "parent": "1 string",
        "structured_aggregation_query": "2 StructuredAggregationQuery?",
    },
    "AggregationResult": {"aggregate_fields": "2 Value{}"},
    "RunAggregationQueryResponse": {"result": "1 AggregationResult", "read_time": "3 Timestamp"},
    # listening
    "QueryTarget": {"parent": "1 string", "structured_query": "2 StructuredQuery?"},
    "DocumentsTarget": {"documents": "2 string*"},
    "Target": {"query": "2 QueryTarget?", "documents": "3 DocumentsTarget?", "target_id": "5 int32"},
    "ListenRequest": {"database": "1 string", "add_target": "2 Target?", "remove_target": "3 int32?"},
    "TargetChange": {"target_change_type": "1 int32", "target_ids": "2 int32*", "cause": "3 Status"},
    "DocumentChange": {"document": "1 Document", "target_ids": "5 int32*", "removed_target_ids": "6 int32*"},
    "DocumentDelete": {"document": "1 string", "removed_target_ids": "6 int32*"},
    "DocumentRemove": {"document": "1 string", "removed_target_ids": "2 int32*"},
    "ListenResponse": {
        "target_change": "2 TargetChange?",
        "document_change": "3 DocumentChange?",
        "document_delete": "4 DocumentDelete?",
        "document_remove": "6 DocumentRemove?",
    },
}
"""Fields by message: the number, the kind (one of protobuf's, or a message), and `*` for a list, `{}` for a map from
texts, `?` for one of which a message has at most one. Enumerations are their numbers."""

_KINDS = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "string": FieldDescriptorProto.TYPE_STRING,
}
_FIELD = re.compile(r"(\d+) (\w+)(\*|\{\}|\?|)")


def _add_field(message: DescriptorProto, name: str, number: int, kind: str) -> FieldDescriptorProto:
    field = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    if kind in _KINDS:
        field.type = _KINDS[kind]
    else:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"
    return field


def _add_map(message: DescriptorProto, name: str, number: int, kind: str) -> None:
    """A list of entries, which protobuf takes for a map by their names and this option."""
    entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
    entry.options.map_entry = True
    _add_field(entry, "key", 1, "string")
    _add_field(entry, "value", 2, kind)
    field = _add_field(message, name, number, kind)
    field.label = FieldDescriptorProto.LABEL_REPEATED
    field.type_name = f".{PACKAGE}.{message.name}.{entry.name}"


def _declare(file: FileDescriptorProto, name: str, fields: Mapping[str, str]) -> None:
    message = file.message_type.add(name=name)
    for field_name, said in fields.items():
        found = _FIELD.fullmatch(said)
        if found is None:
            raise ValueError(f"{name}.{field_name} is declared as {said!r}; write a number, a kind, and a mark")
        number, kind, mark = int(found[1]), found[2], found[3]
        if mark == "{}":
            _add_map(message, field_name, number, kind)
            continue
        field = _add_field(message, field_name, number, kind)
        if mark == "*":
            field.label = FieldDescriptorProto.LABEL_REPEATED
        elif mark == "?":
            if not message.oneof_decl:
                message.oneof_decl.add(name="which")
            field.oneof_index = 0


def _classes() -> dict[str, MessageType]:
    file = FileDescriptorProto(name="torpor/firestore.proto", package=PACKAGE, syntax="proto3")
    for name, fields in DECLARED.items():
        _declare(file, name, fields)
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in DECLARED}


MESSAGES: Mapping[str, MessageType] = _classes()
"""The classes by name."""

"""What a failed call means."""

from __future__ import annotations

import pytest
from grpc import StatusCode

from app.stores.base import OutcomeUnknown, PreconditionFailed, RecordTooLarge, StoreError, StoreUnavailable
from app.stores.firestore.failures import code_of, is_passing, may_be_applied, read_failure, write_failure

NO_DATABASE = "The database (default) does not exist for project p"


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        (StatusCode.FAILED_PRECONDITION, "stale", PreconditionFailed),
        (StatusCode.ALREADY_EXISTS, "entity already exists", PreconditionFailed),
        (StatusCode.NOT_FOUND, "no entity to update", PreconditionFailed),
        (StatusCode.NOT_FOUND, NO_DATABASE, StoreUnavailable),
        (StatusCode.UNAVAILABLE, "Socket closed", OutcomeUnknown),
        (StatusCode.UNAVAILABLE, "Getting metadata from plugin failed with error: refused", StoreUnavailable),
        (StatusCode.DEADLINE_EXCEEDED, "", OutcomeUnknown),
        (StatusCode.INTERNAL, "RST_STREAM", OutcomeUnknown),
        (StatusCode.UNKNOWN, "", OutcomeUnknown),
        (StatusCode.CANCELLED, "", OutcomeUnknown),
        (StatusCode.ABORTED, "Too much contention on these documents.", StoreUnavailable),
        (StatusCode.RESOURCE_EXHAUSTED, "Quota exceeded.", StoreUnavailable),
        (StatusCode.PERMISSION_DENIED, "", StoreUnavailable),
        (StatusCode.UNAUTHENTICATED, "", StoreUnavailable),
        (StatusCode.RESOURCE_EXHAUSTED, "gRPC message exceeds maximum size 4194304: 11000814", RecordTooLarge),
        (StatusCode.INVALID_ARGUMENT, 'The value of property "v" is longer than 1048487 bytes.', RecordTooLarge),
        (StatusCode.INVALID_ARGUMENT, "Document exceeds the maximum allowed size of 1,048,576 bytes", RecordTooLarge),
    ],
)
def test_a_failed_write_says_whether_it_may_have_been_applied(
    code: StatusCode, details: str, expected: type[StoreError]
) -> None:
    assert type(write_failure(code, details)) is expected


@pytest.mark.parametrize("code", [StatusCode.INVALID_ARGUMENT, StatusCode.UNIMPLEMENTED, StatusCode.OUT_OF_RANGE])
def test_a_refused_write_is_a_plain_error_with_the_reason(code: StatusCode) -> None:
    error = write_failure(code, "because")
    assert type(error) is StoreError
    assert "because" in str(error)


@pytest.mark.parametrize(
    ("code", "details", "says"),
    [
        (StatusCode.FAILED_PRECONDITION, "The query requires an index.", "terraform/firestore.tf"),
        (StatusCode.NOT_FOUND, NO_DATABASE, "terraform/firestore.tf"),
        (StatusCode.UNAVAILABLE, "Socket closed", "try again later"),
        (StatusCode.INVALID_ARGUMENT, "nonsense", "nonsense"),
    ],
)
def test_a_failed_read_says_what_to_do(code: StatusCode, details: str, says: str) -> None:
    assert says in str(read_failure(code, details))


def test_only_passing_failures_of_reads_are_tried_again() -> None:
    assert is_passing(StatusCode.UNAVAILABLE)
    assert not is_passing(StatusCode.FAILED_PRECONDITION)
    assert not is_passing(StatusCode.PERMISSION_DENIED)


def test_the_status_of_one_write_in_a_batch_is_a_number() -> None:
    assert code_of(9) is StatusCode.FAILED_PRECONDITION
    assert code_of(4711) is StatusCode.UNKNOWN
    assert not may_be_applied(code_of(9))
    assert may_be_applied(code_of(14))

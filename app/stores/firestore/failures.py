"""What a failed call means: gRPC's status and text turned into the store's errors. Pure.

The meaning of the codes: https://cloud.google.com/firestore/docs/understand-error-codes
"""

from __future__ import annotations

from grpc import StatusCode

from app.stores.base import OutcomeUnknown, PreconditionFailed, RecordTooLarge, StoreError, StoreUnavailable

_STALE = frozenset({StatusCode.FAILED_PRECONDITION, StatusCode.NOT_FOUND, StatusCode.ALREADY_EXISTS})
_LOST = frozenset(
    {
        StatusCode.UNAVAILABLE,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.CANCELLED,
        StatusCode.UNKNOWN,
        StatusCode.INTERNAL,
        StatusCode.DATA_LOSS,
    }
)
_REFUSED = frozenset(
    {StatusCode.ABORTED, StatusCode.RESOURCE_EXHAUSTED, StatusCode.PERMISSION_DENIED, StatusCode.UNAUTHENTICATED}
)
_WORTH_RETRYING = frozenset(
    {
        StatusCode.UNAVAILABLE,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.INTERNAL,
        StatusCode.ABORTED,
        StatusCode.RESOURCE_EXHAUSTED,
    }
)
_BY_NUMBER = {code.value[0]: code for code in StatusCode}
_NOT_SENT = "Getting metadata from plugin failed"
"""What gRPC says when there is no access token, before anything was sent."""
_TOO_LARGE = (
    "exceeds the maximum",
    "maximum entity size",
    "exceeds maximum size",
    "is longer than",
    "too big",
    "too large",
)


def code_of(number: int) -> StatusCode:
    """The status code with this number; one that gRPC does not know counts as UNKNOWN."""
    return _BY_NUMBER.get(number, StatusCode.UNKNOWN)


def may_be_applied(code: StatusCode) -> bool:
    """Whether a write that was answered like this could have been applied all the same."""
    return code in _LOST


def is_passing(code: StatusCode) -> bool:
    """Whether the same read may well succeed a moment later."""
    return code in _WORTH_RETRYING


def write_failure(code: StatusCode, details: str) -> StoreError:
    """The error for a guarded write that was answered like this."""
    if _database_is_missing(code, details):
        return _no_database(details)
    if code in _STALE:
        return PreconditionFailed(None, None, details or code.name)
    if any(sign in details for sign in _TOO_LARGE):
        return RecordTooLarge(f"Firestore refused the write for its size: {details}")
    if code in _LOST and not details.startswith(_NOT_SENT):
        return OutcomeUnknown(f"no answer to a write ({code.name}: {details}); read back whether it was applied")
    if code in _LOST or code in _REFUSED:
        return StoreUnavailable(f"Firestore applied nothing ({code.name}: {details}); try again later")
    return StoreError(f"Firestore refused the write ({code.name}: {details})")


def read_failure(code: StatusCode, details: str) -> StoreError:
    """The error for a read that was answered like this, after the last try."""
    if _database_is_missing(code, details):
        return _no_database(details)
    if code is StatusCode.FAILED_PRECONDITION and "index" in details:
        return StoreError(f"an index is missing or still being built; apply terraform/firestore.tf ({details})")
    if code in _LOST or code in _REFUSED:
        return StoreUnavailable(f"Firestore gave no answer ({code.name}: {details}); try again later")
    return StoreError(f"Firestore refused the question ({code.name}: {details})")


def _database_is_missing(code: StatusCode, details: str) -> bool:
    return code is StatusCode.NOT_FOUND and "database" in details


def _no_database(details: str) -> StoreUnavailable:
    return StoreUnavailable(f"there is no such Firestore database; create it with terraform/firestore.tf ({details})")

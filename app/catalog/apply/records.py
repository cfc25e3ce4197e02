"""Idempotency: the id of the record that says that an operation was applied."""

from __future__ import annotations

import json
from hashlib import sha256

from app.catalog.plans.operation import Operation


def idempotency_key(change_id: str, operation: Operation) -> str:
    """The id of an operation's line in the journal. The line is in the operation's own commit: it is there exactly
    when the operation was applied, so one that failed has none, and one that was applied is never applied again.

    Args:
        change_id: the change that it is part of; the same plan in another job is another change.
        operation: by its seed and all that it writes: one that was mended after it failed is another operation.
    """
    targets = [str(target) for target in operation.targets]
    told = [change_id, operation.idempotency_seed, operation.kind, targets, operation.patch]
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:40]

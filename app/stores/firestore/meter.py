"""Counting what Firestore bills: documents read, written and deleted, and the calls they took."""

from __future__ import annotations

from app.stores.base import Usage

_ENTRIES_PER_READ = 1_000


class Meter:
    """Adds each answered call to the counters, by the rules of https://cloud.google.com/firestore/pricing."""

    def __init__(self) -> None:
        self.usage = Usage()

    def reset(self) -> None:
        """Begin again from nothing, as `Store.open` does."""
        self.usage = Usage()

    def called(self) -> None:
        """A call was sent."""
        self.usage.rpcs += 1

    def asked(self, documents: int) -> None:
        """A query was answered with this many documents, or passed over them; an empty answer costs one read."""
        self.usage.reads += documents or 1

    def fetched(self, names: int) -> None:
        """This many documents were asked for by name; one that is missing costs a read too."""
        self.usage.reads += names

    def counted(self, entries: int) -> None:
        """An aggregation went over this many index entries: one read per thousand, at least one."""
        self.usage.reads += max(1, -(-entries // _ENTRIES_PER_READ))

    def wrote(self, writes: int, deletes: int) -> None:
        """Writes were applied, of which some deleted. One that changed nothing is billed as well."""
        self.usage.writes += writes - deletes
        self.usage.deletes += deletes

"""What a store owes a caller that writes jobs inside its own transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import pytest

from app.stores.base import Insert, Store, Update
from app.stores.conformance.harness import Harness, ask, ids, is_there, job, lease, one, promote, ready


class Transaction(Protocol):
    """A transaction of the caller's, open, as the store's users hold it."""

    @property
    def handle(self) -> object:
        """What is given to `enlist`."""

    async def commit(self) -> None:
        """Make it happen."""

    async def roll_back(self) -> None:
        """Let it never have happened."""


class JoiningConformance(Harness):
    """Mix this in for a store that can join transactions; `transaction` is for the subclass to give."""

    @pytest.fixture
    def transaction(self, store: Store) -> Iterator[Transaction] | AsyncIterator[Transaction]:
        """An open transaction on the database of `store`."""
        raise NotImplementedError(f"{type(self).__name__} must override the fixture transaction")

    async def test_an_enlisted_unit_happens_with_the_transaction(self, store: Store, transaction: Transaction) -> None:
        await store.enlist(transaction.handle, [Insert("jobs", "a", ready()), Insert("runs", "a-1", {"job_id": "a"})])
        await transaction.commit()
        assert await is_there(store, "runs", "a-1")
        claimed = await store.claim(ask(), lease, promote)
        assert ids(claimed.records) == ["a"]

    async def test_an_enlisted_unit_vanishes_with_the_transaction(self, store: Store, transaction: Transaction) -> None:
        await store.enlist(transaction.handle, [Insert("jobs", "a", ready())])
        await transaction.roll_back()
        assert not await is_there(store, "jobs", "a")

    async def test_several_units_are_enlisted(self, store: Store, transaction: Transaction) -> None:
        for name in "abc":
            await store.enlist(transaction.handle, [Insert("jobs", name, job(name=name))])
        await transaction.commit()
        assert [record and record.fields["name"] for record in await store.get("jobs", ["a", "b", "c"])] == [
            "a",
            "b",
            "c",
        ]

    async def test_preconditions_hold_inside_the_transaction(self, store: Store, transaction: Transaction) -> None:
        (old,) = await store.commit([Insert("jobs", "a", job())])
        (newest,) = await store.commit([Update("jobs", "a", {"attempt": 1}, old)])
        # Where it is noticed, when enlisting or when committing, and so what is raised, is up to the store.
        with pytest.raises(Exception):  # noqa: B017, PT011, PT012 - as said above
            await store.enlist(
                transaction.handle, [Update("jobs", "a", {"attempt": 2}, old), Insert("jobs", "b", job())]
            )
            await transaction.commit()
        await transaction.roll_back()
        assert (await one(store, "jobs", "a")).version == newest
        assert not await is_there(store, "jobs", "b")

    async def test_bad_fields_are_refused_before_anything_is_written(
        self, store: Store, transaction: Transaction
    ) -> None:
        with pytest.raises(ValueError, match="no_such_field"):
            await store.enlist(transaction.handle, [Insert("jobs", "a", {"no_such_field": 1})])
        await store.enlist(transaction.handle, [Insert("jobs", "b", job())])
        await transaction.commit()
        assert await is_there(store, "jobs", "b")

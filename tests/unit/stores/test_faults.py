"""The faulty store fails the calls it was told to fail, in the way it was told, and no others."""

from __future__ import annotations

import asyncio

import pytest

from app.stores.base import Insert, OutcomeUnknown, PreconditionFailed, Query, Store, StoreUnavailable
from app.stores.conformance import MakeStore, StoreConformance
from app.stores.conformance.harness import ask, insert, is_there, job, lease, promote, ready
from app.stores.faults import Call, FaultPlan, FaultyStore, Operation
from app.stores.memory import MemoryJobStore


class TestFaultyStoreWithoutFaults(StoreConformance):
    """With an empty plan it is a store like any other."""

    bills_reads = True

    @pytest.fixture
    def make_store(self) -> MakeStore:
        return lambda prefix="": FaultyStore(MemoryJobStore(), FaultPlan())


class TestFaults:
    @pytest.fixture
    def plan(self) -> FaultPlan:
        return FaultPlan()

    @pytest.fixture
    async def store(self, plan: FaultPlan) -> Store:
        store = FaultyStore(MemoryJobStore(), plan)
        await store.open()
        return store

    async def test_a_refused_call_changes_nothing_and_the_next_one_works(self, store: Store, plan: FaultPlan) -> None:
        plan.refuse(Operation.COMMIT)
        with pytest.raises(StoreUnavailable, match="commit 1 was refused"):
            await store.commit([Insert("jobs", "a", job())])
        assert not await is_there(store, "jobs", "a")
        await store.commit([Insert("jobs", "a", job())])

    @pytest.mark.parametrize("applied", [True, False])
    async def test_a_lost_answer_does_not_tell_whether_it_was_applied(
        self, store: Store, plan: FaultPlan, applied: bool
    ) -> None:
        plan.lose(Operation.COMMIT, applied=applied)
        with pytest.raises(OutcomeUnknown, match="read back"):
            await store.commit([Insert("jobs", "a", job())])
        assert await is_there(store, "jobs", "a") == applied

    @pytest.mark.parametrize("applied", [True, False])
    async def test_a_lost_round_is_unknown_for_every_unit(self, store: Store, plan: FaultPlan, applied: bool) -> None:
        plan.lose(Operation.COMMIT_EACH, applied=applied)
        answers = await store.commit_each([[Insert("jobs", name, job())] for name in "ab"])
        assert [type(answer) for answer in answers] == [OutcomeUnknown, OutcomeUnknown]
        assert await is_there(store, "jobs", "b") == applied

    async def test_a_lost_claim_has_leased(self, store: Store, plan: FaultPlan) -> None:
        await insert(store, "jobs", [("a", ready())])
        plan.lose(Operation.CLAIM, applied=True)
        with pytest.raises(OutcomeUnknown):
            await store.claim(ask(), lease, promote)
        assert await store.count(Query("jobs.leased")) == 1

    async def test_what_the_store_itself_refuses_stays_refused(self, store: Store, plan: FaultPlan) -> None:
        await store.commit([Insert("jobs", "a", job())])
        plan.lose(Operation.COMMIT, applied=True)
        with pytest.raises(PreconditionFailed):
            await store.commit([Insert("jobs", "a", job())])

    async def test_a_held_call_has_not_happened_until_it_is_released(self, store: Store, plan: FaultPlan) -> None:
        hold = plan.hold(Operation.COMMIT)
        slow = asyncio.create_task(store.commit([Insert("jobs", "a", job(name="slow"))]))
        await hold.reached()
        await store.commit([Insert("jobs", "a", job(name="quick"))])
        hold.release()
        with pytest.raises(PreconditionFailed):
            await slow

    async def test_a_call_that_is_held_after_being_applied_has_happened(self, store: Store, plan: FaultPlan) -> None:
        hold = plan.hold(Operation.COMMIT, applied=True)
        slow = asyncio.create_task(store.commit([Insert("jobs", "a", job())]))
        await hold.reached()
        assert await is_there(store, "jobs", "a")
        assert not slow.done()
        hold.release()
        assert len(await slow) == 1

    async def test_a_call_that_is_cancelled_while_it_is_held_never_happens(self, store: Store, plan: FaultPlan) -> None:
        hold = plan.hold(Operation.COMMIT)
        slow = asyncio.create_task(store.commit([Insert("jobs", "a", job())]))
        await hold.reached()
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert not await is_there(store, "jobs", "a")

    async def test_skip_and_times_choose_which_calls_fail(self, store: Store, plan: FaultPlan) -> None:
        plan.refuse(Operation.GET, skip=1, times=2)
        answers = await asyncio.gather(*(store.get("jobs", ["a"]) for _ in range(5)), return_exceptions=True)
        assert [isinstance(answer, StoreUnavailable) for answer in answers] == [False, True, True, False, False]

    async def test_when_chooses_by_what_is_written(self, store: Store, plan: FaultPlan) -> None:
        def second_job(call: Call) -> bool:
            return call.touches("jobs", "b")

        plan.refuse(Operation.COMMIT_EACH, when=second_job)
        await store.commit_each([[Insert("jobs", "a", job())]])
        with pytest.raises(StoreUnavailable):
            await store.commit_each([[Insert("runs", "b", {})], [Insert("jobs", "b", job())]])
        await store.commit_each([[Insert("jobs", "b", job())]])

    async def test_when_chooses_by_what_is_asked(self, store: Store, plan: FaultPlan) -> None:
        plan.refuse(Operation.QUERY, when=lambda call: call.question == Query("jobs.due"))
        await store.query(Query("jobs.list"))
        with pytest.raises(StoreUnavailable):
            await store.query(Query("jobs.due"))

    async def test_several_rules_meet_one_call(self, store: Store, plan: FaultPlan) -> None:
        hold = plan.hold(Operation.COMMIT, applied=True)
        plan.lose(Operation.COMMIT, applied=True)
        slow = asyncio.create_task(store.commit([Insert("jobs", "a", job())]))
        await hold.reached()
        hold.release()
        with pytest.raises(OutcomeUnknown):
            await slow

    async def test_calls_are_counted_whether_they_fail_or_not(self, store: Store, plan: FaultPlan) -> None:
        plan.refuse(Operation.COUNT)
        with pytest.raises(StoreUnavailable):
            await store.count(Query("jobs.list"))
        await store.count(Query("jobs.list"))
        await store.get("jobs", [])
        assert (plan.calls[Operation.COUNT], plan.calls[Operation.GET], plan.calls[Operation.CLAIM]) == (2, 1, 0)

    @pytest.mark.parametrize("operation", [Operation.GET, Operation.QUERY, Operation.WATCH, Operation.ENLIST])
    def test_only_a_write_has_an_outcome_to_lose(self, plan: FaultPlan, operation: Operation) -> None:
        with pytest.raises(ValueError, match="has no outcome to lose; choose one of claim, commit, commit_each"):
            plan.lose(operation, applied=True)

"""What the Firestore store makes of answers that are lost, late or refused, on a server that does as it is told."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
import pytest

from app.stores.base import (
    ClaimRequest,
    Insert,
    OutcomeUnknown,
    PreconditionFailed,
    Query,
    StoreError,
    StoreUnavailable,
    Unit,
    Update,
)
from app.stores.firestore import FirestoreJobStore, wire

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
CLAIM = ClaimRequest(("priority",), ("any",), 2, NOON, due=False)
UPDATE: Unit = [Update("jobs", "a", {"attempt": 1}, "1")]

Behaviour = Callable[[Any, Any], Any]
"""What the server does with one request: an async function that gives the answer or aborts."""


def failing(code: grpc.StatusCode, details: str = "told to") -> Behaviour:
    async def behave(request: Any, context: Any) -> Any:
        await context.abort(code, details)

    return behave


async def hanging(request: Any, context: Any) -> Any:
    await asyncio.sleep(60)


async def committing(request: Any, context: Any) -> Any:
    response = wire.CommitResponse()
    for _ in request.writes:
        response.write_results.add().update_time.seconds = 7
    return response


def batching(*codes: int) -> Behaviour:
    async def behave(request: Any, context: Any) -> Any:
        response = wire.BatchWriteResponse()
        for place, _ in enumerate(request.writes):
            response.status.add(code=codes[place] if place < len(codes) else 0, message="told to")
            response.write_results.add().update_time.seconds = 7
        return response

    return behave


def finding(*names: str) -> Behaviour:
    async def behave(request: Any, context: Any) -> Any:
        responses = []
        for name in names:
            response = wire.RunQueryResponse()
            response.document.name = f"{request.parent}/jobs/{name}"
            response.document.update_time.seconds = 1
            response.document.fields["priority"].integer_value = 2
            response.document.fields["ready_at"].timestamp_value.seconds = 1
            responses.append(response)
        return responses

    return behave


METHODS = {
    "Commit": (wire.CommitRequest, wire.CommitResponse, False),
    "BatchWrite": (wire.BatchWriteRequest, wire.BatchWriteResponse, False),
    "RunQuery": (wire.RunQueryRequest, wire.RunQueryResponse, True),
}
"""The methods that the server has: what it takes, what it gives, and whether that is a stream."""


class Server(grpc.GenericRpcHandler):
    """Answers each method by its next behaviour, the last one again and again, and counts the calls."""

    def __init__(self) -> None:
        self.script: dict[str, list[Behaviour]] = {}
        self.calls: dict[str, list[Any]] = defaultdict(list)
        self.reached: asyncio.Queue[str] = asyncio.Queue()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        name = handler_call_details.method.rpartition("/")[2]
        request_type, response_type, streams = METHODS[name]

        async def one(request: Any, context: Any) -> Any:
            script = self.script[name]
            self.calls[name].append(request)
            self.reached.put_nowait(name)
            return await script[min(len(self.calls[name]), len(script)) - 1](request, context)

        async def many(request: Any, context: Any) -> AsyncIterator[Any]:
            for response in await one(request, context):
                yield response

        make = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        return make(
            many if streams else one,
            request_deserializer=request_type.FromString,
            response_serializer=response_type.SerializeToString,
        )


@asynccontextmanager
async def served(
    timeout_seconds: float = 60, **script: Sequence[Behaviour]
) -> AsyncIterator[tuple[FirestoreJobStore, Server]]:
    """An open store whose server behaves like this."""
    told = Server()
    told.script = {name: list(behaviours) for name, behaviours in script.items()}
    server = grpc.aio.server(handlers=(told,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    store = FirestoreJobStore(project="p", emulator=f"127.0.0.1:{port}", timeout_seconds=timeout_seconds)
    await store.open()
    try:
        yield store, told
    finally:
        await store.close()
        await server.stop(None)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, OutcomeUnknown),
        (grpc.StatusCode.INTERNAL, OutcomeUnknown),
        (grpc.StatusCode.DEADLINE_EXCEEDED, OutcomeUnknown),
        (grpc.StatusCode.FAILED_PRECONDITION, PreconditionFailed),
        (grpc.StatusCode.ABORTED, StoreUnavailable),
        (grpc.StatusCode.PERMISSION_DENIED, StoreUnavailable),
    ],
)
async def test_a_write_is_sent_once_whatever_the_answer(code: grpc.StatusCode, error: type[StoreError]) -> None:
    async with served(Commit=[failing(code), committing]) as (store, server):
        with pytest.raises(error) as raised:
            await store.commit(UPDATE)
        assert type(raised.value) is error
        assert len(server.calls["Commit"]) == 1
        assert store.usage.writes == 0


async def test_no_answer_in_time_leaves_the_outcome_open() -> None:
    async with served(timeout_seconds=0.3, Commit=[hanging]) as (store, server):
        with pytest.raises(OutcomeUnknown):
            await store.commit(UPDATE)
        assert len(server.calls["Commit"]) == 1


async def test_without_a_connection_nothing_was_sent() -> None:
    store = FirestoreJobStore(project="p", emulator="127.0.0.1:9", timeout_seconds=0.1)
    await store.open()
    try:
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9 within 0\.1 s"):
            await store.commit(UPDATE)
        answers = await store.commit_each([UPDATE, [Insert("jobs", "b", {})]])
        assert [type(answer) for answer in answers] == [StoreUnavailable, StoreUnavailable]
        with pytest.raises(StoreUnavailable):
            await store.get("jobs", ["a"])
        assert store.usage.rpcs == 0
    finally:
        await store.close()


async def test_closing_during_a_call_leaves_nobody_in_the_dark() -> None:
    async with served(Commit=[hanging], RunQuery=[hanging]) as (store, server):
        writing = asyncio.create_task(store.commit(UPDATE))
        reading = asyncio.create_task(store.query(Query("jobs.leased")))
        assert {await server.reached.get(), await server.reached.get()} == {"Commit", "RunQuery"}
        await store.close()
        with pytest.raises(OutcomeUnknown, match="closed during a write"):
            await writing
        with pytest.raises(StoreUnavailable, match="closed during a read"):
            await reading


async def test_a_caller_that_is_cancelled_stays_cancelled() -> None:
    async with served(Commit=[hanging]) as (store, server):
        writing = asyncio.create_task(store.commit(UPDATE))
        await server.reached.get()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing


async def test_a_read_is_tried_again_a_few_times() -> None:
    flaky = [failing(grpc.StatusCode.UNAVAILABLE), failing(grpc.StatusCode.DEADLINE_EXCEEDED), finding("a")]
    async with served(RunQuery=flaky) as (store, server):
        page = await store.query(Query("jobs.leased"))
        assert [record.id for record in page.records] == ["a"]
        assert (len(server.calls["RunQuery"]), store.usage.rpcs, store.usage.reads) == (3, 3, 1)


async def test_a_read_is_given_up_in_the_end() -> None:
    async with served(RunQuery=[failing(grpc.StatusCode.UNAVAILABLE)]) as (store, server):
        with pytest.raises(StoreUnavailable, match="try again later"):
            await store.query(Query("jobs.leased"))
        assert len(server.calls["RunQuery"]) == 4


async def test_a_missing_index_is_named_at_once() -> None:
    broken = [failing(grpc.StatusCode.FAILED_PRECONDITION, "The query requires an index.")]
    async with served(RunQuery=broken) as (store, server):
        with pytest.raises(StoreError, match=r"terraform/firestore\.tf"):
            await store.query(Query("jobs.leased"))
        assert len(server.calls["RunQuery"]) == 1


# --- rounds of units -------------------------------------------------------------------------------------


def units(count: int) -> list[Unit]:
    return [[Insert("jobs", f"{number}", {}), Insert("runs", f"{number}-1", {})] for number in range(count)]


async def test_a_round_whose_answer_is_lost_is_open_for_every_unit() -> None:
    async with served(Commit=[failing(grpc.StatusCode.UNAVAILABLE), committing]) as (store, server):
        answers = await store.commit_each(units(5))
        assert [type(answer) for answer in answers] == [OutcomeUnknown] * 5
        assert len(server.calls["Commit"]) == 1


@pytest.mark.parametrize("code", [grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED])
async def test_a_refused_round_is_sent_unit_by_unit(code: grpc.StatusCode) -> None:
    behaviours = [failing(code), committing, failing(grpc.StatusCode.FAILED_PRECONDITION), committing]
    async with served(Commit=behaviours) as (store, server):
        answers = await store.commit_each(units(3))
        assert sorted(type(answer).__name__ for answer in answers) == ["PreconditionFailed", "list", "list"]
        assert [len(request.writes) for request in server.calls["Commit"]] == [6, 2, 2, 2]


async def test_units_of_one_write_are_sent_again_together() -> None:
    refused = [failing(grpc.StatusCode.FAILED_PRECONDITION)]
    async with served(Commit=refused, BatchWrite=[batching(0, 6, 14)]) as (store, server):
        answers = await store.commit_each([[Insert("jobs", f"{number}", {})] for number in range(4)])
        assert [type(answer) for answer in answers] == [list, PreconditionFailed, OutcomeUnknown, list]
        assert "jobs/1: it exists already" in str(answers[1])
        assert (len(server.calls["Commit"]), len(server.calls["BatchWrite"])) == (1, 1)
        assert store.usage.writes == 2


# --- claims ----------------------------------------------------------------------------------------------


async def test_a_claim_whose_answer_is_lost_says_so_and_is_not_sent_again() -> None:
    async with served(RunQuery=[finding("a", "b")], BatchWrite=[failing(grpc.StatusCode.UNAVAILABLE)]) as (
        store,
        server,
    ):
        with pytest.raises(OutcomeUnknown):
            await store.claim(CLAIM, lambda _: {"attempt": 1}, lambda _: None)
        assert len(server.calls["BatchWrite"]) == 1


async def test_a_claim_with_one_open_outcome_says_so() -> None:
    async with served(RunQuery=[finding("a", "b")], BatchWrite=[batching(0, 14)]) as (store, _):
        with pytest.raises(OutcomeUnknown, match="b"):
            await store.claim(CLAIM, lambda _: {"attempt": 1}, lambda _: None)


async def test_what_is_claimed_already_is_given_although_the_next_page_fails() -> None:
    pages = [finding("a", "b"), failing(grpc.StatusCode.PERMISSION_DENIED)]
    async with served(RunQuery=pages, BatchWrite=[batching(0, 9)]) as (store, _):
        claimed = await store.claim(CLAIM, lambda _: {"attempt": 1}, lambda _: None)
        assert [record.id for record in claimed.records] == ["a"]
        assert (claimed.conflicts, claimed.full_page) == (1, True)


async def test_a_candidate_that_was_lost_is_not_tried_again() -> None:
    async with served(RunQuery=[finding("a", "b")], BatchWrite=[batching(9, 9)]) as (store, server):
        claimed = await store.claim(CLAIM, lambda _: {"attempt": 1}, lambda _: None)
        assert (list(claimed.records), claimed.conflicts) == ([], 2)
        assert len(server.calls["BatchWrite"]) == 1


async def test_more_alternatives_than_a_query_takes_are_asked_in_several() -> None:
    routes = tuple(f"route-{number}" for number in range(40))
    request = ClaimRequest(("priority",), routes, 2, NOON, due=False, shards=(0, 1))
    async with served(RunQuery=[finding()]) as (store, server):
        await store.claim(request, lambda _: None, lambda _: None)
        asked = []
        for call in server.calls["RunQuery"]:
            sizes = [
                len(each.field_filter.value.array_value.values)
                for each in call.structured_query.where.composite_filter.filters
                if each.field_filter.value.HasField("array_value")
            ]
            asked.append(sizes)
        assert sorted(asked) == [[10, 2], [15, 2], [15, 2]]

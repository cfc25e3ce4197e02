"""Counts what is asked of Firestore on the wire, whoever asks it: the engine, Google's client, or a bare script.

An independent witness: the store's own counters (`Store.usage`) are held to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import grpc.aio

_ENTRIES_PER_READ = 1_000
"""Index entries of an aggregation that are billed as one read (https://cloud.google.com/firestore/pricing)."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was asked of Firestore for so many jobs, in billed units."""

    jobs: int
    reads: int
    writes: int
    rpcs: int

    def per_job(self) -> tuple[float, float, float]:
        """Reads, writes and RPCs of one job."""
        return self.reads / self.jobs, self.writes / self.jobs, self.rpcs / self.jobs


@dataclass(slots=True)
class RpcCounter:
    """Running totals; `since` gives the difference to an earlier state."""

    reads: int = 0
    writes: int = 0
    rpcs: int = 0
    methods: Counter[str] = field(default_factory=Counter)
    """How often each method was called."""

    def now(self) -> Counts:
        """The totals as they are, to be handed to `since` later."""
        return Counts(1, self.reads, self.writes, self.rpcs)

    def since(self, before: Counts, jobs: int) -> Counts:
        """What was asked since `before`, which brought so many jobs forward."""
        return Counts(jobs, self.reads - before.reads, self.writes - before.writes, self.rpcs - before.rpcs)

    def called(self, method: str | bytes) -> str:
        """Count one call; gives the method's plain name."""
        name = (method.decode() if isinstance(method, bytes) else method).rsplit("/", 1)[-1]
        self.rpcs += 1
        self.methods[name] += 1
        return name

    def answered(self, name: str, response: Any) -> None:
        """Count what a single answer says was written."""
        if name == "Commit":
            self.writes += len(response.write_results)
        elif name == "BatchWrite":
            self.writes += sum(not status.code for status in response.status)

    def streamed(self, name: str, response: Any) -> bool:
        """Count what one message of a stream of answers says was read; gives whether it says anything of that."""
        if name == "RunQuery":
            found = bool(response.document.name)
            self.reads += found
            return found
        if name == "BatchGetDocuments":
            self.reads += response.HasField("found") or bool(response.missing)
            return True
        if name == "RunAggregationQuery":
            for value in response.result.aggregate_fields.values():
                self.reads += max(1, -(-value.integer_value // _ENTRIES_PER_READ))
            return True
        return False

    def found_nothing(self) -> None:
        """Count the empty answer of a query, which costs one read."""
        self.reads += 1

    def listened(self, response: Any) -> None:
        """Count what one message of a stream of changes delivered."""
        self.reads += response.HasField("document_change")


def _plain(message: Any) -> Any:
    """The protobuf message inside one that Google's client has wrapped."""
    unwrap = getattr(type(message), "pb", None)
    return message if unwrap is None else unwrap(message)


class _Single(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, counter: RpcCounter) -> None:
        self._counter = counter

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        name = self._counter.called(client_call_details.method)
        call = await continuation(client_call_details, request)
        self._counter.answered(name, _plain(await call))
        return call


class _Stream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, counter: RpcCounter) -> None:
        self._counter = counter

    async def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        name = self._counter.called(client_call_details.method)
        return self._passed_on(name, await continuation(client_call_details, request))

    async def _passed_on(self, name: str, call: Any) -> AsyncIterator[Any]:
        found = False
        async for response in call:
            # Before it is passed on: who has what he wanted listens no more.
            found = self._counter.streamed(name, _plain(response)) or found
            yield response
        if not found:
            self._counter.found_nothing()


class _Changes(grpc.aio.StreamStreamClientInterceptor):
    def __init__(self, counter: RpcCounter) -> None:
        self._counter = counter

    async def intercept_stream_stream(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        self._counter.called(client_call_details.method)
        return self._passed_on(await continuation(client_call_details, request_iterator))

    async def _passed_on(self, call: Any) -> AsyncIterator[Any]:
        async for response in call:
            self._counter.listened(_plain(response))
            yield response


@contextmanager
def counted_rpcs() -> Iterator[RpcCounter]:
    """Count the calls of every channel to an emulator that is made in this block, also after it."""
    counter = RpcCounter()
    make = grpc.aio.insecure_channel

    def make_counted(target: str, **settings: Any) -> grpc.aio.Channel:
        return make(target, interceptors=[_Single(counter), _Stream(counter), _Changes(counter)], **settings)

    with patch.object(grpc.aio, "insecure_channel", make_counted):
        yield counter

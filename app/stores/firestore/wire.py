"""The calls to Firestore: plain protobuf messages over gRPC, on the channel that Google's client would open.

Google's `AsyncClient` costs three times the processor time of the same calls made here, most of it for wrapping
messages, and its retries of `Commit` and `BatchWrite` cannot be told from a first try. So: a guarded write is sent at
most once, a read a bounded number of times, and every call has a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from platform import python_version
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import grpc
import grpc.aio

from app.stores.base import OutcomeUnknown, StoreUnavailable
from app.stores.firestore.failures import is_passing, read_failure, write_failure
from app.stores.firestore.meter import Meter
from app.stores.firestore.protocol import MESSAGES, MessageType
from app.stores.firestore.values import Message

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

T = TypeVar("T")
CommitRequest: MessageType = MESSAGES["CommitRequest"]
CommitResponse: MessageType = MESSAGES["CommitResponse"]
BatchWriteRequest: MessageType = MESSAGES["BatchWriteRequest"]
BatchWriteResponse: MessageType = MESSAGES["BatchWriteResponse"]
BatchGetDocumentsRequest: MessageType = MESSAGES["BatchGetDocumentsRequest"]
BatchGetDocumentsResponse: MessageType = MESSAGES["BatchGetDocumentsResponse"]
RunQueryRequest: MessageType = MESSAGES["RunQueryRequest"]
RunQueryResponse: MessageType = MESSAGES["RunQueryResponse"]
RunAggregationQueryRequest: MessageType = MESSAGES["RunAggregationQueryRequest"]
RunAggregationQueryResponse: MessageType = MESSAGES["RunAggregationQueryResponse"]
ListenRequest: MessageType = MESSAGES["ListenRequest"]
ListenTarget: MessageType = MESSAGES["Target"]
ListenResponse: MessageType = MESSAGES["ListenResponse"]
StructuredQuery: MessageType = MESSAGES["StructuredQuery"]
WriteMessage: MessageType = MESSAGES["Write"]

_HOST = "firestore.googleapis.com"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/datastore")
_SERVICE = "/google.firestore.v1.Firestore"
_NAMES_PER_CALL = 300
_READ_TRIES = 4
_FIRST_PAUSE_SECONDS = 0.05
_LOOK_AGAIN_SECONDS = 0.005
_ENDING_SECONDS = 1.0
_CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # As Google's own client does, so that a connection that died unnoticed is not found out by a guarded write.
    ("grpc.keepalive_time_ms", 30_000),
    # Neither gRPC itself nor a service configuration from DNS may repeat a guarded write.
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
)

Recorder: TypeAlias = Callable[[Message], None]
"""Is shown each structured query that is sent."""


class Wire:
    """One connection to one database. Used from one event loop at a time, opened and closed in it."""

    def __init__(
        self,
        database: str,
        meter: Meter,
        *,
        emulator: str | None,
        credentials: Credentials | None,
        timeout_seconds: float,
        randomness: Random,
        on_query: Recorder | None,
    ) -> None:
        self._database = database
        self._parent = f"{database}/documents"
        self._meter = meter
        self._emulator = emulator
        self._credentials = credentials
        self._timeout = timeout_seconds
        self._random = randomness
        self._on_query = on_query
        self._line: _Line | None = None
        self._metadata = _metadata(database, emulator)
        self._listens: set[asyncio.Future[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether `open` was called and `close` was not."""
        return self._line is not None

    async def open(self) -> None:
        """Make the channel; the first call connects it.

        Raises:
            StoreUnavailable: there are no Google credentials.
        """
        self._line = _Line(await self._make_channel())

    async def close(self) -> None:
        """Drop the connection, after streams that were told to end have ended; other calls end as cancelled."""
        line, self._line = self._line, None
        if line is not None:
            if self._listens:
                await asyncio.wait(self._listens, timeout=_ENDING_SECONDS)
            await line.channel.close()

    def new_commit(self) -> Message:
        """An empty request for `commit`."""
        return CommitRequest(database=self._database)

    def new_batch(self) -> Message:
        """An empty request for `batch_write`."""
        return BatchWriteRequest(database=self._database)

    async def commit(self, packed: bytes, writes: int, deletes: int) -> Message:
        """Send a packed request from `new_commit` once; the answer lists a result for each write.

        Args:
            packed: the request, serialised.
            writes: how many writes it holds.
            deletes: how many of them are deletes.

        Raises:
            PreconditionFailed, RecordTooLarge, StoreUnavailable: nothing was applied.
            OutcomeUnknown: it may have been applied.
        """
        line = await self._connected()
        response = await self._write(line.commit, packed)
        self._meter.wrote(writes, deletes)
        return response

    async def batch_write(self, request: Message) -> Message:
        """Send a BatchWrite once; the answer lists a status and a result for each write.

        Raises:
            RecordTooLarge, StoreUnavailable: nothing was applied.
            OutcomeUnknown: some may have been applied.
        """
        line = await self._connected()
        response = await self._write(line.batch_write, request)
        applied = [write for write, status in zip(request.writes, response.status, strict=True) if not status.code]
        self._meter.wrote(len(applied), sum(write.HasField("delete") for write in applied))
        return response

    async def batch_get(self, names: Sequence[str]) -> dict[str, Message]:
        """The documents of these names that exist, by name.

        Raises:
            StoreUnavailable: there was no answer.
        """
        found: dict[str, Message] = {}
        for start in range(0, len(names), _NAMES_PER_CALL):
            request = BatchGetDocumentsRequest(
                database=self._database, documents=names[start : start + _NAMES_PER_CALL]
            )
            for response in await self._read(lambda line: line.batch_get, request):
                if response.HasField("found"):
                    found[response.found.name] = response.found
        self._meter.fetched(len(names))
        return found

    async def query(self, structured: Message) -> list[Message]:
        """The documents that a structured query finds.

        Raises:
            StoreUnavailable: there was no answer.
        """
        if self._on_query:
            self._on_query(structured)
        responses = await self._read(
            lambda line: line.run_query, RunQueryRequest(parent=self._parent, structured_query=structured)
        )
        documents = [document for response in responses if (document := response.document).name]
        skipped = sum(response.skipped_results for response in responses) if structured.offset else 0
        self._meter.asked(len(documents) + skipped)
        return documents

    async def count(self, structured: Message) -> int:
        """How many documents a structured query would find.

        Raises:
            StoreUnavailable: there was no answer.
        """
        if self._on_query:
            self._on_query(structured)
        request = RunAggregationQueryRequest(parent=self._parent)
        request.structured_aggregation_query.structured_query.CopyFrom(structured)
        aggregation = request.structured_aggregation_query.aggregations.add(alias="n")
        aggregation.count.SetInParent()
        responses = await self._read(lambda line: line.aggregate, request)
        counts = [each.result.aggregate_fields["n"].integer_value for each in responses if each.HasField("result")]
        total = int(sum(counts))
        self._meter.counted(total)
        return total

    async def listen(self, target: Message, on_document: Callable[[Message], None], until: asyncio.Event) -> None:
        """Pass on each document that comes into the target or changes there, or None for one that leaves it.

        Runs until the event is set; a document that is passed on is billed as read.

        Raises:
            StoreUnavailable: the stream broke.
        """
        line = await self._connected()
        self._meter.called()
        if self._on_query and target.HasField("query"):
            self._on_query(target.query.structured_query)
        ended = asyncio.get_running_loop().create_future()
        self._listens.add(ended)
        call = line.listen(metadata=self._metadata)
        reading = asyncio.ensure_future(self._pass_on(call, target, on_document))
        # An error that comes while the caller is being cancelled, maybe more than once, is nobody's any more.
        reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        stopping = asyncio.ensure_future(until.wait())
        try:
            await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            # Left to end by itself: a cancelled call leaves work behind that can outlive its event loop.
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await call.done_writing()
            await asyncio.wait((reading,), timeout=_ENDING_SECONDS)
            reading.cancel()
            call.cancel()
            self._listens.discard(ended)
            ended.set_result(None)
        if reading.done() and not reading.cancelled():
            reading.result()

    async def _pass_on(self, call: Any, target: Message, on_document: Callable[[Message], None]) -> None:
        try:
            await call.write(ListenRequest(database=self._database, add_target=target))
            async for response in call:
                if response is None:
                    # gRPC's word for a message that it cannot read: the emulator mixes up two that it sends at once.
                    raise StoreUnavailable("Firestore sent a change that cannot be read; listen again")
                if response.HasField("document_change"):
                    self._meter.asked(1)
                    on_document(response.document_change.document)
                elif response.HasField("document_delete") or response.HasField("document_remove"):
                    on_document(None)
        except grpc.aio.AioRpcError as error:
            raise read_failure(error.code(), error.details() or "") from error
        except asyncio.InvalidStateError as error:
            # What gRPC raises for a write to a stream that the server has ended already.
            raise StoreUnavailable("Firestore ended a stream of changes at once; try again later") from error

    # --- how calls are made --------------------------------------------------------------------------------

    async def _write(self, method: Callable[..., Awaitable[Message]], request: Message | bytes) -> Message:
        self._meter.called()
        try:
            return await method(request, metadata=self._metadata, timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            raise write_failure(error.code(), error.details() or "") from error
        except asyncio.CancelledError:
            if _is_being_cancelled():
                raise
            # gRPC's way to say that the channel was closed meanwhile.
            raise OutcomeUnknown("the store was closed during a write; read back whether it was applied") from None

    async def _read(self, method: Callable[[_Line], Callable[..., Any]], request: Message) -> list[Message]:
        for tried in range(1, _READ_TRIES + 1):
            ask = method(await self._connected())
            self._meter.called()
            try:
                return [each async for each in ask(request, metadata=self._metadata, timeout=self._timeout)]
            except grpc.aio.AioRpcError as error:
                if tried == _READ_TRIES or not is_passing(error.code()):
                    raise read_failure(error.code(), error.details() or "") from error
            except asyncio.CancelledError:
                if _is_being_cancelled():
                    raise
                raise StoreUnavailable("the store was closed during a read; open it and ask again") from None
            await asyncio.sleep(_FIRST_PAUSE_SECONDS * 2**tried * self._random.uniform(0.5, 1))
        raise AssertionError("the last try either returned or raised")

    async def _connected(self) -> _Line:
        """Wait until there is a connection: what fails before this was never sent, what fails later may have been."""
        line = self._line
        if line is None:
            raise StoreUnavailable("the store is closed; open it first")
        if line.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
            return line
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                # Looking again and again, because gRPC's own wait, given up, would outlive the event loop.
                while self._line is line:
                    await asyncio.sleep(_LOOK_AGAIN_SECONDS)
                    if line.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY:
                        return line
        where = self._emulator or "Google's Firestore"
        raise StoreUnavailable(f"no connection to {where} within {self._timeout:g} s; nothing was sent")

    async def _make_channel(self) -> grpc.aio.Channel:
        if self._emulator:
            return grpc.aio.insecure_channel(self._emulator, options=_CHANNEL_OPTIONS)
        # Heavy, and the emulator needs none of it.
        import google.auth
        from google.api_core.grpc_helpers_async import create_channel
        from google.auth.exceptions import GoogleAuthError

        credentials = self._credentials
        if credentials is None:
            try:
                # Outside of Google Cloud this looks for a metadata server for seconds, which no loop should wait for.
                credentials, _ = await asyncio.to_thread(google.auth.default, scopes=_SCOPES)
            except GoogleAuthError as error:
                raise StoreUnavailable(
                    f"no Google credentials ({error}); for the emulator set FIRESTORE_EMULATOR_HOST"
                ) from error
        channel: grpc.aio.Channel = create_channel(
            _HOST, credentials=credentials, default_scopes=_SCOPES, default_host=_HOST, options=list(_CHANNEL_OPTIONS)
        )
        return channel


class _Line:
    """An open channel and the calls that can be made over it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        # Its requests come packed, because their size is looked at before they are sent.
        self.commit: Callable[..., Awaitable[Message]] = channel.unary_unary(
            f"{_SERVICE}/Commit", response_deserializer=CommitResponse.FromString
        )
        self.batch_write: Callable[..., Awaitable[Message]] = channel.unary_unary(
            f"{_SERVICE}/BatchWrite",
            request_serializer=BatchWriteRequest.SerializeToString,
            response_deserializer=BatchWriteResponse.FromString,
        )
        self.batch_get = self._stream("BatchGetDocuments", BatchGetDocumentsRequest, BatchGetDocumentsResponse)
        self.run_query = self._stream("RunQuery", RunQueryRequest, RunQueryResponse)
        self.aggregate = self._stream("RunAggregationQuery", RunAggregationQueryRequest, RunAggregationQueryResponse)
        self.listen: Callable[..., Any] = channel.stream_stream(
            f"{_SERVICE}/Listen",
            request_serializer=ListenRequest.SerializeToString,
            response_deserializer=ListenResponse.FromString,
        )

    def _stream(self, name: str, request: MessageType, response: MessageType) -> Callable[..., Any]:
        return self.channel.unary_stream(
            f"{_SERVICE}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _metadata(database: str, emulator: str | None) -> tuple[tuple[str, str], ...]:
    common = (
        ("google-cloud-resource-prefix", database),
        ("x-goog-api-client", f"gl-python/{python_version()} grpc/{grpc.__version__}"),
    )
    # The emulator takes "owner" for a caller whom no security rules bind.
    return (*common, ("authorization", "Bearer owner")) if emulator else common

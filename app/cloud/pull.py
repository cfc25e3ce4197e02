"""Wake-ups for a worker that is always there: hints pulled from a Pub/Sub subscription over one stream.

A hint is acknowledged when the worker has looked because of it; nothing is held for longer than that takes. What a
worker hears while it has no room is for others: it is given back, and the stream is closed until there is room again.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from random import random
from typing import TYPE_CHECKING

from app.cloud.clients import PUBSUB_EMULATOR, connected
from app.cloud.messages import MalformedHint, hint_in
from app.jobs import Bell, Clock, SystemClock

if TYPE_CHECKING:
    from google.pubsub_v1 import StreamingPullRequest, StreamingPullResponse, SubscriberAsyncClient

logger = logging.getLogger(__name__)

ACK_SECONDS = 10
"""After how long Pub/Sub gives a hint to somebody else that is neither acknowledged nor given back: the least it takes
(https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1#streamingpullrequest)."""
HINTS_HELD = 1000
"""Hints that Pub/Sub sends at most before some are answered."""
LINGER_SECONDS = 1.0
"""A worker that has not come back to wait after so long has no room, or a slow store: others are to hear."""
SURE_SECONDS = 5.0
"""A stream that has lasted so long without a word counts as heard: it would have been refused by then."""
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
"""Between tries to open a stream that is refused, at first and at last."""
CLOSE_SECONDS = 2.0
"""How long the last word may take."""
LAST_WORD_SECONDS = 0.5
"""How long Pub/Sub may take to end a stream after the last word on it; then it is hung up."""


class PulledHints:
    """A `Watch` that hears the hints of a subscription. Belongs to one event loop, and to one worker.

    Honours PUBSUB_EMULATOR_HOST, as Google's own clients do.

    Args:
        subscription: `projects/PROJECT/subscriptions/SUBSCRIPTION`, without a push endpoint.
        clock: the time.
        jitter: a number from 0 to 1, each time another one.
    """

    def __init__(self, subscription: str, clock: Clock | None = None, jitter: Callable[[], float] = random) -> None:
        self._subscription = subscription
        self._clock = clock or SystemClock()
        self._jitter = jitter
        self._bell = Bell(self._clock)
        self._client: SubscriberAsyncClient | None = None
        self._running: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._leaving: asyncio.TimerHandle | None = None
        self._said: asyncio.Queue[StreamingPullRequest | None] | None = None
        """What is said over the open stream; None closes it."""
        self._fresh: list[str] = []
        """Hints that came since the worker looked last, by what acknowledges them."""
        self._covered: list[str] = []
        """Hints that came before it looked last."""
        self._hears = False
        self._troubled = False
        self._closed = False

    @property
    def hears_all(self) -> bool:
        """Whether the stream works, or did when it was last needed: Pub/Sub keeps what comes meanwhile."""
        return self._hears

    async def wait(self) -> None:
        """Return when a hint came since the last call, when its time has come, or when hints are heard no more.

        Whoever waits has just looked and found nothing more.
        """
        self._linger(None)
        self._answer(self._covered)
        self._covered = []
        if not self._closed:
            self._wanted.set()
            if self._running is None:
                self._running = asyncio.get_running_loop().create_task(self._run())
        try:
            await self._bell.wait()
        finally:
            # Whatever ended the wait: the next look finds what these tell of.
            self._covered, self._fresh = self._fresh, []
            if not self._closed:
                self._linger(asyncio.get_running_loop().call_later(LINGER_SECONDS, self._rest))

    async def close(self) -> None:
        """Let others hear what was not followed up, and let go of the connection. Quick."""
        self._closed = True
        self._linger(None)
        is_open = self._said is not None
        self._give_back([*self._covered, *self._fresh])
        self._end_stream()
        if self._running is not None:
            if not is_open:
                self._running.cancel()
            _, late = await asyncio.wait({self._running}, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._bell.close()
        if self._client is not None:
            client, self._client = self._client, None
            await client.transport.close()  # type: ignore[no-untyped-call]  # the library's own lack

    # --- answers ---

    def _linger(self, timer: asyncio.TimerHandle | None) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving = timer

    def _rest(self) -> None:
        """The worker has no room: one of the hints is why, and the others are for others."""
        self._leaving = None
        self._answer(self._covered[:1])
        self._give_back([*self._covered[1:], *self._fresh])
        self._wanted.clear()
        self._end_stream()

    def _answer(self, hints: Sequence[str]) -> None:
        from google.pubsub_v1 import StreamingPullRequest

        if self._said is not None and hints:
            self._said.put_nowait(StreamingPullRequest(ack_ids=hints))

    def _give_back(self, hints: Sequence[str]) -> None:
        from google.pubsub_v1 import StreamingPullRequest

        if self._said is not None and hints:
            self._said.put_nowait(
                StreamingPullRequest(modify_deadline_ack_ids=hints, modify_deadline_seconds=[0] * len(hints))
            )

    def _end_stream(self) -> None:
        self._covered, self._fresh = [], []
        if self._said is not None:
            self._said.put_nowait(None)
            self._said = None

    # --- the stream ---

    async def _run(self) -> None:
        """Keep a stream open while somebody wants to hear."""
        pause = FIRST_PAUSE_SECONDS
        while not self._closed:
            await self._wanted.wait()
            said = self._said = asyncio.Queue()
            try:
                await self._listen(said)
                why: object = "the stream has ended"
            except Exception as error:  # noqa: BLE001 - whatever a client library raises: the worker looks for itself
                why = error
            if self._said is not said:
                continue  # it was ended here, in order
            self._said = None
            self._covered, self._fresh = [], []
            if self._hears:
                # Pub/Sub ends streams now and then. It goes on with the next, and what came in between is looked for.
                self._hears = False
                self._bell.ring()
                pause = FIRST_PAUSE_SECONDS
                continue
            if not self._troubled:
                self._troubled = True
                logger.warning("wake-ups are not heard from %s: %s; looking for jobs instead", self._subscription, why)
            await self._clock.sleep(pause * (0.5 + self._jitter() / 2))
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)

    async def _listen(self, said: asyncio.Queue[StreamingPullRequest | None]) -> None:
        if self._client is None:
            self._client = _client()
        all_said = asyncio.Event()
        requests = self._requests(said, all_said)
        stream = await self._client.streaming_pull(requests=requests, timeout=None, retry=None)
        reading = asyncio.ensure_future(self._read(stream))
        ending = asyncio.ensure_future(all_said.wait())
        sure = asyncio.get_running_loop().call_later(SURE_SECONDS, self._is_sure)
        try:
            await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
            else:
                await asyncio.wait({reading}, timeout=LAST_WORD_SECONDS)
        finally:
            sure.cancel()
            for task in (reading, ending):
                task.cancel()
            await asyncio.gather(reading, ending, return_exceptions=True)

    async def _read(self, stream: AsyncIterable[StreamingPullResponse]) -> None:
        async for response in stream:
            self._is_sure()
            for received in response.received_messages:
                self._heard(received.ack_id, received.message.data)

    async def _requests(
        self, said: asyncio.Queue[StreamingPullRequest | None], all_said: asyncio.Event
    ) -> AsyncIterator[StreamingPullRequest]:
        from google.pubsub_v1 import StreamingPullRequest

        yield StreamingPullRequest(
            subscription=self._subscription,
            stream_ack_deadline_seconds=ACK_SECONDS,
            max_outstanding_messages=HINTS_HELD,
        )
        while (request := await said.get()) is not None:
            yield request
        all_said.set()

    def _is_sure(self) -> None:
        if self._hears:
            return
        self._hears = True
        if self._troubled:
            self._troubled = False
            logger.info("wake-ups are heard again from %s", self._subscription)
            self._bell.ring()

    def _heard(self, answer_to: str, data: bytes) -> None:
        try:
            hint = hint_in(json.loads(data or b"{}"))
        except (MalformedHint, ValueError, RecursionError) as error:
            logger.error("a wake-up was dropped: %s", error)  # noqa: TRY400 - no fault of this code
            self._answer([answer_to])
            return
        if hint.at is not None and hint.at > self._clock.now():
            self._answer([answer_to])  # the bell remembers it
        else:
            self._fresh.append(answer_to)
        self._bell.ring(hint.at)


def _client() -> SubscriberAsyncClient:
    from google.pubsub_v1 import SubscriberAsyncClient
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

    return connected(SubscriberAsyncClient, SubscriberGrpcAsyncIOTransport, PUBSUB_EMULATOR)

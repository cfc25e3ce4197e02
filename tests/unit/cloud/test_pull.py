"""Hints of a subscription: when they are acknowledged, when they are given back, and what a stream that breaks does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from google.pubsub_v1 import PubsubMessage, ReceivedMessage, StreamingPullRequest, StreamingPullResponse

from app.cloud import pull
from app.cloud.messages import message_of
from app.cloud.pull import PulledHints
from app.jobs import Hint
from tests.support.clock import FakeClock, settle
from tests.support.worker_processes import PATIENCE_SECONDS

NAME = "projects/p/subscriptions/s"


class Stream:
    """One open stream, from Pub/Sub's side."""

    def __init__(self, requests: AsyncIterator[StreamingPullRequest]) -> None:
        self.first: StreamingPullRequest | None = None
        self.acknowledged: list[str] = []
        self.given_back: list[str] = []
        self.is_over = False
        self._sent: asyncio.Queue[StreamingPullResponse | Exception | None] = asyncio.Queue()
        self._listening = asyncio.create_task(self._listen(requests))

    async def _listen(self, requests: AsyncIterator[StreamingPullRequest]) -> None:
        async for request in requests:
            self.first = self.first or request
            self.acknowledged += request.ack_ids
            assert set(request.modify_deadline_seconds) <= {0}
            self.given_back += request.modify_deadline_ack_ids
        self.is_over = True
        self.end()

    def send(self, *names: str, hint: Hint | None = None, data: bytes | None = None) -> None:
        """Send one message for each name."""
        message = PubsubMessage(data=message_of(hint or Hint("a")) if data is None else data)
        received = [ReceivedMessage(ack_id=name, message=message) for name in names]
        self._sent.put_nowait(StreamingPullResponse(received_messages=received))

    def end(self, error: Exception | None = None) -> None:
        """End it."""
        self._sent.put_nowait(error)

    async def responses(self) -> AsyncIterator[StreamingPullResponse]:
        """What the client reads."""
        while (sent := await self._sent.get()) is not None:
            if isinstance(sent, Exception):
                raise sent
            yield sent


class Broker:
    """Stands in for the client."""

    def __init__(self) -> None:
        self.streams: list[Stream] = []
        self.refuses: Exception | None = None
        self.transport = self
        self.is_closed = False

    async def streaming_pull(self, *, requests: Any, timeout: None, retry: None) -> AsyncIterator[Any]:
        if self.refuses is not None:
            raise self.refuses
        self.streams.append(Stream(requests))
        return self.streams[-1].responses()

    async def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(pull, "_client", lambda: broker)
    monkeypatch.setattr(pull, "LINGER_SECONDS", 3600.0)
    monkeypatch.setattr(pull, "SURE_SECONDS", 3600.0)
    return broker


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@asynccontextmanager
async def hearing(clock: FakeClock) -> AsyncIterator[PulledHints]:
    ear = PulledHints(NAME, clock, jitter=lambda: 1.0)
    try:
        yield ear
    finally:
        await ear.close()


async def waited(ear: PulledHints) -> None:
    await asyncio.wait_for(ear.wait(), PATIENCE_SECONDS)


@asynccontextmanager
async def waiting(ear: PulledHints) -> AsyncIterator[asyncio.Task[None]]:
    """Somebody who waits, until the end of the block."""
    task = asyncio.create_task(ear.wait())
    await settle()
    yield task
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what it looks at is changed by code that tells nobody
            await asyncio.sleep(0.005)


async def test_a_hint_is_acknowledged_when_it_was_followed_up(broker: Broker, clock: FakeClock) -> None:
    async with hearing(clock) as ear:
        assert not ear.hears_all
        async with waiting(ear) as task:
            (stream,) = broker.streams
            assert stream.first is not None
            assert (stream.first.subscription, stream.first.stream_ack_deadline_seconds) == (NAME, pull.ACK_SECONDS)
            stream.send("1", "2")
            await asyncio.wait_for(task, PATIENCE_SECONDS)
            assert ear.hears_all
            assert stream.acknowledged == []
        async with waiting(ear) as task:
            assert stream.acknowledged == ["1", "2"]
            assert not task.done(), "what came before the look is no reason for another"
        stream.send("3")
        await settle()
        await waited(ear)  # it came while nobody waited: a look that had begun may have missed it
        assert stream.acknowledged == ["1", "2"]
    await settle()
    assert (stream.acknowledged, stream.given_back, stream.is_over) == (["1", "2"], ["3"], True)
    assert broker.is_closed
    assert len(broker.streams) == 1


async def test_what_is_heard_without_room_goes_to_others(
    broker: Broker, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "LINGER_SECONDS", 0.01)
    async with hearing(clock) as ear:
        async with waiting(ear) as task:
            broker.streams[0].send("1", "2", "3")
            await asyncio.wait_for(task, PATIENCE_SECONDS)
        await until(lambda: broker.streams[0].is_over)
        first = broker.streams[0]
        assert (first.acknowledged, first.given_back) == (["1"], ["2", "3"])
        assert ear.hears_all, "Pub/Sub keeps what comes"
        await settle()
        assert len(broker.streams) == 1

        async with waiting(ear) as task:
            await until(lambda: len(broker.streams) == 2)
            broker.streams[1].send("2")
            await asyncio.wait_for(task, PATIENCE_SECONDS)


async def test_a_time_is_remembered_and_what_is_no_hint_is_dropped(
    broker: Broker, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with hearing(clock) as ear, waiting(ear) as task:
        stream = broker.streams[0]
        stream.send("later", hint=Hint("a", at=clock.now() + timedelta(seconds=30)))
        stream.send("bad", data=b"\xff")
        await settle()
        assert stream.acknowledged == ["later", "bad"]
        await clock.advance(29.9)
        assert not task.done()
        await clock.advance(0.1)
        assert task.done()
    assert caplog.text.count("a wake-up was dropped") == 1


async def test_a_stream_that_ends_is_opened_again_without_a_word(
    broker: Broker, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with hearing(clock) as ear:
        for number in range(3):
            async with waiting(ear) as task:
                broker.streams[number].send("1")
                await asyncio.wait_for(task, PATIENCE_SECONDS)
            async with waiting(ear) as task:
                broker.streams[number].end(None if number else ConnectionError("moved"))
                await asyncio.wait_for(task, PATIENCE_SECONDS)
                assert not ear.hears_all, "until the next one is heard, the worker looks"
                await settle()
            assert len(broker.streams) == number + 2
    assert caplog.text == ""


async def test_one_that_is_refused_is_told_once_and_tried_again_and_again(
    broker: Broker, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broker.refuses = ConnectionError("not found")
    async with hearing(clock) as ear:
        async with waiting(ear) as task:
            await clock.advance(300)
            assert not task.done()
            assert not ear.hears_all
            assert [record.levelname for record in caplog.records] == ["WARNING"]
            assert NAME in caplog.text
            assert "not found" in caplog.text
            broker.refuses = None
            await clock.advance(pull.LONGEST_PAUSE_SECONDS)
            broker.streams[0].send("1")
            await asyncio.wait_for(task, PATIENCE_SECONDS)
        assert caplog.records[-1].getMessage().startswith("wake-ups are heard again")
        assert ear.hears_all


async def test_silence_is_no_refusal(broker: Broker, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "SURE_SECONDS", 0.01)
    async with hearing(clock) as ear, waiting(ear) as task:
        await until(lambda: ear.hears_all)
        assert not task.done()


async def test_one_that_nobody_used_can_be_closed(clock: FakeClock) -> None:
    async with hearing(clock) as ear:
        pass
    await ear.close()

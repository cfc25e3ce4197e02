"""That nobody waits for a collector longer than he says, and that what goes wrong with it is told once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from app.cloud.courier import FIRST_REST_SECONDS, LONGEST_REST_SECONDS, SHORTEST_SECONDS, Courier

SOON = 0.05
PATIENCE = 20.0


class Counter:
    """The other side."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.calls: list[bool] = []
        self.threads: set[str] = set()
        self.error: Exception | None = None
        self.hangs = False
        self.let_go = threading.Event()
        self.has_come = threading.Semaphore(0)

    def __call__(self, *, last: bool) -> None:
        self.calls.append(last)
        self.threads.add(threading.current_thread().name)
        self.has_come.release()
        if self.hangs:
            self.let_go.wait(PATIENCE)
        if self.error is not None:
            raise self.error

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def side() -> Iterator[Counter]:
    side = Counter()
    yield side
    side.let_go.set()


@pytest.fixture
def courier(side: Counter) -> Iterator[Courier]:
    courier = Courier(side, "the collector", monotonic=side.monotonic)
    yield courier
    side.let_go.set()
    courier.close()


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(each.levelname, each.message) for each in caplog.records if each.name == "app.cloud.courier"]


def test_it_delivers_in_a_thread_of_its_own_and_no_more_often_than_each_second(side: Counter, courier: Courier) -> None:
    courier.flush(PATIENCE)
    courier.flush(PATIENCE)
    assert side.calls == [False]
    side.now += SHORTEST_SECONDS
    courier.flush(PATIENCE)
    courier.close(PATIENCE)
    courier.flush(PATIENCE)
    assert side.calls == [False, False, True], "the last delivery is made whenever it comes; after it there is none"
    assert side.threads == {"telemetry"}


def test_what_fails_is_told_once_and_left_alone_for_longer_each_time(
    side: Counter, courier: Courier, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    side.error = OSError("connection refused")
    rest = FIRST_REST_SECONDS
    for tries in range(1, 8):
        courier.flush(PATIENCE)
        side.now += min(rest, LONGEST_REST_SECONDS) - 1
        courier.flush(PATIENCE)
        assert len(side.calls) == tries
        side.now += 1
        rest *= 2
    (line,) = lines(caplog)
    assert line[0] == "WARNING"
    assert "is not taken by the collector: connection refused; jobs go on" in line[1]

    side.error = None
    courier.flush(PATIENCE)
    assert lines(caplog)[1:] == [("INFO", "telemetry is taken again by the collector")]


def test_only_one_waits_for_what_hangs_and_not_for_long(
    side: Counter, courier: Courier, caplog: pytest.LogCaptureFixture
) -> None:
    side.hangs = True
    courier.flush(SOON)
    side.now += 10_000
    for _ in range(100):
        courier.flush(PATIENCE)  # would take half an hour
    courier.close(PATIENCE)
    assert side.calls == [False]
    ((_, line),) = lines(caplog)
    assert "no answer within 0.05 s" in line


def test_who_comes_meanwhile_waits_for_a_delivery_of_his_own(side: Counter, courier: Courier) -> None:
    side.hangs = True
    first, second = (threading.Thread(target=courier.flush, args=(PATIENCE,)) for _ in range(2))
    first.start()
    assert side.has_come.acquire(timeout=PATIENCE)
    second.start()
    side.hangs = False
    side.let_go.set()
    first.join(PATIENCE)
    second.join(PATIENCE)
    assert [each.is_alive() for each in (first, second)] == [False, False]
    assert len(side.calls) <= 2


def test_a_process_that_lives_long_need_not_ask(side: Counter, courier: Courier) -> None:
    courier.start(0.01)
    for _ in range(3):
        assert side.has_come.acquire(timeout=PATIENCE)
    side.error = OSError("gone")
    assert side.has_come.acquire(timeout=PATIENCE)
    courier.close(PATIENCE)
    assert side.calls[-1] is True

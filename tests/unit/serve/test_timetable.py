"""The timetable: every duty at once and again and again, never twice at a time, and none after the end."""

from __future__ import annotations

import asyncio
import logging

import pytest

from app.jobs import StoreUnavailable
from app.serve.timetable import Timetable
from tests.support.worker_processes import PATIENCE_SECONDS

OFTEN_SECONDS = 0.01


class Duty:
    """Counts its rounds; each lasts until it is let go."""

    def __init__(self, error: Exception | None = None, *, lasts: bool = False) -> None:
        self.begun = 0
        self.at_once = 0
        self.cut_off = 0
        self._error = error
        self._lasts = lasts
        self._changed = asyncio.Condition()

    async def __call__(self) -> None:
        assert self.at_once == 0, "it is done twice at a time"
        self.at_once += 1
        try:
            async with self._changed:
                self.begun += 1
                self._changed.notify_all()
            if self._error is not None:
                raise self._error
            if self._lasts:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cut_off += 1
            raise
        finally:
            self.at_once -= 1

    async def until_begun(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: self.begun >= number)


async def test_every_duty_is_done_again_and_again_whatever_the_others_do(caplog: pytest.LogCaptureFixture) -> None:
    good, away, broken, endless = (
        Duty(),
        Duty(StoreUnavailable("no answer")),
        Duty(KeyError("oops")),
        Duty(lasts=True),
    )
    duties = {"tick": good, "sweep": away, "watchdog": broken, "other": endless}
    timetable = Timetable(duties, OFTEN_SECONDS)
    timetable.start()
    for duty in (good, away, broken):
        await duty.until_begun(3)
    assert endless.begun == 1
    await timetable.close()
    assert endless.cut_off == 1

    told = {record.getMessage(): record for record in caplog.records if record.name == "app.serve.timetable"}
    assert told["the sweep was not done: no answer"].levelno == logging.WARNING
    assert told["the watchdog failed"].exc_info is not None
    assert not any("other" in line for line in told)

    begun = good.begun
    await asyncio.sleep(10 * OFTEN_SECONDS)
    assert good.begun == begun, "nothing is done after the end"


async def test_a_minute_goes_by_before_the_second_round() -> None:
    duty = Duty()
    timetable = Timetable({"tick": duty})
    timetable.start()
    await duty.until_begun(1)
    assert timetable._scheduler is not None
    (job,) = timetable._scheduler.get_jobs()
    assert job.trigger.interval.total_seconds() == 60
    await timetable.close()
    assert duty.begun == 1


async def test_one_that_never_began_can_be_closed() -> None:
    await Timetable({}).close()

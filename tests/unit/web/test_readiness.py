"""Whether the store can be reached: anybody may ask, and the store is asked seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from app.jobs import StoreError, StoreUnavailable
from app.stores import MemoryJobStore
from app.stores.base import Record
from app.web.readiness import REACH_SECONDS, TROUBLE_SECONDS, Readiness
from tests.support.clock import settle
from tests.support.engine import Engine
from tests.unit.web.api_site import ApiSite


class CountedStore(MemoryJobStore):
    """Counts what it is asked for, and answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.is_down = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def get(self, collection: str, ids: Sequence[str]) -> list[Record | None]:
        self.asked += 1
        await self.may_answer.wait()
        if self.is_down:
            raise StoreUnavailable("no route; start it")
        return [None for _ in ids]


async def test_an_answer_holds_for_a_while() -> None:
    store = CountedStore()
    engine = Engine(store=store)
    readiness = Readiness(engine.runtime)
    for _ in range(20):
        await readiness.check()
    assert store.asked == 1

    store.is_down = True
    await engine.clock.advance(REACH_SECONDS)
    for _ in range(20):
        with pytest.raises(StoreError, match="no route"):
            await readiness.check()
    assert store.asked == 2

    store.is_down = False
    await engine.clock.advance(TROUBLE_SECONDS)
    await readiness.check()
    assert store.asked == 3


async def test_all_that_ask_at_once_share_one_question() -> None:
    store = CountedStore()
    readiness = Readiness(Engine(store=store).runtime)
    store.is_down = True
    store.may_answer.clear()
    asking = [asyncio.ensure_future(readiness.check()) for _ in range(20)]
    await settle()
    store.may_answer.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(answer) for answer in answers} == {StoreUnavailable}
    assert store.asked == 1


def test_the_web_service_asks_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    site = ApiSite(worker=False)
    try:
        assert site.client.get("/readyz").status_code == 200
        rpcs = site.store.usage.rpcs
        for _ in range(20):
            assert site.client.get("/readyz").status_code == 200
        # Another one only if this machine has taken seconds for them.
        assert site.store.usage.rpcs <= rpcs + 10
    finally:
        site.close()

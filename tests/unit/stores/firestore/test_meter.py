"""What is counted, and what it costs."""

from __future__ import annotations

from decimal import Decimal

from app.stores.base import PriceList, Usage
from app.stores.firestore.meter import Meter


def test_an_empty_answer_is_a_read() -> None:
    meter = Meter()
    meter.asked(0)
    meter.asked(3)
    meter.fetched(2)
    assert meter.usage == Usage(reads=6)


def test_counting_costs_a_read_per_thousand() -> None:
    reads = []
    for entries in (0, 1, 1000, 1001, 25_000):
        meter = Meter()
        meter.counted(entries)
        reads.append(meter.usage.reads)
    assert reads == [1, 1, 1, 2, 25]


def test_deletes_are_counted_apart_from_writes() -> None:
    meter = Meter()
    meter.wrote(writes=5, deletes=2)
    assert meter.usage == Usage(writes=3, deletes=2)


def test_the_price_is_per_hundred_thousand() -> None:
    usage = Usage(reads=100_000, writes=50_000, deletes=200_000, rpcs=7)
    assert PriceList().cost(usage) == Decimal("0.03") + Decimal("0.045") + Decimal("0.02")
    assert PriceList(reads=Decimal(1), writes=Decimal(0), deletes=Decimal(0)).cost(usage) == 1

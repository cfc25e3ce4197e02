"""Writes the table of costs in docs/deploy.md from what was measured and from list prices: `python -m docs.list_costs`.

Reads and writes of a job come from the tables of docs/results.md; the other figures are below, each with where it is
from. A test fails when the table is out of date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from app.stores.base import PriceList

PAGE = Path(__file__).with_name("deploy.md")
RESULTS = Path(__file__).with_name("results.md")
START, END = "<!-- costs: written by python -m docs.list_costs -->", "<!-- end of costs -->"

DAYS = 30
MINUTES = DAYS * 24 * 60
GIB = 1 << 30
MILLION = 1_000_000

IDLE_READS = 30
"""Most documents that drain, tick and watchdog together read in a minute in which nothing is due: a test holds them to
it, because 34 would use up the free quota. About 20 were counted."""
CALLS = 3
"""What Cloud Scheduler calls each minute."""
CALL_SECONDS = Decimal("0.1")
"""How long a call that does little is billed: Cloud Run rounds up to this. A warm call takes 10 to 70 ms."""
MEMORY_GIB = Decimal("0.5")
JOB_BYTES, SUMMARY_BYTES = 3_700, 1_700
"""What a small job and its summary take in Firestore with their index entries, by the rules of
https://cloud.google.com/firestore/docs/storage-size applied to a job that ran."""
JOB_MONTHS, SUMMARY_MONTHS = 1, 3
"""How long both are kept: 30 and 90 days."""
LOG_BYTES = 2_000
"""Request log entry and log line of a call or an attempt."""
ALERTS = 5


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices in US dollars, region us-central1, and what is free each month, as they were in 2025."""

    firestore: PriceList = field(default_factory=PriceList)
    stored_gib: Decimal = Decimal("0.15")
    vcpu_second: Decimal = Decimal("0.000024")
    gib_second: Decimal = Decimal("0.0000025")
    request_million: Decimal = Decimal("0.40")
    message_gib: Decimal = Decimal(40) / 1024
    log_gib: Decimal = Decimal("0.50")
    task_million: Decimal = Decimal("0.40")
    alert: Decimal = Decimal("1.50")
    alert_series_million: Decimal = Decimal("0.35")

    free_reads: int = 50_000 * DAYS
    free_writes: int = 20_000 * DAYS
    free_stored_gib: int = 1
    free_vcpu_seconds: int = 180_000
    free_gib_seconds: int = 360_000
    free_requests: int = 2 * MILLION
    free_message_gib: int = 10
    free_tasks: int = MILLION
    free_log_gib: int = 50


@dataclass(frozen=True, slots=True)
class Month:
    """What happens in a month: so many jobs, created so many at a time, each run once."""

    title: str
    jobs: int
    at_a_time: int
    measured: str
    """The row of docs/results.md with what such a job takes."""


MONTHS = (
    Month("no jobs", 0, 1, "one pushed job"),
    Month("10 thousand", 10_000, 1, "one pushed job"),
    Month("10 million", 10 * MILLION, 1, "one pushed job"),
    Month("10 million, 20 at a time", 10 * MILLION, 20, "batches of 20, one worker"),
)


def lines(month: Month, prices: Prices) -> Iterator[tuple[str, Decimal]]:
    """What a month costs, item by item."""
    reads_each, writes_each = measured(month.measured)
    reads = MINUTES * IDLE_READS + month.jobs * reads_each - prices.free_reads
    writes = MINUTES // 60 + month.jobs * writes_each - prices.free_writes
    per_document = Decimal(1) / 100_000
    yield "Firestore reads", _at_least_0(reads) * prices.firestore.reads * per_document
    yield "Firestore writes", _at_least_0(writes) * prices.firestore.writes * per_document
    yield "Firestore deletes (time to live)", 2 * month.jobs * prices.firestore.deletes * per_document
    stored = Decimal(month.jobs * (JOB_BYTES * JOB_MONTHS + SUMMARY_BYTES * SUMMARY_MONTHS)) / GIB
    yield "Firestore storage, at its fullest", _at_least_0(stored - prices.free_stored_gib) * prices.stored_gib

    wake_ups = month.jobs // month.at_a_time
    calls = MINUTES * CALLS + wake_ups
    seconds = calls * CALL_SECONDS
    yield "Cloud Run processor", _at_least_0(seconds - prices.free_vcpu_seconds) * prices.vcpu_second
    yield "Cloud Run memory", _at_least_0(seconds * MEMORY_GIB - prices.free_gib_seconds) * prices.gib_second
    yield "Cloud Run requests", _at_least_0(Decimal(calls - prices.free_requests)) * prices.request_million / MILLION
    # A publish and a push, each billed as 1,000 bytes at least.
    messages = Decimal(wake_ups * 2 * 1_000) / GIB
    yield "Pub/Sub", _at_least_0(messages - prices.free_message_gib) * prices.message_gib
    logged = Decimal((MINUTES * CALLS + month.jobs) * LOG_BYTES) / GIB
    yield "Logging", _at_least_0(logged - prices.free_log_gib) * prices.log_gib
    yield "Alerts", ALERTS * (prices.alert + MINUTES * prices.alert_series_million / MILLION)


def delays(prices: Prices) -> str:
    """What exact delays cost: a task each, whose creation and call are billed, and a call of the worker."""
    tasks = 2 * prices.task_million
    seconds = MILLION * CALL_SECONDS
    calls = seconds * (prices.vcpu_second + MEMORY_GIB * prices.gib_second) + prices.request_million
    free = prices.free_tasks // 2
    return (
        "A million delays of up to ten minutes, each ended at its time by a task, cost "
        f"US$ {tasks:.2f} for Cloud Tasks\n(the first {free:,} of a month are free) "
        f"and at most US$ {calls:.2f} for the calls; what the sweep finds, up to a\nminute late, costs neither."
    )


def measured(row: str) -> tuple[Decimal, Decimal]:
    """Reads and writes of a job as docs/results.md has them.

    Raises:
        LookupError: the page has no such row.
    """
    match = re.search(rf"^\| {re.escape(row)} \| ([\d.]+) \| ([\d.]+) \|", RESULTS.read_text("utf-8"), re.MULTILINE)
    if match is None:
        raise LookupError(f"{RESULTS.name} has no row {row!r}: name the one that it has now in MONTHS")
    return Decimal(match[1]), Decimal(match[2])


def table(prices: Prices) -> str:
    """The table, with a column for each month."""
    columns = [dict(lines(month, prices)) for month in MONTHS]
    rows = [
        "| US$ a month | " + " | ".join(month.title for month in MONTHS) + " |",
        "| --- |" + " ---: |" * len(MONTHS),
    ]
    rows += [f"| {item} | " + " | ".join(f"{column[item]:,.2f}" for column in columns) + " |" for item in columns[0]]
    without = [sum(column.values()) - column["Alerts"] for column in columns]
    rows.append("| **all** | " + " | ".join(f"**{sum(column.values()):,.2f}**" for column in columns) + " |")
    rows.append("| without alerts | " + " | ".join(f"{each:,.2f}" for each in without) + " |")
    return "\n".join(rows)


def page(text: str) -> str:
    """The page with its table as it should be."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table(Prices())}\n\n{delays(Prices())}\n{END}{after}"


def _at_least_0(amount: Decimal) -> Decimal:
    return max(amount, Decimal(0))


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

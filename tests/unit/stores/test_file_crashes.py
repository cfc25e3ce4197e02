"""A crash or a fault at any file operation leaves all or nothing of each unit, and everything that was answered for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.stores.base import (
    Delete,
    Insert,
    OutcomeUnknown,
    PreconditionFailed,
    Put,
    Query,
    Record,
    StoreUnavailable,
    Unit,
    Update,
)
from app.stores.conformance.harness import ask, job, lease, promote, ready
from app.stores.file import FileJobStore
from tests.unit.stores.crashing_disk import CrashingDisk, Loss, PowerCut

_PAIRS = 4
_STEPS = 7
_SMALL = 2500
"""Bytes of growth after which the journal is rewritten: several times in one history."""


class Expectation:
    """What a history was told, and so what must be there after it."""

    def __init__(self) -> None:
        self.answered: dict[int, int] = {}
        """The step that each pair of records was last known to be at."""
        self.unanswered: dict[int, set[int]] = {}
        """Steps that a pair may be at as well, because nobody answered."""
        self.versions: dict[str, str] = {}

    def check(self, jobs: list[Record | None], runs: list[Record | None], claimed: int) -> None:
        for pair, (job_record, run_record) in enumerate(zip(jobs, runs, strict=True)):
            steps = [None if record is None else record.fields["schema_version"] for record in (job_record, run_record)]
            assert steps[0] == steps[1], f"pair {pair} is torn: {steps}"
            allowed = {self.answered.get(pair), *self.unanswered.get(pair, ())}
            assert steps[0] in allowed, f"pair {pair} is at {steps[0]}, not one of {allowed}"
            if job_record is not None and steps == [self.answered.get(pair)] * 2 and not self.unanswered.get(pair):
                assert job_record.version == self.versions[job_record.id]
        assert claimed in {0, 1}


class History:
    """Steps that touch every kind of write; each pair of a job and a run changes in one unit only."""

    def __init__(self, store: FileJobStore, expectation: Expectation) -> None:
        self.store = store
        self.expected = expectation

    async def run(self) -> None:
        for step in range(_STEPS):
            units = [await self._unit(pair, step) for pair in range(_PAIRS)]
            for pair in range(_PAIRS):
                self.expected.unanswered.setdefault(pair, set()).add(step)
            answers = await self.store.commit_each(units)
            for pair, answer in enumerate(answers):
                if isinstance(answer, list):
                    self._answer(pair, step, answer[0])
                elif not isinstance(answer, OutcomeUnknown):
                    self.expected.unanswered[pair].discard(step)
            await self.store.commit([Put("chunks", "filler", {"text": "x" * 300}), Put("jobs", "claimable", ready())])
            await self.store.claim(ask(limit=1), lease, promote)
            await self.store.commit([Delete("chunks", "filler")])

    async def _unit(self, pair: int, step: int) -> Unit:
        job_id, run_id = f"job-{pair}", f"run-{pair}"
        (record,) = await self.store.get("jobs", [job_id])
        if record is None:
            first = Insert("jobs", job_id, job(schema_version=step))
            return [first, Put("runs", run_id, {"schema_version": step})]
        update = Update("jobs", job_id, {"schema_version": step}, record.version)
        return [update, Put("runs", run_id, {"schema_version": step})]

    def _answer(self, pair: int, step: int, version: str) -> None:
        self.expected.answered[pair] = step
        self.expected.unanswered[pair] = set()
        self.expected.versions[f"job-{pair}"] = version


async def look_at_what_is_left(directory: Path, expectation: Expectation) -> None:
    """A new process opens the directory, finds what it must, and can go on."""
    store = FileJobStore(directory, rewrite_after_bytes=_SMALL)
    await store.open()
    try:
        jobs = await store.get("jobs", [f"job-{pair}" for pair in range(_PAIRS)])
        runs = await store.get("runs", [f"run-{pair}" for pair in range(_PAIRS)])
        expectation.check(jobs, runs, await store.count(Query("jobs.leased")))
        assert len(journals(directory)) == 1, "what a crash left behind is cleared away"
        known = set(expectation.versions.values())
        assert not known & set(await store.commit([Put("jobs", "new", job()), Put("runs", "new", {})]))
    finally:
        await store.close()
    again = FileJobStore(directory)
    await again.open()
    try:
        assert await again.get("jobs", [f"job-{pair}" for pair in range(_PAIRS)]) == jobs
    finally:
        await again.close()


async def test_a_history_without_faults_rewrites_its_journal(tmp_path: Path) -> None:
    disk = CrashingDisk(tmp_path)
    await _write(tmp_path, disk, Expectation())
    (journal,) = journals(tmp_path)
    assert int(journal.stem.removeprefix("records-")) >= 3, (
        "the faults below are meant to strike while the journal is rewritten, too"
    )


@pytest.mark.parametrize("loss", Loss)
async def test_a_crash_at_any_operation(tmp_path: Path, loss: Loss) -> None:
    for place, directory in _places(tmp_path):
        disk = CrashingDisk(directory, fail_at=place)
        expectation = Expectation()
        finished = False
        try:
            await _write(directory, disk, expectation)
            finished = True
        except PowerCut:
            disk.lose(loss)
        await look_at_what_is_left(directory, expectation)
        if finished:
            assert place > 60, "the history is long enough to be worth crashing"
            return
    raise AssertionError("the history never came to its end")


async def test_a_fault_at_any_operation_is_told_and_survived(tmp_path: Path) -> None:
    told = 0
    for place, directory in _places(tmp_path):
        disk = CrashingDisk(directory, fail_at=place, once=True)
        expectation = Expectation()
        store = FileJobStore(directory, rewrite_after_bytes=_SMALL, disk=disk)
        for _ in range(3):
            try:
                await store.open()
                await History(store, expectation).run()
                break
            except (StoreUnavailable, OutcomeUnknown):
                told += 1
            except PreconditionFailed as error:
                raise AssertionError("a fault must not look like a conflict") from error
        else:
            raise AssertionError("one fault was told three times")
        await store.close()
        await look_at_what_is_left(directory, expectation)
        if disk.operations < place:
            assert told > 20
            return


@pytest.mark.parametrize("survives", [True, False])
async def test_a_write_that_cannot_be_taken_back_is_unknown(tmp_path: Path, survives: bool) -> None:
    class Stuck(CrashingDisk):
        broken = False

        def sync(self, descriptor: int) -> None:
            if self.broken:
                raise OSError(5, "sync fails on purpose")
            super().sync(descriptor)

        def truncate(self, descriptor: int, size: int) -> None:
            if self.broken and survives:
                raise OSError(5, "truncate fails on purpose")
            super().truncate(descriptor, size)

    disk = Stuck(tmp_path)
    store = FileJobStore(tmp_path, disk=disk)
    await store.open()
    await store.commit([Insert("jobs", "before", job())])
    disk.broken = True
    with pytest.raises(OutcomeUnknown, match="see what is there"):
        await store.commit([Insert("jobs", "a", job())])
    disk.broken = False
    (record,) = await store.get("jobs", ["a"])
    assert (record is not None) == survives
    await store.commit([Put("jobs", "a", job(name="after"))])
    await store.close()


def journals(directory: Path) -> list[Path]:
    return sorted(directory.glob("records-*.jsonl"))


def _places(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    for place in range(1, 400):
        directory = tmp_path / f"{place}"
        directory.mkdir()
        yield place, directory


async def _write(directory: Path, disk: CrashingDisk, expectation: Expectation) -> None:
    store = FileJobStore(directory, rewrite_after_bytes=_SMALL, disk=disk)
    try:
        await store.open()
        await History(store, expectation).run()
    finally:
        await store.close()

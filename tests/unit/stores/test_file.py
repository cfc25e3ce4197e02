"""What is particular to the file store: damage, growth, strangers in the directory, and platforms without flock."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.stores.base import Delete, Insert, Put, Query, StoreError, StoreUnavailable, Update
from app.stores.conformance.harness import NOON, insert, is_there, job, one, ready, touch
from app.stores.conformance.sharing import opened
from app.stores.file import FileJobStore
from app.stores.file_codec import Continued, Entry, Group, decode, encode
from app.stores.file_disk import FileLock
from tests.unit.stores.crashing_disk import CrashingDisk


def journals(directory: Path) -> list[Path]:
    return sorted(directory.glob("*records-*.jsonl"))


async def three_commits(directory: Path) -> bytes:
    async with opened(FileJobStore(directory)) as store:
        for name in ("a", "b", "c"):
            await store.commit([Insert("jobs", name, job(name="\u00e4\n\u2028")), Insert("runs", name, {})])
    (journal,) = journals(directory)
    return journal.read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A journal of three commits, a, b and c."""
    return asyncio.run(three_commits(tmp_path_factory.mktemp("whole")))


def left_of(directory: Path, data: bytes) -> str:
    """Which of a, b and c are there when the journal is this; then whether it can be written on."""

    async def look() -> str:
        async with opened(FileJobStore(directory)) as store:
            jobs = await store.get("jobs", list("abc"))
            runs = await store.get("runs", list("abc"))
            assert [record is None for record in jobs] == [record is None for record in runs]
            await store.commit([Insert("jobs", "new", job())])
        async with opened(FileJobStore(directory)) as store:
            assert await is_there(store, "jobs", "new")
            assert await store.get("jobs", list("abc")) == jobs
        return "".join(record.id for record in jobs if record is not None)

    for path in journals(directory):
        path.unlink()
    (directory / "records-000001.jsonl").write_bytes(data)
    return asyncio.run(look())


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 10_000), garbage=st.binary(max_size=20))
def test_a_journal_that_ends_anywhere_keeps_its_whole_lines(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, cut: int, garbage: bytes
) -> None:
    cut %= len(whole) + 1
    lines = whole[:cut].count(b"\n")
    assert left_of(tmp_path_factory.mktemp("cut"), whole[:cut]) == "abc"[:lines]
    if cut == len(whole) or whole[cut : cut + len(garbage)] != garbage:
        assert left_of(tmp_path_factory.mktemp("garbage"), whole[:cut] + garbage) == "abc"[:lines]


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, 10_000))
def test_a_damaged_byte_before_the_last_line_is_told_and_nothing_is_thrown_away(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory, place: int
) -> None:
    place %= whole.rstrip(b"\n").rindex(b"\n")
    damaged = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    directory = tmp_path_factory.mktemp("damaged")
    with pytest.raises(StoreError, match=r"records-000001\.jsonl is damaged at byte \d+; restore it"):
        left_of(directory, damaged)
    assert (directory / "records-000001.jsonl").read_bytes() == damaged


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"last_version": 1},
        {"last_version": 1, "records": [["jobs", "a"]]},
        {"last_version": 1, "records": [["from_the_future", "a", "1", {}]]},
        {"last_version": 1, "records": [["jobs", "a", "1", {"created_at": "soon"}]]},
        {"last_version": 1, "records": [["jobs", "a", "1", {"payload": {"nested": 1}}]]},
    ],
    ids=json.dumps,
)
def test_a_line_of_another_program_is_not_taken_for_damage(tmp_path: Path, body: object) -> None:
    line = encode(Group(1, []))
    text = json.dumps(body).encode()
    foreign = line[:8] + b"%08x" % crc32(text) + line[16:25] + text + b"}\n"
    with pytest.raises(StoreError, match="use the program that wrote it"):
        left_of(tmp_path, foreign)


@pytest.mark.parametrize(
    "entry", [Group(7, []), Group(7, [("jobs", "a", None)]), Continued(2, 3000)], ids=["empty", "gone", "continued"]
)
def test_an_entry_is_read_as_it_was_written(entry: Entry) -> None:
    line = encode(entry)
    assert decode(line) == entry
    assert line.endswith(b"}\n")
    assert json.loads(line)["says"]


async def test_fields_of_a_newer_schema_are_kept(tmp_path: Path) -> None:
    async with opened(FileJobStore(tmp_path)) as store:
        await store.commit([Insert("jobs", "a", job())])
    (journal,) = journals(tmp_path)
    group = decode(journal.read_bytes())
    assert isinstance(group, Group)
    ((_, _, record),) = group.states
    assert record is not None
    newer = type(record)("jobs", "a", record.version, {**record.fields, "from_the_future": "kept"})
    journal.write_bytes(encode(Group(group.last_version, [("jobs", "a", newer)])))
    async with opened(FileJobStore(tmp_path)) as store:
        await touch(store, await one(store, "jobs", "a"), attempt=1)
    async with opened(FileJobStore(tmp_path)) as store:
        assert (await one(store, "jobs", "a")).fields["from_the_future"] == "kept"


async def test_a_journal_does_not_grow_without_end(tmp_path: Path) -> None:
    async with opened(FileJobStore(tmp_path, rewrite_after_bytes=20_000)) as store:
        await insert(store, "jobs", [(f"{number}", job()) for number in range(20)])
        for turn in range(400):
            await store.commit([Put("jobs", "0", job(payload=f"{turn}" * 20))])
        (journal,) = journals(tmp_path)
        assert journal.stat().st_size < 60_000
        assert journal.name != "records-000001.jsonl"
        assert await store.count(Query("jobs.list")) == 20
    async with opened(FileJobStore(tmp_path)) as store:
        assert (await one(store, "jobs", "0")).fields["payload"] == "399" * 20
        assert await store.count(Query("jobs.list")) == 20


async def test_a_journal_that_is_opened_often_does_not_grow_either(tmp_path: Path) -> None:
    for turn in range(40):
        async with opened(FileJobStore(tmp_path, rewrite_after_bytes=20_000)) as store:
            for _ in range(5):
                await store.commit([Put("jobs", "0", job(payload=f"{turn}" * 50))])
    (journal,) = journals(tmp_path)
    assert journal.stat().st_size < 50_000


async def test_others_follow_a_rewritten_journal(tmp_path: Path) -> None:
    async with (
        opened(FileJobStore(tmp_path, rewrite_after_bytes=3000)) as writer,
        opened(FileJobStore(tmp_path)) as near,
        opened(FileJobStore(tmp_path)) as far,
    ):
        await far.commit([Insert("jobs", "gone", job())])
        await writer.commit([Delete("jobs", "gone")])
        for turn in range(40):
            await writer.commit([Put("jobs", f"{turn % 3}", job(name=f"{turn}"))])
            assert (await one(near, "jobs", f"{turn % 3}")).fields["name"] == f"{turn}"
        (journal,) = journals(tmp_path)
        assert int(journal.stem.removeprefix("records-")) >= 4, "left behind by more than one journal"
        assert (await one(far, "jobs", "2")).fields["name"] == "38"
        assert not await is_there(far, "jobs", "gone")
        record = await one(far, "jobs", "0")
        await far.commit([Update("jobs", "0", {"name": "far"}, record.version)])
        assert (await one(writer, "jobs", "0")).fields["name"] == "far"


async def test_one_commit_of_many_units_syncs_once(tmp_path: Path) -> None:
    class Counting(CrashingDisk):
        syncs = 0

        def sync(self, descriptor: int) -> None:
            self.syncs += 1
            super().sync(descriptor)

    disk = Counting(tmp_path)
    async with opened(FileJobStore(tmp_path, disk=disk)) as store:
        before = disk.syncs
        await store.commit_each([[Insert("jobs", f"{number}", job())] for number in range(50)])
        assert disk.syncs - before == 1
        await store.get("jobs", ["1"])
        await store.query(Query("jobs.list"))
        assert disk.syncs - before == 1


async def test_a_watch_sees_what_another_store_object_writes(tmp_path: Path) -> None:
    async with opened(FileJobStore(tmp_path)) as here, opened(FileJobStore(tmp_path)) as there:
        watch = await here.watch("jobs")
        await there.commit([Insert("jobs", "a", ready(ready_at=NOON))])
        await asyncio.wait_for(watch.wait(), 30)
        await watch.close()


async def test_a_removed_directory_is_told_and_nothing_is_written_into_the_void(tmp_path: Path) -> None:
    directory = tmp_path / "jobs_data"
    async with opened(FileJobStore(directory)) as store:
        await store.commit([Insert("jobs", "a", job())])
        for path in directory.iterdir():
            path.unlink()
        with pytest.raises(StoreUnavailable, match="was removed while it was open; open the store again"):
            await store.commit([Insert("jobs", "b", job())])
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
        with pytest.raises(StoreUnavailable, match="cannot be used"):
            await store.get("jobs", ["a"])


async def test_a_missing_continuation_is_told(tmp_path: Path) -> None:
    (tmp_path / "records-000001.jsonl").write_bytes(encode(Group(1, [])) + encode(Continued(2, 40)))
    store = FileJobStore(tmp_path)
    with pytest.raises(StoreError, match=r"goes on in records-000002\.jsonl, which is missing; restore it"):
        await store.open()
    assert (tmp_path / "records-000001.jsonl").exists()


async def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = FileJobStore(tmp_path / "file" / "jobs")
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        await store.open()
    with pytest.raises(StoreUnavailable, match="open it first"):
        await store.get("jobs", ["a"])


async def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    strangers = ["notes.txt", "records-1.jsonl", "other_records-000001.jsonl", "records-000001.jsonl.bak"]
    for name in strangers:
        (tmp_path / name).write_text("not ours")
    async with opened(FileJobStore(tmp_path, rewrite_after_bytes=1000)) as store:
        for _ in range(20):
            await store.commit([Put("jobs", "a", job())])
    assert all((tmp_path / name).read_text() == "not ours" for name in strangers)


@pytest.mark.parametrize("prefix", ["a/b", "/", "../", "\0"])
def test_a_prefix_that_leaves_the_directory_is_refused(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(ValueError, match="cannot begin a file's name"):
        FileJobStore(tmp_path, prefix)


def test_a_platform_without_flock_is_told_what_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(StoreError, match="use DatabaseJobStore"):
        FileJobStore(tmp_path)


def test_a_lock_that_is_never_released_is_given_up(tmp_path: Path) -> None:
    pauses: list[float] = []
    lock = FileLock(tmp_path / "lock")
    impatient = FileLock(tmp_path / "lock", sleep=pauses.append)
    with (
        lock.held(),
        pytest.raises(StoreUnavailable, match=r"another process has held .*lock for 30 s; if it is stopped, end it"),
        impatient.held(),
    ):
        raise AssertionError("two hold one lock")
    assert sum(pauses) >= 30
    assert max(pauses) <= 0.02
    with impatient.held():
        pass


async def test_a_journal_that_someone_cut_off_is_read_again(tmp_path: Path) -> None:
    async with opened(FileJobStore(tmp_path)) as store:
        await store.commit([Insert("jobs", "a", job())])
        (journal,) = journals(tmp_path)
        first = journal.read_bytes()
        await store.commit([Insert("jobs", "b", job())])
        with journal.open("r+b") as file:
            file.truncate(len(first))
        assert await is_there(store, "jobs", "a")
        assert not await is_there(store, "jobs", "b")

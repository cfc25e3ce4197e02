"""What a plan touches is read, what it changes is written, and it is taken back: the same on every store."""

from __future__ import annotations

from typing import Any

from app.catalog.aliases import Alias, alias_id
from app.catalog.apply import undo_change
from app.catalog.families import Family
from app.catalog.plans import (
    Operation,
    Touches,
    alias_target,
    create_exercise,
    deprecate_family,
    exercise_target,
    merge_exercise,
    reassign_family,
    rename_exercise,
    upsert_alias,
)
from app.jobs import JobStatus
from app.stores.base import Query, Store, Update
from tests.acceptance.catalog.conftest import Process, Site
from tests.support.planned import Planned, result_of
from tests.unit.catalog.exercises import NOW, named

PRESS = named("Chest Press", "machine")
CABLE = named("Cable Chest Press", "cable", family_slug="chest-press")
FLY = named("Chest Fly", "dumbbell", slug="flat-chest-fly")
CURL = named("Biceps Curl", "barbell")
TWIN = named("Curl for the Biceps", "barbell", id="twin", slug="twin", family_slug="twin")


def alias(slug: str, **target: str) -> Alias:
    family = "family_slug" in target
    return Alias(id=alias_id(slug, family=family), slug=slug, created_at=NOW, updated_at=NOW, **target)


RELATED = (
    alias("old-twin", exercise_id="twin"),
    alias("older-twin", exercise_id="twin"),
    alias("chest-fly", exercise_id="chest-fly"),
    alias("presses", family_slug="chest-press"),
    Family(slug="chest-press", title="Chest press", created_at=NOW, updated_at=NOW),
)
OPERATIONS: tuple[Operation, ...] = (
    rename_exercise(PRESS, "Chest Press (Machine)"),
    rename_exercise(CABLE, "Chest Press (Cable)"),
    merge_exercise(TWIN, CURL, aliases=RELATED[:2]),
    create_exercise("Row (Cable)", "row", {"equipment": ["cable"]}),
    reassign_family([CURL.id], "curl"),
    deprecate_family("biceps-curl", merged_into="curl"),
    upsert_alias("biceps-curl", family_slug="curl"),
)


async def filled(site: Site) -> Process:
    process = await site.process()
    await process.catalog.add_new([PRESS, CABLE, FLY, CURL, TWIN])
    assert await process.catalog.add_related(RELATED) == len(RELATED)
    assert await process.catalog.add_related(RELATED) == 0
    return process


async def check_snapshots(process: Process) -> None:
    catalog = process.catalog

    async def ids(**touches: Any) -> tuple[set[str], set[str], set[str]]:
        found = await catalog.snapshot(Touches.of(**touches))
        return set(found.exercises), set(found.aliases), set(found.families)

    assert await ids() == (set(), set(), set())
    assert await ids(exercises=["twin", "nobody"]) == ({"twin"}, set(), set())
    assert await ids(exercises=["chest-fly"]) == ({"chest-fly"}, set(), set())
    family = ({"chest-press", "cable-chest-press"}, {"family:presses"}, {"chest-press"})
    assert await ids(families=["chest-press"]) == family
    assert await ids(families_of=["cable-chest-press"]) == family
    assert await ids(aliases=["old-twin", "family:presses"]) == (set(), {"old-twin", "family:presses"}, set())
    assert await ids(aliases_of=["twin"]) == (set(), {"old-twin", "older-twin"}, set())
    assert await ids(slugs=["flat-chest-fly", "chest-fly", "free"]) == ({"chest-fly"}, {"chest-fly"}, set())
    assert (await catalog.snapshot(Touches.of(families=["twin"]))).whole_families == {"twin"}
    everything = await catalog.everything()
    assert len(everything.exercises) == 5
    assert len(everything.aliases) + len(everything.families) == len(RELATED)
    assert set(await catalog.read([alias_target("old-twin"), exercise_target("twin"), exercise_target("x")])) == {
        alias_target("old-twin"),
        exercise_target("twin"),
    }


async def documents(store: Store) -> dict[str, dict[str, Any]]:
    """Every record of the catalogue, as it is kept."""
    shapes = ("exercises.list", "aliases.list", "families.list")
    pages = [await store.query(Query(shape)) for shape in shapes]
    return {f"{each.collection}/{each.id}": dict(each.fields) for page in pages for each in page.records}


async def check_apply_and_undo(process: Process) -> None:
    store = process.store.inner
    planned = Planned(store=store)
    before = await documents(store)

    done = await planned.run(*OPERATIONS)

    assert done.status is JobStatus.COMPLETED, done.error
    told = result_of(done)
    assert told["applied"] == len(OPERATIONS)
    after = await process.catalog.everything()
    assert {each.slug for each in after.exercises.values()} == {
        "chest-press-machine",
        "chest-press-cable",
        "flat-chest-fly",
        "biceps-curl",
        "twin",
        "row-cable",
    }
    leads = {each.id: each.exercise_id or each.family_slug for each in after.aliases.values()}
    assert leads["twin"] == leads["old-twin"] == leads["older-twin"] == "biceps-curl"
    (change,) = await planned.journal.changes(since=NOW)
    assert change.id == told["change_id"]
    assert await planned.journal.changes(until=NOW) == []

    await undo_change(planned.engine.manager, change.id, by="ada", dry_run=False)

    assert await documents(store) == before


async def test_here(site: Site) -> None:
    process = await filled(site)
    await check_snapshots(process)
    await check_apply_and_undo(process)


async def test_on_servers(remote: Site) -> None:
    process = await filled(remote)
    await check_snapshots(process)
    await check_apply_and_undo(process)


async def test_an_exercise_from_before_slugs_were_kept_apart_is_found_by_its_id(memory: Site) -> None:
    """Such a record has never been renamed."""
    process = await filled(memory)
    (stored,) = await process.catalog.get([CURL.id])
    assert stored is not None
    await process.store.commit([Update("exercises", CURL.id, {"slug": None}, stored.version)])

    found = await process.catalog.with_slug("biceps-curl")

    assert [target.id for target in found] == [CURL.id]

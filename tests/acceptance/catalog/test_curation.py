"""The whole curation of the real records: scans, what they propose, applying it, and taking all of it back."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from app.catalog import Exercise, write_catalog
from app.catalog.aliases import Alias
from app.catalog.apply import ChangeStatus, Journal, undo_change
from app.catalog.curation import CreatedJobs, create_proposed
from app.catalog.tasks.plans import PLANNERS
from app.catalog.tasks.report import proposals_of
from app.jobs import Job, JobStatus
from app.stores import DatabaseJobStore, FirestoreJobStore
from app.stores.base import Store
from tests.acceptance.catalog.conftest import NOW, Process, Site, _site
from tests.support.catalog_invariants import broken

SCANS = ("maintenance_scan", "duplicate_detection_scan", "alias_invariant_scan")
ENRICHING = ("catalog_enrich_field", "catalog_enrich_field_shard")
ALL_TYPES = {*SCANS, *ENRICHING, *PLANNERS}
LEGACY = {"rating": 4, "tips": "x", "own": True}
OPPOSITES = (
    "palms-up",
    "palms-down",
    "internal-rotation",
    "external-rotation",
    "abductor",
    "adductor",
    "pronat",
    "supinat",
)

BY_HAND: tuple[tuple[str, dict[str, Any]], ...] = (
    ("family_audit", {"family_slug": "neck-resistance"}),
    ("family_split", {"family_slug": "leg-curl", "into": {"stability-ball": "ball-leg-curl"}}),
    ("family_rename_slug", {"family_slug": "walking-lunge", "new_slug": "travelling-lunge"}),
    ("family_merge", {"source_family": "mid-row", "target_family": "inverted-row"}),
    ("exercise_add", {"name": "One-Arm KB Seal Row", "primary_muscles": ["upper-back"]}),
    ("targeted_fix", {"exercise_id": "zottman-curl", "action": "rename", "name": "Zottman's Curl"}),
    ("targeted_fix", {"exercise_id": "svend-press", "action": "archive", "reason": "nobody does it"}),
    ("targeted_fix", {"exercise_id": "yoke-walk", "action": "patch", "patch": {"level": "advanced", "plane": None}}),
    ("catalog_enrich_field", {"families": ["squat", "dip"]}),
)
"""What no scan of the real records proposes, or not for sure."""


@dataclass(slots=True)
class Ran:
    """Which types were run to their end, by mode."""

    types: dict[str, set[str]] = field(default_factory=lambda: {"dry_run": set(), "apply": set()})

    def add(self, job: Job) -> Job:
        assert job.status is JobStatus.COMPLETED, (job.type, job.payload, job.error, job.review)
        self.types[job.mode or "dry_run"].add(job.type)
        return job


@pytest.fixture(params=["sqlite", "firestore"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """A site in a file, and one on the emulator."""
    made: Callable[[], Store]
    if request.param == "sqlite":
        path = str(request.getfixturevalue("tmp_path") / "torpor.db")
        made = lambda: DatabaseJobStore(dialect="sqlite", path=path)  # noqa: E731 - two of a kind
    else:
        emulator, prefix = request.getfixturevalue("firestore_emulator"), f"curation_{uuid4().hex[:8]}_"
        made = lambda: FirestoreJobStore(project="torpor-catalog", prefix=prefix, emulator=emulator)  # noqa: E731
    async for site in _site(made):
        yield site


async def exported(process: Process) -> str:
    """The whole catalogue in a text: equal catalogues give equal bytes, guesses of enrichers included."""
    found = await process.catalog.everything()
    return write_catalog(found.exercises.values(), found.aliases.values(), found.families.values(), found.enriched)


async def scanned(process: Process, ran: Ran, mode: str, *, only_first: bool = False) -> CreatedJobs:
    """Run all scans, and create what they propose: all of it, or the first of each type."""
    ids = [await process.submit(job_type, mode=mode) for job_type in SCANS]
    await process.drain()
    proposals = []
    for name in ids:
        ran.add(await process.manager.get_job(name))
        results = await process.manager.get_job_results(name)
        assert results is not None
        proposals += proposals_of(results.saved)
    if only_first:
        proposals = list({proposal.type: proposal for proposal in reversed(proposals)}.values())
    return await create_proposed(process.manager, proposals, mode)


async def carried_out(process: Process, ran: Ran, created: CreatedJobs) -> list[Job]:
    """Run the created jobs; those that wait for a person."""
    await process.drain()
    waiting = []
    for job in created.new:
        now = await process.manager.get_job(job.id)
        if now.status is JobStatus.NEEDS_REVIEW:
            assert now.payload["needs_review"], (now.type, now.payload, now.review)
            waiting.append(now)
        else:
            ran.add(now)
    return waiting


async def decided(process: Process, waiting: list[Job]) -> Counter[str]:
    """A person approves what has the same place in the same family, and rejects the rest."""
    given: Counter[str] = Counter()
    for job in waiting:
        found = await process.catalog.get([job.payload.get("source_id", "-"), job.payload.get("target_id", "-")])
        exercises = [each.exercise for each in found if each is not None]
        same = len(exercises) == 2 and {each.id for each in exercises} == {
            "calf-press",
            "calf-press-on-the-leg-press-machine",
        }
        assert (job.review["request"] or {})["plan"]["operations"], "a person sees the plan"
        await process.manager.review(job.id, "approve" if same else "reject", "ann")
        given["approve" if same else "reject"] += 1
    await process.drain()
    return given


async def test_all_is_curated_and_all_is_taken_back(place: Site, real: tuple[Exercise, ...]) -> None:
    process, ran = await place.process(), Ran()
    old = {exercise.id: exercise for exercise in real}
    for name in ("row", "sled-row", "yoke-walk"):
        if name in old:
            old[name] = old[name].model_copy(update={"legacy": LEGACY})
    await process.catalog.add_new(old.values())
    orphan = Alias(id="old-press", slug="old-press", exercise_id="gone", created_at=NOW, updated_at=NOW)
    await process.catalog.add_related([orphan])
    imported = await exported(process)

    # Dry runs of each type that is proposed, and of the others: nothing is changed.
    waiting = await carried_out(process, ran, await scanned(process, ran, "dry_run", only_first=True))
    assert waiting == [], "nobody is asked about a dry run"
    for job_type, payload in BY_HAND:
        job = ran.add(await process.ended(job_type, payload))
        assert job.result is not None
        assert job_type == "catalog_enrich_field" or job.result.data["diff"], job_type
    assert await exported(process) == imported
    assert await Journal(process.store).changes() == []

    # The same, applied; a person decides about what is not sure.
    created = await scanned(process, ran, "apply")
    proposed = Counter(job.type for job in created.new)
    assert proposed["family_normalize"] > 60
    assert proposed["alias_repair"] == proposed["schema_cleanup"] == proposed["catalog_enrich_field"] == 1
    waiting = await carried_out(process, ran, created)
    given = await decided(process, waiting)
    assert given["approve"] == 1
    curated = await process.catalog.everything()
    assert broken(curated) == []
    merged = [each for each in curated.exercises.values() if each.merged_into is not None]
    # A likely pair of which one was merged meanwhile is not asked about, and nothing is done.
    jobs = [await process.manager.get_job(job.id) for job in created.new if job.type == "merge_candidate"]
    applied = [job for job in jobs if job.result is not None and job.result.data and job.result.data["applied"]]
    assert len(merged) == len(applied) > 5
    for each in merged:
        assert {word for word in OPPOSITES if word in each.slug} == {
            word for word in OPPOSITES if word in str(each.merged_into)
        }
    assert sorted(curated.exercises["yoke-walk"].legacy) == ["own", "tips"]

    # A second run proposes nothing new.
    again = await scanned(process, ran, "apply")
    assert [(job.type, job.payload) for job in again.new] == []

    # The other types, on what is curated by now.
    for job_type, payload in BY_HAND:
        ran.add(await process.ended(job_type, payload, mode="apply"))
    for job in await process.manager.list_jobs(type="catalog_enrich_field_shard", limit=100):
        ran.add(job)
    assert ran.types == {"dry_run": ALL_TYPES, "apply": ALL_TYPES}
    changed = await process.catalog.everything()
    assert broken(changed) == []
    assert changed.aliases["family:walking-lunge"].family_slug == "travelling-lunge"
    assert changed.exercises["ball-leg-curl"].family_slug == "ball-leg-curl"

    # Everything is taken back, the newest first.
    changes = await Journal(process.store).changes(limit=10_000)
    assert {change.status for change in changes} == {ChangeStatus.APPLIED}
    for change in changes:
        await undo_change(process.manager, change.id, by="ann", dry_run=False)
    assert await exported(process) == imported

"""Jobs for what scans found: each once, and doubles only as sure as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.catalog.curation import create_proposed
from app.catalog.plans import Finding, Fix, FixAction, make_plan, patch_exercises
from app.catalog.repair import RuleBasedRepairer, SkippingRepairer
from app.catalog.reviewer.duplicates import DuplicatePair, DuplicateReport, MergeableFamilies
from app.catalog.reviewer.merges import propose_merges
from app.catalog.reviewer.proposals import ProposedJob
from app.jobs import JobStatus, RepairableError
from tests.support.engine import Engine
from tests.unit.catalog.exercises import named


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    """An engine on an open, empty memory store."""
    engine = Engine()
    await engine.store.open()
    yield engine
    await engine.store.close()


ROWS = [named("DB Row", "dumbbell"), named("Dumbbell Row", "dumbbell"), named("Curl", "barbell", family_slug="curl")]


def report(*pairs: DuplicatePair, families: tuple[MergeableFamilies, ...] = ()) -> DuplicateReport:
    return DuplicateReport(len(ROWS), 3, pairs, families)


def test_sure_doubles_are_merged_and_likely_ones_are_asked_about() -> None:
    sure = DuplicatePair("db-row", "dumbbell-row", False, 0.9, {"reasons": "the same words"})
    likely = DuplicatePair("curl", "db-row", True, 0.5, {"reasons": "alike"})
    families = MergeableFamilies("curl", "row", 0.4, {"names_alike": 0.95})

    merge, ask, fold = propose_merges(report(sure, likely, families=(families,)), ROWS)

    assert (merge.type, merge.families, merge.waits_for_a_person) == ("merge_candidate", ("row",), False)
    assert (ask.families, ask.waits_for_a_person) == (("curl", "row"), True)
    assert (fold.type, fold.waits_for_a_person, fold.reason) == ("family_merge", True, "names alike: 0.95")
    turned = DuplicatePair("dumbbell-row", "db-row", True, 0.7, {"reasons": "seen later"})
    assert propose_merges(report(turned), ROWS)[0].key("apply") == merge.key("apply")


async def test_the_same_pair_is_asked_about_once_however_it_is_seen(engine: Engine) -> None:
    @engine.job("merge_candidate")
    async def merge(source_id: str, target_id: str, why: str = "") -> None:
        return None

    @engine.job("family_normalize")
    async def normalize(family_slug: str) -> None:
        return None

    def pair(source: str, target: str, why: str) -> ProposedJob:
        payload: dict[str, object] = {"source_id": source, "target_id": target, "why": why}
        return ProposedJob("merge_candidate", payload, why, ("row",), identity=("a", "b"))

    names = ProposedJob("family_normalize", {"family_slug": "row"}, "2 names", ("row",))
    async with engine.manager:
        first = await create_proposed(engine.manager, [names, pair("a", "b", "alike")], "apply", tags=["scan"])
        engine.clock.jump(60)
        second = await create_proposed(engine.manager, [names, pair("b", "a", "more alike")], "apply")
        dry = await create_proposed(engine.manager, [names], "dry_run")
        await engine.drain()
        waited_for = await engine.manager.get_dependencies(first.new[1].id)
        jobs = [await engine.get(job.id) for job in (*first.new, *dry.new)]

    assert [job.type for job in first.new] == ["merge_candidate", "family_normalize"]
    assert [parent.id for parent in waited_for] == [first.new[0].id]
    assert (second.new, second.known) == ((), 2)
    assert (len(dry.new), dry.known) == (1, 0)
    assert {job.status for job in jobs} == {JobStatus.COMPLETED}
    assert {job.mode for job in first.new} == {"apply"}


async def test_new_jobs_count_as_new_when_another_of_the_call_was_known_otherwise(engine: Engine) -> None:
    @engine.job("merge_candidate")
    async def merge(source_id: str, target_id: str) -> None:
        return None

    def pair(source: str, target: str) -> ProposedJob:
        identity = tuple(sorted((source, target)))
        return ProposedJob("merge_candidate", {"source_id": source, "target_id": target}, "", identity=identity)

    async with engine.manager:
        await create_proposed(engine.manager, [pair("a", "b")], "apply")
        engine.clock.jump(60)
        made = await create_proposed(engine.manager, [pair("c", "d"), pair("b", "a"), pair("e", "f")], "apply")

    assert [job.payload["source_id"] for job in made.new] == ["c", "e"]
    assert made.known == 1


def _error(*findings: Finding) -> RepairableError:
    return RepairableError("went wrong", None, [finding.model_dump(mode="json") for finding in findings])


async def test_what_was_changed_meanwhile_is_left_out_and_the_rest_goes_on() -> None:
    plan = make_plan("x", [patch_exercises([name], {"level": "beginner"}) for name in ("a", "b", "c")])
    stale = Finding(code="STALE_TARGET", operation="op-2", message="it holds something else")

    answer = await SkippingRepairer(RuleBasedRepairer()).repair(plan, _error(stale), 3)

    assert answer.can_repair
    assert answer.work is not None
    assert [operation.exercise_ids() for operation in answer.work.operations] == [("a",), ("c",)]


async def test_what_else_is_wrong_is_the_other_repairers_business() -> None:
    plan = make_plan("x", [patch_exercises([name], {"level": "beginner"}) for name in ("a", "b")])
    fix = Fix(action=FixAction.MODIFY, operation="op-1", set={"patch.level": "advanced"})
    known = Finding(code="NOT_CANONICAL", operation="op-1", message="no level", suggestion=fix)
    unknown = Finding(code="READ_BACK_MISMATCH", operation="op-1", message="it is not what was written")

    mended = await SkippingRepairer(RuleBasedRepairer()).repair(plan, _error(known), 3)
    given_up = await SkippingRepairer(RuleBasedRepairer()).repair(plan, _error(unknown), 3)

    assert mended.work is not None
    assert mended.work.operations[0].patch == {"level": "advanced"}
    assert not given_up.can_repair

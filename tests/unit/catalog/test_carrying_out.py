"""A plan's whole way: planned, judged, mended, shown or applied, decided by a person."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from app.catalog.apply import ChangeStatus
from app.catalog.exercise import ExerciseStatus
from app.catalog.locks import family_locks
from app.catalog.plans import (
    ChangePlan,
    Fix,
    FixAction,
    Touches,
    create_exercise,
    deprecate_exercise,
    deprecate_family,
    exercise_target,
    merge_exercise,
    no_change,
    patch_exercises,
    reassign_family,
    rename_exercise,
    update_registry,
    upsert_alias,
)
from app.catalog.repair import not_repairable, repaired
from app.jobs import (
    Job,
    JobContext,
    JobStatus,
    PermanentError,
    Repair,
    RepairableError,
    ReviewRequest,
)
from app.stores.base import RecordTooLarge, StoreError, Unit, Version
from app.stores.faults import Call, FaultPlan, FaultyStore, Operation
from tests.support.planned import CATALOG, TYPE, Planned, result_of
from tests.unit.catalog.exercises import named

PRESS = named("Chest Press", "machine")
CABLE = named("Cable Chest Press", "cable", family_slug="cable-chest-press")
FLY = named("Chest Fly", "dumbbell")
CURL = named("Biceps Curl", "barbell")
TWIN = named("Curl for the Biceps", "barbell", id="twin", slug="twin", family_slug="twin")
RENAME = rename_exercise(FLY, "Flat Chest Fly")
WRONG = rename_exercise(FLY, "F" * 300)
"""No rule knows how to mend it."""


@pytest.fixture
async def planned() -> AsyncIterator[Planned]:
    world = Planned()
    await world.open([PRESS, CABLE, FLY, CURL, TWIN])
    yield world
    await world.engine.manager.close()


# --- applied ---------------------------------------------------------------------------------------------------------


async def test_a_rename_is_applied_with_its_alias_and_its_line(planned: Planned) -> None:
    job = await planned.run(rename_exercise(PRESS, "Chest Press (Machine)"))

    told = result_of(job)
    assert (told["status"], told["applied"], told["change_id"]) == ("applied", 1, f"{job.id}_1")
    after = await planned.exercise("chest-press")
    assert (after.name, after.slug, after.id) == ("Chest Press (Machine)", "chest-press-machine", "chest-press")
    (alias,) = await planned.catalog.aliases()
    assert (alias.slug, alias.exercise_id, alias.reason) == ("chest-press", "chest-press", "rename")
    (line,) = await planned.journal.lines(told["change_id"])
    assert {str(target) for target in line.before} == {"exercise/chest-press", "alias/chest-press"}
    change = (await planned.journal.change(told["change_id"])).change
    assert (change.status, change.operations, change.applied) == (ChangeStatus.APPLIED, 1, 1)


async def test_every_target_is_touched_and_not_only_the_first(planned: Planned) -> None:
    await planned.run(patch_exercises([PRESS.id, FLY.id, CURL.id], {"level": "beginner"}))

    assert {each.exercise.id for each in await planned.catalog.all() if each.exercise.level == "beginner"} == {
        PRESS.id,
        FLY.id,
        CURL.id,
    }


async def test_every_kind_is_applied(planned: Planned) -> None:
    job = await planned.run(
        RENAME,
        patch_exercises([CURL.id], {"tags": ["arms"], "attributes.tempo": "slow", "locked_fields": ["level"]}),
        merge_exercise(TWIN, CURL, patch={"secondary_muscles": ["forearms"]}),
        create_exercise("Row (Cable)", "row", {"equipment": ["cable"]}),
        deprecate_exercise(CABLE.id, "archived"),
        upsert_alias("machine-press", exercise_id=PRESS.id, reason="by hand"),
        reassign_family([PRESS.id], "press"),
        update_registry("press", title="Press", notes="All presses."),
        deprecate_family("chest-press", merged_into="press"),
        upsert_alias("chest-press", family_slug="press"),
        no_change([exercise_target(FLY.id)], "looked at"),
    )

    assert result_of(job)["applied"] == 11
    everything = await planned.catalog.everything()
    assert everything.exercises[FLY.id].slug == "flat-chest-fly"
    curl = everything.exercises[CURL.id]
    assert (curl.tags, curl.attributes, curl.secondary_muscles) == (("arms",), {"tempo": "slow"}, ("forearms",))
    twin = everything.exercises[TWIN.id]
    assert (twin.status, twin.merged_into) == (ExerciseStatus.MERGED, CURL.id)
    assert everything.exercises["row-cable"].family_slug == "row"
    assert everything.exercises[CABLE.id].status is ExerciseStatus.ARCHIVED
    assert everything.exercises[PRESS.id].family_slug == "press"
    assert everything.families["press"].title == "Press"
    assert everything.families["chest-press"].merged_into == "press"
    leads = {alias.id: alias.exercise_id or alias.family_slug for alias in everything.aliases.values()}
    assert leads == {
        "chest-fly": FLY.id,
        "twin": CURL.id,
        "machine-press": PRESS.id,
        "family:chest-press": "press",
    }


async def test_an_operation_and_its_line_are_one_commit_under_the_jobs_lease(planned: Planned) -> None:
    faults = FaultPlan()
    world = Planned(store=FaultyStore(planned.engine.memory, faults))
    seen: list[set[str]] = []

    def watch(call: Call) -> bool:
        seen.extend({write.collection for write in unit} for unit in call.units)
        return False

    faults.refuse(Operation.COMMIT_EACH, when=watch)
    world.engine.clock = planned.engine.clock
    await world.run(RENAME)

    together = [names for names in seen if "exercises" in names]
    assert together == [{"exercises", "exercise_aliases", "catalog_lines", "jobs"}]
    assert all("jobs" in names for names in seen if names & {"catalog_lines", "catalog_changes", *CATALOG})


async def test_what_an_enricher_guessed_stays_a_guess_until_it_is_changed(planned: Planned) -> None:
    (stored,) = await planned.catalog.get([FLY.id])
    assert stored is not None
    guessed = stored.exercise.model_copy(update={"level": "beginner", "plane": "frontal"})
    await planned.engine.store.commit([planned.catalog.change(stored, guessed, ["level", "plane"])])

    await planned.run(RENAME, patch_exercises([FLY.id], {"level": "advanced"}))

    (after,) = await planned.catalog.get([FLY.id])
    assert after is not None
    assert after.enriched == {"plane"}


LEVELS = [patch_exercises([each.id], {"level": "beginner"}) for each in (PRESS, CABLE, FLY)]


async def commits_of(planned: Planned, *operations: Any) -> list[int]:
    """How many operations each commit had in which something was applied."""
    counted: list[int] = []

    class Counting(FaultyStore):
        async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
            numbers = [sum(write.collection == "catalog_lines" for write in unit) for unit in units]
            counted.extend(number for number in numbers if number)
            return await super().commit_each(units)

    world = Planned(store=Counting(planned.engine.memory, FaultPlan()))
    await world.run(*operations)
    return counted


async def test_neighbours_that_touch_different_records_share_a_commit(planned: Planned) -> None:
    again = patch_exercises([PRESS.id], {"plane": "frontal"})

    counted = await commits_of(planned, *LEVELS, again, merge_exercise(TWIN, CURL), RENAME)

    assert counted == [3, 1, 1, 1]


async def test_one_that_fails_leaves_its_neighbours_to_be_applied_alone(planned: Planned) -> None:
    """In one commit all would have failed; alone, those before it are applied and those behind it are not."""
    world = await meddled(planned, CABLE.id, times=1, level="expert")

    job = await world.run(*LEVELS)

    assert job.review["request"]["findings"][0]["code"] == "STALE_TARGET"
    assert [line.operation.id for line in await world.journal.lines(f"{job.id}_1")] == ["op-1"]


# --- dry runs --------------------------------------------------------------------------------------------------------


async def test_a_dry_run_shows_the_plan_and_writes_nothing(planned: Planned) -> None:
    before = planned.records()

    told = result_of(await planned.run(RENAME, mode="dry_run"))

    assert planned.records() == before
    assert (told["mode"], told["status"], told["change_id"], told["applied"]) == ("dry_run", "planned", None, 0)
    plan = ChangePlan.model_validate(told["plan"])
    assert plan.operations[0].before["exercise/chest-fly"] == {"slug": "chest-fly", "name": "Chest Fly"}
    assert plan.operations[0].after["exercise/chest-fly"] == {"slug": "flat-chest-fly", "name": "Flat Chest Fly"}
    assert told["diff"] == [
        "op-1 rename_exercise [low]",
        "  ~ exercise/chest-fly",
        '      name: "Chest Fly" -> "Flat Chest Fly"',
        '      slug: "chest-fly" -> "flat-chest-fly"',
        "  + alias/chest-fly",
        '      exercise_id: "chest-fly"',
        '      id: "chest-fly"',
        '      reason: "rename"',
        '      slug: "chest-fly"',
    ]


async def test_without_leave_to_apply_nothing_is_planned(planned: Planned) -> None:
    planned.engine.runtime.application["catalog_apply_enabled"] = False

    job = await planned.run(RENAME)

    assert job.error is not None
    assert (job.status, job.error.code) == (JobStatus.FAILED, "APPLY_DISABLED")
    assert planned.snapshots == []


async def test_what_a_planner_refuses_fails_the_job(planned: Planned) -> None:
    @planned.engine.job("refusing")
    async def refusing(ctx: JobContext) -> None:
        from app.catalog.tasks.planning import carry_out

        def build(snapshot: object) -> ChangePlan:
            raise PermanentError("there is no such family")

        await carry_out(ctx, build, touches=Touches())

    job = await planned.drained(await planned.engine.submitted("refusing", mode="apply"))

    assert (job.status, job.attempt) == (JobStatus.FAILED, 1)


# --- mended by a repairer --------------------------------------------------------------------------------------------


async def test_a_plan_that_is_not_valid_is_mended_and_applied(planned: Planned) -> None:
    job = await planned.run(rename_exercise(FLY, "Chest Fly (Cable)"))

    told = result_of(job)
    assert (await planned.exercise(FLY.id)).name == "Chest Fly (Dumbbell)"
    assert ChangePlan.model_validate(told["plan"]).version == 2
    (repair,) = told["repairs"]
    assert repair["fixes"][0]["set"]["patch.name"] == "Chest Fly (Dumbbell)"
    assert repair["findings"][0]["code"] == "WRONG_QUALIFIER"


class Scripted:
    """A repairer that gives the answers it was told, and counts how often it is asked."""

    def __init__(self, *fixes: Fix, confidence: float = 0.9) -> None:
        self.fixes = list(fixes)
        self.confidence = confidence
        self.asked: list[int] = []

    async def repair(self, work: ChangePlan | None, error: RepairableError, repairs_left: int) -> Repair[ChangePlan]:
        assert work is not None
        self.asked.append(repairs_left)
        if not self.fixes:
            return not_repairable("no idea")
        return repaired(work, [self.fixes.pop(0)], "a guess", self.confidence)


def name_it(name: str) -> Fix:
    return Fix(action=FixAction.MODIFY, operation="op-1", set={"patch.name": name})


@pytest.mark.parametrize(
    ("fixes", "confidence", "asked"),
    [
        ((), 0.9, [3]),
        ((name_it("G" * 300),) * 5, 0.9, [3, 2, 1]),
        ((name_it("Fly"),), 0.2, [3]),
        ((Fix(action=FixAction.REMOVE, operation="op-1"),), 0.9, [3]),
        ((Fix(action=FixAction.REMOVE, operation="op-7"),), 0.9, [3]),
    ],
    ids=["not repairable", "exhausted", "unsure", "nothing left", "does not fit"],
)
async def test_what_can_not_be_mended_waits_for_a_person(
    planned: Planned, fixes: Sequence[Fix], confidence: float, asked: list[int]
) -> None:
    before = planned.records()
    planned.repairer = repairer = Scripted(*fixes, confidence=confidence)

    job = await planned.run(WRONG)

    assert job.status is JobStatus.NEEDS_REVIEW
    assert repairer.asked == asked
    assert planned.records() == before
    (request,) = await planned.engine.manager.list_reviews()
    assert request.question == "REPAIR_LOOP_EXHAUSTED"
    data: dict[str, Any] = request.data
    assert data["code"] == "REPAIR_LOOP_EXHAUSTED"
    assert ChangePlan.model_validate(data["work"]).operations[0].kind == "rename_exercise"
    assert data["findings"][0]["code"] in ("BAD_VALUE", "SLUG_NOT_OF_NAME")
    assert [each["number"] for each in data["tries"]] == list(range(1, len(data["tries"]) + 1))
    assert data["diff"]


# --- decided by a person ---------------------------------------------------------------------------------------------


async def waiting(planned: Planned, *operations: Any, mode: str = "apply") -> tuple[str, ReviewRequest]:
    job = await planned.run(*(operations or (WRONG, deprecate_exercise(CURL.id))), mode=mode)
    assert job.status is JobStatus.NEEDS_REVIEW, job.error
    (request,) = await planned.engine.manager.list_reviews()
    return job.id, request


def edited(request: ReviewRequest, **fields: Any) -> dict[str, Any]:
    """The plan that is shown, with its first operation changed."""
    data: dict[str, Any] = request.data
    plan = ChangePlan.model_validate(data["work"])
    first = plan.operations[0].changed(**fields)
    return {"plan": plan.model_copy(update={"operations": (first, *plan.operations[1:])}).model_dump(mode="json")}


async def decided(planned: Planned, job_id: str, decision: str, **told: Any) -> Job:
    payload = {} if decision == "edit" else None
    await planned.engine.manager.review(job_id, decision, "ada", payload=payload, **told)
    return await planned.drained(job_id)


@pytest.mark.parametrize("decision", ["edit", "approve"])
async def test_an_edited_plan_takes_the_same_street(planned: Planned, decision: str) -> None:
    job_id, request = await waiting(planned)
    right = RENAME.model_dump(mode="json", include={"patch", "targets"})

    job = await decided(planned, job_id, decision, data=edited(request, **right))

    told = result_of(job)
    assert told["applied"] == 2
    assert (await planned.exercise(FLY.id)).name == "Flat Chest Fly"
    assert (await planned.exercise(CURL.id)).status is ExerciseStatus.DEPRECATED
    assert len(planned.snapshots) == 1, "the planner is not asked again"
    assert told["change_id"] == f"{job_id}_1"


async def test_an_edited_plan_is_shown_in_a_dry_run(planned: Planned) -> None:
    job_id, request = await waiting(planned, mode="dry_run")
    before = planned.records()

    job = await decided(planned, job_id, "edit", data=edited(request, **RENAME.model_dump(mode="json")))

    told = result_of(job)
    assert told["status"] == "planned"
    assert "Flat Chest Fly" in " ".join(told["diff"])
    assert planned.records() == before


async def test_an_edit_that_is_wrong_comes_back(planned: Planned) -> None:
    job_id, request = await waiting(planned)
    wrong = edited(request, patch={"name": "Fly", "created_at": "1999-01-01T00:00:00Z"}, targets=["exercise/chest-fly"])

    job = await decided(planned, job_id, "edit", data=wrong)
    assert job.status is JobStatus.COMPLETED, "the path is left out by a rule"
    assert (await planned.exercise(FLY.id)).created_at == FLY.created_at


@pytest.mark.parametrize("plan", [7, {"operations": [{"kind": "explode"}]}, {"type": "t", "x": 1}])
async def test_an_edit_that_is_no_plan_comes_back(planned: Planned, plan: Any) -> None:
    job_id, _ = await waiting(planned)

    job = await decided(planned, job_id, "edit", data={"plan": plan})

    assert job.status is JobStatus.NEEDS_REVIEW
    (request,) = await planned.engine.manager.list_reviews()
    data: dict[str, Any] = request.data
    assert data["findings"][0]["code"] == "BAD_PLAN"
    assert len(ChangePlan.model_validate(data["work"]).operations) == 2, "the plan is not lost"
    assert len(request.history) == 1


async def test_approving_a_plan_judges_it_on_the_catalogue_as_it_is_by_then(planned: Planned) -> None:
    """What held it up is mended by another job meanwhile."""
    await planned.catalog.add_new(
        [named("Another", "cable", id="another", slug="flat-chest-fly", family_slug="another")]
    )
    job_id, request = await waiting(planned, RENAME)
    data: dict[str, Any] = request.data
    assert data["findings"][0]["code"] == "SLUG_TAKEN"

    again = await decided(planned, job_id, "approve")
    assert again.status is JobStatus.NEEDS_REVIEW, "nothing has changed"

    (another,) = await planned.catalog.get(["another"])
    assert another is not None
    freed = another.exercise.model_copy(update={"slug": "free"})
    await planned.engine.store.commit([planned.catalog.change(another, freed)])
    job = await decided(planned, job_id, "approve")

    assert result_of(job)["applied"] == 1
    assert (await planned.exercise(FLY.id)).slug == "flat-chest-fly"


async def test_rejecting_a_plan_ends_the_job(planned: Planned) -> None:
    job_id, _ = await waiting(planned)
    before = planned.records()

    job = await decided(planned, job_id, "reject", comment="leave it")

    assert (job.status, planned.records()) == (JobStatus.CANCELLED, before)


# --- what happens meanwhile ------------------------------------------------------------------------------------------


class Meddler(FaultyStore):
    """Lets somebody else change an exercise just before the writes of an operation get through."""

    def __init__(self, planned: Planned, exercise_id: str, times: int = 1, **fields: Any) -> None:
        super().__init__(planned.engine.memory, FaultPlan())
        self._planned = planned
        self._id = exercise_id
        self._fields = fields
        self._times = times

    async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
        if self._times and any(write.collection == "catalog_lines" for unit in units for write in unit):
            self._times -= 1
            (stored,) = await self._planned.catalog.get([self._id])
            assert stored is not None
            fields = {name: f"{value} {self._times}" for name, value in self._fields.items()}
            after = stored.exercise.model_copy(update=fields)
            await self._planned.engine.memory.commit([self._planned.catalog.change(stored, after)])
        return await super().commit_each(units)


async def meddled(planned: Planned, exercise_id: str, times: int = 1, **fields: Any) -> Planned:
    return Planned(store=Meddler(planned, exercise_id, times, **fields))


async def test_a_change_of_something_else_is_kept(planned: Planned) -> None:
    world = await meddled(planned, FLY.id, description="By a person")

    result_of(await world.run(RENAME))

    after = await planned.exercise(FLY.id)
    assert (after.name, after.description) == ("Flat Chest Fly", "By a person 0")


async def test_a_change_of_the_same_field_waits_for_a_person(planned: Planned) -> None:
    world = await meddled(planned, FLY.id, name="Fly by a person")

    job = await world.run(deprecate_exercise(CURL.id), RENAME)
    assert job.status is JobStatus.NEEDS_REVIEW
    (request,) = await world.engine.manager.list_reviews()
    data: dict[str, Any] = request.data
    assert data["findings"][0]["code"] == "STALE_TARGET"
    assert "Fly by a person" in data["findings"][0]["message"]
    assert [each["kind"] for each in data["work"]["operations"]] == ["rename_exercise"], "the other one is done"
    (change,) = await world.journal.changes()
    assert (change.status, change.applied, change.operations) == (ChangeStatus.NEEDS_REPAIR, 1, 2)

    job = await decided(world, job.id, "approve")

    assert result_of(job)["applied"] == 2
    assert (await planned.exercise(FLY.id)).name == "Flat Chest Fly"
    (change,) = await world.journal.changes()
    assert (change.status, change.applied, change.operations) == (ChangeStatus.APPLIED, 2, 2)
    assert [line.number for line in await world.journal.lines(change.id)] == [1, 2]


async def test_a_record_that_never_keeps_still(planned: Planned) -> None:
    world = await meddled(planned, FLY.id, times=1_000, description="Again")

    job = await world.run(RENAME)

    assert job.status is JobStatus.NEEDS_REVIEW
    assert job.review["request"]["findings"][0]["code"] == "CONTENDED"
    assert await world.journal.lines(f"{job.id}_1") == [], "a failed operation leaves no record of success"
    assert (await planned.exercise(FLY.id)).name == "Chest Fly"


async def test_what_is_read_back_is_not_what_was_written(planned: Planned) -> None:
    class Undoing(FaultyStore):
        """Puts back what an operation wrote, as another writer would that takes no locks."""

        async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
            answers = await super().commit_each(units)
            if any(write.collection == "catalog_lines" for unit in units for write in unit):
                (stored,) = await planned.catalog.get([FLY.id])
                assert stored is not None
                await planned.engine.memory.commit([planned.catalog.change(stored, FLY)])
            return answers

    world = Planned(store=Undoing(planned.engine.memory, FaultPlan()))

    job = await world.run(RENAME)

    assert job.status is JobStatus.NEEDS_REVIEW, "never COMPLETED when applying failed"
    found = job.review["request"]["findings"]
    assert {each["code"] for each in found} == {"READ_BACK_MISMATCH"}
    assert any("name of exercise/chest-fly" in each["message"] for each in found)
    (change,) = await world.journal.changes()
    assert change.status is ChangeStatus.NEEDS_REPAIR
    assert "READ_BACK_MISMATCH" in change.problem


async def test_an_operation_that_no_commit_takes(planned: Planned) -> None:
    class Small(FaultyStore):
        async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
            if any(write.collection == "catalog_lines" for unit in units for write in unit):
                return [RecordTooLarge("too much for one record") for _ in units]
            return await super().commit_each(units)

    world = Planned(store=Small(planned.engine.memory, FaultPlan()))

    job = await world.run(RENAME)

    assert job.status is JobStatus.NEEDS_REVIEW
    assert job.review["request"]["findings"][0]["code"] == "OPERATION_TOO_LARGE"


async def test_a_plan_that_no_record_takes_fails_the_job_at_once(planned: Planned) -> None:
    before = planned.records()

    job = await planned.run(patch_exercises([FLY.id], {"attributes.part": "x" * 3_000_000}))

    assert job.error is not None
    assert (job.status, job.error.code, job.attempt) == (JobStatus.FAILED, "PLAN_TOO_LARGE", 1)
    assert planned.records() == before


# --- locks -----------------------------------------------------------------------------------------------------------


async def test_families_are_locked_while_a_plan_is_applied_and_contention_costs_no_attempt(planned: Planned) -> None:
    held: list[str] = []

    @planned.engine.job("holder")
    async def holder(ctx: JobContext) -> None:
        async with family_locks(ctx, ["chest-fly", "chest-fly", "biceps-curl"]):
            held.append(await planned.engine.submitted(TYPE, mode="apply"))
            waits = await planned.drained(held[0])
            assert (waits.status, waits.parked_on is not None) == (JobStatus.QUEUED, True)
            assert (waits.retries_used, waits.lease_losses) == (0, 0)
            assert (await planned.exercise(FLY.id)).name == "Chest Fly"

    planned.operations = (RENAME,)
    first = await planned.drained(await planned.engine.submitted("holder"))
    assert first.status is JobStatus.COMPLETED, first.error

    job = await planned.drained(held[0])

    assert (job.status, job.retries_used, job.lease_losses) == (JobStatus.COMPLETED, 0, 0)
    assert (await planned.exercise(FLY.id)).name == "Flat Chest Fly"
    assert len(planned.snapshots) == 1, "it planned when it had the lock"


async def test_a_dry_run_takes_no_lock(planned: Planned) -> None:
    @planned.engine.job("holder")
    async def holder(ctx: JobContext) -> str:
        async with family_locks(ctx, ["chest-fly"]):
            job_id = await planned.engine.submitted(TYPE, mode="dry_run")
            return str((await planned.drained(job_id)).status)

    planned.operations = (RENAME,)
    job = await planned.drained(await planned.engine.submitted("holder"))

    assert job.result is not None
    assert job.result.data == "completed"


async def test_what_a_person_adds_to_a_plan_is_locked_too(planned: Planned) -> None:
    job_id, request = await waiting(planned, WRONG)
    other = deprecate_exercise(CURL.id).model_dump(mode="json", include={"kind", "targets", "patch", "risk"})

    @planned.engine.job("holder")
    async def holder(ctx: JobContext) -> None:
        async with family_locks(ctx, ["biceps-curl"]):
            waits = await decided(planned, job_id, "approve", data=edited(request, **other))
            assert (waits.status, waits.parked_on is not None, waits.retries_used) == (JobStatus.QUEUED, True, 0)
            assert (await planned.exercise(CURL.id)).status is ExerciseStatus.ACTIVE

    first = await planned.drained(await planned.engine.submitted("holder"))
    assert first.status is JobStatus.COMPLETED, first.error

    assert result_of(await planned.drained(job_id))["applied"] == 1
    assert (await planned.exercise(CURL.id)).status is ExerciseStatus.DEPRECATED


@pytest.mark.parametrize(("locks", "waits"), [((), False), (("chest-fly",), True), (None, True)])
async def test_which_families_are_locked_can_be_said(
    planned: Planned, locks: tuple[str, ...] | None, waits: bool
) -> None:
    planned.locks = locks
    planned.operations = (RENAME,)

    @planned.engine.job("holder")
    async def holder(ctx: JobContext) -> str:
        async with family_locks(ctx, ["chest-fly"]):
            return str((await planned.drained(await planned.engine.submitted(TYPE, mode="apply"))).status)

    job = await planned.drained(await planned.engine.submitted("holder"))

    assert job.result is not None
    assert job.result.data == ("queued" if waits else "completed")


# --- interruptions ---------------------------------------------------------------------------------------------------


async def test_a_cancel_between_two_operations_leaves_what_was_done_to_be_undone(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.catalog.apply.engine.TOGETHER", 1)

    class Cancelling(FaultyStore):
        cancels = True

        async def commit_each(self, units: Sequence[Unit]) -> list[list[Version] | StoreError]:
            if self.cancels and any(write.collection == "catalog_lines" for unit in units for write in unit):
                self.cancels = False
                (job,) = await planned.engine.manager.list_jobs(type=TYPE)
                await planned.engine.manager.cancel_job(job.id, "enough")
            return await super().commit_each(units)

    world = Planned(store=Cancelling(planned.engine.memory, FaultPlan()))

    job = await world.run(RENAME, deprecate_exercise(CURL.id))

    assert job.status is JobStatus.CANCELLED
    assert (await planned.exercise(CURL.id)).status is ExerciseStatus.ACTIVE
    (change,) = await planned.journal.changes()
    assert change.status is ChangeStatus.APPLYING
    assert len(await planned.journal.lines(change.id)) == 1


async def test_a_repairer_is_not_asked_twice_about_the_same(planned: Planned) -> None:
    planned.repairer = repairer = Scripted(name_it("Fly"))
    lost = FaultPlan()
    world = Planned(store=FaultyStore(planned.engine.memory, lost))
    world.repairer = repairer
    # The attempt dies at its first write of an operation, and the next one goes on.
    lost.refuse(
        Operation.QUERY, when=lambda call: getattr(call.question, "shape", "") == "catalog_lines.of_change", times=1
    )

    job = await world.run(WRONG.changed(patch={"name": "F" * 300}, targets=["exercise/chest-fly"]))

    assert (job.status, job.attempt, job.retries_used) == (JobStatus.COMPLETED, 2, 1), job.error
    assert repairer.asked == [3]
    assert (await planned.exercise(FLY.id)).name == "Fly"
    assert len(world.snapshots) == 1

"""Each code has a plan with that fault, and what a rule makes of it: mended and clean, or left to a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.catalog.aliases import Alias, alias_id
from app.catalog.exercise import Exercise
from app.catalog.families import Family
from app.catalog.plans import (
    MAX_TARGETS,
    ChangePlan,
    Operation,
    OperationKind,
    PostCheck,
    Severity,
    Snapshot,
    create_exercise,
    delete_alias,
    deprecate_exercise,
    deprecate_family,
    exercise_target,
    make_plan,
    merge_exercise,
    no_change,
    patch_exercises,
    reassign_family,
    rename_exercise,
    update_registry,
    upsert_alias,
)
from app.catalog.plans.validate import validate
from app.catalog.plans.validators import CODES
from app.catalog.repair import RuleBasedRepairer
from app.jobs import RepairableError
from tests.unit.catalog.exercises import NOW, named

WHILE_APPLYING = {"BAD_PLAN", "STALE_TARGET", "CONTENDED", "OPERATION_TOO_LARGE", "READ_BACK_MISMATCH"}
"""Codes that no validator gives; `test_carrying_out` and `test_apply` have plans with those."""

PRESS = named("Chest Press (Machine)", "machine", family_slug="chest-press")
CABLE = named("Chest Press (Cable)", "cable", family_slug="chest-press")
FLY = named("Chest Fly", "dumbbell")
CURL = named("Biceps Curl", "barbell")
UP = named("Palms-Up Wrist Curl", "barbell")
DOWN = named("Palms-Down Wrist Curl", "barbell")
GONE = named("Old Fly", "dumbbell", status="merged", merged_into=FLY.id, family_slug="chest-fly")
STAYED = (PRESS, CABLE, FLY, CURL, UP, DOWN, GONE)


def alias(slug: str, **target: str) -> Alias:
    family = "family_slug" in target
    return Alias(id=alias_id(slug, family=family), slug=slug, created_at=NOW, updated_at=NOW, **target)


def entry(slug: str, **fields: Any) -> Family:
    return Family(slug=slug, created_at=NOW, updated_at=NOW, **fields)


def catalogue(*more: Exercise | Alias | Family) -> Snapshot:
    exercises = {each.id: each for each in (*STAYED, *more) if isinstance(each, Exercise)}
    aliases = {each.id: each for each in more if isinstance(each, Alias)}
    return Snapshot(exercises, aliases, {each.slug: each for each in more if isinstance(each, Family)})


@dataclass(frozen=True)
class Fault:
    """A plan with one fault."""

    code: str
    operations: Sequence[Operation]
    more: Sequence[Exercise | Alias | Family] = ()
    mended: Sequence[dict[str, Any]] | None = None
    """What the operations are to say after the repair, as far as it is told; None if a person has to decide."""
    checks: Sequence[PostCheck] = ()
    severity: Severity = Severity.ERROR
    why: str = ""
    also: frozenset[str] = field(default_factory=frozenset)
    """Codes of further findings that belong to the same fault."""

    def __str__(self) -> str:
        return f"{self.code} {self.why}".strip()


RENAME = rename_exercise(FLY, "Flat Chest Fly")
TO_FLY = {"exercise_id": FLY.id}
FULL = [f"exercise-{number}" for number in range(MAX_TARGETS + 1)]

FAULTS = (
    Fault(
        "DOUBLE_OPERATION_ID",
        [RENAME.changed(id="a"), deprecate_exercise(CURL.id).changed(id="a")],
        mended=[{"id": "a-2"}, {"id": "a"}],
    ),
    Fault(
        "DOUBLE_OPERATION",
        [
            patch_exercises([FLY.id], {"level": "beginner"}).changed(idempotency_seed="s"),
            patch_exercises([FLY.id], {"level": "beginner"}).changed(idempotency_seed="s"),
        ],
        mended=[{"id": "op-1"}],
        also=frozenset({"NOTHING_CHANGES"}),
    ),
    Fault("MISSING_TARGET", [RENAME.changed(targets=[])]),
    Fault("MISSING_TARGET", [merge_exercise(UP, FLY).changed(targets=[f"exercise/{FLY.id}"])], why="of two"),
    Fault("MISSING_TARGET", [patch_exercises([], {"level": "beginner"})], why="of any"),
    Fault(
        "UNNAMED_TARGET",
        [RENAME.changed(targets=[f"exercise/{FLY.id}"])],
        mended=[{"targets": ["exercise/chest-fly", "alias/chest-fly"]}],
    ),
    Fault(
        "UNNAMED_TARGET",
        [merge_exercise(CURL, FLY)],
        [alias("arm-curl", exercise_id=CURL.id)],
        mended=[{"targets": ["exercise/biceps-curl", "exercise/chest-fly", "alias/biceps-curl", "alias/arm-curl"]}],
        why="an alias of the merged one",
        also=frozenset({"DIFFERENT_EQUIPMENT"}),
    ),
    Fault(
        "TOO_MANY_TARGETS",
        [patch_exercises(FULL, {"level": "beginner"})],
        [named(f"Exercise {number}", "cable", id=f"exercise-{number}") for number in range(MAX_TARGETS + 1)],
    ),
    Fault("UNKNOWN_TARGET", [RENAME, deprecate_exercise("nobody")], mended=[{"id": "op-1"}]),
    Fault("UNKNOWN_TARGET", [deprecate_exercise("nobody")], why="and nothing else"),
    Fault("UNKNOWN_TARGET", [RENAME, delete_alias("nobody")], mended=[{"id": "op-1"}], why="an alias"),
    Fault("TARGET_EXISTS", [create_exercise("Biceps Curl", "biceps-curl", {})]),
    Fault("MISSING_FIELD", [RENAME.changed(patch={"slug": "x"}, targets=[f"exercise/{FLY.id}"])]),
    Fault(
        "MISSING_FIELD",
        [create_exercise("Row (Cable)", "row", {"equipment": ["cable"]}).changed(patch={"name": "Row (Cable)"})],
        mended=[{"patch": {"name": "Row (Cable)", "slug": "row-cable", "family_slug": "row"}}],
        why="that follows from the name",
    ),
    Fault("MISSING_FIELD", [patch_exercises([FLY.id], {})], why="a patch of nothing"),
    Fault("BAD_VALUE", [patch_exercises([FLY.id], {"tags": 7})]),
    Fault("BAD_VALUE", [rename_exercise(FLY, "F" * 300)], why="too long"),
    Fault("BAD_VALUE", [upsert_alias("old", exercise_id=FLY.id).changed(targets=["alias/family:old"])], why="in an id"),
    Fault("RISK_TOO_LOW", [deprecate_exercise(FLY.id).changed(risk="low")], mended=[{"risk": "medium"}]),
    Fault(
        "NOTHING_CHANGES",
        [rename_exercise(FLY, FLY.name)],
        severity=Severity.WARNING,
        mended=[{"kind": "rename_exercise"}],
    ),
    Fault(
        "PATH_NOT_WRITABLE",
        [patch_exercises([FLY.id], {"slug": "x", "level": "beginner"})],
        mended=[{"patch": {"level": "beginner"}}],
    ),
    Fault("PATH_NOT_WRITABLE", [patch_exercises([FLY.id], {"id": "x"})], why="and nothing else"),
    Fault(
        "BAD_SLUG",
        [rename_exercise(FLY, "Flat Chest Fly", slug="flat_chest_fly")],
        mended=[{"patch": {"name": "Flat Chest Fly", "slug": "flat-chest-fly"}}],
    ),
    Fault(
        "BAD_SLUG",
        [create_exercise("Row (Cable)", "Row", {"equipment": ["cable"]}, slug="Row (Cable)")],
        mended=[{"patch": {"family_slug": "row", "slug": "row-cable"}, "targets": ["exercise/row-cable"]}],
        why="of what is made",
    ),
    Fault(
        "BAD_SLUG",
        [reassign_family([FLY.id], "Chest_Fly_Two")],
        mended=[{"patch": {"family_slug": "chest-fly-two"}}],
        why="of a family",
    ),
    Fault(
        "SLUG_NOT_OF_NAME",
        [rename_exercise(FLY, "Flat Chest Fly", slug="something-else")],
        mended=[{"patch": {"slug": "flat-chest-fly"}}],
    ),
    Fault(
        "WRONG_QUALIFIER",
        [rename_exercise(FLY, "Chest Fly (Cable)")],
        mended=[{"patch": {"name": "Chest Fly (Dumbbell)", "slug": "chest-fly-dumbbell"}}],
    ),
    Fault(
        "QUALIFIER_NOT_EQUIPMENT",
        [rename_exercise(FLY, "Chest Fly (Seated)")],
        mended=[{"patch": {"name": "Seated Chest Fly (Dumbbell)", "slug": "seated-chest-fly-dumbbell"}}],
    ),
    Fault(
        "NOT_CANONICAL",
        [patch_exercises([FLY.id], {"level": "Expert", "equipment": ["Dumbbells"], "plane": "sagittal"})],
        mended=[{"patch": {"level": "advanced", "equipment": ["dumbbell"], "plane": "sagittal"}}],
    ),
    Fault(
        "NOT_CANONICAL",
        [patch_exercises([FLY.id], {"level": "heroic", "plane": "sagittal"})],
        mended=[{"patch": {"plane": "sagittal"}}],
        why="and means none",
    ),
    Fault("SLUG_TAKEN", [RENAME, rename_exercise(UP, "Biceps Curl")], mended=[{"id": "op-1"}]),
    Fault(
        "SLUG_TAKEN",
        [create_exercise("Flat Fly", "flat-fly", {})],
        [named("Fly Thing", "cable", id="fly-thing", slug="flat-fly")],
        why="what is made takes no other",
    ),
    Fault(
        "ALIAS_TAKEN",
        [RENAME, rename_exercise(CURL, "Arm Curl")],
        [alias("arm-curl", exercise_id=UP.id)],
        mended=[{"id": "op-1"}],
    ),
    Fault(
        "ALIAS_TAKEN",
        [RENAME, upsert_alias("arm-curl", exercise_id=CURL.id)],
        [alias("arm-curl", exercise_id=UP.id)],
        mended=[{"id": "op-1"}],
        why="by an alias",
    ),
    Fault(
        "ALIAS_TAKEN",
        [create_exercise("Arm Curl", "arm-curl", {})],
        [alias("arm-curl", exercise_id=CURL.id)],
        why="what is made takes no other",
    ),
    Fault(
        "ALIAS_TAKEN",
        [RENAME],
        [alias("chest-fly", exercise_id=UP.id)],
        why="the old slug, before anything was done",
    ),
    Fault("ALIAS_COLLISION", [RENAME, upsert_alias("biceps-curl", exercise_id=FLY.id)], mended=[{"id": "op-1"}]),
    Fault(
        "ALIAS_COLLISION",
        [RENAME, upsert_alias("biceps-curl", family_slug="chest-fly")],
        mended=[{"id": "op-1"}],
        why="of families",
    ),
    Fault(
        "ALIAS_BOTH_TARGETS",
        [upsert_alias("old-fly-2", exercise_id=FLY.id).changed(patch={**TO_FLY, "family_slug": "chest-fly"})],
        mended=[{"patch": TO_FLY}],
    ),
    Fault(
        "ALIAS_NO_TARGET",
        [RENAME, upsert_alias("old-2", exercise_id=FLY.id).changed(patch={})],
        mended=[{"id": "op-1"}],
    ),
    Fault("ALIAS_TARGET_MISSING", [RENAME, upsert_alias("old-2", exercise_id="nobody")], mended=[{"id": "op-1"}]),
    Fault(
        "ALIAS_TARGET_MISSING", [upsert_alias("old-2", exercise_id=GONE.id)], mended=[{"patch": TO_FLY}], why="merged"
    ),
    Fault("ALIAS_TARGET_MISSING", [upsert_alias("old-2", family_slug="no-such")], why="a family, and nothing else"),
    Fault(
        "DUPLICATE_EQUIPMENT_VARIANT",
        [deprecate_exercise(CURL.id), patch_exercises(["fly-2"], {"equipment": ["dumbbell"]})],
        [named("Chest Fly", id="fly-2", slug="fly-2", family_slug="chest-fly")],
        mended=[{"id": "op-1"}],
    ),
    Fault(
        "DUPLICATE_EQUIPMENT_VARIANT",
        [create_exercise("Chest Fly", "chest-fly", {"equipment": ["dumbbell"]}, slug="chest-fly-2")],
    ),
    Fault(
        "MERGE_CONFLICT",
        [reassign_family([CURL.id, "extra"], "chest-fly")],
        [
            named("Chest Fly (Barbell)", "barbell", family_slug="chest-fly"),
            named("Extra Fly (Cable)", "cable", id="extra", family_slug="extra"),
            named(
                "Chest Fly (Dumbbell)", "dumbbell", id="chest-fly", slug="chest-fly-dumbbell", family_slug="chest-fly"
            ),
        ],
        mended=[{"targets": ["exercise/extra"]}],
        also=frozenset({"MISSING_QUALIFIER"}),
    ),
    Fault(
        "MISSING_QUALIFIER",
        [reassign_family([CURL.id], "chest-fly")],
        mended=[
            {"kind": "reassign_family"},
            {"kind": "rename_exercise", "patch": {"name": "Biceps Curl (Barbell)", "slug": "biceps-curl-barbell"}},
            {"kind": "rename_exercise", "patch": {"name": "Chest Fly (Dumbbell)", "slug": "chest-fly-dumbbell"}},
        ],
    ),
    Fault(
        "MISSING_QUALIFIER",
        [rename_exercise(CABLE, "Cable Chest Press")],
        mended=[{"patch": {"name": "Chest Press (Cable)", "slug": "chest-press-cable"}}],
        why="by the plan's own name",
    ),
    Fault("FAMILY_NOT_EMPTY", [RENAME, deprecate_family("chest-press")], mended=[{"id": "op-1"}]),
    Fault(
        "FAMILY_CLOSED",
        [reassign_family([FLY.id], "closed")],
        [entry("closed", status="deprecated", merged_into="open")],
        mended=[{"patch": {"family_slug": "open"}}],
    ),
    Fault(
        "FAMILY_CLOSED",
        [create_exercise("Row", "closed", {})],
        [entry("closed", status="deprecated")],
        why="and leads nowhere",
    ),
    Fault("NOT_ACTIVE", [RENAME, merge_exercise(CURL, GONE)], mended=[{"id": "op-1"}]),
    Fault("BAD_STATUS", [deprecate_exercise(FLY.id, "merged")]),
    Fault("CONTRASTING_NAMES", [merge_exercise(UP, DOWN)]),
    Fault("CONTRASTING_NAMES", [RENAME, merge_exercise(UP, DOWN)], why="never left out by itself"),
    Fault(
        "DIFFERENT_EQUIPMENT",
        [merge_exercise(CURL, FLY)],
        severity=Severity.WARNING,
        mended=[{"kind": "merge_exercise"}],
    ),
    Fault(
        "ORPHANED_ALIAS",
        [reassign_family([FLY.id], "fly"), deprecate_family("chest-fly", merged_into="fly")],
        [alias("old-flies", family_slug="chest-fly")],
        mended=[
            {"kind": "reassign_family"},
            {"kind": "deprecate_family"},
            {"kind": "upsert_alias", "targets": ["alias/family:old-flies"], "patch": {"family_slug": "fly"}},
        ],
    ),
    Fault(
        "ORPHANED_ALIAS",
        [reassign_family([FLY.id], "fly")],
        [alias("old-flies", family_slug="chest-fly")],
        why="and nothing says where to",
    ),
    Fault(
        "POST_CHECK_FAILED",
        [RENAME],
        checks=[PostCheck(target=exercise_target(FLY.id), path="name", equals="Another")],
    ),
    Fault("POST_CHECK_FAILED", [RENAME], checks=[PostCheck(target=exercise_target("x"))], why="a record"),
)


def plan_of(fault: Fault) -> ChangePlan:
    return make_plan("targeted_fix", fault.operations, post_checks=fault.checks, made_at=NOW)


def test_every_code_has_a_plan_with_that_fault() -> None:
    assert {fault.code for fault in FAULTS} | WHILE_APPLYING == set(CODES)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_fault_is_found_and_nothing_else(fault: Fault) -> None:
    findings = validate(plan_of(fault), catalogue(*fault.more))

    assert fault.code in {finding.code for finding in findings}, findings
    assert {finding.code for finding in findings} <= {fault.code, *fault.also}, findings
    for finding in findings:
        assert finding.message
        if finding.code == fault.code:
            assert finding.severity is fault.severity


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_the_fault_is_mended_or_left_to_a_person(fault: Fault) -> None:
    plan, snapshot = plan_of(fault), catalogue(*fault.more)
    repairer = RuleBasedRepairer()
    can_repair = True
    for _ in range(3):
        errors = [finding for finding in validate(plan, snapshot) if finding.is_error]
        if not errors:
            break
        told = RepairableError("no", plan.model_dump(mode="json"), [each.model_dump(mode="json") for each in errors])
        answer = await repairer.repair(plan, told, 3)
        can_repair = answer.can_repair
        if not can_repair or answer.work is None:
            break
        plan = answer.work

    assert can_repair is (fault.mended is not None)
    if fault.mended is not None:
        assert [finding for finding in validate(plan, snapshot) if finding.is_error] == []
        assert len(plan.operations) == len(fault.mended)
        for operation, wanted in zip(plan.operations, fault.mended, strict=True):
            says = operation.model_dump(mode="json")
            for name, value in wanted.items():
                found = {key: says[name][key] for key in value} if isinstance(value, dict) else says[name]
                assert found == value, operation


# --- plans without a fault -------------------------------------------------------------------------------------------

SAME = named("Press on a Machine", "machine", family_slug="press")
SOUND = {
    "nothing": [],
    "a rename": [RENAME],
    "a name that it had before": [rename_exercise(CURL, "Arm Curl", aliases=["arm-curl"])],
    "a slug with a number": [rename_exercise(FLY, "Flat Fly", slug="flat-fly-2")],
    "a merge": [merge_exercise(SAME, PRESS)],
    "a create": [create_exercise("Row (Cable)", "row", {"equipment": ["cable"], "attributes.tempo": "slow"})],
    "an audit": [no_change([exercise_target(FLY.id)], "as it should be")],
    "a family that moves": [
        reassign_family([FLY.id], "fly"),
        update_registry("fly", title="Fly"),
        deprecate_family("chest-fly", merged_into="fly"),
        upsert_alias("chest-fly", family_slug="fly"),
    ],
    "an alias that is taken over in the open": [delete_alias("arm-curl"), upsert_alias("arm-curl", exercise_id=FLY.id)],
    "an orphan that is repaired": [upsert_alias("lost", exercise_id=FLY.id)],
    "a legacy field that goes": [patch_exercises([FLY.id], {"legacy.old": None, "level": "beginner"})],
    "two that swap their places": [
        rename_exercise(FLY, "Flat Chest Fly"),
        upsert_alias("high-fly", exercise_id=FLY.id),
        deprecate_exercise(CURL.id, "archived"),
    ],
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_plan_has_no_findings(name: str) -> None:
    more = [SAME, alias("arm-curl", exercise_id=CURL.id), alias("lost", exercise_id="nobody")]

    assert validate(make_plan("t", SOUND[name], made_at=NOW), catalogue(*more)) == ()


def test_what_was_wrong_before_is_not_the_plans_fault() -> None:
    """A family whose doubles and bare names the plan leaves as they are."""
    doubles = [
        named(f"{word} Row", "cable", id=f"{word}-row", slug=f"{word}-row", family_slug="row")
        for word in ("one", "two")
    ]
    mess = [
        *(each.model_copy(update={"name": "Row"}) for each in doubles),
        named("Rowing", "barbell", family_slug="row"),
    ]

    plan = make_plan("t", [patch_exercises(["one-row"], {"level": "beginner"})], made_at=NOW)

    assert validate(plan, catalogue(*mess)) == ()


def test_families_that_were_not_read_as_a_whole_are_not_judged() -> None:
    snapshot = catalogue()
    part = Snapshot(snapshot.exercises, whole_families=frozenset())

    assert validate(make_plan("t", [reassign_family([CURL.id], "chest-fly")], made_at=NOW), part) == ()


def test_every_kind_of_operation_is_among_the_sound_plans() -> None:
    assert {operation.kind for operations in SOUND.values() for operation in operations} == set(OperationKind)

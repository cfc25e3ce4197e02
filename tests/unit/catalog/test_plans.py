"""Operations, plans and fixes: what they say of themselves, and what they refuse."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.catalog.aliases import Alias, alias_id
from app.catalog.exercise import ALWAYS_LOCKED, Exercise
from app.catalog.families import Family, FamilyStatus
from app.catalog.plans import (
    CONTENT_PATHS,
    BadFix,
    ChangePlan,
    Fix,
    FixAction,
    OperationKind,
    Risk,
    Snapshot,
    Target,
    Touches,
    apply_fixes,
    create_exercise,
    exercise_target,
    family_target,
    is_writable,
    make_plan,
    merge_exercise,
    missing_paths,
    no_change,
    patch_exercises,
    reassign_family,
    refused_paths,
    rename_exercise,
    touched,
    upsert_alias,
)
from app.catalog.plans.operation import LEAST_RISK
from app.catalog.plans.paths import REQUIRED, WRITABLE
from app.catalog.plans.replay import CannotReplay, replay
from tests.unit.catalog.exercises import FLAWLESS, NOW, named

PRESS = named("Chest Press", "machine")


def alias(slug: str, **target: str) -> Alias:
    family = "family_slug" in target
    return Alias(id=alias_id(slug, family=family), slug=slug, created_at=NOW, updated_at=NOW, **target)


def test_targets_are_one_text() -> None:
    operation = no_change([exercise_target("bench-press"), family_target("bench-press")], "as it should be")

    told = operation.model_dump(mode="json")

    assert told["targets"] == ["exercise/bench-press", "family/bench-press"]
    assert type(operation).model_validate(told) == operation


@pytest.mark.parametrize("text", ["bench-press", "exercise/", "muscle/chest", "/x"])
def test_a_target_that_names_no_record_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Target.model_validate(text)


def test_a_plan_comes_back_from_json_as_it_was() -> None:
    plan = make_plan("family_normalize", [rename_exercise(PRESS, "Chest Press (Machine)")], scope=["chest-press"])

    assert ChangePlan.model_validate_json(plan.model_dump_json()) == plan


def test_operations_are_numbered_around_the_ids_that_are_given() -> None:
    given = no_change([], "x").changed(id="op-2")

    plan = make_plan("family_audit", [no_change([], "a"), given, no_change([], "b")])

    assert [each.id for each in plan.operations] == ["op-1", "op-2", "op-3"]
    assert [each.idempotency_seed for each in plan.operations] == ["op-1", "op-2", "op-3"]
    assert plan.changed().operations == plan.operations


def test_the_risk_of_a_plan_is_the_highest() -> None:
    calm = no_change([], "x")
    assert make_plan("t", []).risk is Risk.LOW
    assert (
        make_plan("t", [calm, merge_exercise(PRESS, FLAWLESS), calm]).risk is LEAST_RISK[OperationKind.MERGE_EXERCISE]
    )
    assert [risk.rank for risk in Risk] == [0, 1, 2, 3]


def test_a_rename_names_the_alias_that_follows_from_it() -> None:
    operation = rename_exercise(PRESS, "Chest Press (Machine)", aliases=["chest-press-machine"])

    assert [str(target) for target in operation.targets] == [
        "exercise/chest-press",
        "alias/chest-press",
        "alias/chest-press-machine",
    ]
    assert operation.patch == {"name": "Chest Press (Machine)", "slug": "chest-press-machine"}


def test_a_rename_that_keeps_the_slug_makes_no_alias() -> None:
    operation = rename_exercise(PRESS, "Chest  Press")

    assert (operation.targets, operation.patch) == ((exercise_target("chest-press"),), {"name": "Chest  Press"})


def test_a_merge_names_both_exercises_and_every_alias() -> None:
    operation = merge_exercise(PRESS, FLAWLESS, aliases=[alias("machine-press", exercise_id="chest-press")])

    assert [str(target) for target in operation.targets] == [
        "exercise/chest-press",
        "exercise/bench-press",
        "alias/chest-press",
        "alias/machine-press",
    ]
    assert operation.risk is Risk.HIGH


# --- paths -----------------------------------------------------------------------------------------------------------


def test_every_kind_has_its_paths() -> None:
    assert set(WRITABLE) == set(OperationKind)
    assert all(is_writable(kind, path) for kind, paths in REQUIRED.items() for path in paths)


def test_content_paths_are_fields_that_nothing_locks() -> None:
    assert set(Exercise.model_fields) - ALWAYS_LOCKED - {"attributes"} == CONTENT_PATHS


@pytest.mark.parametrize(
    ("kind", "path", "allowed"),
    [
        (OperationKind.PATCH_EXERCISE, "equipment", True),
        (OperationKind.PATCH_EXERCISE, "attributes.tempo", True),
        (OperationKind.PATCH_EXERCISE, "attributes.", False),
        (OperationKind.PATCH_EXERCISE, "attributes", False),
        (OperationKind.PATCH_EXERCISE, "legacy.images", True),
        (OperationKind.PATCH_EXERCISE, "name", False),
        (OperationKind.PATCH_EXERCISE, "slug", False),
        (OperationKind.PATCH_EXERCISE, "status", False),
        (OperationKind.PATCH_EXERCISE, "created_at", False),
        (OperationKind.PATCH_EXERCISE, "equipment.0", False),
        (OperationKind.PATCH_EXERCISE, "no_such_field", False),
        (OperationKind.RENAME_EXERCISE, "slug", True),
        (OperationKind.RENAME_EXERCISE, "equipment", False),
        (OperationKind.CREATE_EXERCISE, "id", False),
        (OperationKind.CREATE_EXERCISE, "legacy.x", False),
        (OperationKind.NO_CHANGE, "name", False),
    ],
)
def test_what_may_be_written(kind: OperationKind, path: str, allowed: bool) -> None:
    assert is_writable(kind, path) is allowed


def test_refused_and_missing_paths_are_named() -> None:
    wrong = patch_exercises(["bench-press"], {"slug": "x", "equipment": ["cable"], "id": "y"})
    bare = create_exercise("Row", "row", {}).changed(patch={"name": "Row", "slug": None})

    assert refused_paths(wrong) == ("id", "slug")
    assert missing_paths(bare) == ("family_slug", "slug")


# --- fixes -----------------------------------------------------------------------------------------------------------


def test_fixes_are_made_in_order_and_raise_the_version() -> None:
    plan = make_plan("t", [patch_exercises(["a"], {"slug": "x", "level": "hard"}), no_change([], "b")])
    fixes = [
        Fix(action=FixAction.MODIFY, operation="op-1", set={"patch.slug": None, "patch.level": "advanced"}),
        Fix(action=FixAction.REMOVE, operation="op-2"),
        Fix(action=FixAction.ADD, operation="op-1", add=upsert_alias("b", exercise_id="a")),
    ]

    mended = apply_fixes(plan, fixes)

    assert mended.version == 2
    assert [(each.id, each.kind) for each in mended.operations] == [
        ("op-1", OperationKind.PATCH_EXERCISE),
        ("op-2", OperationKind.UPSERT_ALIAS),
    ]
    assert mended.operations[0].patch == {"level": "advanced"}
    assert plan.operations[0].patch == {"slug": "x", "level": "hard"}


def test_a_modified_operation_loses_its_preview() -> None:
    made = patch_exercises(["a"], {"level": "hard"}).changed(before={"exercise/a": {"level": None}})

    mended = apply_fixes(make_plan("t", [made]), [Fix(action=FixAction.MODIFY, operation="op-1", set={"risk": "high"})])

    assert (mended.operations[0].before, mended.operations[0].risk) == ({}, Risk.HIGH)


def test_equal_fixes_count_once_and_a_removed_operation_needs_no_more() -> None:
    plan = make_plan("t", [no_change([], "a"), no_change([], "b")])
    gone = Fix(action=FixAction.REMOVE, operation="op-1")
    risky = Fix(action=FixAction.MODIFY, operation="op-2", set={"risk": "high"})

    mended = apply_fixes(plan, [gone, gone, risky, risky])

    assert [each.id for each in mended.operations] == ["op-2"]


@pytest.mark.parametrize(
    "fix",
    [
        Fix(action=FixAction.REMOVE, operation="op-9"),
        Fix(action=FixAction.MODIFY, operation="op-1", set={"before": {}}),
        Fix(action=FixAction.MODIFY, operation="op-1", set={"risk": "terrible"}),
        Fix(action=FixAction.ADD, operation="op-9", add=no_change([], "x")),
    ],
)
def test_a_fix_that_does_not_fit_is_refused(fix: Fix) -> None:
    with pytest.raises(BadFix):
        apply_fixes(make_plan("t", [no_change([], "a")]), [fix])


@pytest.mark.parametrize("action", [{"action": "remove"}, {"action": "modify", "operation": "a"}, {"action": "add"}])
def test_a_fix_says_all_that_its_action_needs(action: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Fix.model_validate(action)


# --- snapshots -------------------------------------------------------------------------------------------------------


def test_a_snapshot_tells_members_slugs_and_aliases() -> None:
    archived = named("Bench Press", "cable", status="archived", id="old", slug="old", family_slug="bench-press")
    old = alias("flat-press", exercise_id="bench-press")
    snapshot = Snapshot({"bench-press": FLAWLESS, "old": archived}, {old.id: old})

    assert snapshot.members("bench-press") == (FLAWLESS,)
    assert snapshot.with_slug("old") == (archived,)
    assert snapshot.aliases_of("bench-press") == (old,)
    assert snapshot.get(exercise_target("nobody")) is None


def test_a_snapshot_with_changes_leaves_the_first_as_it_was() -> None:
    old = alias("flat-press", exercise_id="bench-press")
    snapshot = Snapshot({"bench-press": FLAWLESS}, {old.id: old})
    family = Family(slug="bench-press", created_at=NOW, updated_at=NOW)

    after = snapshot.after({exercise_target("bench-press"): None, family_target("bench-press"): family})

    assert (dict(after.exercises), dict(after.families)) == ({}, {"bench-press": family})
    assert dict(after.aliases) == {old.id: old}
    assert "bench-press" in snapshot.exercises


def test_a_merge_takes_no_alias_from_another_record() -> None:
    others = alias("chest-press", exercise_id="fly")
    snapshot = Snapshot({"bench-press": FLAWLESS, "chest-press": PRESS}, {others.id: others})

    with pytest.raises(CannotReplay, match="'chest-press' is an alias of another record already"):
        replay(snapshot, merge_exercise(PRESS, FLAWLESS), NOW)


def test_what_a_plan_touches() -> None:
    plan = make_plan(
        "t",
        [
            rename_exercise(PRESS, "Chest Press (Machine)"),
            merge_exercise(FLAWLESS, PRESS),
            reassign_family(["fly"], "chest-fly"),
            upsert_alias("old-fly", exercise_id="fly"),
            upsert_alias("old", family_slug="chest-fly"),
            patch_exercises(["far"], {"level": "beginner"}),
        ],
    )

    assert touched(plan) == Touches.of(
        exercises=["chest-press", "bench-press", "fly", "far"],
        families=["chest-fly"],
        families_of=["chest-press", "bench-press", "fly"],
        aliases=["chest-press", "bench-press", "old-fly", "family:old"],
        aliases_of=["bench-press"],
        slugs=["chest-press-machine", "old-fly"],
    )


# --- aliases and families --------------------------------------------------------------------------------------------


def test_an_alias_of_a_family_is_no_alias_of_an_exercise() -> None:
    assert alias("bench", exercise_id="bench-press").space == "exercise"
    assert alias("bench", family_slug="bench-press").space == "family"
    assert alias_id("bench") != alias_id("bench", family=True)


def test_a_family_is_merged_only_when_it_is_deprecated() -> None:
    with pytest.raises(ValidationError, match="deprecated"):
        Family(slug="a", merged_into="b", created_at=NOW, updated_at=NOW)
    with pytest.raises(ValidationError, match="itself"):
        Family(slug="a", merged_into="a", status=FamilyStatus.DEPRECATED, created_at=NOW, updated_at=NOW)

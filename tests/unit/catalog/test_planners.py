"""Plans of each type: what they change, what they leave to a person, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest

from app.catalog.aliases import FAMILY_PREFIX, Alias
from app.catalog.exercise import Exercise
from app.catalog.families import Family
from app.catalog.payloads import (
    AliasRepair,
    ExerciseAdd,
    FamilyAudit,
    FamilyMerge,
    FamilyNormalize,
    FamilyRenameSlug,
    FamilySplit,
    MergeCandidate,
    SchemaCleanup,
    TargetedFix,
)
from app.catalog.planners import (
    CannotPlan,
    add_exercise,
    alias_repair,
    audit,
    cleanup,
    merge_candidate,
    merge_families,
    normalize,
    rename_family_slug,
    split_family,
    targeted_fix,
)
from app.catalog.plans import ChangePlan, OperationKind, Risk, Snapshot, refused_paths
from app.catalog.plans.replay import replay_plan
from app.catalog.reviewer.maintenance import scan_families
from tests.unit.catalog.exercises import NOW, named

LATER = NOW + timedelta(days=1)


def alias(record_id: str, exercise: str | None = None, family: str | None = None) -> Alias:
    return Alias(
        id=record_id,
        slug=record_id.removeprefix(FAMILY_PREFIX),
        exercise_id=exercise,
        family_slug=family,
        created_at=NOW,
        updated_at=NOW,
    )


def snapshot(*exercises: Exercise, aliases: Iterable[Alias] = (), families: Iterable[Family] = ()) -> Snapshot:
    return Snapshot(
        {each.id: each for each in exercises},
        {each.id: each for each in aliases},
        {each.slug: each for each in families},
    )


def after(plan: ChangePlan, before: Snapshot) -> Snapshot:
    """What the catalogue would be: every operation of the plan can be done, and writes only what it may."""
    assert not [path for operation in plan.operations for path in refused_paths(operation)]
    done, problems = replay_plan(before, plan, LATER)
    assert problems == []
    return done


def names(found: Snapshot) -> dict[str, str]:
    return {each.id: each.name for each in found.exercises.values()}


def leads(found: Snapshot) -> dict[str, str | None]:
    return {each.id: each.exercise_id or each.family_slug for each in found.aliases.values()}


def kinds(plan: ChangePlan) -> list[str]:
    return [str(operation.kind) for operation in plan.operations]


def remarks(plan: ChangePlan) -> list[str]:
    return [each.rationale for each in plan.operations if each.kind is OperationKind.NO_CHANGE]


# --- family_normalize ------------------------------------------------------------------------------------------------


def test_names_get_their_equipment_and_old_slugs_become_aliases() -> None:
    before = snapshot(
        named("Barbell Row", "barbell"), named("One Arm DB Row", "dumbbell"), named("Row (Cable)", "cable")
    )
    payload = FamilyNormalize(family_slug="row")

    plan = normalize.build(payload, before)
    found = after(plan, before)

    assert names(found) == {
        "barbell-row": "Row (Barbell)",
        "one-arm-db-row": "Single-Arm Row (Dumbbell)",
        "row-cable": "Row (Cable)",
    }
    assert leads(found) == {"barbell-row": "barbell-row", "one-arm-db-row": "one-arm-db-row"}
    assert normalize.build(payload, found).operations == ()


def test_a_family_of_one_equipment_stays_as_it_is() -> None:
    plan = normalize.build(FamilyNormalize(family_slug="row"), snapshot(named("Barbell Row", "barbell"), named("Row")))

    assert plan.operations == ()
    assert "one kind of equipment (barbell)" in plan.assumptions[0]


def test_doubles_are_left_to_a_person() -> None:
    before = snapshot(
        named("Dumbbell Row", "dumbbell"), named("DB Row", "dumbbell"), named("Cable Row", "cable"), named("Sled Row")
    )

    plan = normalize.build(FamilyNormalize(family_slug="row"), before)

    assert kinds(plan) == ["rename_exercise", "no_change", "no_change"]
    assert "'Dumbbell Row' has its equipment and modifiers" in remarks(plan)[0]
    after(plan, before)


def test_a_name_that_another_exercise_has_is_not_taken() -> None:
    other = named("Row (Cable)", "barbell")  # the name contradicts the record
    before = snapshot(named("Cable Row", "cable"), named("Barbell Row", "barbell"), other)

    plan = normalize.build(FamilyNormalize(family_slug="row"), before)

    assert kinds(plan) == ["rename_exercise", "no_change"]
    assert remarks(plan) == ["'Cable Row' stays: 'Row (Cable)' has the name 'Row (Cable)'"]


def test_a_name_that_the_exercise_had_before_is_taken_back() -> None:
    exercise = named("Barbell Row", "barbell", id="row-barbell")
    before = snapshot(exercise, named("Row (Cable)", "cable"), aliases=[alias("row-barbell", "row-barbell")])

    found = after(normalize.build(FamilyNormalize(family_slug="row"), before), before)

    assert names(found)["row-barbell"] == "Row (Barbell)"
    assert leads(found) == {"barbell-row": "row-barbell"}


def test_a_family_that_was_renamed_meanwhile_is_no_error() -> None:
    before = snapshot(named("Row", "barbell", family_slug="rowing"), aliases=[alias("family:row", family="rowing")])

    assert normalize.build(FamilyNormalize(family_slug="row"), before).operations == ()
    with pytest.raises(CannotPlan, match="no active exercise is in a family 'rows'"):
        normalize.build(FamilyNormalize(family_slug="rows"), before)
    with pytest.raises(CannotPlan, match="it is now 'rowing'"):
        audit.build(FamilyAudit(family_slug="row"), before)


# --- family_merge ----------------------------------------------------------------------------------------------------

ROWS = [named("Barbell Row", "barbell"), named("Close-Grip Row", "barbell")]


def rows(*more: Exercise) -> Snapshot:
    odd = [each.model_copy(update={"family_slug": "rows"}) for each in more]
    return snapshot(*ROWS, *odd, aliases=[alias("family:old-rows", family="rows")])


def test_what_the_target_lacks_moves_and_the_empty_family_is_closed() -> None:
    before = rows(named("Cable Row", "cable"), named("Close-Grip Machine Row", "machine"))

    plan = merge_families.build(FamilyMerge(source_family="rows", target_family="row"), before)
    found = after(plan, before)

    assert plan.risk is Risk.HIGH
    assert {each.family_slug for each in found.exercises.values()} == {"row"}
    assert sorted(names(found).values()) == [
        "Close-Grip Row (Barbell)",
        "Close-Grip Row (Machine)",
        "Row (Barbell)",
        "Row (Cable)",
    ]
    assert leads(found)["family:rows"] == leads(found)["family:old-rows"] == "row"
    assert found.families["rows"].merged_into == "row"
    assert scan_families(found.exercises.values()).findings == ()
    assert merge_families.build(FamilyMerge(source_family="rows", target_family="row"), found).operations == ()


def test_what_the_target_has_stays_for_a_person_and_so_does_the_family() -> None:
    before = rows(named("Cable Row", "cable"), named("BB Row", "barbell"), named("Sled Row"))

    plan = merge_families.build(FamilyMerge(source_family="rows", target_family="row"), before)
    found = after(plan, before)

    moved = {each.id for each in found.exercises.values() if each.family_slug == "row"}
    assert moved == {"barbell-row", "close-grip-row", "cable-row"}
    assert any("'BB Row' stays as it is: 'Barbell Row' has its equipment" in each for each in remarks(plan))
    assert any("'Sled Row' stays as it is: its equipment is not known" in each for each in remarks(plan))
    assert "rows" not in found.families
    assert "family:rows" not in found.aliases


def test_two_that_take_the_same_place_do_not_both_move() -> None:
    before = rows(named("Cable Row", "cable"), named("Row (Cable)", "cable"))

    found = after(merge_families.build(FamilyMerge(source_family="rows", target_family="row"), before), before)

    assert [each.id for each in found.members("rows")] == ["row-cable"]


@pytest.mark.parametrize(("source", "target"), [("row", "nowhere"), ("nowhere", "row")])
def test_both_families_must_be_there(source: str, target: str) -> None:
    with pytest.raises(CannotPlan, match="nowhere"):
        merge_families.build(FamilyMerge(source_family=source, target_family=target), snapshot(*ROWS))


# --- family_split ----------------------------------------------------------------------------------------------------

CURLS = snapshot(named("Leg Curl (Machine)", "machine"), named("Leg Curl (Stability Ball)", "stability-ball"))


def test_a_family_is_split_by_equipment() -> None:
    payload = FamilySplit(family_slug="leg-curl", into={"stability-ball": "ball-leg-curl"})

    plan = split_family.build(payload, CURLS)
    found = after(plan, CURLS)

    assert plan.risk is Risk.HIGH
    assert [each.id for each in found.members("ball-leg-curl")] == ["leg-curl-stability-ball"]
    assert [each.id for each in found.members("leg-curl")] == ["leg-curl-machine"]
    assert found.families["ball-leg-curl"].notes == "split from leg-curl"
    assert split_family.build(payload, found).operations == ()


@pytest.mark.parametrize(
    ("into", "code"),
    [
        ({"barbell": "other"}, "NOTHING_TO_SPLIT"),
        ({"machine": "one", "stability-ball": "other"}, "NOTHING_LEFT"),
        ({"machine": "old"}, "FAMILY_SLUG_TAKEN"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(into: dict[str, str], code: str) -> None:
    before = snapshot(*CURLS.exercises.values(), aliases=[alias("family:old", family="elsewhere")])

    with pytest.raises(CannotPlan) as refused:
        split_family.build(FamilySplit(family_slug="leg-curl", into=into), before)

    assert refused.value.code == code


def test_a_split_into_a_family_that_is_there_keeps_its_rules() -> None:
    there = named("Ball Curl", "stability-ball").model_copy(update={"family_slug": "ball-leg-curl", "name": "Leg Curl"})
    before = snapshot(*CURLS.exercises.values(), there)
    payload = FamilySplit(family_slug="leg-curl", into={"stability-ball": "ball-leg-curl"})

    plan = split_family.build(payload, before)

    assert kinds(plan) == ["no_change"]


# --- family_rename_slug ----------------------------------------------------------------------------------------------


def test_all_exercises_move_archived_ones_too_and_the_old_slug_leads_there() -> None:
    entry = Family(slug="row", title="Rows", created_at=NOW, updated_at=NOW)
    before = snapshot(*ROWS, named("Old Row", "cable", status="archived", family_slug="row"), families=[entry])
    there, back = (
        FamilyRenameSlug(family_slug="row", new_slug="rowing-pull"),
        FamilyRenameSlug(family_slug="rowing-pull", new_slug="row"),
    )

    found = after(rename_family_slug.build(there, before), before)

    assert {each.family_slug for each in found.exercises.values()} == {"rowing-pull"}
    assert leads(found) == {"family:row": "rowing-pull"}
    assert (found.families["rowing-pull"].title, found.families["row"].merged_into) == ("Rows", "rowing-pull")
    assert rename_family_slug.build(there, found).operations == ()

    again = after(rename_family_slug.build(back, found), found)

    assert {each.family_slug for each in again.exercises.values()} == {"row"}
    assert leads(again) == {"family:rowing-pull": "row"}
    assert again.families["row"].status == "active"


def test_a_slug_of_another_family_is_not_taken() -> None:
    curl = named("Curl", "barbell", family_slug="curl")
    before = snapshot(*ROWS, curl, aliases=[alias("family:old-curl", family="curl")])

    for new in ("curl", "old-curl"):
        with pytest.raises(CannotPlan) as refused:
            rename_family_slug.build(FamilyRenameSlug(family_slug="row", new_slug=new), before)
        assert refused.value.code == "FAMILY_SLUG_TAKEN"
    with pytest.raises(CannotPlan, match="'nowhere'"):
        rename_family_slug.build(FamilyRenameSlug(family_slug="nowhere", new_slug="else"), before)


# --- exercise_add ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "equipment", "wanted", "family"),
    [
        ("Seal Row", ("barbell",), "Seal Row (Barbell)", "seal-row"),
        ("One-arm DB seal row", (), "Single-Arm Seal Row (Dumbbell)", "seal-row"),
        ("Burpee", ("bodyweight",), "Burpee", "burpee"),
        ("Seal Row", (), "Seal Row", "seal-row"),
    ],
)
def test_family_name_and_slug_are_derived(name: str, equipment: tuple[str, ...], wanted: str, family: str) -> None:
    plan = add_exercise.build(ExerciseAdd(name=name, equipment=equipment, level="beginner"), snapshot())
    (found,) = after(plan, snapshot()).exercises.values()

    assert (found.name, found.family_slug, found.level) == (wanted, family, "beginner")
    assert found.id == found.slug


def test_a_second_kind_of_equipment_makes_the_others_carry_theirs() -> None:
    before = snapshot(named("Barbell Row", "barbell"))

    found = after(add_exercise.build(ExerciseAdd(name="Cable Row"), before), before)

    assert sorted(names(found).values()) == ["Row (Barbell)", "Row (Cable)"]


def test_the_family_is_the_one_that_its_alias_leads_to() -> None:
    old = named("Row (Barbell)", "barbell", family_slug="rowing")
    before = snapshot(old, aliases=[alias("family:row", family="rowing")])
    payload = ExerciseAdd(name="Row", equipment=("cable",))

    assert "rowing" in add_exercise.needs(payload, before).families
    found = after(add_exercise.build(payload, before), before)

    assert found.exercises["row-cable"].family_slug == "rowing"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (ExerciseAdd(name="Barbell Row"), "SLUG_TAKEN"),
        (ExerciseAdd(name="Dip Row", equipment=("cable",)), "SLUG_TAKEN"),
        (ExerciseAdd(name="Press", equipment=("barbell",)), "VARIANT_TAKEN"),
        (ExerciseAdd(name="Barbell Row", equipment=("cable",)), "NAME_CONTRADICTS_EQUIPMENT"),
    ],
)
def test_what_is_taken_is_refused(payload: ExerciseAdd, code: str) -> None:
    before = snapshot(
        named("Row (Barbell)", "barbell"),
        named("Barbell Press", "barbell"),
        aliases=[alias("dip-row-cable", "row-barbell")],
    )

    with pytest.raises(CannotPlan) as refused:
        add_exercise.build(payload, before)

    assert refused.value.code == code


# --- targeted_fix ----------------------------------------------------------------------------------------------------


def test_a_rename_keeps_the_family_or_takes_the_one_that_the_name_says() -> None:
    before = snapshot(named("Rwo", "barbell"), named("Curl", "barbell"))

    found = after(targeted_fix.build(TargetedFix(exercise_id="rwo", action="rename", name="Row"), before), before)

    assert (found.exercises["rwo"].name, found.exercises["rwo"].slug) == ("Row", "row")
    assert found.exercises["rwo"].family_slug == "row"
    assert leads(found) == {"rwo": "rwo"}


def test_archiving_is_done_once() -> None:
    before = snapshot(*ROWS)
    payload = TargetedFix(exercise_id="barbell-row", action="archive", reason="nobody does it")

    plan = targeted_fix.build(payload, before)
    found = after(plan, before)

    assert found.exercises["barbell-row"].status == "archived"
    assert plan.operations[0].rationale == "nobody does it"
    assert targeted_fix.build(payload, found).operations == ()


def test_an_identity_is_derived_again_from_the_right_equipment() -> None:
    before = snapshot(named("Smith Incline Shoulder Raise", "barbell"), named("Shoulder Raise", "dumbbell"))
    payload = TargetedFix(
        exercise_id="smith-incline-shoulder-raise", action="fix_identity", equipment=("smith-machine",)
    )

    found = after(targeted_fix.build(payload, before), before)

    assert sorted(names(found).values()) == ["Incline Shoulder Raise (Smith Machine)", "Shoulder Raise (Dumbbell)"]
    assert found.exercises[payload.exercise_id].equipment == ("smith-machine",)
    assert targeted_fix.build(payload, found).operations == ()


def test_without_equipment_the_name_is_right() -> None:
    before = snapshot(named("Smith Incline Shoulder Raise", "barbell"))
    payload = TargetedFix(exercise_id="smith-incline-shoulder-raise", action="fix_identity")

    found = after(targeted_fix.build(payload, before), before)

    assert found.exercises[payload.exercise_id].equipment == ("smith-machine",)


def test_a_patch_writes_what_it_says() -> None:
    before = snapshot(*ROWS)
    payload = TargetedFix(
        exercise_id="barbell-row", action="patch", patch={"level": "advanced", "attributes.tempo": "3-1-1"}
    )

    found = after(targeted_fix.build(payload, before), before).exercises["barbell-row"]

    assert (found.level, found.attributes) == ("advanced", {"tempo": "3-1-1"})


def test_an_exercise_that_is_not_there_cannot_be_fixed() -> None:
    with pytest.raises(CannotPlan, match="no exercise has the id 'row'"):
        targeted_fix.build(TargetedFix(exercise_id="row", action="archive"), snapshot())


# --- merge_candidate -------------------------------------------------------------------------------------------------


def test_one_is_folded_into_the_other_with_its_aliases_and_what_only_it_has() -> None:
    source = named("DB Row", "dumbbell", description="Pull the dumbbell.", level="beginner")
    target = named("Dumbbell Row", "dumbbell", level="advanced")
    before = snapshot(source, target, aliases=[alias("d-row", "db-row")])
    payload = MergeCandidate(source_id="db-row", target_id="dumbbell-row", evidence={"reasons": "the same words"})

    plan = merge_candidate.build(payload, before)
    found = after(plan, before)

    assert plan.risk is Risk.HIGH
    assert "the same words" in plan.operations[0].rationale
    assert set(map(str, plan.targets)) == {
        "exercise/db-row",
        "exercise/dumbbell-row",
        "alias/db-row",
        "alias/d-row",
    }
    assert (found.exercises["db-row"].status, found.exercises["db-row"].merged_into) == ("merged", "dumbbell-row")
    assert leads(found) == {"db-row": "dumbbell-row", "d-row": "dumbbell-row"}
    stays = found.exercises["dumbbell-row"]
    assert (stays.description, stays.level) == ("Pull the dumbbell.", "advanced")
    assert merge_candidate.build(payload, found).operations == ()


def test_a_double_that_was_merged_meanwhile_is_left() -> None:
    before = snapshot(
        named("Row", "cable"), named("Low Row", "cable", status="merged", merged_into="row"), named("Rows")
    )

    for source, target in (("rows", "low-row"), ("low-row", "rows")):
        payload = MergeCandidate(source_id=source, target_id=target, needs_review=True)
        plan = merge_candidate.build(payload, before)

        assert (plan.operations, plan.assumptions) == ((), ("'Low Row' was merged into 'row' meanwhile",))


def test_of_three_doubles_all_end_in_one_whichever_is_merged_first() -> None:
    first, second, third = (named(name, "cable") for name in ("Cable Row", "Low Row", "Rows"))
    before = snapshot(first, second, third)
    merges = [
        MergeCandidate(source_id="rows", target_id="low-row"),
        MergeCandidate(source_id="low-row", target_id="cable-row"),
    ]

    for order in (merges, merges[::-1]):
        found = before
        for payload in order:
            found = after(merge_candidate.build(payload, found), found)

        assert {each.id for each in found.members("row")} == {"cable-row"}
        assert leads(found) == {"rows": "cable-row", "low-row": "cable-row"}
    stayed = merge_candidate.needs(merges[0], after(merge_candidate.build(merges[1], before), before))
    assert "cable-row" in stayed.families_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Palms-Up Wrist Curl", "Palms-Down Wrist Curl"),
        ("External Rotation", "Internal Rotation"),
        ("Lying Face Down Neck Resistance", "Lying Face Up Neck Resistance"),
        ("Thigh Abductor", "Thigh Adductor"),
    ],
)
def test_opposite_movements_are_never_merged(one: str, other: str) -> None:
    first, second = named(one, "dumbbell"), named(other, "dumbbell")

    with pytest.raises(CannotPlan) as refused:
        merge_candidate.build(MergeCandidate(source_id=first.id, target_id=second.id), snapshot(first, second))

    assert refused.value.code == "CONTRAST"


def test_what_is_out_of_use_is_not_merged() -> None:
    before = snapshot(named("Row", "cable", status="archived"), named("Cable Row", "cable"))

    with pytest.raises(CannotPlan, match="'Row' is archived"):
        merge_candidate.build(MergeCandidate(source_id="row", target_id="cable-row"), before)
    with pytest.raises(CannotPlan, match="'nobody'"):
        merge_candidate.build(MergeCandidate(source_id="nobody", target_id="cable-row"), before)


# --- family_audit, alias_repair, schema_cleanup ----------------------------------------------------------------------


def test_an_audit_says_what_is_wrong_and_changes_nothing() -> None:
    before = snapshot(named("Barbell Row", "barbell"), named("Cable Row", "cable"), named("Sled Row"))

    plan = audit.build(FamilyAudit(family_slug="row"), before)

    assert set(kinds(plan)) == {"no_change"}
    assert [words.partition(":")[0] for words in remarks(plan)] == [
        "MISSING_QUALIFIER",
        "MISSING_QUALIFIER",
        "EQUIPMENT_UNKNOWN",
    ]
    assert "proposed name: Row (Barbell)" in remarks(plan)[0]
    assert after(plan, before) == before


def test_aliases_are_mended_as_far_as_it_is_sure_what_they_mean() -> None:
    merged = named("DB Row", "dumbbell", status="merged", merged_into="dumbbell-row")
    renamed = named("Row (Cable)", "cable", id="cable-row")
    gone = alias("gone", "nobody")
    moved = alias("d-row", "db-row")
    both = alias("both", "dumbbell-row", "row")
    before = snapshot(merged, named("Dumbbell Row", "dumbbell"), renamed, aliases=[gone, moved, both])
    asked = AliasRepair(aliases=("gone", "d-row", "both", "cable-row", "db-row"))

    assert {"cable-row", "db-row", "nobody"} <= alias_repair.needs(asked, before).exercises
    found = after(alias_repair.build(asked, before), before)

    assert leads(found) == {
        "d-row": "dumbbell-row",
        "both": "dumbbell-row",
        "cable-row": "cable-row",
        "db-row": "dumbbell-row",
    }
    again = alias_repair.build(asked, found)
    assert (again.operations, again.assumptions) == ((), ("5 of 5 aliases have nothing wrong with them",))


def test_deprecated_fields_go_and_replaced_ones_only_where_something_took_their_place() -> None:
    full = named("Row", "cable", legacy={"tips": "x", "rating": 3, "own": 1}, coaching_cues=("Pull.",))
    bare = named("Curl", "cable", legacy={"tips": "x", "rating": 3})
    alike = named("Dip", "machine", legacy={"rating": 4})
    clean = named("Press", "machine")
    before = snapshot(full, bare, alike, clean)
    payload = SchemaCleanup(exercise_ids=("row", "curl", "dip", "press"))

    plan = cleanup.build(payload, before)
    found = after(plan, before)

    assert [set(operation.exercise_ids()) for operation in plan.operations] == [{"curl", "dip"}, {"row"}]
    assert {each.id: each.legacy for each in found.exercises.values()} == {
        "row": {"own": 1},
        "curl": {"tips": "x"},
        "dip": {},
        "press": {},
    }
    assert plan.assumptions == ("tips stays where nothing has taken its place",)
    assert cleanup.build(payload, found).operations == ()


def test_only_the_fields_that_are_asked_for_are_removed() -> None:
    before = snapshot(named("Row", legacy={"rating": 3, "video": "x"}))

    found = after(cleanup.build(SchemaCleanup(exercise_ids=("row",), fields=("video",)), before), before)

    assert found.exercises["row"].legacy == {"rating": 3}
    with pytest.raises(CannotPlan, match="'nobody'"):
        cleanup.build(SchemaCleanup(exercise_ids=("nobody",)), before)

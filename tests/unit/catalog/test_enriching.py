"""From an enricher's proposals to a plan, and what is counted."""

from __future__ import annotations

from app.catalog.enrichment import FieldProposal
from app.catalog.exercise import Exercise
from app.catalog.payloads import EnrichmentChoice
from app.catalog.plans import OperationKind, Snapshot, refused_paths
from app.catalog.plans.replay import replay_plan
from app.catalog.tasks.enriching import (
    Decided,
    counted,
    decide,
    patched_by,
    plan_of,
    proposals_as_json,
    proposals_of_json,
    touches_of,
)
from tests.unit.catalog.exercises import NOW, named


def equipment(value: str, confidence: float = 0.9) -> FieldProposal:
    return FieldProposal("equipment", [value], confidence, "the name")


def level(value: str = "beginner") -> FieldProposal:
    return FieldProposal("level", value, 0.9, "the text")


def decided(family: list[Exercise], proposals: dict[str, list[FieldProposal]]) -> dict[str, Decided]:
    before = Snapshot({each.id: each for each in family})
    return {each.exercise_id: each for each in decide(family, before, proposals, EnrichmentChoice(), NOW)}


def test_what_is_sure_is_patched_and_marked_as_a_guess() -> None:
    row = named("Sled Row")
    found = decided([row], {row.id: [equipment("cable"), level(), FieldProposal("plane", "frontal", 0.3, "a hunch")]})

    plan = plan_of("catalog_enrich_field_shard", found.values(), Snapshot({row.id: row}))

    (patch,) = plan.operations
    assert (patch.kind, patch.patch) == (OperationKind.PATCH_EXERCISE, {"equipment": ["cable"], "level": "beginner"})
    assert patch.enriched == ("equipment", "level")
    assert patch.rationale == "equipment: the name (0.90); level: the text (0.90)"
    assert refused_paths(patch) == ()
    assert found[row.id].written.dropped == {"low_confidence": 1}
    assert touches_of(found.values()).families_of == {row.id}


def test_equipment_that_makes_a_double_is_not_written() -> None:
    family = [named("Cable Row", "cable"), named("Rows")]

    found = decided(family, {"rows": [equipment("cable"), level()]})

    assert found["rows"].patch == {"level": "beginner"}
    assert found["rows"].written.dropped == {"double": 1}


def test_of_two_that_would_get_the_same_place_the_first_gets_it() -> None:
    family = [named("Cycling"), named("Bicycling")]

    found = decided(family, {each.id: [equipment("bike")] for each in family})

    assert [found[name].patch for name in ("cycling", "bicycling")] == [{"equipment": ["bike"]}, {}]
    assert found["bicycling"].written.dropped == {"double": 1}


def test_a_second_kind_of_equipment_waits_while_doubles_could_not_be_named() -> None:
    family = [named("Barbell Row", "barbell"), named("Rows", "barbell"), named("Bent-Over Row")]

    found = decided(family, {"bent-over-row": [equipment("cable")]})

    assert (found["bent-over-row"].patch, found["bent-over-row"].written.dropped) == ({}, {"double": 1})


def test_a_second_kind_of_equipment_makes_all_names_carry_theirs() -> None:
    family = [named("Barbell Row", "barbell"), named("Low Row")]
    family[1] = family[1].model_copy(update={"family_slug": "row"})
    before = Snapshot({each.id: each for each in family})
    found = decided(family, {"low-row": [equipment("cable")]})

    after, problems = replay_plan(before, plan_of("x", found.values(), before), NOW)

    assert problems == []
    assert sorted(each.name for each in after.exercises.values()) == ["Low Row (Cable)", "Row (Barbell)"]


def test_what_lacked_its_equipment_before_is_another_jobs_business() -> None:
    family = [named("Barbell Row", "barbell"), named("Cable Row", "cable"), named("Rows")]
    found = decided(family, {"rows": [equipment("machine")]})

    plan = plan_of("x", found.values(), Snapshot({each.id: each for each in family}))

    renames = [operation for operation in plan.operations if operation.kind is OperationKind.RENAME_EXERCISE]
    assert [operation.exercise_ids() for operation in renames] == [("rows",)]


def test_an_exercise_that_was_left_is_counted_as_it_stayed() -> None:
    rows = [named("Sled Row"), named("Sled Push")]
    found = decided(rows, {each.id: [level()] for each in rows}).values()
    plan = plan_of("x", found, Snapshot({each.id: each for each in rows}))

    both, one = counted(found, patched_by(plan.operations)), counted(found, patched_by(plan.operations[:1]))

    assert (both.enriched, both.written, both.dropped) == (2, {"level": 2}, {})
    assert (one.exercises, one.enriched, one.written, one.dropped) == (2, 1, {"level": 1}, {"changed": 1})
    assert sum(one.after.values()) == 2


def test_what_is_recorded_comes_back_as_it_was() -> None:
    row = named("Sled Row")
    proposals = {row.id: [equipment("cable"), FieldProposal("attributes.tempo", {"down": [3]}, 0.5, "it")]}

    (one,) = decided([row], proposals).values()

    assert proposals_of_json(proposals_as_json(proposals)) == proposals
    assert Decided.of_json(one.as_json()) == one

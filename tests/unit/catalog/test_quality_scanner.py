"""Every rule of the quality scanner, both ways, and the scores they make."""

import pytest

from app.catalog.reviewer.quality_scanner import RULES, RuleKind, heuristic_score_exercise, scan_quality
from tests.unit.catalog.exercises import FLAWLESS, changed

FAILING: list[tuple[str, dict[str, object]]] = [
    ("NAME_QUALIFIER", {"name": "Bench Press"}),
    ("NAME_QUALIFIER", {"name": "Bench Press (Medium Grip)"}),
    ("NAME_QUALIFIER", {"name": "Bench Press (Dumbbell)"}),
    ("EQUIPMENT", {"equipment": ()}),
    ("EQUIPMENT", {"equipment": ("barbell", "anvil")}),
    ("CATEGORY", {"category": None}),
    ("CATEGORY", {"category": "strength"}),
    ("MOVEMENT_TYPE", {"movement_type": None}),
    ("MOVEMENT_TYPE", {"movement_type": "Push"}),
    ("SPLIT", {"split": None}),
    ("SPLIT", {"split": "full body"}),
    ("PRIMARY_MUSCLE", {"primary_muscles": ()}),
    ("EXECUTION_NOTES", {"execution_notes": ("Lie on the bench.",)}),
    ("EXECUTION_NOTES", {"execution_notes": ("Lie on the bench.", "  ")}),
    ("DESCRIPTION", {"description": "x" * 49}),
    ("DESCRIPTION", {"description": " " * 60}),
    ("MUSCLE_NAMES", {"primary_muscles": ("pecs",)}),
    ("MUSCLE_NAMES", {"secondary_muscles": ("chest",)}),
    ("MUSCLE_NAMES", {"secondary_muscles": ("triceps", "triceps")}),
    ("PLAIN_TEXT", {"description": "**A horizontal press** for the chest, done lying on a flat bench."}),
    ("PLAIN_TEXT", {"coaching_cues": ("- Drive with the legs",)}),
    ("PLAIN_TEXT", {"use_cases": ("1. Strength",)}),
    ("PLAIN_TEXT", {"use_cases": ("Strength\n2) Size",)}),
    ("PLAIN_TEXT", {"suitability_notes": ("Step 1: be strong",)}),
    ("PLAIN_TEXT", {"coaching_cues": ("See [here](http://example.org)",)}),
    ("PLAIN_TEXT", {"coaching_cues": ("\N{BULLET} Breathe",)}),
    ("PLAIN_TEXT", {"coaching_cues": ("# Cues",)}),
    ("MUSCLE_GROUP", {"muscle_group": None}),
    ("MUSCLE_GROUP", {"muscle_group": "pecs"}),
    ("FOUR_NOTES", {"execution_notes": FLAWLESS.execution_notes[:3]}),
    ("SUITABILITY", {"suitability_notes": ()}),
    ("SUITABILITY", {"suitability_notes": (" ",)}),
    ("USE_CASES", {"use_cases": ()}),
    ("TAGS", {"tags": ()}),
    ("SETUP_FIRST", {"execution_notes": FLAWLESS.execution_notes[::-1]}),
    ("SETUP_FIRST", {"execution_notes": ("Press.", "Lower.", "Press.", "Lower.")}),
    ("GERUND_MISTAKES", {"common_mistakes": ("Bouncing the bar", "The hips come up")}),
    ("GERUND_MISTAKES", {"common_mistakes": ("Bring the bar too high",)}),
    ("GERUND_MISTAKES", {"common_mistakes": ("",)}),
    (
        "DESCRIPTION_EQUIPMENT",
        {"description": "A press that is done with a barbell, with dumbbells or on a cable machine."},
    ),
]

PASSING: list[tuple[str, dict[str, object]]] = [
    ("NAME_QUALIFIER", {"name": "Push-Up", "equipment": ("bodyweight",)}),
    ("NAME_QUALIFIER", {"name": "Close-Grip Bench Press (EZ-Bar)", "equipment": ("ez-bar", "resistance-band")}),
    ("EQUIPMENT", {"equipment": ("barbell", "resistance-band")}),
    ("CATEGORY", {"category": "mobility"}),
    ("MOVEMENT_TYPE", {"movement_type": "other"}),
    ("SPLIT", {"split": "full_body"}),
    ("PRIMARY_MUSCLE", {"primary_muscles": ("chest", "front-delts")}),
    ("EXECUTION_NOTES", {"execution_notes": FLAWLESS.execution_notes[:2]}),
    ("DESCRIPTION", {"description": "x" * 50}),
    ("MUSCLE_NAMES", {"secondary_muscles": ()}),
    ("PLAIN_TEXT", {"coaching_cues": ("Take 3 breaths - no more - at a 45-degree angle (or so), 2 * 2 = 4.",)}),
    ("MUSCLE_GROUP", {"muscle_group": "full-body"}),
    ("FOUR_NOTES", {"execution_notes": (*FLAWLESS.execution_notes, "Breathe.")}),
    ("SUITABILITY", {"suitability_notes": ("Suits anyone.",)}),
    ("USE_CASES", {"use_cases": ("Warm-up",)}),
    ("TAGS", {"tags": ("push",)}),
    ("SETUP_FIRST", {"execution_notes": ("To begin, lie down.", "Now press.", "Lower it.", "Set the bar down.")}),
    ("GERUND_MISTAKES", {"common_mistakes": ()}),
    (
        "DESCRIPTION_EQUIPMENT",
        {"description": "A press that is done with a barbell, or with dumbbells by a few people."},
    ),
]


def failed_rules(fields: dict[str, object]) -> tuple[str, ...]:
    quality = heuristic_score_exercise(changed(**fields))
    return quality.failed_gates + quality.failed_content


@pytest.mark.parametrize(("code", "fields"), FAILING)
def test_a_rule_fails_what_breaks_it(code: str, fields: dict[str, object]) -> None:
    assert code in failed_rules(fields)


@pytest.mark.parametrize(("code", "fields"), PASSING)
def test_a_rule_passes_what_keeps_it(code: str, fields: dict[str, object]) -> None:
    assert code not in failed_rules(fields)


def test_every_rule_has_a_test_each_way() -> None:
    codes = {rule.code for rule in RULES}

    assert len(codes) == len(RULES)
    assert {code for code, _ in FAILING} == codes
    assert {code for code, _ in PASSING} == codes


def test_all_good_is_085() -> None:
    quality = heuristic_score_exercise(FLAWLESS)

    assert (quality.score, quality.label, quality.failed_gates, quality.failed_content) == (0.85, "0.85", (), ())


@pytest.mark.parametrize(("code", "fields"), FAILING)
def test_a_failed_gate_means_no_score_and_failed_content_070(code: str, fields: dict[str, object]) -> None:
    kind = next(rule.kind for rule in RULES if rule.code == code)
    quality = heuristic_score_exercise(changed(**fields))

    if kind is RuleKind.GATE:
        assert quality.score is None
    else:
        assert quality.score == 0.70
        assert quality.failed_gates == ()


def test_a_report_counts_scores_and_failures() -> None:
    report = scan_quality([FLAWLESS, changed(tags=()), changed(category=None, tags=())])

    assert report.total == 3
    assert report.by_score == {"none": 1, "0.70": 1, "0.85": 1}
    assert report.failed["TAGS"] == 2
    assert report.failed["CATEGORY"] == 1
    assert report.failed["SPLIT"] == 0
    assert set(report.failed) == {rule.code for rule in RULES}


def test_a_report_of_nothing_has_all_its_keys() -> None:
    report = scan_quality([])

    assert report.total == 0
    assert report.by_score == {"none": 0, "0.70": 0, "0.85": 0}

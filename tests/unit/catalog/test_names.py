"""Reading names: bases, modifiers, equipment, families, contrasts."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.names import (
    canonical_name,
    contrasts,
    equipment_conflict,
    exact_equipment,
    family_slug,
    mentioned_equipment,
    name_reader,
    parse_name,
)
from app.catalog.taxonomy import load_table, taxonomy

EQUIPMENT = taxonomy().values["equipment"]


@pytest.mark.parametrize(
    ("name", "base", "modifiers", "equipment"),
    [
        ("Bench Press", "bench press", set(), ()),
        ("Bench Press (Barbell)", "bench press", set(), ("barbell",)),
        ("Barbell Deadlift (Barbell)", "deadlift", set(), ("barbell",)),
        ("Close-Grip Barbell Bench Press", "bench press", {"close-grip"}, ("barbell",)),
        ("Incline Push-Up Wide", "push-up", {"incline", "wide-grip"}, ()),
        ("Hammer Grip Incline DB Bench Press", "bench press", {"incline", "neutral-grip"}, ("dumbbell",)),
        ("Narrow Stance Hack Squats", "hack squat", {"narrow-stance"}, ()),
        ("Sumo Deadlift with Chains", "deadlift", {"sumo", "chains"}, ()),
        ("Reverse Band Deadlift", "deadlift", {"reverse-band"}, ()),
        ("Band Assisted Pull-Up", "pull-up", {"band-assisted"}, ()),
        ("Speed Box Squat", "box squat", {"speed"}, ()),
        ("Push-Ups With Feet On An Exercise Ball", "push-up", {"feet-elevated"}, ("stability-ball",)),
        ("Low Pulley Row To Neck", "row", {"low-pulley", "to-neck"}, ("cable",)),
        ("Front Squats With Two Kettlebells", "front squat", {"double"}, ("kettlebell",)),
        ("Kneeling High Pulley Row", "row", {"kneeling", "high-pulley"}, ("cable",)),
        ("Smith Machine Squat", "squat", set(), ("smith-machine",)),
        ("Leverage Shrug", "shrug", set(), ("machine",)),
        ("Trap Bar Deadlift", "deadlift", set(), ("trap-bar",)),
        ("Bicycling, Stationary", "cycling", set(), ("bike",)),
        ("Running, Treadmill", "running", set(), ("treadmill",)),
        ("Recumbent Bike", "cycling", {"recumbent"}, ("bike",)),
        ("Elliptical Trainer", "cross training", set(), ("elliptical",)),
        ("Rowing, Stationary", "rowing", set(), ("rowing-machine",)),
        ("Bottoms Up", "bottoms up", set(), ()),
        ("3/4 Sit-Up", "sit-up", {"three-quarter"}, ()),
        ("Barbell", "barbell", set(), ("barbell",)),
    ],
)
def test_names_are_cut_into_base_modifiers_and_equipment(
    name: str, base: str, modifiers: set[str], equipment: tuple[str, ...]
) -> None:
    parsed = parse_name(name)

    assert (parsed.base, set(parsed.modifiers), parsed.equipment) == (base, modifiers, equipment)


@pytest.mark.parametrize(
    "spellings",
    [
        ("One-Arm Dumbbell Row", "One Arm Dumbbell Row", "Single-Arm Dumbbell Row", "Dumbbell Row, Single Arm"),
        ("Push-Up", "Pushup", "Pushups", "Push Ups", "PUSH-UPS"),
        ("Pull-Up", "Pullups", "Pull Up"),
        ("Dumbbell Fly", "Dumbbell Flyes", "DB Flys", "Fly (Dumbbell)"),
        ("EZ-Bar Curl", "EZ Bar Curl", "E-Z Curl Bar Curl", "Biceps Curl (EZ-Bar)"),
        ("One-Leg Squat", "Single Leg Squats", "Single-Legged Squat"),
        ("Alternate Hammer Curl", "Alternating Hammer Curls"),
        ("Barbell Bench Press", "Bench Press, Barbell", "Bench Press (Barbell)"),
    ],
)
def test_spellings_of_one_exercise_are_read_alike(spellings: tuple[str, ...]) -> None:
    read = {(parsed.base, parsed.variant, parsed.equipment) for parsed in map(parse_name, spellings)}

    assert len(read) == 1


@pytest.mark.parametrize(
    "name",
    [
        "Standing Cable Wood Chop",
        "Seated One-Arm Dumbbell Palms-Up Wrist Curl",
        "Kipping Muscle Up",
        "Sumo Deadlift",
        "Bench Press with Chains",
        "Weighted Pull Ups",
    ],
)
def test_grip_stance_position_tempo_limbs_and_added_load_are_never_equipment(name: str) -> None:
    parsed = parse_name(name)

    assert parsed.modifiers
    assert not set(parsed.modifiers) & set(EQUIPMENT)


@pytest.mark.parametrize(
    ("name", "recorded", "modifiers", "equipment"),
    [
        ("Bench Press - With Bands", ("resistance-band",), set(), ("resistance-band",)),
        ("Bench Press - With Bands", ("barbell",), {"banded"}, ()),
        ("Bench Press - With Bands", (), {"banded"}, ()),
        ("External Rotation with Band", (), set(), ("resistance-band",)),
        ("Close-Grip EZ-Bar Curl with Band", (), {"banded", "close-grip"}, ("ez-bar",)),
        ("Banded Squat (Barbell)", (), {"banded"}, ("barbell",)),
        ("Banded Squat (Resistance Band)", (), set(), ("resistance-band",)),
    ],
)
def test_bands_are_a_modifier_where_they_are_added_and_equipment_where_they_are_all_there_is(
    name: str, recorded: tuple[str, ...], modifiers: set[str], equipment: tuple[str, ...]
) -> None:
    parsed = parse_name(name, recorded)

    assert (set(parsed.modifiers), parsed.equipment) == (modifiers, equipment)


@pytest.mark.parametrize(
    ("name", "qualifier"),
    [
        ("Curl (Barbell)", "barbell"),
        ("Row (Smith Machine)", "smith-machine"),
        ("Dip (Parallel Bars)", "dip-station"),
        ("Pull-Up (Overhead Bar)", "pull-up-bar"),
        ("Box Jump (Multiple Response)", None),
        ("Butt Lift (Bridge)", None),
        ("Front Squat (Clean Grip)", None),
        ("Machine Shoulder (Military) Press", None),
        ("Barbell Curl", None),
    ],
)
def test_only_equipment_in_closing_parentheses_is_a_qualifier(name: str, qualifier: str | None) -> None:
    assert parse_name(name).qualifier == qualifier


@pytest.mark.parametrize(
    ("name", "equipment", "canonical"),
    [
        ("Barbell Deadlift", ("barbell",), "Deadlift (Barbell)"),
        ("Barbell Deadlift (Barbell)", ("barbell",), "Deadlift (Barbell)"),
        ("Pushups", ("bodyweight",), "Push-Up (Bodyweight)"),
        ("Seated One-arm Cable Pulley Rows", ("cable",), "Seated Single-Arm Row (Cable)"),
        ("Decline EZ Bar Triceps Extension", ("ez-bar",), "Decline Triceps Extension (EZ-Bar)"),
        ("Parallel Bar Dip", ("dip-station",), "Dip (Parallel Bars)"),
        ("Farmer's Walk", (), "Farmer's Walk"),
        ("Trap Bar Deadlift", (), "Deadlift (Trap Bar)"),
        ("Elbow to Knee", ("bodyweight",), "Elbow to Knee (Bodyweight)"),
        ("Single-Leg Leg Extension", ("machine",), "Unilateral Leg Extension (Machine)"),
    ],
)
def test_canonical_names_are_modifiers_base_and_equipment(
    name: str, equipment: tuple[str, ...], canonical: str
) -> None:
    assert canonical_name(name, equipment) == canonical


def test_a_family_of_one_equipment_needs_no_qualifier() -> None:
    assert canonical_name("Barbell Deadlift", ("barbell",), qualified=False) == "Deadlift"


@pytest.mark.parametrize("equipment", EQUIPMENT)
def test_the_label_of_equipment_is_read_back_as_it(equipment: str) -> None:
    label = name_reader().equipment_label(equipment)

    assert parse_name(f"Curl ({label})").qualifier == equipment


@given(st.text(), st.sampled_from([(), *((item,) for item in EQUIPMENT)]))
def test_a_canonical_name_is_its_own_canonical_name(text: str, equipment: tuple[str, ...]) -> None:
    name = canonical_name(text, equipment)

    assert canonical_name(name, equipment) == name


def _phrases(table: object) -> Iterator[str]:
    """Every phrase that the tables of names know."""
    for key, value in table.items() if isinstance(table, dict) else ():
        yield str(key)
        yield from _phrases(value)


# A word that ends a known phrase ("double leg") may become part of one, behind a modifier that came elsewhere.
_ENDS = {phrase.split()[-1] for phrase in _phrases(load_table("names")) if " " in phrase}
WORDS = sorted({word for phrase in load_table("keywords")["mechanic"] for word in phrase.split()} - _ENDS)
MODIFIERS = sorted({value for kind in load_table("names")["modifiers"].values() for value in kind.values()})


@given(
    st.lists(st.sampled_from(MODIFIERS), unique=True, max_size=3),
    st.sampled_from(WORDS),
    st.sampled_from(EQUIPMENT),
)
def test_canonical_names_made_of_known_words_keep_their_family_and_modifiers(
    modifiers: list[str], word: str, equipment: str
) -> None:
    parsed = parse_name(" ".join((*modifiers, word)), (equipment,))

    again = parse_name(canonical_name(" ".join((*modifiers, word)), (equipment,)), (equipment,))

    assert (again.family_slug, again.variant, again.equipment[0]) == (parsed.family_slug, parsed.variant, equipment)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_name_with_a_letter_or_digit_has_a_family(text: str) -> None:
    assert bool(family_slug(text)) == bool(re.search("[a-z0-9]", family_slug(text + " ")))
    assert family_slug(f"{text} squat")


@pytest.mark.parametrize(
    ("name", "recorded", "exact"),
    [
        ("Smith Machine Squat", ("machine",), ("smith-machine",)),
        ("Running, Treadmill", ("machine",), ("treadmill",)),
        ("Close-Grip EZ Bar Curl", ("barbell",), ("ez-bar",)),
        ("Leg Press", ("machine",), ("machine",)),
        ("Smith Incline Shoulder Raise", ("barbell",), ("barbell",)),
        ("Squat", (), ()),
    ],
)
def test_a_name_makes_general_equipment_exact(name: str, recorded: tuple[str, ...], exact: tuple[str, ...]) -> None:
    assert exact_equipment(name, recorded) == exact


@pytest.mark.parametrize(
    ("name", "recorded", "conflict"),
    [
        ("Smith Incline Shoulder Raise", ("barbell",), ("smith-machine",)),
        ("Bodyweight Flyes", ("ez-bar",), ("bodyweight",)),
        ("Dumbbell Curl", ("cable",), ("dumbbell",)),
        ("Lying Leg Curl", ("dumbbell",), ()),
        ("Calf Press", ("barbell",), ()),
        ("IT Band and Glute Stretch", ("bodyweight",), ()),
        ("Air Bike", ("bodyweight",), ()),
        ("Close-Grip Push-Up off of a Dumbbell", ("bodyweight",), ()),
        ("Box Squat with Bands", ("barbell",), ()),
        ("Smith Machine Squat", ("machine",), ()),
        ("Dumbbell Curl", (), ()),
    ],
)
def test_a_name_contradicts_equipment_only_by_saying_another_one_outright(
    name: str, recorded: tuple[str, ...], conflict: tuple[str, ...]
) -> None:
    assert equipment_conflict(name, recorded) == conflict


@pytest.mark.parametrize(
    ("text", "equipment"),
    [
        ("Hold a dumbbell in each hand, then put the dumbbells down.", ("dumbbell",)),
        ("Grab the barbell and lie on the exercise ball.", ("barbell", "stability-ball")),
        ("Catch the medicine ball.", ("medicine-ball",)),
        ("Rise onto the balls of your feet.", ()),
        ("Curl into a ball.", ()),
        ("Use your own leverage.", ()),
        ("Lift your hips.", ()),
    ],
)
def test_running_text_mentions_equipment_only_where_it_means_it(text: str, equipment: tuple[str, ...]) -> None:
    assert mentioned_equipment(text) == equipment


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Seated Dumbbell Palms-Up Wrist Curl", "Seated Dumbbell Palms-Down Wrist Curl"),
        ("Seated Palm-Up Barbell Wrist Curl", "Seated Palms-Down Barbell Wrist Curl"),
        ("Palms-Up Dumbbell Wrist Curl Over A Bench", "Palms-Down Dumbbell Wrist Curl Over A Bench"),
        ("External Rotation with Band", "Internal Rotation with Band"),
        ("One Arm Supinated Dumbbell Triceps Extension", "One Arm Pronated Dumbbell Triceps Extension"),
        ("Dumbbell Lying Supination", "Dumbbell Lying Pronation"),
        ("Lying Face Up Plate Neck Resistance", "Lying Face Down Plate Neck Resistance"),
        ("Thigh Abductor", "Thigh Adductor"),
        ("Cable Hip Abduction", "Cable Hip Adduction"),
        ("Machine Bicep Curl", "Machine Triceps Extension"),
        ("Hip Flexion with Band", "Hip Extension with Bands"),
        ("Leverage Incline Chest Press", "Leverage Decline Chest Press"),
        ("Close-Grip Front Lat Pulldown", "Wide-Grip Lat Pulldown"),
        ("Supine One-Arm Overhead Throw", "Supine Two-Arm Overhead Throw"),
        ("Clean Pull", "Snatch Pull"),
        ("Leg Curl", "Leg Extension"),
    ],
)
def test_contrasting_names_contrast_both_ways(one: str, other: str) -> None:
    forward, backward = contrasts(one, other), contrasts(other, one)

    assert forward
    assert {(right, left) for left, right in backward} == set(forward)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Push-Up", "Pushups"),
        ("One-Arm Dumbbell Row", "Single Arm Row (Dumbbell)"),
        ("Barbell Bench Press", "Bench Press (Barbell)"),
        ("Hammer Grip Incline DB Bench Press", "Incline Dumbbell Bench With Palms Facing In"),
        ("Palms-Up Wrist Curl", "Palm Up Wrist Curls"),
        ("Front Dumbbell Raise", "Front Raise (Dumbbell)"),
        ("Upper Back Stretch", "Stretch for the Upper Back"),
        ("Squat", "Squat"),
    ],
)
def test_spellings_of_one_exercise_do_not_contrast(one: str, other: str) -> None:
    assert contrasts(one, other) == ()
    assert contrasts(other, one) == ()


@pytest.mark.parametrize("table", ["spelling", "phrases", "equipment", "bases", "default_base", "keep"])
def test_tables_are_written_in_folded_words(table: str) -> None:
    for phrase in load_table("names")[table]:
        assert re.fullmatch(r"[a-z0-9-]+( [a-z0-9-]+)*", phrase), phrase
        assert not {"a", "an", "the"} & set(phrase.split()), phrase


def test_every_word_of_a_contrast_is_a_word_that_names_are_read_into() -> None:
    for pair in load_table("names")["contrasts"]["pairs"]:
        for word in pair:
            assert name_reader().words(word) == (word,) or word in MODIFIERS or "-" not in word

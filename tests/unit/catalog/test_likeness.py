"""What makes two exercises the same, likely the same, or different, whatever their texts say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.exercise import Exercise
from app.catalog.reviewer.likeness import Profile, Verdict, compare
from app.catalog.taxonomy import load_table
from tests.unit.catalog.exercises import named

TEXT = (
    "Take the weight with both hands and breathe in deeply before anything moves.",
    "Bring it towards you until the elbows are level with the shoulders.",
    "Wait for a moment, then let it go back the way it came.",
)
OTHER_TEXT = ("Find a quiet corner, spread a mat.", "Turn the ankles outward twenty times without any hurry at all.")


def exercise(name: str, *equipment: str, notes: tuple[str, ...] = TEXT, muscle: str = "biceps") -> Exercise:
    return named(name, *equipment, execution_notes=notes, primary_muscles=(muscle,))


def verdict(one: Exercise, other: Exercise) -> Verdict:
    return compare(Profile(one), Profile(other)).verdict


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (exercise("Push-Up", "bodyweight"), exercise("pushups", "bodyweight")),
        (exercise("One-Arm Dumbbell Curl", "dumbbell"), exercise("Single Arm Biceps Curl (Dumbbell)", "dumbbell")),
        (exercise("Stationary Bicycling", "bike"), exercise("Bicycling, Stationary", "bike")),
        (exercise("Bench Press - Medium Grip", "barbell"), exercise("Bench Press", "barbell")),
        (exercise("Dips", "dip-station"), exercise("Parallel Bar Dip", "bodyweight")),
        (exercise("Seated Row", "cable"), exercise("Row", "cable", notes=("Sit down at the pulley.", *TEXT))),
    ],
)
def test_names_that_mean_the_same_are_the_same_exercise(one: Exercise, other: Exercise) -> None:
    assert verdict(one, other) is Verdict.SAME


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # equipment
        (exercise("Curl", "barbell"), exercise("Curl", "dumbbell")),
        (exercise("Barbell Curl"), exercise("Dumbbell Curl")),
        (exercise("Curl", "machine"), exercise("Curl", "smith-machine")),
        (exercise("Smith Curl", "barbell"), exercise("Curl", "barbell")),
        (exercise("Kettlebell Row"), exercise("Row")),
        # contrast words
        (exercise("Wrist Curl Palms Up", "barbell"), exercise("Wrist Curl Palms Down", "barbell")),
        (exercise("Internal Rotation", "cable"), exercise("External Rotation", "cable")),
        (exercise("Thigh Adductor", "machine"), exercise("Thigh Abductor", "machine")),
        (exercise("Straight-Arm Pullover", "dumbbell"), exercise("Bent-Arm Pullover", "dumbbell")),
        # modifiers
        (exercise("Incline Curl", "dumbbell"), exercise("Curl", "dumbbell")),
        (exercise("Seated Curl", "dumbbell"), exercise("Standing Curl", "dumbbell")),
        (exercise("Squat with Chains", "barbell"), exercise("Squat", "barbell")),
        # kinds of movements, and words that exclude each other
        (exercise("Power Clean", "barbell"), exercise("Clean", "barbell")),
        (exercise("Hammer Curl", "dumbbell"), exercise("Curl", "dumbbell")),
        (exercise("Power Jerk", "barbell"), exercise("Split Jerk", "barbell")),
        (exercise("Running", "treadmill"), exercise("Jogging", "treadmill")),
        (exercise("Drill 2", "bodyweight"), exercise("Drill 3", "bodyweight")),
        # parts of the body
        (exercise("Peroneals Stretch"), exercise("Posterior Tibialis Stretch")),
        # other names and other texts
        (exercise("Zorb", "barbell"), exercise("Blorp", "barbell", notes=OTHER_TEXT)),
    ],
)
def test_names_that_differ_are_different_exercises_however_alike_their_texts(one: Exercise, other: Exercise) -> None:
    assert verdict(one, other) is Verdict.DIFFERENT


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # no text, a text of its own, another muscle, no equipment: equal names alone are not enough to merge
        (exercise("Curl", "barbell", notes=()), exercise("Curls", "barbell", notes=())),
        (exercise("Curl", "barbell"), exercise("Curls", "barbell", notes=OTHER_TEXT)),
        (exercise("Curl", "barbell"), exercise("Curls", "barbell", muscle="forearms")),
        (exercise("Cat Stretch"), exercise("Cat Stretches")),
        # a text that speaks of a way in which it is done too
        (exercise("Rope Row", "cable"), exercise("Row", "cable", notes=("Take the rope.", *TEXT))),
        # a movement that goes by several names
        (exercise("Military Press", "barbell"), exercise("Shoulder Press", "barbell", notes=OTHER_TEXT)),
        (exercise("Lying Triceps Press", "ez-bar"), exercise("Skullcrusher", "ez-bar", notes=OTHER_TEXT)),
        # another name for the same text
        (exercise("Blorp", "barbell"), exercise("Zorb", "barbell")),
    ],
)
def test_what_speaks_for_it_without_proof_is_for_a_person(one: Exercise, other: Exercise) -> None:
    assert verdict(one, other) is Verdict.LIKELY


def test_records_without_any_text_are_not_alike_for_that() -> None:
    likeness = compare(Profile(exercise("Zorb", "barbell", notes=())), Profile(exercise("Blorp", "barbell", notes=())))

    assert likeness.verdict is Verdict.DIFFERENT
    assert likeness.text is None


def test_the_reasons_say_what_was_seen() -> None:
    one = exercise("Seated Row", "cable")
    other = exercise("Row", "cable", notes=("Sit down at the pulley.", *TEXT))

    likeness = compare(Profile(one), Profile(other))

    assert likeness.text is not None
    assert likeness.reasons == (
        "the names say the same movement",
        "the text of 'Row' says seated",
        "equipment: cable",
        "primary muscle: biceps",
        f"texts {likeness.text:.0%} alike",
    )


def test_what_sets_two_apart_is_the_reason() -> None:
    likeness = compare(
        Profile(exercise("Wrist Curl Palms Up", "barbell")), Profile(exercise("Wrist Curl Palms Down", "barbell"))
    )

    assert likeness.reasons == ("palms-up against palms-down",)


WORDS = st.sampled_from(["Power", "Hang", "Clean", "Row", "Seated", "Zorb", "Palms Up", "Palms Down", "Curl", "2"])
EXERCISES = st.builds(
    lambda words, equipment, notes, muscle: exercise(" ".join(words), *equipment, notes=notes, muscle=muscle),
    st.lists(WORDS, min_size=1, max_size=4),
    st.sampled_from([(), ("barbell",), ("bodyweight",), ("dip-station",)]),
    st.sampled_from([(), TEXT, OTHER_TEXT]),
    st.sampled_from(["biceps", "lats"]),
)


@given(EXERCISES, EXERCISES)
def test_the_order_of_two_does_not_matter(one: Exercise, other: Exercise) -> None:
    first, second = compare(Profile(one), Profile(other)), compare(Profile(other), Profile(one))

    assert (first.verdict, first.score, first.text) == (second.verdict, second.score, second.text)


def test_a_word_does_not_exclude_itself() -> None:
    table = load_table("duplicates")

    assert all(len(set(group["words"])) == len(group["words"]) > 1 for group in table["exclusive"])
    assert not set(table["usual"]) & set(table["told"])
    assert set(table["positions"]["values"]) <= set(table["told"])


def test_no_name_of_a_movement_leads_to_another_one() -> None:
    movements = load_table("duplicates")["movements"]

    assert not set(movements) & set(movements.values())

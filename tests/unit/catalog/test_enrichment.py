"""What is asked for, what is written, and what the deterministic enricher proposes."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from pydantic import JsonValue, ValidationError

from app.catalog.enrichment.deterministic import DeterministicEnricher
from app.catalog.enrichment.enricher import (
    DropReason,
    FieldProposal,
    apply_proposals,
    enrich_exercise,
    fields_to_ask,
)
from app.catalog.enrichment.fields import FieldSpec, OutputType, enrichable_paths
from app.catalog.enrichment.reference import ReferenceIndex
from app.catalog.exercise import ALWAYS_LOCKED, Exercise
from app.catalog.spending import Spending
from app.catalog.taxonomy import load_table, taxonomy
from tests.unit.catalog.exercises import FLAWLESS, NOW, changed, named

LATER = NOW + timedelta(hours=1)
LEVEL = FieldSpec(path="level")


class Parrot:
    """An enricher that says what it was taught, and keeps what it was asked."""

    name = "parrot"
    spent = Spending()

    def __init__(self, *proposals: FieldProposal) -> None:
        self.proposals = list(proposals)
        self.asked: list[str] = []

    async def enrich(self, exercise: Exercise, fields: Sequence[FieldSpec]) -> list[FieldProposal]:
        self.asked = [spec.path for spec in fields]
        return self.proposals


def proposal(path: str, value: JsonValue, confidence: float = 0.9) -> FieldProposal:
    return FieldProposal(path, value, confidence, "taught")


# --- field specifications -----------------------------------------------------------------------------


def test_a_field_of_the_taxonomy_needs_no_more_than_its_path() -> None:
    spec = FieldSpec(path="equipment")

    assert spec.output_type is OutputType.ENUM
    assert spec.allowed_values == taxonomy().values["equipment"]
    assert spec.many


def test_allowed_values_may_be_fewer() -> None:
    spec = FieldSpec(path="level", allowed_values=("beginner", "advanced"))

    assert spec.is_valid("beginner")
    assert not spec.is_valid("intermediate")


def test_what_may_be_enriched_is_what_is_not_always_locked() -> None:
    assert not set(enrichable_paths()) & ALWAYS_LOCKED
    assert all(FieldSpec(path=path).path == path for path in enrichable_paths())


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"path": "colour"}, "no field 'colour'"),
        ({"path": "name"}, "no field 'name'"),
        ({"path": "created_at"}, "no field 'created_at'"),
        ({"path": "attributes"}, "no field 'attributes'"),
        ({"path": "attributes."}, "no field"),
        ({"path": "level", "output_type": "string"}, "canonical values|only for it"),
        ({"path": "level", "allowed_values": ("godlike",)}, "'godlike'"),
        ({"path": "description", "output_type": "number"}, "holds text"),
        ({"path": "description", "output_type": "enum"}, "allowed_values"),
        ({"path": "description", "allowed_values": ("a",)}, "allowed_values"),
        ({"path": "attributes.reps", "output_type": "integer"}, "enum"),
        ({}, "Field required"),
    ],
)
def test_a_specification_that_makes_no_sense_is_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        FieldSpec.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "valid", "invalid"),
    [
        ({"path": "level"}, ["beginner"], ["expert", "", None, 3, ["beginner"]]),
        ({"path": "equipment"}, [["barbell"], ["cable", "bodyweight"]], [[], "barbell", ["anvil"], ["cable", "cable"]]),
        ({"path": "description"}, ["Some words."], ["", "  ", None, "x" * 4001, 5]),
        ({"path": "use_cases"}, [["One.", "Two."]], ["One.", [], ["One.", "One."], [""], [None]]),
        ({"path": "attributes.reps", "output_type": "number"}, [5, 0.5], [True, "5", None, float("nan")]),
        ({"path": "attributes.home", "output_type": "boolean"}, [True, False], [0, "yes", None]),
        ({"path": "attributes.plan", "output_type": "object"}, [{"a": [1]}, {}], [[], "{}", None]),
        ({"path": "attributes.hue", "output_type": "enum", "allowed_values": ("red",)}, ["red"], ["blue", None]),
    ],
)
def test_values_are_checked_by_type(
    fields: dict[str, object], valid: list[JsonValue], invalid: list[JsonValue]
) -> None:
    spec = FieldSpec.model_validate(fields)

    assert [spec.is_valid(value) for value in valid] == [True] * len(valid)
    assert [spec.is_valid(value) for value in invalid] == [False] * len(invalid)


# --- what is written ------------------------------------------------------------------------------------


async def test_a_missing_value_is_asked_for_and_written() -> None:
    exercise = changed(level=None)
    parrot = Parrot(proposal("level", "beginner"))

    outcome = await enrich_exercise(exercise, parrot, [LEVEL, FieldSpec(path="category")], LATER)

    assert parrot.asked == ["level"]
    assert outcome.exercise == changed(level="beginner", updated_at=LATER)
    assert outcome.written == (proposal("level", "beginner"),)
    assert outcome.dropped == {}


async def test_nothing_is_asked_where_nothing_is_missing() -> None:
    parrot = Parrot(proposal("level", "beginner"))

    outcome = await enrich_exercise(FLAWLESS, parrot, [LEVEL], LATER)

    assert parrot.asked == []
    assert outcome.exercise is FLAWLESS


def test_an_invalid_value_counts_as_missing() -> None:
    assert fields_to_ask(changed(level="godlike"), [LEVEL]) == [LEVEL]
    assert fields_to_ask(FLAWLESS, [LEVEL]) == []
    assert fields_to_ask(FLAWLESS, [LEVEL], overwrite=True) == [LEVEL]
    assert fields_to_ask(changed(level=None, locked_fields=("level",)), [LEVEL], overwrite=True) == []


@pytest.mark.parametrize(
    ("fields", "said", "reason"),
    [
        ({"level": None, "locked_fields": ("level",)}, proposal("level", "beginner"), DropReason.LOCKED),
        ({}, proposal("name", "Squat"), DropReason.LOCKED),
        ({}, proposal("status", "archived"), DropReason.LOCKED),
        ({}, proposal("updated_at", "2020-01-01T00:00:00Z"), DropReason.LOCKED),
        ({"level": None}, proposal("plane", "sagittal"), DropReason.NOT_ASKED),
        ({"level": None}, proposal("level", "godlike"), DropReason.INVALID),
        ({"level": None}, proposal("level", None), DropReason.INVALID),
        ({"level": None}, proposal("level", "beginner", 0.59), DropReason.LOW_CONFIDENCE),
        ({"level": None}, proposal("level", "beginner", float("nan")), DropReason.LOW_CONFIDENCE),
        ({"level": "advanced"}, proposal("level", "beginner"), DropReason.HAS_VALUE),
        ({"level": "beginner"}, proposal("level", "beginner"), DropReason.UNCHANGED),
    ],
)
def test_a_proposal_that_may_not_be_written_is_dropped_and_counted(
    fields: dict[str, object], said: FieldProposal, reason: DropReason
) -> None:
    exercise = changed(**fields)

    outcome = apply_proposals(exercise, [said], [LEVEL], LATER)

    assert outcome.exercise is exercise
    assert outcome.written == ()
    assert outcome.dropped == {reason: 1}


@pytest.mark.parametrize("field", sorted(ALWAYS_LOCKED))
def test_no_overwriting_touches_what_is_always_locked(field: str) -> None:
    outcome = apply_proposals(FLAWLESS, [proposal(field, "x", 1.0)], [LEVEL], LATER, overwrite=True)

    assert outcome.exercise is FLAWLESS
    assert outcome.dropped == {DropReason.LOCKED: 1}


def test_overwriting_replaces_a_valid_value() -> None:
    outcome = apply_proposals(FLAWLESS, [proposal("level", "beginner")], [LEVEL], LATER, overwrite=True)

    assert outcome.exercise.level == "beginner"


def test_the_surest_of_two_proposals_is_written() -> None:
    said = [proposal("level", "beginner", 0.7), proposal("level", "advanced", 0.8)]

    outcome = apply_proposals(changed(level=None), said, [LEVEL], LATER)

    assert outcome.exercise.level == "advanced"
    assert outcome.dropped == {DropReason.HAS_VALUE: 1}


def test_the_threshold_itself_is_enough() -> None:
    outcome = apply_proposals(changed(level=None), [proposal("level", "beginner", 0.8)], [LEVEL], LATER, threshold=0.8)

    assert outcome.exercise.level == "beginner"


def test_attributes_are_written_beside_those_that_are_there() -> None:
    specs = [FieldSpec(path="attributes.reps", output_type=OutputType.NUMBER)]
    exercise = changed(attributes={"home": True})

    outcome = apply_proposals(exercise, [proposal("attributes.reps", 8)], specs, LATER)

    assert outcome.exercise.attributes == {"home": True, "reps": 8}
    assert exercise.attributes == {"home": True}


# --- the deterministic enricher ---------------------------------------------------------------------------

LESSONS = [
    named(
        f"{grip} Lat Pulldown",
        "cable",
        level="beginner",
        force="pull",
        mechanic="compound",
        primary_muscles=("lats",),
        execution_notes=("Sit below the pulley and take the bar.", "Pull the bar to the chest."),
    )
    for grip in ("Close-Grip", "Wide-Grip", "Reverse-Grip")
] + [
    named(
        f"{position} Triceps Extension",
        "dumbbell",
        level="advanced",
        force="push",
        mechanic="isolation",
        primary_muscles=("triceps",),
        execution_notes=("Hold the weight behind the head.", "Straighten the elbows."),
    )
    for position in ("Seated", "Standing", "Lying")
]


def proposed(exercise: Exercise, path: str, lessons: Sequence[Exercise] = LESSONS) -> FieldProposal | None:
    return DeterministicEnricher(ReferenceIndex(lessons)).propose(exercise, FieldSpec(path=path))


@pytest.mark.parametrize(
    ("exercise", "path", "value"),
    [
        (named("Cable Curl"), "equipment", ["cable"]),
        (named("Zorb (Dumbbell)"), "equipment", ["dumbbell"]),
        (named("Zorb", execution_notes=("Take the barbell.", "Zorb.")), "equipment", ["barbell"]),
        (named("Zorb Stretch", category="mobility"), "equipment", ["bodyweight"]),
        (named("Mixed-Grip Lat Pulldown"), "primary_muscles", ["lats"]),
        (named("Mixed-Grip Lat Pulldown"), "force", "pull"),
        (named("Kneeling Triceps Extension"), "mechanic", "isolation"),
        (named("Kneeling Triceps Extension", execution_notes=LESSONS[3].execution_notes), "level", "advanced"),
        (named("Zorb", primary_muscles=("lats",)), "muscle_group", "back"),
        (named("Zorb", primary_muscles=("glutes",)), "split", "lower"),
        (named("Power Clean", primary_muscles=("hamstrings",)), "split", "full_body"),
        (named("Zorb", primary_muscles=("obliques",), mechanic="isolation"), "category", "core"),
        (named("Zorb", mechanic="compound"), "category", "compound"),
        (named("Romanian Deadlift"), "movement_type", "hinge"),
        (named("Leg Curl"), "movement_type", "flexion"),
        (named("Zorb", category="mobility", force="pull"), "movement_type", "other"),
        (named("Lateral Raise"), "plane", "frontal"),
        (named("Reverse Fly"), "plane", "transverse"),
    ],
)
def test_values_are_proposed_surely_from_name_text_and_neighbours(
    exercise: Exercise, path: str, value: JsonValue
) -> None:
    found = proposed(exercise, path)

    assert found is not None
    assert found.value == value
    assert 0.6 <= found.confidence <= 1
    assert found.reason


@pytest.mark.parametrize(
    ("exercise", "path"),
    [
        (named("Zorb"), "equipment"),
        (named("Zorb"), "category"),
        (named("Zorb"), "muscle_group"),
        (named("Zorb Stretch", category="mobility"), "mechanic"),
        (named("Running", category="cardio"), "mechanic"),
        (named("Lat Pulldown"), "description"),
    ],
)
def test_nothing_is_proposed_without_evidence(exercise: Exercise, path: str) -> None:
    assert proposed(exercise, path) is None


def test_a_guess_alone_is_not_sure_enough() -> None:
    found = proposed(named("Zorb", force="pull"), "movement_type")

    assert found is not None
    assert found.confidence < 0.6


def test_evidence_for_another_value_makes_less_sure() -> None:
    notes = ("Hold the barbell.", "Zorb.")
    agreed = proposed(named("Zorb", execution_notes=notes), "equipment", lessons=[])
    contradicted = proposed(named("Zorb Push-Up", execution_notes=notes), "equipment", lessons=[])

    assert agreed is not None
    assert contradicted is not None
    assert contradicted.confidence < agreed.confidence


def test_a_value_that_is_not_allowed_is_not_proposed() -> None:
    enricher = DeterministicEnricher(ReferenceIndex([]))
    spec = FieldSpec(path="equipment", allowed_values=("barbell",))

    assert enricher.propose(named("Cable Curl"), spec) is None


async def test_several_fields_are_proposed_together_and_the_same_each_time() -> None:
    enricher = DeterministicEnricher(ReferenceIndex(LESSONS))
    specs = [FieldSpec(path=path) for path in ("equipment", "mechanic", "description", "split")]

    first = await enricher.enrich(named("Machine Lat Pulldown", primary_muscles=("lats",)), specs)

    assert [(found.path, found.value) for found in first] == [
        ("equipment", ["machine"]),
        ("mechanic", "compound"),
        ("split", "upper"),
    ]
    assert first == await enricher.enrich(named("Machine Lat Pulldown", primary_muscles=("lats",)), specs)


@pytest.mark.parametrize("field", sorted(load_table("keywords")))
def test_every_keyword_says_a_canonical_value(field: str) -> None:
    spec = FieldSpec(path=field)

    assert set(load_table("keywords")[field].values()) <= set(spec.allowed_values)


# --- the nearest exercises ----------------------------------------------------------------------------------


def test_an_exercise_is_not_its_own_neighbour() -> None:
    neighbours = ReferenceIndex(LESSONS).nearest(LESSONS[0], "level")

    assert LESSONS[0].id not in [neighbour.id for neighbour, _ in neighbours]
    assert [neighbour.family_slug for neighbour, _ in neighbours[:2]] == ["lat-pulldown"] * 2


def test_what_is_asked_about_has_no_say() -> None:
    index = ReferenceIndex(LESSONS)
    known = named("Zorb", "dumbbell", execution_notes=("Sit below the pulley.", "Pull."))

    assert index.votes(known, "equipment")[0].value == "cable"


def test_similarities_lie_between_0_and_1_and_fall() -> None:
    similarities = [similarity for _, similarity in ReferenceIndex(LESSONS).nearest(named("Lat Pulldown"), "level")]

    assert similarities == sorted(similarities, reverse=True)
    assert all(0 < similarity <= 1 for similarity in similarities)


def test_votes_are_shares_of_a_whole() -> None:
    votes = ReferenceIndex(LESSONS).votes(named("Seated Lat Pulldown"), "level")

    assert votes[0].value == "beginner"
    assert sum(vote.share for vote in votes) == pytest.approx(1)


def test_only_active_and_well_described_exercises_are_learnt_from() -> None:
    index = ReferenceIndex(
        [
            LESSONS[0].model_copy(update={"status": "archived"}),
            LESSONS[1].model_copy(update={"execution_notes": ("Pull.",)}),
            LESSONS[2],
        ]
    )

    assert len(index) == 1


def test_the_index_is_bounded() -> None:
    assert len(ReferenceIndex(LESSONS, max_exercises=2)) == 2


def test_an_empty_index_has_no_neighbours() -> None:
    assert ReferenceIndex([]).votes(LESSONS[0], "level") == []


def test_records_without_any_notes_are_no_neighbours_of_each_other() -> None:
    empty = [named(name, "barbell", level="beginner") for name in ("Push Press", "Side Bridge", "Iron Cross")]

    assert ReferenceIndex(empty).votes(named("Side Jackknife"), "level") == []

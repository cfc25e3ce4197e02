"""Exercises for tests: one that every quality rule is content with, and changes of it."""

from datetime import UTC, datetime

from app.catalog.exercise import Exercise, new_exercise

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)

FLAWLESS = Exercise(
    id="bench-press",
    slug="bench-press",
    name="Bench Press (Barbell)",
    family_slug="bench-press",
    equipment=("barbell",),
    category="compound",
    movement_type="push",
    split="upper",
    level="intermediate",
    plane="transverse",
    force="push",
    mechanic="compound",
    muscle_group="chest",
    primary_muscles=("chest",),
    secondary_muscles=("triceps", "shoulders"),
    description="A horizontal press for the chest, done lying on a flat bench with a barbell.",
    execution_notes=(
        "Lie on the bench with your eyes under the bar.",
        "Grip the bar a little wider than your shoulders.",
        "Lower it to the breastbone.",
        "Press it up and slightly back.",
    ),
    common_mistakes=("Bouncing the bar off the chest", "Not keeping the feet on the floor"),
    suitability_notes=("Suits lifters who can set their shoulder blades.",),
    use_cases=("Strength of the upper body",),
    tags=("strength",),
    created_at=NOW,
    updated_at=NOW,
)


def changed(**fields: object) -> Exercise:
    """FLAWLESS with other fields, checked like any exercise."""
    return Exercise.model_validate({**FLAWLESS.model_dump(), **fields})


def named(name: str, *equipment: str, **fields: object) -> Exercise:
    """A bare exercise of this name and equipment."""
    exercise = new_exercise(name, NOW, equipment=equipment)
    return Exercise.model_validate({**exercise.model_dump(), **fields})

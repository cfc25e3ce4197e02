"""What a planner refuses to plan."""

from __future__ import annotations

from app.jobs import PermanentError


class CannotPlan(PermanentError):
    """The catalogue is not as the payload takes it to be. Running the job again would not help.

    Args:
        code: which rule, such as `SLUG_TAKEN`.
        message: what was wrong, with which value, and what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code  # type: ignore[misc]  # the base has one code for the class, this one for each refusal
        super().__init__(message)


def no_exercise(exercise_id: str) -> CannotPlan:
    """There is no exercise of that id."""
    return CannotPlan("EXERCISE_NOT_FOUND", f"no exercise has the id {exercise_id!r}; take an id, not a slug or a name")


def no_family(slug: str, moved_to: str | None = None) -> CannotPlan:
    """There is no family of that slug with an active exercise in it."""
    hint = "take the slug of a family from `torpor catalog families`" if moved_to is None else f"it is now {moved_to!r}"
    return CannotPlan("FAMILY_NOT_FOUND", f"no active exercise is in a family {slug!r}; {hint}")

"""`exercise_add`: family, name and slug of a new exercise are derived from what people call it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from app.catalog.names import canonical_name, equipment_conflict, parse_name
from app.catalog.payloads import ExerciseAdd
from app.catalog.planners.families import moved_to, occupied, qualifications
from app.catalog.planners.refusal import CannotPlan
from app.catalog.plans import ChangePlan, Snapshot, Touches, create_exercise, exercise_target, make_plan, no_change
from app.catalog.taxonomy import slugify
from app.catalog.variants import Variant, family_equipment

TYPE = "exercise_add"
BODYWEIGHT = "bodyweight"
_NOT_CONTENT = {"name", "equipment", "enrich"}


def needs(payload: ExerciseAdd, snapshot: Snapshot) -> Touches:
    """The derived family, under the slug that it has now, and whoever has a slug that the exercise may get."""
    base = _base(payload)
    names = {canonical_name(payload.name, equipment_of(payload), qualified=each) for each in (True, False)}
    return Touches.of(
        families=[base, family_of(payload, snapshot)],
        slugs=[slugify(name) for name in names],
    )


def equipment_of(payload: ExerciseAdd) -> tuple[str, ...]:
    """What it is done with: as given, or as the name says."""
    return payload.equipment or parse_name(payload.name).equipment


def family_of(payload: ExerciseAdd, snapshot: Snapshot) -> str:
    """The family that the name gives, under the slug that it has now."""
    base = _base(payload)
    return moved_to(snapshot, base) or base


def build(payload: ExerciseAdd, snapshot: Snapshot) -> ChangePlan:
    """The new exercise, and the names that its equipment makes the others of its family carry.

    Raises:
        CannotPlan: `SLUG_TAKEN`; `VARIANT_TAKEN`, the family has one with its equipment and modifiers;
            `NAME_CONTRADICTS_EQUIPMENT`, and only a person can say which is right.
    """
    equipment = equipment_of(payload)
    if conflict := equipment_conflict(payload.name, equipment):
        says = (
            f"the name {payload.name!r} says {conflict[0]}, and equipment says {', '.join(equipment)}; mend one of them"
        )
        raise CannotPlan("NAME_CONTRADICTS_EQUIPMENT", says)
    family = family_of(payload, snapshot)
    members = snapshot.members(family)
    kinds = family_equipment(members) | set(equipment[:1])
    qualified = bool(equipment) and (len(kinds) > 1 or equipment[0] != BODYWEIGHT)
    name = canonical_name(payload.name, equipment, qualified=qualified)
    _check_free(name, equipment, family, snapshot)
    content: Mapping[str, JsonValue] = payload.model_dump(mode="json", exclude=_NOT_CONTENT, exclude_defaults=True)
    created = create_exercise(
        name, family, {**content, "equipment": list(equipment)}, rationale=f"{payload.name!r} was asked for"
    )
    scope = [family, slugify(name)]
    if len(kinds) < 2:
        return make_plan(TYPE, [created], scope=scope)
    why = f"with {name!r} the family has {', '.join(sorted(kinds))}, so that each name carries its own"
    # The new one has the name that it should have; who it makes the family one of several kinds for may not.
    operations, rest = qualifications(members, snapshot, rationale=why, equipment=kinds)
    stay = [no_change([exercise_target(each.id)], f"{each.name!r} stays: {reason}") for each, reason in rest]
    return make_plan(TYPE, [created, *operations, *stay], scope=scope)


def _base(payload: ExerciseAdd) -> str:
    return parse_name(payload.name, equipment_of(payload)).family_slug


def _check_free(name: str, equipment: tuple[str, ...], family: str, snapshot: Snapshot) -> None:
    slug = slugify(name)
    owners = [each for each in (*snapshot.with_slug(slug), snapshot.exercises.get(slug)) if each is not None]
    if owners:
        raise CannotPlan("SLUG_TAKEN", f"{slug!r} is {owners[0].name!r}; give the new exercise another name")
    if slug in snapshot.aliases:
        leads_to = snapshot.aliases[slug].exercise_id
        raise CannotPlan("SLUG_TAKEN", f"{slug!r} leads to the exercise {leads_to!r}; give the new one another name")
    if equipment:
        variant = Variant(equipment[0], parse_name(name, equipment).modifiers)
        if (other := occupied(snapshot.members(family)).get(variant)) is not None:
            raise CannotPlan(
                "VARIANT_TAKEN", f"{other.name!r} has its equipment and modifiers in {family!r}; mend that one"
            )

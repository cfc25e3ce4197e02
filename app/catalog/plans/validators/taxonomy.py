"""Rules about names, slugs and canonical values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from app.catalog.exercise import Exercise
from app.catalog.names import canonical_name, parse_name
from app.catalog.plans.finding import Finding
from app.catalog.plans.operation import Operation, OperationKind, alias_target, exercise_target
from app.catalog.plans.validators.case import Case, Step, error, setting
from app.catalog.taxonomy import TAXONOMY_FIELD, slugify, taxonomy

_NAMING = (OperationKind.RENAME_EXERCISE, OperationKind.CREATE_EXERCISE)
_SLUG_PATHS = ("slug", "family_slug", "merged_into", "exercise_id")
_PARENTHESES = re.compile(r"\(([^()]*)\)\s*$")


def check_slugs(case: Case) -> Iterator[Finding]:
    """Slugs are spelled as everywhere, and are those of their names."""
    for step in case.steps:
        operation = step.operation
        for path in _SLUG_PATHS:
            value = operation.patch.get(path)
            if isinstance(value, str) and value != slugify(value):
                right = slugify(value)
                message = f"{value!r} is not spelled as a slug; write {right or 'another'!r}"
                fix = setting(operation, _renamed(step, path, right), "spelled as everywhere") if right else None
                yield error(operation, "BAD_SLUG", f"patch.{path}", message, fix)
        name, slug = operation.patch.get("name"), operation.patch.get("slug")
        if step.kind not in _NAMING or not isinstance(name, str) or not isinstance(slug, str):
            continue
        right = slugify(name)
        if slug == slugify(slug) and right and not re.fullmatch(rf"{re.escape(right)}(-\d+)?", slug):
            message = f"the slug {slug!r} is not that of {name!r}; write {right!r}"
            fix = setting(operation, _renamed(step, "slug", right), "the slug of the name")
            yield error(operation, "SLUG_NOT_OF_NAME", "patch.slug", message, fix)


def check_names(case: Case) -> Iterator[Finding]:
    """Names that close with parentheses close with the exercise's own equipment."""
    for step in case.steps:
        name = step.operation.patch.get("name")
        if step.kind not in _NAMING or not isinstance(name, str):
            continue
        equipment = _equipment(step)
        qualifier = parse_name(name, equipment).qualifier
        inside = _PARENTHESES.search(name)
        if qualifier is None and inside is not None:
            message = f"{name!r} closes with {inside[1]!r}, which is no equipment; write it in front of the base"
            yield _misnamed(step, "QUALIFIER_NOT_EQUIPMENT", name, equipment, message)
        elif qualifier is not None and equipment and qualifier not in equipment:
            message = f"{name!r} closes with {qualifier}, and the exercise is done with {', '.join(equipment)}"
            yield _misnamed(step, "WRONG_QUALIFIER", name, equipment, message)


def check_values(case: Case) -> Iterator[Finding]:
    """Fields that have canonical values are given no others."""
    for operation in case.plan.operations:
        for path, value in operation.patch.items():
            field = TAXONOMY_FIELD.get(path)
            if field is None or value is None:
                continue
            given = value if isinstance(value, list) else [value]
            known = taxonomy().values[field]
            strange = [each for each in given if each not in known]
            if strange:
                message = f"{strange[0]!r} is no canonical {field}; take one of {', '.join(known)}"
                fix = setting(operation, {f"patch.{path}": _canonical(field, value)}, "the canonical value, if any")
                yield error(operation, "NOT_CANONICAL", f"patch.{path}", message, fix)


def _canonical(field: str, value: JsonValue) -> JsonValue:
    """The canonical spelling of a value; None, which leaves the path out, if there is none for all of it."""
    given = value if isinstance(value, list) else [value]
    found = [taxonomy().canonical(field, each) if isinstance(each, str) else None for each in given]
    if not all(found):
        return None
    once: list[JsonValue] = [*dict.fromkeys(found)]
    return once if isinstance(value, list) else once[0]


def _equipment(step: Step) -> Sequence[str]:
    """The equipment of the exercise that a step names: as it is, or as it is made."""
    for target in step.operation.targets:
        before = step.before.get(target)
        if isinstance(before, Exercise):
            return before.equipment
    given = step.operation.patch.get("equipment")
    return tuple(each for each in given if isinstance(each, str)) if isinstance(given, list) else ()


def _misnamed(step: Step, code: str, name: str, equipment: Sequence[str], message: str) -> Finding:
    right = canonical_name(name, equipment)
    still = _PARENTHESES.search(right)
    clean = right != name and (still is None or taxonomy().canonical("equipment", still[1]) is not None)
    fix = setting(step.operation, _renamed_to(step, right), "the canonical name") if clean else None
    return error(step.operation, code, "patch.name", message, fix)


def _renamed_to(step: Step, name: str) -> dict[str, JsonValue]:
    return {"patch.name": name, **_renamed(step, "slug", slugify(name))}


def _renamed(step: Step, path: str, slug: str) -> dict[str, JsonValue]:
    """What has to be set for an operation to give this slug: its targets name it too."""
    values: dict[str, JsonValue] = {f"patch.{path}": slug}
    if path != "slug":
        return values
    targets = _targets_with(step.operation, step, slug)
    if targets is not None:
        values["targets"] = targets
    return values


def _targets_with(operation: Operation, step: Step, slug: str) -> list[JsonValue] | None:
    if operation.kind is OperationKind.CREATE_EXERCISE:
        return [str(exercise_target(slug))]
    for target in operation.targets:
        before = step.before.get(target)
        if isinstance(before, Exercise):
            named = [exercise_target(before.id)]
            if slug != before.slug:
                named.append(alias_target(before.slug))
                own = step.before.aliases.get(slug)
                if own is not None and own.exercise_id == before.id:
                    named.append(alias_target(slug))
            return [str(each) for each in named]
    return None

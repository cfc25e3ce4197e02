"""Catalogue files in and out.

Two formats are read: the upstream array of free-exercise-db, and the project's own export, which is loss-free. A file
is checked as a whole. Anything structurally wrong (no JSON, a missing or mistyped field, an id twice) refuses all of
it, with every problem named; gaps and doubts in the CONTENT (no equipment, odd muscles, no instructions, names that
differ by spelling only) are taken as they are, because curating them is what the application is for.
Image paths are dropped and never followed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.resources import files
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictStr, TypeAdapter, ValidationError

from app.catalog.aliases import Alias
from app.catalog.errors import BadCatalogFile, Problem
from app.catalog.exercise import Exercise, Source, free_slug
from app.catalog.families import Family
from app.catalog.names import exact_equipment, parse_name
from app.catalog.taxonomy import slugify, taxonomy

EXPORT_FORMAT = "torpor-catalog"
EXPORT_VERSION = 1
UPSTREAM_FORMAT = "free-exercise-db"
MAX_RECORDS = 1_000_000
MAX_NAME = 150
"""Shorter than an exercise's own limit, so that a number can still be added to the slug."""
_SHOWN_VALUE = 60
_ENRICHED = TypeAdapter(dict[str, frozenset[str]])
Row = TypeVar("Row", Exercise, Alias, Family)
_DROPPED_FIELDS = frozenset({"images"})


class UpstreamRecord(BaseModel):
    """One record as free-exercise-db writes it. Unknown fields are kept apart."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: StrictStr
    name: StrictStr
    force: StrictStr | None = None
    level: StrictStr | None = None
    mechanic: StrictStr | None = None
    equipment: StrictStr | None = None
    primary_muscles: tuple[StrictStr, ...] = Field(default=(), alias="primaryMuscles")
    secondary_muscles: tuple[StrictStr, ...] = Field(default=(), alias="secondaryMuscles")
    instructions: tuple[StrictStr, ...] = ()
    category: StrictStr | None = None


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What a file held."""

    exercises: tuple[Exercise, ...]
    format: str
    notices: tuple[Problem, ...] = ()
    """What was taken with a change that somebody may want to know of."""
    aliases: tuple[Alias, ...] = ()
    families: tuple[Family, ...] = ()
    enriched: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By exercise, the paths whose values are an enricher's guesses."""


@dataclass(slots=True)
class _Reading:
    problems: list[Problem] = field(default_factory=list)
    notices: list[Problem] = field(default_factory=list)

    def problem(self, row: int, name: str, value: object, remedy: str) -> None:
        self.problems.append(Problem(row, name, _shorten(value), remedy))


def read_catalog(content: str | bytes, now: datetime) -> ImportResult:
    """Read a catalogue file.

    Args:
        content: the file's text, UTF-8 if bytes.
        now: the time of creation of exercises whose file gives none.

    Returns:
        Its exercises in the file's order.

    Raises:
        BadCatalogFile: anything is structurally wrong; it names every problem by record and field.
    """
    document = _parse_json(content)
    reading = _Reading()
    if isinstance(document, list):
        exercises = _read_upstream(document, now, reading)
        name = UPSTREAM_FORMAT
    elif isinstance(document, dict) and document.get("format") == EXPORT_FORMAT:
        found = _read_export(document, reading)
        if not reading.problems:
            return found
        exercises, name = [], EXPORT_FORMAT
    else:
        remedy = f'give a JSON array of exercises, or an object with "format": "{EXPORT_FORMAT}"'
        raise BadCatalogFile([Problem(0, "", f"unknown format {_shorten(document)}", remedy)])
    if reading.problems:
        raise BadCatalogFile(sorted(reading.problems, key=lambda problem: problem.row))
    return ImportResult(tuple(exercises), name, tuple(reading.notices))


def write_catalog(
    exercises: Iterable[Exercise],
    aliases: Iterable[Alias] = (),
    families: Iterable[Family] = (),
    enriched: Mapping[str, Iterable[str]] | None = None,
) -> str:
    """The project's own export, sorted by id: equal catalogues give equal bytes.

    Args:
        exercises: in any order, as the others.
        aliases: old slugs and what they lead to.
        families: the registry's entries.
        enriched: by exercise, the paths whose values are an enricher's guesses.
    """
    document = {
        "format": EXPORT_FORMAT,
        "version": EXPORT_VERSION,
        "exercises": _rows(exercises),
        "aliases": _rows(aliases),
        "families": _rows(families),
        "enriched": {key: sorted(paths) for key, paths in (enriched or {}).items() if paths},
    }
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _rows(items: Iterable[Exercise | Alias | Family]) -> list[dict[str, Any]]:
    return [item.model_dump(mode="json") for item in sorted(items, key=lambda item: item.id)]


def sample_catalog() -> bytes:
    """The project's own sample, in the upstream format."""
    return (files("app.catalog") / "data" / "sample.json").read_bytes()


def _parse_json(content: str | bytes) -> JsonValue:
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        document: JsonValue = json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        problem = Problem(0, "", f"not UTF-8 at byte {error.start}", "save the file as UTF-8")
        raise BadCatalogFile([problem]) from error
    except (ValueError, RecursionError) as error:
        problem = Problem(0, "", f"not JSON: {error}", "mend the file at that place")
        raise BadCatalogFile([problem]) from error
    return document


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON value")


def _read_upstream(rows: Sequence[JsonValue], now: datetime, reading: _Reading) -> list[Exercise]:
    read = [(row, _read_record(row, value, reading)) for row, value in _numbered(rows, reading)]
    records = [(row, record) for row, record in read if record is not None]
    _check_unique([(row, record.id) for row, record in records], "id", reading)
    if reading.problems:
        return []
    slugs = _slugs(records, reading)
    return [_to_exercise(record, slugs[record.id], now) for _, record in records]


def _read_record(row: int, value: JsonValue, reading: _Reading) -> UpstreamRecord | None:
    try:
        record = UpstreamRecord.model_validate(value)
    except ValidationError as error:
        _report(row, error, reading)
        return None
    for name, text in (("id", record.id), ("name", record.name)):
        if not slugify(text):
            reading.problem(row, name, text, "give it at least one letter or digit")
        elif len(text) > MAX_NAME:
            reading.problem(row, name, text, f"shorten it to at most {MAX_NAME} characters")
    return record


def _read_export(document: Mapping[str, JsonValue], reading: _Reading) -> ImportResult:
    nothing = ImportResult((), EXPORT_FORMAT)
    version, rows = document.get("version"), document.get("exercises")
    if version != EXPORT_VERSION:
        reading.problem(0, "version", version, f"this release reads version {EXPORT_VERSION}")
        return nothing
    if not isinstance(rows, list):
        reading.problem(0, "exercises", rows, "give a list of exercises")
        return nothing
    found = _models(Exercise, rows, reading)
    _check_unique([(row, exercise.id) for row, exercise in found], "id", reading)
    _check_unique([(row, exercise.slug) for row, exercise in found], "slug", reading)
    aliases = _models(Alias, _part(document, "aliases", reading), reading)
    _check_unique([(row, alias.id) for row, alias in aliases], "aliases.id", reading)
    families = _models(Family, _part(document, "families", reading), reading)
    _check_unique([(row, family.slug) for row, family in families], "families.slug", reading)
    return ImportResult(
        tuple(item for _, item in found),
        EXPORT_FORMAT,
        aliases=tuple(item for _, item in aliases),
        families=tuple(item for _, item in families),
        enriched=_enriched(document.get("enriched", {}), reading),
    )


def _part(document: Mapping[str, JsonValue], name: str, reading: _Reading) -> list[JsonValue]:
    """A list that older exports do not have."""
    rows = document.get(name, [])
    if isinstance(rows, list):
        return rows
    reading.problem(0, name, rows, "give a list, or leave it out")
    return []


def _enriched(value: JsonValue, reading: _Reading) -> dict[str, frozenset[str]]:
    try:
        return _ENRICHED.validate_python(value)
    except ValidationError:
        reading.problem(0, "enriched", value, "give lists of paths by exercise, or leave it out")
        return {}


def _models(model: type[Row], rows: Sequence[JsonValue], reading: _Reading) -> list[tuple[int, Row]]:
    found: list[tuple[int, Row]] = []
    for row, value in _numbered(rows, reading):
        try:
            found.append((row, model.model_validate(value)))
        except ValidationError as error:
            _report(row, error, reading)
    return found


def _numbered(rows: Sequence[JsonValue], reading: _Reading) -> Iterable[tuple[int, JsonValue]]:
    if len(rows) > MAX_RECORDS:
        reading.problem(0, "", f"{len(rows)} records", f"import at most {MAX_RECORDS} at once")
        return
    for row, value in enumerate(rows, start=1):
        if not isinstance(value, dict):
            reading.problem(row, "", value, "each record is a JSON object")
        elif not _is_storable(value):
            reading.problem(row, "", value, "replace the lone surrogate or the number beyond JSON's range")
        else:
            yield row, value


def _is_storable(value: JsonValue) -> bool:
    """Whether a value can be written as UTF-8 JSON again; JSON text can say more than that."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True


def _report(row: int, error: ValidationError, reading: _Reading) -> None:
    for detail in error.errors(include_url=False):
        place = ".".join(str(part) for part in detail["loc"])
        missing = detail["type"] == "missing"
        value = "is missing" if missing else detail["input"]
        reading.problem(row, place, value, "add it" if missing else detail["msg"].lower())


def _check_unique(pairs: Iterable[tuple[int, str]], name: str, reading: _Reading) -> None:
    first: dict[str, int] = {}
    for row, value in pairs:
        if value in first:
            reading.problem(row, name, value, f"record {first[value]} has the same; keep one of them or change it")
        first.setdefault(value, row)


def _slugs(records: Sequence[tuple[int, UpstreamRecord]], reading: _Reading) -> dict[str, str]:
    """A slug for each upstream id. Names that fold to the same slug get numbers, in the order of their ids."""
    slugs: dict[str, str] = {}
    taken: set[str] = set()
    for row, record in sorted(records, key=lambda entry: entry[1].id):
        plain = slugify(record.name)
        slug = free_slug(plain, taken)
        taken.add(slug)
        slugs[record.id] = slug
        if slug != plain:
            remedy = f"taken as {slug!r}; another record has the same name but for its spelling"
            reading.notices.append(Problem(row, "name", _shorten(record.name), remedy))
    return slugs


def _to_exercise(record: UpstreamRecord, slug: str, now: datetime) -> Exercise:
    values = taxonomy()
    recorded = values.canonical("equipment", record.equipment)
    equipment = exact_equipment(record.name, (recorded,)) if recorded else ()
    category = values.canonical("category", record.category)
    # What upstream says and no canonical field can hold stays findable as a tag.
    tags = [record.category if category is None else None, record.equipment if recorded is None else None]
    extra = {name: value for name, value in (record.model_extra or {}).items() if name not in _DROPPED_FIELDS}
    return Exercise(
        id=slug,
        slug=slug,
        name=record.name.strip(),
        family_slug=parse_name(record.name, equipment).family_slug,
        equipment=equipment,
        category=category,
        level=values.canonical("level", record.level) or record.level,
        force=values.canonical("force", record.force) or record.force,
        mechanic=values.canonical("mechanic", record.mechanic) or record.mechanic,
        primary_muscles=_muscles(record.primary_muscles),
        secondary_muscles=_muscles(record.secondary_muscles),
        execution_notes=record.instructions,
        tags=tuple(slugify(tag) for tag in tags if tag and slugify(tag) not in ("", "other")),
        source=Source(catalog=UPSTREAM_FORMAT, id=record.id),
        legacy=extra,
        created_at=now,
        updated_at=now,
    )


def _muscles(names: Iterable[str]) -> tuple[str, ...]:
    """Canonical names where there is one; others as they are, for the scanner to report."""
    return tuple(taxonomy().canonical("muscle", name) or name for name in names)


def _shorten(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= _SHOWN_VALUE else f"{text[:_SHOWN_VALUE]}…"

"""Writes docs/settings.md from the settings classes themselves: `python -m docs.list_settings`.

A test fails when the page is out of date.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import AliasChoices, BaseModel, SecretStr
from pydantic.fields import FieldInfo

from app.jobs.described import field_texts
from app.settings import Settings

PAGE = Path(__file__).with_name("settings.md")
_PLAIN: dict[object, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    SecretStr: "text",
    tuple: "names, separated by commas",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the page."""

    name: str
    """In code: `settings.<name>`."""
    variables: tuple[str, ...]
    takes: str
    default: str
    meaning: str


def settings(model: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Every setting of a model and of the models inside it, in the order of their declaration."""
    for name, field in model.model_fields.items():
        here = (*path, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings(field.annotation, here)
            continue
        meaning = " ".join(field_texts(model).get(name, "").split())
        yield Setting(".".join(here), _variables(here, field), _takes(field), _default(field), meaning)


def _variables(path: tuple[str, ...], field: FieldInfo) -> tuple[str, ...]:
    if isinstance(field.validation_alias, AliasChoices):
        return tuple(str(choice) for choice in field.validation_alias.choices)
    return ("TORPOR_" + "__".join(path).upper(),)


def _takes(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in kinds)
    if any(get_origin(each) in (list, dict) for each in (annotation, *kinds)):
        return "JSON"
    kind = get_origin(annotation) if get_origin(annotation) is tuple else (kinds or [annotation])[0]
    words = [_PLAIN[kind]]
    for bound in field.metadata:
        match bound:
            case Gt(gt=low):
                words.append(f"above {low:,}")
            case Ge(ge=low):
                words.append(f"{low:,} or more")
            case Le(le=high):
                words.append(f"up to {high:,.0f}")
    return ", ".join(words)


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value in (None, "", (), {}):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else f'{value:g}' if isinstance(value, float) else value}`"


def page() -> str:
    """The whole page."""
    lines = [
        "# Settings",
        "",
        "Written by `python -m docs.list_settings` from the classes in `app/settings.py`; a test compares the two.",
        "",
        "A setting comes from code, else from the environment, else from a file `.env` in the current folder, else it",
        "has its default. An empty variable counts as not set. A value that does not fit is refused at start: the",
        "command names the variable and ends with 2. Every command honours every setting. Options of single job types",
        "have variables of their own; see [jobs.md](jobs.md).",
        "",
        "| variable | in code: `settings.…` | takes | default | meaning |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in settings():
        variables = " or ".join(f"`{variable}`" for variable in each.variables)
        lines.append(f"| {variables} | `{each.name}` | {each.takes} | {each.default} | {each.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

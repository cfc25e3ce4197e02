"""What is written under a model's fields is in its JSON schema, and is looked up only for that."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from app.jobs.described import Described, field_texts


class Below(Described):
    """What others build on."""

    model_config = ConfigDict(frozen=True)

    length_seconds: float = 1.0
    """How long
    it takes."""
    silent: int = 0


class Above(Below):
    """Has one more field, and says something else of another."""

    silent: int = 1
    """Not any more."""
    shown: str = Field(default="", alias="shownAs", description="said in code")
    """Said below."""


class Holder(BaseModel):
    """Has one inside."""

    inner: Above


def described(schema: dict[str, Any]) -> dict[str, str | None]:
    return {name: each.get("description") for name, each in schema["properties"].items()}


def test_the_text_under_a_field_describes_it() -> None:
    assert described(Below.model_json_schema()) == {"length_seconds": "How long\nit takes.", "silent": None}


def test_bases_are_looked_at_and_what_the_code_says_counts_more() -> None:
    said = {"length_seconds": "How long\nit takes.", "silent": "Not any more.", "shownAs": "said in code"}
    assert described(Above.model_json_schema()) == said
    assert described(Holder.model_json_schema()["$defs"]["Above"]) == said


def test_a_class_without_a_source_is_not_described() -> None:
    made: Any = type("Made", (Described,), {"__annotations__": {"n": int}, "__module__": __name__})
    assert field_texts(made) == {}
    assert described(made.model_json_schema()) == {"n": None}

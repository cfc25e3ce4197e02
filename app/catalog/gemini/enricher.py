"""The enricher that asks Gemini: one question an exercise, for one field or for several."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

from pydantic import JsonValue

from app.catalog.enrichment import FieldProposal, FieldSpec, OutputType
from app.catalog.exercise import ALWAYS_LOCKED, Exercise
from app.catalog.gemini.errors import UnusableAnswer
from app.catalog.gemini.model import GeminiModel
from app.catalog.spending import Spending
from app.catalog.taxonomy import load_table

_SHOWN_LOCKED = ("name",)
_PRIMITIVE = {
    OutputType.ENUM: "string",
    OutputType.STRING: "string",
    OutputType.NUMBER: "number",
    OutputType.BOOLEAN: "boolean",
    # As JSON text: a schema cannot say "any object" to the model.
    OutputType.OBJECT: "string",
}


class GeminiEnricher:
    """Asks a model. What it proposes is judged like any proposal; an answer that cannot be used proposes nothing.

    Args:
        model: whom to ask. It may be shared.
    """

    def __init__(self, model: GeminiModel) -> None:
        self.name = f"gemini:{model.name}"
        self.spent = Spending()
        self._model = model
        self._prompts = load_table("prompts")

    async def enrich(self, exercise: Exercise, fields: Sequence[FieldSpec]) -> list[FieldProposal]:
        """Propose a value for each of `fields` that the model knows one for.

        Raises:
            ModelUnavailable, ModelRefused: see `GeminiModel.ask`.
        """
        if not fields:
            return []
        texts = self._prompts["enrich"]
        told = Template(texts["task"]).substitute(exercise=_shown(exercise), fields=self._asked(fields))
        try:
            answer = await self._model.ask(
                "enrich", system=texts["system"].strip(), prompt=told.strip(), schema=answer_schema(fields)
            )
        except UnusableAnswer as unusable:
            self.spent += unusable.spent
            return []
        self.spent += answer.spent
        return proposals_of(answer.data, fields)

    def _asked(self, fields: Sequence[FieldSpec]) -> str:
        known: Mapping[str, str] = self._prompts["fields"]
        lines = []
        for spec in fields:
            told = " ".join(text for text in (known.get(spec.path, ""), spec.instructions) if text)
            kind = f"a list of {spec.output_type}s" if spec.many else str(spec.output_type)
            if spec.output_type is OutputType.OBJECT:
                kind = "an object, written as JSON text"
            values = f", one of: {', '.join(spec.allowed_values)}" if spec.allowed_values else ""
            lines.append(f"- {key_of(spec.path)}: {kind}{values}. {told}".strip())
        return "\n".join(lines)


def key_of(path: str) -> str:
    """The name of a field in the answer: a property of a schema has no dot in it."""
    return path.replace(".", "__")


def answer_schema(fields: Sequence[FieldSpec]) -> dict[str, Any]:
    """JSON Schema of an answer: for each field its value or null, the confidence, and the reason."""
    properties = {
        key_of(spec.path): {
            "type": "object",
            "properties": {
                "value": {"anyOf": [_value_schema(spec), {"type": "null"}]},
                "confidence": {"type": "number", "minimum": 0, "maximum": 1},
                "reason": {"type": "string"},
            },
            "required": ["value", "confidence", "reason"],
        }
        for spec in fields
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def proposals_of(answer: Mapping[str, Any], fields: Sequence[FieldSpec]) -> list[FieldProposal]:
    """The proposals in an answer.

    A null says that the model does not know, and proposes nothing. Anything else is proposed, however odd, with a
    confidence of 0 where none was given: who writes proposals drops what is invalid, and counts it.
    """
    proposals = []
    for spec in fields:
        entry = answer.get(key_of(spec.path))
        if not isinstance(entry, dict):
            if entry is not None:
                proposals.append(FieldProposal(spec.path, None, 0.0, "the answer is not of the shape asked for"))
            continue
        value = _value_of(spec, entry.get("value"))
        if value is not None:
            reason = entry.get("reason")
            told = reason if isinstance(reason, str) else ""
            proposals.append(FieldProposal(spec.path, value, confidence_of(entry.get("confidence")), told))
    return proposals


def confidence_of(given: Any) -> float:
    """A confidence from 0 to 1; 0 for what is none."""
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given):
        return 0.0
    return float(given) if 0 <= given <= 1 else 0.0


def _value_schema(spec: FieldSpec) -> dict[str, Any]:
    one: dict[str, Any] = {"type": _PRIMITIVE[spec.output_type]}
    if spec.allowed_values:
        one["enum"] = list(spec.allowed_values)
    return {"type": "array", "items": one} if spec.many else one


def _value_of(spec: FieldSpec, value: Any) -> JsonValue:
    if spec.output_type is not OutputType.OBJECT or not isinstance(value, str):
        found: JsonValue = value
        return found
    try:
        read: JsonValue = json.loads(value)
    except ValueError:
        return value  # no object: invalid, and counted as that
    return read


def _shown(exercise: Exercise) -> str:
    """What the model sees: what the exercise says of itself, without identity and times."""
    hidden = ALWAYS_LOCKED - set(_SHOWN_LOCKED)
    return json.dumps(exercise.model_dump(mode="json", exclude=set(hidden), exclude_defaults=True), ensure_ascii=False)

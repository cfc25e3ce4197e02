"""The repairer that asks Gemini what would mend a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from string import Template
from typing import Any

from pydantic import ValidationError

from app.catalog.gemini.enricher import confidence_of
from app.catalog.gemini.errors import ModelRefused, UnusableAnswer
from app.catalog.gemini.model import Answer, GeminiModel
from app.catalog.plans.fix import Fix
from app.catalog.plans.operation import OperationKind, Risk
from app.catalog.plans.paths import WRITABLE
from app.catalog.plans.plan import ChangePlan
from app.catalog.repair import findings_of, not_repairable, repaired
from app.catalog.taxonomy import load_table
from app.jobs import Repair, RepairableError

_TEXT = {"type": "string"}
_SETTINGS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"path": _TEXT, "value": _TEXT},
        "required": ["path", "value"],
    },
}
ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "can_repair": {"type": "boolean"},
        "analysis": _TEXT,
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "fixes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "action": {"type": "string", "enum": ["remove", "modify", "add"]},
                    "operation": _TEXT,
                    "set": _SETTINGS,
                    "add": {
                        "type": "object",
                        "properties": {
                            "kind": {"type": "string", "enum": [str(kind) for kind in OperationKind]},
                            "targets": {"type": "array", "items": _TEXT},
                            "patch": _SETTINGS,
                            "rationale": _TEXT,
                            "risk": {"type": "string", "enum": [str(risk) for risk in Risk]},
                        },
                        "required": ["kind", "targets", "patch", "rationale", "risk"],
                    },
                    "reason": _TEXT,
                },
                "required": ["action", "operation", "reason"],
            },
        },
    },
    "required": ["can_repair", "analysis", "confidence", "fixes"],
}
"""Values are JSON texts, because a schema cannot say "any value" to the model."""


class BadFixes(ValueError):
    """The model's fixes are not of the shape that was asked for."""


class GeminiRepairer:
    """Asks a model for fixes, makes them, and leaves the plan to the validators again.

    Args:
        model: whom to ask. It may be shared.
    """

    def __init__(self, model: GeminiModel) -> None:
        self._model = model
        self._prompts = load_table("prompts")["repair"]

    async def repair(self, work: ChangePlan | None, error: RepairableError, repairs_left: int) -> Repair[ChangePlan]:
        """A mended plan; not repairable if the model cannot or will not say how.

        Raises:
            ModelUnavailable: it may answer later; the job tries again.
        """
        plan = work if work is not None else ChangePlan.model_validate(error.work)
        try:
            answer = await self._ask(plan, error, repairs_left)
        except (UnusableAnswer, ModelRefused) as problem:
            return not_repairable(str(problem))
        analysis = f"{answer.data.get('analysis') or 'no analysis was given'} ({_told(self._model.name, answer)})"
        if answer.data.get("can_repair") is not True:
            return not_repairable(analysis)
        try:
            fixes = fixes_of(answer.data)
        except BadFixes as problem:
            return not_repairable(f"{analysis}; but its fixes cannot be read: {problem}")
        if not fixes:
            return not_repairable(f"{analysis}; but it gave no fixes")
        return repaired(plan, fixes, analysis, confidence_of(answer.data.get("confidence")))

    async def _ask(self, plan: ChangePlan, error: RepairableError, repairs_left: int) -> Answer:
        operations = [
            each.model_dump(mode="json", exclude={"before", "after", "idempotency_seed"}) for each in plan.operations
        ]
        shown = {"type": plan.type, "scope": plan.scope, "assumptions": plan.assumptions, "operations": operations}
        findings = [each.model_dump(mode="json", exclude_defaults=True) for each in findings_of(error)]
        told = Template(self._prompts["task"]).substitute(
            plan=json.dumps(shown, ensure_ascii=False),
            findings=json.dumps(findings, ensure_ascii=False),
            paths="\n".join(f"- {kind}: {', '.join(sorted(paths)) or 'none'}" for kind, paths in WRITABLE.items()),
            left=repairs_left,
        )
        return await self._model.ask(
            "repair", system=self._prompts["system"].strip(), prompt=told.strip(), schema=ANSWER_SCHEMA
        )


def fixes_of(answer: Mapping[str, Any]) -> list[Fix]:
    """The fixes in an answer.

    Raises:
        BadFixes: one of them is none.
    """
    given = answer.get("fixes")
    if not isinstance(given, list):
        raise BadFixes("they are no list")
    return [_fix_of(each) for each in given]


def _fix_of(given: Any) -> Fix:
    if not isinstance(given, dict):
        raise BadFixes(f"{given!r} is no fix")
    fix: dict[str, Any] = {name: given.get(name) or "" for name in ("action", "operation", "reason")}
    # Models fill in properties that the action has no use for.
    if fix["action"] == "modify":
        fix["set"] = _settings(given.get("set"))
    elif fix["action"] == "add":
        added = given.get("add")
        if not isinstance(added, dict):
            raise BadFixes("an operation to add is missing")
        fix["add"] = {**added, "patch": _settings(added.get("patch"))}
    try:
        return Fix.model_validate(fix)
    except ValidationError as error:
        details = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise BadFixes(details) from error


def _settings(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    found: dict[str, Any] = {}
    try:
        for entry in given:
            found[str(entry["path"])] = json.loads(entry["value"])
    except (TypeError, KeyError, ValueError) as error:
        raise BadFixes(f"{given!r} are no paths with values as JSON text") from error
    return found


def _told(name: str, answer: Answer) -> str:
    spent = answer.spent
    return f"{name}, {spent.prompt_tokens}+{spent.output_tokens} tokens, US$ {spent.microdollars / 1e6:.6f}"

"""Routes of the API: each with the scope that it asks for, what it answers, and its place in the OpenAPI document."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from flask import Response, g
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.media_type import MediaType
from flask_openapi3.models.schema import Schema
from flask_openapi3.models.tag import Tag
from flask_openapi3.types import ResponseDict
from flask_openapi3.utils import get_model_schema
from pydantic import BaseModel

from app.cloud.oidc import Caller
from app.jobs import AsyncJobManager, Portions
from app.web.api.calls import MOST_BYTES
from app.web.api.desk import Desk
from app.web.problems import MEDIA_TYPE
from app.web.service import Asked
from app.web.tokens import Scope

R = TypeVar("R")

PREFIX = "/api/v1"
NAME = "api"
ETAG = {"ETag": {"description": "The job's revision.", "schema": {"type": "string"}}}
TEXT = {"schema": {"type": "string"}}
Answers = Mapping[int, "type[BaseModel] | dict[str, Any] | None"]


def problem_answer(description: str) -> dict[str, Any]:
    """A problem document, as OpenAPI describes it."""
    return {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


class Routes:
    """Gathers the API's routes.

    Args:
        service: what answers.
    """

    def __init__(self, service: Asked[Desk]) -> None:
        self.service = service
        self.scopes: dict[str, Scope] = {}
        """What each route asks for, by its endpoint."""
        self._models: dict[str, type[BaseModel]] = {}
        problems: ResponseDict = {
            "401": problem_answer("Nobody known calls."),
            "403": problem_answer("The caller's scopes do not allow this."),
            "422": problem_answer("What was given cannot be accepted; nothing was changed."),
            "default": problem_answer("Any other problem."),
        }
        self.blueprint = APIBlueprint(NAME, __name__, url_prefix=PREFIX, abp_responses=problems)

    def ask(self, question: Callable[[AsyncJobManager], Awaitable[R]]) -> R:
        """Ask the manager, and wait for its answer.

        Raises:
            TorporError, StoreError: what it raises.
        """
        return self.service.wait_for(lambda desk: question(desk.manager))

    def portion(self, part: Callable[[Portions], Awaitable[R]]) -> R:
        """Ask for a part of a list that may be long, and wait for it.

        Raises:
            TorporError, StoreError: what it raises.
        """
        return self.ask(lambda manager: part(Portions(manager.runtime, MOST_BYTES)))

    def add(
        self,
        method: str,
        rule: str,
        handler: Callable[..., Response],
        scope: Scope,
        answers: Answers,
        *,
        tag: str,
        body_optional: bool = False,
        stream: bool = False,
    ) -> None:
        """Add a route.

        Args:
            method: in lower case.
            rule: behind the prefix.
            handler: its name is the operation's id, its docstring the description.
            scope: what a caller needs.
            answers: models by status; None is no body.
            tag: what it belongs to.
            body_optional: whether it may be called without a body.
            stream: whether it answers with server-sent events too.
        """
        register = getattr(self.blueprint, method)
        responses = {str(status): self._described(model) for status, model in answers.items()}
        register(rule, operation_id=handler.__name__, tags=[Tag(name=tag)], responses=responses)(handler)
        self.scopes[f"{NAME}.{handler.__name__}"] = scope
        operation = getattr(self.blueprint.paths[_path_of(rule)], method)
        if body_optional and operation.requestBody is not None:
            operation.requestBody.required = False
        if stream:
            operation.responses["200"].content["text/event-stream"] = MediaType.model_validate(TEXT)

    def _described(self, model: type[BaseModel] | dict[str, Any] | None) -> dict[str, Any]:
        """What is answered, by reference: making the schemas takes longer than a process may take to start."""
        if not isinstance(model, type):
            return model or {"description": "Done."}
        name = _name_of(model)
        self._models[name] = model
        reference = {"$ref": f"#/components/schemas/{name}"}
        return {
            "description": inspect.cleandoc(model.__doc__ or ""),
            "content": {"application/json": {"schema": reference}},
        }

    def schemas(self) -> dict[str, Schema]:
        """The schemas of all that is answered, by their names."""
        found: dict[str, Schema] = {}
        for name, model in self._models.items():
            schema = get_model_schema(model, mode="serialization")
            inner = schema.pop("$defs", {})
            found |= {each: Schema(**value) for each, value in {**inner, name: schema}.items()}
        return found


def _name_of(model: type[BaseModel]) -> str:
    return str(model.model_config.get("title") or model.__name__)


def _path_of(rule: str) -> str:
    return PREFIX + rule.replace("<path:", "<").replace("<", "{").replace(">", "}")


def caller_name(said: str | None = None) -> str:
    """Who calls: a person as their session says, a program as it says itself, or else by its token's name."""
    caller: Caller | None = g.get("caller")
    if caller is None:
        return said or ""
    return said if said and caller.subject.startswith("token:") else caller.email

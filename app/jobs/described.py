"""What is written under a model's fields as their descriptions, looked up when somebody asks for them.

Pydantic can take the same texts when a class is made (`use_attribute_docstrings`), which costs each start of a process
several milliseconds a class; hardly any process shows a schema.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from functools import cache
from textwrap import dedent
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema


@cache
def field_texts(model: type[BaseModel]) -> Mapping[str, str]:
    """The texts under a model's fields and its bases' fields, by the field's name; none where there is no source."""
    texts: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if each is not BaseModel and issubclass(each, BaseModel):
            texts |= _own_texts(each)
    return texts


def _own_texts(model: type) -> dict[str, str]:
    try:
        (body,) = ast.parse(dedent(inspect.getsource(model))).body
    except (OSError, TypeError):
        return {}
    if not isinstance(body, ast.ClassDef):
        return {}
    found: dict[str, str] = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                found[name] = inspect.cleandoc(said)
    return found


class Described(BaseModel):
    """A model whose JSON schema says what is written under its fields."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the texts to what pydantic makes of the fields."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        texts = field_texts(cls)
        for name, field in cls.model_fields.items():
            shown = properties.get(name, properties.get(field.alias or ""))
            if shown is not None and name in texts:
                shown.setdefault("description", texts[name])
        return schema

"""The API's application: its routes, who may call them, and how it answers what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask, Request, Response, jsonify
from flask.json.provider import DefaultJSONProvider
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from flask_openapi3.types import SecuritySchemesDict
from pydantic import ValidationError
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge, RequestTimeout

from app import __version__
from app.jobs import BadInput
from app.web.api.batches import add_batches
from app.web.api.control import add_events, add_pauses, add_reviews
from app.web.api.desk import Desk
from app.web.api.following import add_following
from app.web.api.jobs import add_jobs
from app.web.api.routes import NAME, PREFIX, Routes
from app.web.api.runs import add_runs
from app.web.api.schedules import add_schedules
from app.web.api.sockets import add_log_socket
from app.web.api.system import add_system
from app.web.api.views import Problem
from app.web.auth import Guard, protect
from app.web.headers import harden
from app.web.problems import answer_problems, problem
from app.web.service import Asked
from app.web.tokens import Scope

BODY_BYTES = 10 * 1024 * 1024
"""Twice what the data of one job may be; larger batches are created in parts."""
SECURITY: SecuritySchemesDict = {
    "token": {"type": "http", "scheme": "bearer", "description": "An API token."},
    "person": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Goog-IAP-JWT-Assertion",
        "description": "Set by Identity-Aware Proxy.",
    },
}


class StrictJson(DefaultJSONProvider):
    """Reads JSON as its standard has it: without NaN, and no deeper than can be read."""

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """What a text says.

        Raises:
            ValueError: it is no JSON.
        """
        try:
            return json.loads(s, parse_constant=_no_number)
        except RecursionError:
            raise ValueError("it is nested too deep") from None


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number in JSON")


class ApiRequest(Request):
    """A request whose body is a JSON object, or nothing, which counts as an empty one."""

    def get_data(self, cache: bool = True, as_text: bool = False, parse_form_data: bool = False) -> Any:
        """The body's bytes.

        Raises:
            HTTPException: it is too large, or its sender has stopped sending.
        """
        try:
            data = super().get_data(cache=cache, as_text=as_text, parse_form_data=parse_form_data)  # type: ignore[call-overload]
        except (ClientDisconnected, TimeoutError):
            raise RequestTimeout from None
        if self.max_content_length is not None and len(data) >= self.max_content_length:
            raise RequestEntityTooLarge  # one sent in chunks, without its length, is cut off there
        return data

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """The body. What is wrong with it is always told.

        Raises:
            HTTPException: it is no JSON, does not say that it is, or is too large.
            BadInput: it is no object.
        """
        if not self.get_data():
            return {}
        found = super().get_json(force=False, silent=False, cache=cache)
        if not isinstance(found, dict):
            raise BadInput("body", "is no JSON object", "send the members that the route takes, by their names")
        return found


class ApiApplication(OpenAPI):
    """Flask with an OpenAPI document."""

    request_class = ApiRequest
    json_provider_class = StrictJson


def web_app(service: Asked[Desk], guard: Callable[[Mapping[str, Scope]], Guard], *, proxies: int = 0) -> Flask:
    """The application of the web service.

    Args:
        service: what answers.
        guard: makes what tells who may call, from the scopes that the routes ask for.
        proxies: how many proxies in front say for whom they call.

    Raises:
        BadInput: what the guard refuses about the settings.
    """
    app = ApiApplication(
        "torpor.web",
        info=Info(title="Torpor", version=__version__, description="Durable jobs that cost nothing while they sleep."),
        security_schemes=SECURITY,
        openapi_extensions={"security": [{name: []} for name in SECURITY]},
        doc_ui=False,
        validation_error_model=Problem,
        validation_error_callback=_refused,
    )
    app.url_map.merge_slashes = False
    harden(app, body_bytes=BODY_BYTES, proxies=proxies)
    routes = Routes(service)
    for add in (
        *(add_jobs, add_following, add_batches, add_runs, add_schedules),
        *(add_pauses, add_reviews, add_events, add_system),
    ):
        add(routes)
    app.register_api(routes.blueprint)
    for place, handler in (("/runs", "get_run_page"), ("/runs/summary", "get_daily_summary")):
        app.add_url_rule(place, f"short.{handler}", app.view_functions[f"{NAME}.{handler}"])
        routes.scopes[f"short.{handler}"] = Scope.READ
    add_log_socket(app, routes)
    _add_documents(app, routes)
    routes.scopes["openapi"] = Scope.READ
    protect(app, guard(routes.scopes))
    answer_problems(app)

    app.extensions["torpor"] = service
    return app


def _add_documents(app: OpenAPI, routes: Routes) -> None:
    def openapi() -> Response:
        if not app.spec_json:
            app.components_schemas.update(routes.schemas())
        return jsonify(app.api_doc)

    def alive() -> Response:
        return jsonify(status="alive")

    def ready() -> Response:
        routes.service.wait_for(lambda desk: desk.store_readiness.check())
        return jsonify(status="ready")

    app.add_url_rule(f"{PREFIX}/openapi.json", "openapi", openapi)
    app.add_url_rule("/healthz", "alive", alive)
    app.add_url_rule("/readyz", "ready", ready)


def _refused(error: ValidationError) -> Response:
    """What the library found wrong with a call."""
    errors = [
        {"field": ".".join(str(part) for part in each["loc"]) or "body", "problem": _said(each["msg"])}
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    first = errors[0]
    remedy = "mend it and send the call again"
    detail = f"{first['field']}: {first['problem']}; {remedy}"
    return problem(422, BadInput.code, detail, **first, remedy=remedy, errors=errors)


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")

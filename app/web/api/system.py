"""`/health`, `/metrics`, `/types` and `/upkeep`: how the engine is, and what is done for it now and then."""

from __future__ import annotations

from typing import Any

from flask import Response
from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from app.jobs import AsyncJobManager, StoreUnavailable
from app.web.api.answers import answer
from app.web.api.calls import CleanUp
from app.web.api.routes import Routes
from app.web.api.views import Health, Metrics, Number, Report, TypeList, TypeView
from app.web.tokens import Scope

TAG = "system"


def add_system(routes: Routes) -> None:
    """Add the routes."""

    def get_health() -> Response:
        """Whether the store answers and work moves."""
        found = routes.ask(lambda manager: manager.get_system_health())
        if found["status"] == "unreachable":
            raise StoreUnavailable("; ".join(found["problems"]))
        return answer(Health.model_validate(found))

    def get_metrics() -> Response:
        """Today's runs by type and outcome, how long they took, and what this process has asked of the store."""
        return answer(Metrics.model_validate(routes.ask(lambda manager: manager.get_job_metrics())))

    def list_types() -> Response:
        """Every job type that this service knows, with its options."""
        return answer(TypeList(types=routes.ask(_types)))

    def run_watchdog() -> Response:
        """One round of the watchdog."""
        report = routes.ask(lambda manager: manager.run_watchdog())
        return answer(Report(counts=report.as_dict()))

    def tick() -> Response:
        """Create the jobs of the schedules' next slots."""
        return answer(Report(counts=routes.ask(lambda manager: manager.tick()).as_dict()))

    def clean_up(body: CleanUp) -> Response:
        """Delete ended jobs that are old enough."""
        return answer(Number(jobs=routes.ask(lambda manager: manager.cleanup_old_jobs(body.days))))

    routes.add("get", "/health", get_health, Scope.READ, {200: Health}, tag=TAG)
    routes.add("get", "/metrics", get_metrics, Scope.READ, {200: Metrics}, tag=TAG)
    routes.add("get", "/types", list_types, Scope.READ, {200: TypeList}, tag=TAG)
    routes.add("post", "/upkeep/watchdog", run_watchdog, Scope.ADMIN, {200: Report}, tag=TAG)
    routes.add("post", "/upkeep/tick", tick, Scope.ADMIN, {200: Report}, tag=TAG)
    routes.add("post", "/upkeep/clean", clean_up, Scope.ADMIN, {200: Number}, tag=TAG, body_optional=True)


async def _types(manager: AsyncJobManager) -> list[TypeView]:
    return [
        TypeView(
            type=definition.type,
            options=definition.options.model_dump(mode="json", exclude={"type", "payload_model"}),
            payload_schema=_schema_of(definition.call.model),
        )
        for definition in manager.runtime.registry
    ]


def _schema_of(model: type[BaseModel] | None) -> dict[str, Any] | None:
    if model is None:
        return None
    try:
        return model.model_json_schema()
    except PydanticInvalidForJsonSchema:
        return None  # a field of a type that JSON schemas cannot tell of

"""`/health`, `/metrics`, `/types` and `/upkeep`: how the engine is, and what is done for it now and then."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response
from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

from app.jobs import AsyncJobManager, StoreUnavailable
from app.web.api.answers import answer
from app.web.api.bodies import CleanUp, WatchdogRound
from app.web.api.routes import Routes
from app.web.api.views import EngineStatus, Health, Metrics, Number, Report, TypeList, TypeView
from app.web.tokens import Scope

TAG = "system"


def add_system(routes: Routes) -> None:
    """Add the routes."""

    def get_status() -> Response:
        """How long this service has run, how many job types it knows, and how many jobs are in each status."""
        return answer(EngineStatus.model_validate(routes.ask(lambda manager: manager.get_status())))

    def get_system_health() -> Response:
        """Whether the store answers and work moves."""
        found = routes.ask(lambda manager: manager.get_system_health())
        if found["status"] == "unreachable":
            raise StoreUnavailable("; ".join(found["problems"]))
        return answer(Health.model_validate(found))

    def get_job_metrics() -> Response:
        """Today's runs by type and outcome, how long they took, and what this process has asked of the store."""
        return answer(Metrics.model_validate(routes.ask(lambda manager: manager.get_job_metrics())))

    def list_types() -> Response:
        """Every job type that this service knows, with its options."""
        return answer(TypeList(types=routes.ask(_types)))

    def run_watchdog(body: WatchdogRound) -> Response:
        """One round of the watchdog."""
        report = routes.ask(lambda manager: manager.run_watchdog(dry_run=body.dry_run))
        return answer(Report(counts=report.as_dict()))

    def tick() -> Response:
        """Create the jobs of the schedules' next slots."""
        return answer(Report(counts=routes.ask(lambda manager: manager.tick()).as_dict()))

    def sync_schedules() -> Response:
        """Let the schedules follow the job types that this service knows."""
        return answer(Report(counts=asdict(routes.ask(lambda manager: manager.sync_schedules()))))

    def resume_interrupted_jobs() -> Response:
        """Take back jobs whose holder is gone."""
        return answer(Number(jobs=routes.ask(lambda manager: manager.resume_interrupted_jobs())))

    def cleanup_old_jobs(body: CleanUp) -> Response:
        """Delete ended jobs that are old enough."""
        return answer(Number(jobs=routes.ask(lambda manager: manager.cleanup_old_jobs(body.days))))

    routes.add("get", "/status", get_status, Scope.READ, {200: EngineStatus}, tag=TAG)
    routes.add("get", "/health", get_system_health, Scope.READ, {200: Health}, tag=TAG)
    routes.add("get", "/metrics", get_job_metrics, Scope.READ, {200: Metrics}, tag=TAG)
    routes.add("get", "/types", list_types, Scope.READ, {200: TypeList}, tag=TAG)
    routes.add("post", "/upkeep/watchdog", run_watchdog, Scope.ADMIN, {200: Report}, tag=TAG, body_optional=True)
    routes.add("post", "/upkeep/schedules", sync_schedules, Scope.ADMIN, {200: Report}, tag=TAG)
    routes.add("post", "/upkeep/resume", resume_interrupted_jobs, Scope.ADMIN, {200: Number}, tag=TAG)
    routes.add("post", "/upkeep/tick", tick, Scope.ADMIN, {200: Report}, tag=TAG)
    routes.add("post", "/upkeep/clean", cleanup_old_jobs, Scope.ADMIN, {200: Number}, tag=TAG, body_optional=True)


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

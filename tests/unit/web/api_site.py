"""The web service on the memory store, with a worker in the same process."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask.testing import FlaskClient
from pydantic import BaseModel
from werkzeug.test import TestResponse

from app.jobs import AsyncJobManager, EngineOptions, JobContext, Registry, Runtime, job
from app.stores import MemoryJobStore
from app.web.api.application import web_app
from app.web.api.desk import Desk
from app.web.api.streams import Streams
from app.web.auth import Guard, OpenGuard
from app.web.service import Service
from app.web.tokens import Scope
from tests.support.worker_processes import PATIENCE_SECONDS

EVENT_STREAM = {"Accept": "text/event-stream"}


class Size(BaseModel):
    """A payload with a model."""

    width: int
    name: str = ""


def registry() -> Registry:
    """The job types of the tests."""
    types = Registry()

    @job("quick", registry=types)
    async def quick(ctx: JobContext, n: int = 0) -> int:
        await ctx.log("began")
        await ctx.report_progress(1, 2, "half")
        await ctx.save_result({"n": n})
        return n

    @job("sized", registry=types)
    async def sized(payload: Size) -> int:
        return payload.width

    @job("broken", registry=types, max_retries=0)
    async def broken() -> None:
        raise ValueError("no")

    @job("asking", registry=types)
    async def asking(ctx: JobContext) -> str:
        return (await ctx.request_review("may I?", {"cost": 3})).by

    @job("listening", registry=types)
    async def listening(ctx: JobContext) -> Any:
        return await ctx.wait_for_event("news")

    @job("stepping", registry=types)
    async def stepping(ctx: JobContext) -> Any:
        return await ctx.step("one", lambda: 1)

    return types


def let_in(scopes: Mapping[str, Scope]) -> Guard:
    """Nobody is asked."""
    return OpenGuard()


@dataclass
class ApiSite:
    """A web service. Close it."""

    worker: bool = True
    places: int = 5
    guard: Callable[[Mapping[str, Scope]], Guard] = let_in
    store: MemoryJobStore = field(default_factory=MemoryJobStore)

    def __post_init__(self) -> None:
        self.service: Service[Desk] = Service(self._make)
        self.app = web_app(self.service, self.guard)
        self.client: FlaskClient = self.app.test_client()

    async def _make(self) -> Desk:
        runtime = Runtime(self.store, registry=registry(), options=EngineOptions(shutdown_seconds=1.0))
        manager = AsyncJobManager(runtime=runtime, worker=self.worker)
        await manager.open()
        return Desk(manager, Streams(self.places))

    def get(self, route: str, **headers: str) -> TestResponse:
        """Ask a route of the API."""
        return self.client.get(f"/api/v1{route}", headers=headers)

    def post(self, route: str, body: Any = None, **headers: str) -> TestResponse:
        """Call a route of the API."""
        return self.client.post(f"/api/v1{route}", json=body, headers=headers)

    def delete(self, route: str, **headers: str) -> TestResponse:
        """Delete something."""
        return self.client.delete(f"/api/v1{route}", headers=headers)

    def create(self, job_type: str = "quick", **body: Any) -> dict[str, Any]:
        """A job that was created."""
        made = self.post("/jobs", {"type": job_type, **body})
        assert made.status_code in (200, 201), made.text
        created: dict[str, Any] = made.json
        return created

    def until(self, job_id: str, *statuses: str) -> dict[str, Any]:
        """The job once it is in one of these statuses."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            job: dict[str, Any] = self.get(f"/jobs/{job_id}").json
            if job["status"] in statuses:
                return job
            assert time.monotonic() < end, job
            time.sleep(0.01)

    def ask(self, question: Callable[[AsyncJobManager], Awaitable[Any]]) -> Any:
        """Ask the manager itself."""
        return self.service.wait_for(lambda desk: question(desk.manager))

    def close(self) -> None:
        """End it."""
        self.service.close()

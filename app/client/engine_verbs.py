"""The client's verbs about the engine as a whole: history, health, upkeep, schedules, pauses, people and events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any

from app.client.base import ClientBase, Json, page_size, part, plain
from app.jobs import DailySummary, Job, Paused, ReviewRequest, RunPage, RunSummary, Schedule, SentEvent

REMEMBERED = 10_000
"""So many events are known by their ids, so that each is told once."""


class EngineVerbs(ClientBase):
    """Reads and steers what is no single job's."""

    # --- history and health ---

    async def get_run_page(self, /, *, limit: int = 100, cursor: str | None = None, **filters: Any) -> RunPage:
        """One page of run summaries, newest first; filters as `AsyncJobManager.get_run_history` takes them."""
        query = {name: plain(value) for name, value in filters.items()}
        return await self._api.ask(RunPage, "GET", "/runs", query={**query, "limit": limit, "cursor": cursor})

    async def get_run_history(self, /, *, limit: int = 100, **filters: Any) -> list[RunSummary]:
        """Run summaries, newest first; filters as `AsyncJobManager.get_run_history` takes them."""
        found: list[RunSummary] = []
        cursor: str | None = None
        while True:
            page = await self.get_run_page(limit=page_size(limit, len(found)), cursor=cursor, **filters)
            found += page.runs
            cursor = page.cursor
            if cursor is None or len(found) >= limit:
                return found

    async def get_daily_summary(self, day: str | None = None) -> DailySummary:
        """Counts, durations, retries and lost leases of one UTC day."""
        return await self._api.ask(DailySummary, "GET", "/runs/summary", query={"day": day})

    async def get_status(self) -> dict[str, Any]:
        """How long the server has run, how many job types it knows, and how many jobs are in each status."""
        return await self._api.ask(dict[str, Any], "GET", "/status")

    async def get_system_health(self) -> dict[str, Any]:
        """Whether the store answers and work moves."""
        return await self._api.ask(dict[str, Any], "GET", "/health")

    async def get_oldest_waiting_seconds(self) -> float | None:
        """How long the job has waited that could have run for longest; None if there is none."""
        found: float | None = (await self.get_system_health())["oldest_waiting_seconds"]
        return found

    async def get_job_metrics(self) -> dict[str, Any]:
        """Today's runs by type, and what the server has asked of the store."""
        return await self._api.ask(dict[str, Any], "GET", "/metrics")

    async def list_types(self) -> list[dict[str, Any]]:
        """Every job type that the server knows, with its options."""
        told: list[dict[str, Any]] = (await self._api.send("GET", "/types")).json()["types"]
        return told

    # --- upkeep ---

    async def run_watchdog(self, *, dry_run: bool = False) -> dict[str, Any]:
        """One round of the watchdog; counts by what was done."""
        return await self._report("watchdog", {"dry_run": dry_run})

    async def tick(self) -> dict[str, Any]:
        """Create the jobs of the schedules' next slots; counts by what was done."""
        return await self._report("tick")

    async def sync_schedules(self) -> dict[str, Any]:
        """Let the schedules follow the job types that the server knows; what changed."""
        return await self._report("schedules")

    async def resume_interrupted_jobs(self) -> int:
        """Take back jobs whose holder is gone; how many go on, or have ended for it."""
        return await self._number("/upkeep/resume")

    async def cleanup_old_jobs(self, days: float | None = None) -> int:
        """Delete ended jobs that ended more than `days` ago (by default the retention time); how many those were."""
        return await self._number("/upkeep/clean", {"days": days})

    async def _report(self, what: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        told: dict[str, Any] = (await self._api.send("POST", f"/upkeep/{what}", body=body)).json()["counts"]
        return told

    # --- schedules ---

    async def create_schedule(
        self, /, name: str, job_type: str, payload: Mapping[str, Json] | None = None, **options: Any
    ) -> Schedule:
        """Create a schedule; see `AsyncJobManager.create_schedule`."""
        body = {"name": name, "job_type": job_type, "payload": payload, **options}
        return await self._api.ask(Schedule, "POST", "/schedules", body=body)

    async def get_schedule(self, name: str) -> Schedule:
        """A schedule as it is now."""
        return await self._api.ask(Schedule, "GET", f"/schedules/{part(name)}")

    async def list_schedules(self) -> list[Schedule]:
        """Every schedule, oldest first."""
        return self._api.read(list[Schedule], (await self._api.send("GET", "/schedules")).json()["schedules"])

    async def pause_schedule(self, name: str) -> Schedule:
        """Let a schedule create no job until it is resumed."""
        return await self._api.ask(Schedule, "POST", f"/schedules/{part(name)}/pause")

    async def resume_schedule(self, name: str) -> Schedule:
        """Let a paused schedule go on with its next slot."""
        return await self._api.ask(Schedule, "POST", f"/schedules/{part(name)}/resume")

    async def trigger_schedule(self, name: str, payload: Mapping[str, Json] | None = None) -> Job:
        """Create one job of a schedule now, beside its slots."""
        return await self._api.ask(Job, "POST", f"/schedules/{part(name)}/trigger", body={"payload": payload})

    async def backfill_schedule(self, name: str, since: datetime | str, until: datetime | str | None = None) -> int:
        """Create the jobs of past slots that have none; how many those were."""
        body = {"since": plain(since), "until": plain(until)}
        return await self._number(f"/schedules/{part(name)}/backfill", body)

    async def delete_schedule(self, name: str) -> None:
        """Remove a schedule that somebody created."""
        await self._api.send("DELETE", f"/schedules/{part(name)}")

    # --- pauses, people and events ---

    async def get_paused(self) -> Paused:
        """Which queues and types are paused."""
        return await self._api.ask(Paused, "GET", "/paused")

    async def pause_queue(self, queue: str) -> Paused:
        """Let no further job of a queue begin, until it is resumed."""
        return await self._api.ask(Paused, "POST", f"/queues/{part(queue)}/pause")

    async def resume_queue(self, queue: str) -> Paused:
        """Let jobs of a paused queue begin again."""
        return await self._api.ask(Paused, "POST", f"/queues/{part(queue)}/resume")

    async def pause_type(self, job_type: str) -> Paused:
        """Let no further job of a type begin, until it is resumed."""
        return await self._api.ask(Paused, "POST", f"/types/{part(job_type)}/pause")

    async def resume_type(self, job_type: str) -> Paused:
        """Let jobs of a paused type begin again."""
        return await self._api.ask(Paused, "POST", f"/types/{part(job_type)}/resume")

    async def list_reviews(self, *, limit: int = 100, type: str | None = None) -> list[ReviewRequest]:
        """What waits for a person, the newest job first."""
        told = (await self._api.send("GET", "/reviews", query={"limit": limit, "type": type})).json()
        return self._api.read(list[ReviewRequest], told["reviews"])

    async def send_event(
        self,
        name: str,
        data: Json = None,
        *,
        job_id: str | None = None,
        by: str | None = None,
        event_id: str | None = None,
    ) -> SentEvent:
        """Send an event: it is stored, and jobs that wait for it go on."""
        body = {"name": name, "data": data, "job_id": job_id, "by": by, "event_id": event_id}
        return await self._api.ask(SentEvent, "POST", "/events", body=body)

    async def list_events(self, name: str | None = None, limit: int = 100) -> list[SentEvent]:
        """Events that are kept, the newest first."""
        told = (await self._api.send("GET", "/events", query={"name": name, "limit": limit})).json()
        return self._api.read(list[SentEvent], told["events"])

    async def subscribe_events(self, name: str | None = None, after: int = 0) -> AsyncGenerator[SentEvent, None]:
        """Events as they are sent, each once, over as many connections as it takes; it ends when it is closed.

        Args:
            name: of the events; None is all.
            after: as `AsyncJobManager.subscribe_events` takes it.
        """
        route = "/events" if name is None else f"/events?name={part(name)}"
        told: dict[str, None] = {}  # a stream that is taken up again begins a little before where it was
        async for each in self._api.events(route, "event", after):
            event = self._api.read(SentEvent, each)
            if event.id not in told:
                told[event.id] = None
                if len(told) > REMEMBERED:
                    told.pop(next(iter(told)))
                yield event

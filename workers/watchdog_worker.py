"""The watchdog and the schedules."""

from __future__ import annotations

from app.bootstrap import make_worker_app

app = make_worker_app(routes={"/tasks/watchdog", "/tasks/tick"})

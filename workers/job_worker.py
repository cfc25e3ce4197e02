"""The job worker: wake-ups, pushed or by tasks, and the scheduled drain."""

from __future__ import annotations

from app.bootstrap import make_worker_app

app = make_worker_app(routes={"/pubsub/push", "/tasks/wake", "/tasks/drain"}, shipped_later=True)

"""The job worker: pushed wake-ups and the scheduled drain."""

from __future__ import annotations

from app.bootstrap import make_worker_app

app = make_worker_app(routes={"/pubsub/push", "/tasks/drain"})

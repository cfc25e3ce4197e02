"""The job worker under the name of the catalogue's deployment, which scales and is billed by itself."""

from __future__ import annotations

from app.bootstrap import make_worker_app

app = make_worker_app(routes={"/pubsub/push", "/tasks/wake", "/tasks/drain"})

"""The worker's routes. What each answers in each case is a contract with Pub/Sub, Cloud Tasks and Cloud Scheduler.

Pub/Sub delivers a message again unless the answer is a success, and each failure slows the whole subscription down;
Cloud Tasks does the same with its queue. So whatever needs no second delivery is a success: done, nothing to do, full,
unknown, malformed. Only a caller who may not call, a store that cannot be reached, and a process that ends are
failures.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from app.cloud.messages import MalformedHint, hint_in
from app.cloud.pubsub import hint_of
from app.cloud.tasks import ROUTE as WAKE_ROUTE
from app.jobs import Hint
from app.web.auth import Guard, protect
from app.web.headers import harden
from app.web.instance import Answer, Instance, ShuttingDown
from app.web.problems import BrokenBody, answer_problems, problem
from app.web.service import Asked

if TYPE_CHECKING:
    from app.cloud.telemetry import Telemetry

logger = logging.getLogger(__name__)

BODY_BYTES = 1024 * 1024
"""A pushed hint has a few hundred bytes."""


def worker_app(
    service: Asked[Instance],
    guard: Guard,
    *,
    routes: frozenset[str],
    proxies: int = 0,
    telemetry: Telemetry | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Flask:
    """The application of a worker service.

    Args:
        service: what does the work.
        guard: who may call.
        routes: which of the routes it has: a service has only those that its callers need.
        proxies: how many proxies in front say for whom they call.
        telemetry: what is told of wake-ups.
        monotonic: tells when a request arrives; from then on its time runs, while its caller is checked as well.
    """
    app = Flask("torpor.worker")

    @app.before_request
    def arrive() -> None:
        g.arrived = monotonic()

    harden(app, body_bytes=BODY_BYTES, proxies=proxies)
    protect(app, guard)
    answer_problems(app)

    @app.errorhandler(ShuttingDown)
    def ending(error: ShuttingDown) -> Response:
        answer = problem(503, "SHUTTING_DOWN", "this process ends; another one takes over")
        answer.headers["Retry-After"] = "1"
        return answer

    def route(path: str, handler: Callable[[], Response]) -> None:
        if path in routes:
            app.add_url_rule(path, path, handler, methods=["POST"])

    def woken(read: Callable[[object], Hint]) -> Response:
        try:
            hint = read(request.get_json(force=True))
        except BrokenBody:
            raise  # what went wrong on the way is worth a second delivery
        except (MalformedHint, HTTPException, RecursionError) as error:
            logger.error("a wake-up was dropped: %s", error)  # noqa: TRY400 - no fault of this code
            return jsonify(outcome="malformed")
        with nullcontext() if telemetry is None else telemetry.woken(hint):
            arrived: float = g.arrived
            return _told(service.wait_for(lambda instance: instance.push(hint, arrived=arrived), arrived=arrived))

    def push() -> Response:
        return woken(hint_of)

    def wake() -> Response:
        return woken(hint_in)

    def drain() -> Response:
        arrived: float = g.arrived
        return _told(service.wait_for(lambda instance: instance.sweep(arrived=arrived), arrived=arrived))

    def tick() -> Response:
        return jsonify(outcome="done", **service.wait_for(Instance.tick, arrived=g.arrived))

    def watchdog() -> Response:
        return jsonify(outcome="done", **service.wait_for(Instance.watch_over, arrived=g.arrived))

    route("/pubsub/push", push)
    route(WAKE_ROUTE, wake)
    route("/tasks/drain", drain)
    route("/tasks/tick", tick)
    route("/tasks/watchdog", watchdog)

    @app.get("/healthz")
    def alive() -> Response:
        return jsonify(status="alive")

    @app.get("/readyz")
    def ready() -> Response:
        is_ready, free = service.wait_for(_readiness, arrived=g.arrived)
        if not is_ready:
            return problem(503, "NOT_READY", "this process ends, or every slot is held by a handler that will not stop")
        return jsonify(status="ready", free_slots=free)

    app.extensions["torpor"] = service
    return app


async def _readiness(instance: Instance) -> tuple[bool, int]:
    await instance.store_readiness.check()
    return instance.is_ready, instance.free_slots


def _told(answer: Answer) -> Response:
    return jsonify(outcome=answer.outcome, **answer.done)

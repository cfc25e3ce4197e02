"""The one place where parts are wired: a store from its address, an engine from the settings."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from datetime import timedelta
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self, cast
from urllib.parse import urlsplit

from app import __version__
from app.jobs import (
    AsyncJobManager,
    BadInput,
    Discovered,
    EngineOptions,
    InProcessWaker,
    JobRegistry,
    LoggingMiddleware,
    Middleware,
    NoWaker,
    Repairer,
    Runtime,
    SplitWaker,
    SystemClock,
    TextCodec,
    Waker,
    Worker,
    discover,
)
from app.jobs.binding import bind
from app.settings import Settings, settings
from app.stores.base import Store, Watch
from app.web.loopback import is_loopback

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from flask import Flask

    from app.catalog.enrichment import Enricher
    from app.catalog.gemini import GeminiModel
    from app.catalog.plans import ChangePlan
    from app.cloud.telemetry import Telemetry
    from app.serve.house import House
    from app.web.deadlines import RequestTime
    from app.web.scopes import Access
    from app.web.service import Service

SHIPPED_TASKS = ("app.catalog.tasks",)
"""Packages of job types that come with Torpor."""
_NEW_OBJECTS = 10_000
"""New objects after which the collector looks at them; Python's own default is 700, or 2,000 from 3.13."""
STORE_KINDS = (
    "memory:, file:DIR, sqlite:///FILE, postgresql://USER:PASSWORD@HOST/NAME, mysql://USER:PASSWORD@HOST/NAME, "
    "firestore://PROJECT/DATABASE"
)


def make_store(url: str, *, prefix: str = "", pool_size: int = 5) -> Store:
    """The store that an address names; nothing is opened.

    Args:
        url: an address of one of the kinds in `STORE_KINDS`.
        prefix: begins the names of all tables or collections.
        pool_size: connections of a PostgreSQL or MySQL store.

    Raises:
        BadInput: the address is of no known kind, or lacks a part. The message never holds the password.
    """
    scheme, colon, rest = url.partition(":")
    kind = scheme.split("+")[0]
    if not colon:
        raise BadInput("store_url", f"{url.rsplit('@', maxsplit=1)[-1]!r} has no kind", f"use one of: {STORE_KINDS}")
    with _refused_as("store_url", f"use one of: {STORE_KINDS}"):
        return _store(kind, url, rest, prefix, pool_size)


@contextmanager
def _refused_as(field: str, remedy: str) -> Iterator[None]:
    """What a store refuses about its address is wrong input."""
    try:
        yield
    except ValueError as error:
        raise BadInput(field, str(error), remedy) from None


def _store(kind: str, url: str, rest: str, prefix: str, pool_size: int) -> Store:
    if kind == "memory":
        from app.stores.memory import MemoryJobStore

        return MemoryJobStore()
    if kind == "file":
        from app.stores.file import FileJobStore

        folder = rest.removeprefix("//")
        if not folder:
            raise BadInput("store_url", "names no directory", "write it like file:./jobs_data")
        return FileJobStore(storage_dir=folder, prefix=prefix)
    if kind in ("sqlite", "postgresql", "postgres", "mysql", "mariadb"):
        from app.stores.sql import DatabaseJobStore

        names = {"postgres": "postgresql", "mariadb": "mysql"}
        address = f"{names.get(kind, kind)}:{rest}"
        return DatabaseJobStore(url=address, prefix=prefix, connection_pool_size=pool_size)
    if kind == "firestore":
        from app.stores.firestore import FirestoreJobStore

        parts = urlsplit(url)
        if not parts.netloc:
            raise BadInput("store_url", "names no project", "write it like firestore://my-project/(default)")
        return FirestoreJobStore(project=parts.netloc, database=parts.path.strip("/") or "(default)", prefix=prefix)
    raise BadInput("store_url", f"{kind!r} is not a kind of store", f"use one of: {STORE_KINDS}")


def names_a_store(given: Settings) -> bool:
    """Whether the settings say at all where jobs are kept."""
    database = given.storage.database.model_fields_set - {"connection_pool_size"}
    return given.store_url is not None or "store_type" in given.job.model_fields_set or bool(database)


def store_of(given: Settings, fallback_url: str | None = None) -> Store:
    """The store that the settings name.

    Args:
        given: the settings.
        fallback_url: where to, if the settings say nothing at all.

    Raises:
        BadInput: see `make_store`.
    """
    database = given.storage.database
    size = database.connection_pool_size
    if given.store_url is not None:
        return make_store(given.store_url, prefix=given.prefix, pool_size=size)
    if fallback_url is not None and not names_a_store(given):
        return make_store(fallback_url, prefix=given.prefix, pool_size=size)
    named = given.storage.database.model_fields_set - {"connection_pool_size"}
    if given.job.store_type != "database" and ("store_type" in given.job.model_fields_set or not named):
        return make_store(f"{given.job.store_type}:{given.job.store_path}", prefix=given.prefix)
    from app.stores.sql import DatabaseJobStore

    with _refused_as("storage.database", "see docs/settings.md"):
        if database.dialect == "sqlite":
            return DatabaseJobStore(dialect="sqlite", path=database.path, prefix=given.prefix)
        return DatabaseJobStore(
            dialect=database.dialect,
            host=database.host,
            port=database.port,
            username=database.username,
            password=database.password.get_secret_value() if database.password is not None else None,
            database=database.name,
            connection_pool_size=size,
            prefix=given.prefix,
        )


def options_of(given: Settings) -> EngineOptions:
    """The engine options that the settings make."""
    return EngineOptions(
        lease_seconds=given.lease_seconds,
        flush_seconds=given.flush_seconds,
        cancel_grace_seconds=given.cancel_grace_seconds,
        shutdown_seconds=given.shutdown_seconds,
        recovery_timeout=timedelta(minutes=given.job.job_recovery_timeout_minutes),
        keep_jobs=given.keep_jobs,
        keep_runs=given.keep_runs,
        concurrency=given.concurrency,
        shards=given.shards,
        max_depth=given.max_depth,
        poll_seconds=given.poll_seconds,
    )


def text_codec_of(given: Settings) -> TextCodec | None:
    """The transformation of user data that the settings name, looked up from the current folder too.

    Raises:
        BadInput: it cannot be imported, or has no `encode` and `decode`.
    """
    if given.text_codec is None:
        return None
    codec = _named("text_codec", given.text_codec, "write module:attribute")
    if not (hasattr(codec, "encode") and hasattr(codec, "decode")):
        raise BadInput("text_codec", f"{given.text_codec!r} has no encode and decode", "name an object that has both")
    return cast(TextCodec, codec)


def middleware_of(given: Settings) -> list[Middleware]:
    """What is asked around every job: the log, and what the settings name, looked up from the current folder too.

    Raises:
        BadInput: one cannot be imported or made, or is no middleware.
    """
    return [LoggingMiddleware(), *map(_middleware, given.middleware)]


def _middleware(name: str) -> Middleware:
    made = _named("middleware", name, "write module:Class")
    try:
        hook = made() if isinstance(made, type) else made
    except Exception as error:  # its constructor may raise anything
        raise BadInput("middleware", f"{name!r} cannot be made: {error!r}", "it is called without arguments") from error
    if not isinstance(hook, Middleware):
        raise BadInput("middleware", f"{name!r} is no middleware", "derive it from app.jobs.Middleware")
    return hook


def _named(field: str, name: str, remedy: str) -> object:
    """What a setting names as `module:attribute`."""
    module, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        found: object = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadInput(field, f"{name!r} cannot be imported: {error}", remedy) from error
    return found


def discover_tasks(packages: Iterable[str]) -> Discovered:
    """Import the shipped task packages and the named ones, which are looked up from the current folder too."""
    return discover((*SHIPPED_TASKS, *packages), look_in=Path.cwd())


def make_telemetry(given: Settings, service: str = "torpor") -> Telemetry | None:
    """This process's telemetry as the settings say; None, and nothing imported for it, where it is off.

    Args:
        given: the settings.
        service: the name of the service, unless OTEL_SERVICE_NAME says another.

    Raises:
        BadInput: what a variable asks for is not there, or Google knows no account of this process.
    """
    if given.telemetry == "off" or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    from app.cloud.telemetry import telemetry_to

    return telemetry_to(given.telemetry, service, __version__)


def application_of(given: Settings) -> dict[str, object]:
    """What the settings say to the catalogue's jobs: whether they may write, and which models they may ask.

    Raises:
        BadInput: a model is to be asked, and something that it takes is missing.
    """
    said: dict[str, object] = {"catalog_apply_enabled": given.catalog_apply_enabled}
    if given.catalog_gemini_project is None:
        if given.catalog_repairer == "gemini":
            raise BadInput("catalog_repairer", "is gemini, and there is no project", "set catalog_gemini_project too")
        return said
    if find_spec("google.genai") is None:
        remedy = "install it: pip install 'torpor[gemini]'"
        raise BadInput("catalog_gemini_project", "is set, and the extra gemini is not installed", remedy)
    if (given.catalog_gemini_input_price is None) != (given.catalog_gemini_output_price is None):
        raise BadInput("catalog_gemini_input_price", "is one of two prices", "give both, or none")
    model = cache(lambda: _gemini_model(given))
    said["catalog_enrichers"] = {"gemini": lambda: _gemini_enricher(model())}
    if given.catalog_repairer == "gemini":
        from app.catalog.repair.deferred import DeferredRepairer

        said["catalog_repairer"] = DeferredRepairer(lambda: _gemini_repairer(model()))
    return said


# Google's library takes a second to import: no process pays for it before the first question.
def _gemini_model(given: Settings) -> GeminiModel:
    from app.catalog.gemini import GeminiModel, Price

    prices = given.catalog_gemini_input_price, given.catalog_gemini_output_price
    return GeminiModel(
        given.catalog_gemini_project or "",
        location=given.catalog_gemini_location,
        model=given.catalog_gemini_model,
        timeout_seconds=given.catalog_gemini_timeout_seconds,
        price=None if prices[0] is None or prices[1] is None else Price(prices[0], prices[1]),
        endpoint=given.catalog_gemini_endpoint,
    )


def _gemini_enricher(model: GeminiModel) -> Enricher:
    from app.catalog.gemini import GeminiEnricher

    return GeminiEnricher(model)


def _gemini_repairer(model: GeminiModel) -> Repairer[ChangePlan]:
    from app.catalog.gemini import GeminiRepairer

    return GeminiRepairer(model)


def make_runtime(
    given: Settings,
    store: Store | None = None,
    fallback_url: str | None = None,
    *,
    waker: Waker | None = None,
    telemetry: Telemetry | None = None,
) -> Runtime:
    """An engine from settings; nothing is opened, and nothing discovered.

    Args:
        given: the settings.
        store: where jobs are kept; by default the settings say.
        fallback_url: where to, if the settings say nothing at all.
        waker: what tells sleeping workers; by default the settings say.
        telemetry: what is told of its jobs, around whatever else is.

    Raises:
        BadInput: a setting that names no store, or see `make_waker`.
    """
    waker = waker or make_waker(given)
    runtime = Runtime(
        store or store_of(given, fallback_url),
        options=options_of(given),
        text_codec=text_codec_of(given),
        middleware=[*(telemetry.middleware if telemetry is not None else ()), *middleware_of(given)],
        application=application_of(given),
        waker=waker if telemetry is None else telemetry.waker(waker),
    )
    if telemetry is not None:
        telemetry.attach(runtime)
    return runtime


def default_engine(store: Store | None = None) -> Runtime:
    """An engine from the process's settings, its task packages discovered.

    Args:
        store: where jobs are kept; by default the settings say.

    Raises:
        BadInput: a setting that names no store.
    """
    discover_tasks(settings.task_packages)
    telemetry = make_telemetry(settings)
    if telemetry is not None:
        telemetry.start()
    return make_runtime(settings, store, telemetry=telemetry)


def request_time_of(given: Settings, *, runs_jobs: bool) -> RequestTime:
    """How a server shares out the time of a request: what may follow the work takes its time from it.

    Args:
        given: the settings.
        runs_jobs: whether jobs run inside of its requests.

    Raises:
        BadInput: nothing would be left for the work.
    """
    from app.web.deadlines import request_time

    publish = flush = 0.0
    if runs_jobs and given.wake_topic is not None:
        from app.cloud import pubsub

        publish = pubsub.PUBLISH_SECONDS
    elif runs_jobs and given.wake_queue is not None:
        from app.cloud import tasks

        publish = tasks.CREATE_SECONDS
    if given.telemetry != "off":
        from app.cloud import courier

        flush = courier.FLUSH_SECONDS
    return request_time(
        given.request_seconds,
        shutdown_seconds=given.shutdown_seconds if runs_jobs else 0.0,
        publish_seconds=publish,
        flush_seconds=flush,
    )


def make_waker(given: Settings) -> Waker:
    """What wakes sleeping workers: Pub/Sub at once, Cloud Tasks at an exact time; without a topic the latter for both.

    Raises:
        BadInput: tasks would call nobody, or somebody without saying who calls.
    """
    at_once: Waker | None = None
    if given.wake_topic is not None:
        from app.cloud.pubsub import PubSubWaker

        at_once = PubSubWaker(given.wake_topic, delayed=given.wake_delayed)
    if given.wake_queue is None:
        return at_once or NoWaker()
    if given.wake_url is None:
        raise BadInput("wake_url", "is not set, so tasks would call nobody", "set it to the address of the worker")
    parts = urlsplit(given.wake_url)
    if given.wake_account is None and not is_loopback(parts.hostname or ""):
        problem = f"is not set, and {parts.netloc} takes no calls of nobody"
        raise BadInput("wake_account", problem, "set it to the service account that tasks call as")
    if given.wake_account is not None and parts.scheme != "https":
        raise BadInput("wake_url", f"{given.wake_url} would be sent tokens unencrypted", "write it with https://")
    from app.cloud.tasks import CloudTasksWaker

    clock = SystemClock()
    exact = CloudTasksWaker(
        given.wake_queue,
        given.wake_url,
        given.wake_account,
        within=timedelta(seconds=given.wake_exact_seconds),
        clock=clock,
    )
    return exact if at_once is None else SplitWaker(at_once, exact, clock)


def make_ears(given: Settings) -> list[Watch]:
    """Where a long-lived worker hears of work, beside what its store tells."""
    if given.wake_subscription is None:
        return []
    from app.cloud.pull import PulledHints

    return [PulledHints(given.wake_subscription)]


ON_CLOUD_RUN = frozenset({"K_SERVICE", "CLOUD_RUN_JOB", "CLOUD_RUN_WORKER_POOL"})
"""One of these is set in whatever Cloud Run runs, by its kind:
https://cloud.google.com/run/docs/container-contract#env-vars"""


def logs_are_json(given: Settings) -> bool:
    """Whether what this process logs is for Cloud Logging, not for people."""
    return given.log_format == "json" or (given.log_format == "auto" and not ON_CLOUD_RUN.isdisjoint(os.environ))


def log_json(stream: IO[str] | None = None, *, level: int = logging.INFO) -> None:
    """Let this process log as Cloud Logging reads it.

    Args:
        stream: where to, instead of standard output.
        level: the least severe records that are written.
    """
    from app.cloud.logs import structured_logs

    structured_logs(os.environ.get("GOOGLE_CLOUD_PROJECT"), level=level, stream=stream)


def log_as(given: Settings) -> None:
    """Let this server log as the settings say: for people, or for Cloud Logging."""
    if logs_are_json(given):
        log_json()
    else:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)


def server_settings() -> Settings:
    """The process's settings, for a server's entry point."""
    return settings


def make_worker_app(routes: Set[str], given: Settings = settings, *, shipped_later: bool = False) -> Flask:
    """The WSGI application of a worker service; its engine opens with the first request.

    Args:
        routes: those of the worker's routes that this service has.
        given: the settings.
        shipped_later: import the shipped job types when the first job of one comes: they are half of a start.

    Raises:
        BadInput: a setting is wrong, or others could reach the server and nobody would be asked who they are.
    """
    from app.web.auth import guard_of
    from app.web.instance import Instance
    from app.web.service import Service
    from app.web.worker_app import worker_app

    log_as(given)
    time = request_time_of(given, runs_jobs="/tasks/drain" in routes)
    guard = guard_of(given.host, given.oidc_audience, given.oidc_callers)
    waker = make_waker(given)
    telemetry = make_telemetry(given, f"torpor-{given.service}")
    if shipped_later:
        discover(given.task_packages, look_in=Path.cwd())
        JobRegistry.registry.load_later(partial(discover_tasks, ()))
    else:
        discover_tasks(given.task_packages)

    async def make() -> Instance:
        manager = await _opened(given, waker, telemetry)
        return Instance(manager, slots=given.concurrency, work_seconds=time.work_seconds)

    service = Service(make, on_closed=_closing(telemetry), seconds=time.answer_seconds)
    app = worker_app(service, guard, routes=frozenset(routes), proxies=given.proxies, telemetry=telemetry)
    return _traced(app, telemetry)


async def _opened(
    given: Settings, waker: Waker, telemetry: Telemetry | None, store: Store | None = None
) -> AsyncJobManager:
    """The engine behind a server: open, and without a worker of its own."""
    runtime = make_runtime(given, store, waker=waker, telemetry=telemetry)
    manager = AsyncJobManager(runtime=runtime, worker=False)
    await manager.open()
    return manager


def _closing(telemetry: Telemetry | None) -> Callable[[], None] | None:
    return None if telemetry is None else telemetry.close


def _traced(app: Flask, telemetry: Telemetry | None) -> Flask:
    """The application, its requests under spans where there is telemetry."""
    if telemetry is not None:
        from app.web.traced import TracedApp

        # Flask's own way to put something around an application, which its types take for a method.
        app.wsgi_app = TracedApp(app.wsgi_app, telemetry)  # type: ignore[method-assign]
    return app


def access_of(given: Settings) -> Access:
    """Who may use the API, as the settings say."""
    from app.web.scopes import Access

    tokens = None if given.api_tokens is None else tuple(given.api_tokens)
    return Access(tokens, given.iap_audience, given.people)


def make_web_app(given: Settings = settings) -> Flask:
    """The WSGI application of the web service; its engine, which runs no jobs, opens with the first request.

    Args:
        given: the settings.

    Raises:
        BadInput: a setting is wrong, or others could reach the server and nobody would be asked who they are.
    """
    from app.web.api.application import web_app
    from app.web.api.desk import Desk
    from app.web.api.streams import Streams
    from app.web.scopes import api_guard_of
    from app.web.service import Service

    log_as(given)
    access = access_of(given)
    waker = make_waker(given)
    telemetry = make_telemetry(given, f"torpor-{given.service}")
    discover_tasks(given.task_packages)

    async def make() -> Desk:
        manager = await _opened(given, waker, telemetry)
        return Desk(manager, Streams(given.streams))

    time = request_time_of(given, runs_jobs=False)
    service = Service(make, on_closed=_closing(telemetry), seconds=time.answer_seconds)
    app = web_app(service, lambda scopes: api_guard_of(given.host, access, scopes), proxies=given.proxies)
    return _traced(app, telemetry)


def make_house(
    given: Settings, fallback_url: str | None = None, *, runs_jobs: bool = True, on_end: Callable[[], None]
) -> tuple[WSGIApplication, Service[House]]:
    """The whole product for one process: what answers HTTP, and the service behind it, whose engine opens when asked.

    The worker's routes are there where their callers can be known, or where nobody is asked at all.

    Args:
        given: the settings.
        fallback_url: where jobs are kept, if the settings say nothing at all.
        runs_jobs: whether jobs run in this process; the timetable is kept all the same.
        on_end: called when the worker ends by itself.

    Raises:
        BadInput: a setting is wrong, or others could reach the server and nobody would be asked who they are.
    """
    from app.serve.front import front
    from app.serve.house import House
    from app.serve.resident import Resident
    from app.serve.timetable import Timetable
    from app.web.api.application import web_app
    from app.web.api.desk import Desk
    from app.web.api.streams import Streams
    from app.web.auth import OPEN_ROUTES, OpenGuard, guard_of
    from app.web.instance import Instance
    from app.web.scopes import api_guard_of
    from app.web.service import Part, Service
    from app.web.worker_app import worker_app

    access = access_of(given)
    time = request_time_of(given, runs_jobs=False)
    waker = make_waker(given)
    telemetry = make_telemetry(given, "torpor-serve")
    store = store_of(given, fallback_url)
    discover_tasks(given.task_packages)

    async def make() -> House:
        bells = InProcessWaker(also=waker)
        manager = await _opened(given, bells, telemetry, store)
        instance = Instance(manager, slots=given.concurrency, work_seconds=time.work_seconds)
        duties: dict[str, Callable[[], Awaitable[object]]] = {"tick": instance.tick, "watchdog": instance.watch_over}
        if runs_jobs:
            bell = bells.bell()
            worker = Worker(manager.runtime, concurrency=given.concurrency, ears=[bell, *make_ears(given)])
            instance = resident = Resident(manager, worker, bell, on_end)
            resident.start()
            duties["sweep"] = resident.sweep
        timetable = Timetable(duties)
        timetable.start()
        return House(Desk(manager, Streams(given.streams)), instance, timetable)

    service = Service(make, on_closed=_closing(telemetry), seconds=time.answer_seconds)
    web = web_app(
        Part(service, lambda house: house.desk),
        lambda scopes: api_guard_of(given.host, access, scopes),
        proxies=given.proxies,
    )
    routes: frozenset[str] = frozenset()
    if given.oidc_audience is not None or access.asks_nobody:
        routes = frozenset({"/tasks/tick", "/tasks/watchdog"})
        if runs_jobs:
            routes |= {"/pubsub/push", "/tasks/wake", "/tasks/drain"}
    # Without these routes there is nothing left but the platform's own, and those ask nobody.
    guard = guard_of(given.host, given.oidc_audience, given.oidc_callers) if routes else OpenGuard()
    part = Part(service, lambda house: house.instance)
    other = worker_app(part, guard, routes=routes, proxies=given.proxies, telemetry=telemetry)
    if telemetry is not None:
        telemetry.start()
    whole = front(_traced(web, telemetry), _traced(other, telemetry), routes | OPEN_ROUTES)
    return whole, service


def calm_collector(*, tidy: bool = True) -> None:
    """Tell the garbage collector of a process that does nothing but run jobs to look less often.

    A job leaves some hundreds of short-lived objects behind, nearly none of them in a cycle, so that with Python's own
    thresholds a quarter of a worker's processor time goes into looking at them; and what was imported stays for good.

    Args:
        tidy: collect once before that; a process that has only been importing has nothing to collect.
    """
    if tidy:
        gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 10, 10)
    gc.enable()


class BoundEngine:
    """An engine that the module functions and `handler.submit` talk to; leaving it binds what was bound before."""

    def __init__(self, manager: AsyncJobManager) -> None:
        self.manager = manager
        self._before = bind(manager)

    async def __aenter__(self) -> Self:
        await self.manager.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Bind what was bound before, and close the engine's store."""
        bind(self._before)
        await self.manager.close()


def use_engine(store: Store | None = None, *, worker: bool = False) -> BoundEngine:
    """Bind an engine to the current context, for the functions of `app.jobs` and `handler.submit`.

    Args:
        store: where jobs are kept; by default the settings say.
        worker: whether to run jobs in this process as well.

    Returns:
        The binding: close it, or use it as an asynchronous context manager.
    """
    manager = AsyncJobManager(runtime=default_engine(store), worker=worker)
    return BoundEngine(manager)

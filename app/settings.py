"""Settings: from the environment (`TORPOR_…`), a `.env` file, or code.

`TORPOR_STORE_URL` picks the store by itself; without it the settings of its parts do:
`settings.job.store_type`, `settings.storage.database.dialect`, and so on, in the environment
`TORPOR_JOB__STORE_TYPE`, `TORPOR_STORAGE__DATABASE__DIALECT`.

`settings` is the one permitted global; only constructors read it. docs/settings.md is made from the classes here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.jobs.options import MAX_SHARDS
from app.web.tokens import Scope, TokenEntry

_CHECKED = ConfigDict(validate_assignment=True, extra="forbid")

DAY = 86_400.0
"""Longest duration that a setting in seconds takes: more is a slip of the unit."""
CENTURY = 36_500.0
Seconds = Annotated[float, Field(gt=0, le=DAY, allow_inf_nan=False)]
Days = Annotated[float, Field(ge=0, le=CENTURY, allow_inf_nan=False)]


class DatabaseSettings(BaseModel):
    """A SQL database, part by part."""

    model_config = _CHECKED

    dialect: Literal["sqlite", "postgresql", "mysql"] = "sqlite"
    """The kind of database."""
    path: str = Field(default="torpor.db", min_length=1)
    """The file of an SQLite database."""
    host: str = Field(default="127.0.0.1", min_length=1)
    """Where the server is. Like what follows, for PostgreSQL and MySQL only."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """The server's port; without one the dialect's usual one."""
    username: str | None = None
    """Whom to log in as."""
    password: SecretStr | None = None
    """The password of that user. Never shown."""
    name: str = Field(default="torpor", min_length=1)
    """The database on the server."""
    connection_pool_size: int = Field(default=5, ge=2, le=1000)
    """Connections kept open to PostgreSQL or MySQL, with `TORPOR_STORE_URL` as well."""


class StorageSettings(BaseModel):
    """Where databases are."""

    model_config = _CHECKED

    database: DatabaseSettings = Field(default_factory=DatabaseSettings)


class JobSettings(BaseModel):
    """How jobs are kept, and for how long."""

    model_config = _CHECKED

    store_type: Literal["memory", "file", "database"] = "memory"
    """Where jobs are kept if `TORPOR_STORE_URL` does not say. If neither does, the command takes
    `sqlite:///torpor.db`."""
    store_path: str = Field(default="jobs_data", min_length=1)
    """The directory of the file store."""
    retention_days: Days = 30.0
    """How long ended jobs are kept."""
    run_retention_days: Days = 90.0
    """How long run summaries are kept."""
    job_recovery_timeout_minutes: float = Field(default=5.0, ge=0, le=DAY / 60, allow_inf_nan=False)
    """How long a lease must have run out before start-up recovery takes its job back; never lengthens a lease."""


class Settings(BaseSettings):
    """All settings of a process."""

    model_config = SettingsConfigDict(
        env_prefix="TORPOR_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        env_file=".env",
        extra="ignore",
        populate_by_name=True,
        validate_assignment=True,
    )

    store_url: str | None = Field(default=None, repr=False)
    """Where jobs are kept: `memory:`, `file:DIR`, `sqlite:///FILE`, `postgresql://USER:PASSWORD@HOST/NAME`,
    `mysql://USER:PASSWORD@HOST/NAME` or `firestore://PROJECT/DATABASE`."""
    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,40}$")
    """Keeps environments apart in one database: names of tables and collections begin with it."""
    text_codec: str | None = Field(default=None, pattern=r"^[\w.]+:\w+$")
    """`module:attribute` of an object with `encode(text)` and `decode(text)`, applied to user data: payload, settings,
    checkpoint, result, review, saved results and log lines. Every process needs the same one."""
    task_packages: Annotated[tuple[str, ...], NoDecode] = ()
    """Import names of packages with task modules, beside the shipped ones; looked up from the current folder too."""
    middleware: Annotated[tuple[str, ...], NoDecode] = ()
    """`module:Class` of each middleware that is asked around every job, in this order; looked up from the current
    folder too."""
    lease_seconds: Seconds = 60.0
    """How long a worker may be silent before its job is taken back; it renews at a third of it."""
    flush_seconds: Seconds = 5.0
    """How long progress, log and checkpoint wait for a renewal before they are written by themselves."""
    cancel_grace_seconds: float = Field(default=10.0, ge=0, le=DAY, allow_inf_nan=False)
    """How long a handler may go on after a cancel before it is cut off."""
    shutdown_seconds: Seconds = 8.0
    """How long a stopping worker takes at most to give its leases back."""
    concurrency: int = Field(default=10, ge=1, le=10_000)
    """How many handlers a worker runs at once."""
    shards: int = Field(default=1, ge=1, le=MAX_SHARDS)
    """Over how many shards new jobs are spread: 1 keeps one strict order; see docs/architecture.md."""
    max_depth: int = Field(default=100, ge=1, le=1_000_000)
    """How many jobs may create each other, one the next, before a further one is refused: more is a loop."""
    catalog_apply_enabled: bool = Field(
        default=False, validation_alias=AliasChoices("TORPOR_CATALOG_APPLY_ENABLED", "CATALOG_APPLY_ENABLED")
    )
    """Whether catalogue jobs in mode `apply` may write; without it they fail with `APPLY_DISABLED`."""
    catalog_gemini_project: str | None = Field(default=None, min_length=1)
    """The Google Cloud project that is billed for questions to Gemini on Vertex AI; without one nobody is asked. It
    needs the extra `gemini`."""
    catalog_gemini_location: str = Field(default="global", min_length=1)
    """Where Vertex AI answers, such as `europe-west4`."""
    catalog_gemini_model: str = Field(default="gemini-2.5-flash", min_length=1)
    """Which model is asked."""
    catalog_gemini_timeout_seconds: Seconds = 60.0
    """How long one answer may take."""
    catalog_gemini_endpoint: str | None = Field(default=None, pattern=r"^https?://[^/?#\s]+$")
    """Another address than Vertex AI's own, such as that of a proxy."""
    catalog_gemini_input_price: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """US$ for a million tokens of questions, for the record of what answers cost; by default the list price."""
    catalog_gemini_output_price: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """US$ for a million tokens of answers. Both prices are given, or none."""
    catalog_repairer: Literal["rules", "gemini"] = "rules"
    """Who mends change plans that are not valid, before a person is asked."""
    job: JobSettings = Field(default_factory=JobSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    service: Literal["job_worker", "watchdog_worker", "catalog_worker", "web"] = "job_worker"
    """Which service `python -m workers` is: one image serves them all."""
    host: str = Field(default="127.0.0.1", min_length=1)
    """Where a server listens. Anywhere but on loopback it needs `TORPOR_OIDC_AUDIENCE`; the service `web` needs
    `TORPOR_API_TOKENS`, or `TORPOR_IAP_AUDIENCE` and `TORPOR_PEOPLE`."""
    port: int = Field(default=8080, ge=0, le=65535, validation_alias=AliasChoices("TORPOR_PORT", "PORT"))
    """The server's port; 0 takes a free one. `PORT` is what Cloud Run sets."""
    log_format: Literal["auto", "text", "json"] = "auto"
    """How servers and workers log: lines for people, or JSON for Cloud Logging. JSON on Cloud Run if `auto`."""
    telemetry: Literal["off", "otlp", "google"] = "off"
    """Whether traces and metrics are exported: `otlp` to the collector that the variables `OTEL_EXPORTER_OTLP_…` name,
    `google` to Google Cloud; see docs/telemetry.md."""
    request_seconds: Seconds = 300.0
    """How long a request may take: the service's timeout or the subscription's ack deadline, whichever is less. Work
    ends so long before that jobs can end, the next is woken and the answer is there in time; see docs/http.md."""
    oidc_audience: str | None = Field(default=None, min_length=1)
    """What callers' tokens must be made out to: the service's URL."""
    oidc_callers: dict[str, frozenset[str]] = Field(default_factory=dict)
    """JSON: the routes that each service account may call, by its e-mail address."""
    proxies: int = Field(default=0, ge=0, le=10)
    """How many proxies are in front of a server, each of which says for whom it calls: 1 on Cloud Run. Refused calls
    are counted by the address that comes out."""
    api_tokens: list[TokenEntry] | None = None
    """JSON: the entries of the tokens with which programs may call the API, as `torpor tokens create` prints them. An
    empty list lets no program in."""
    iap_audience: str | None = Field(default=None, min_length=1)
    """What Identity-Aware Proxy's assertions about people must be made out to: its audience of the service `web`."""
    people: dict[str, frozenset[Scope]] = Field(default_factory=dict)
    """JSON: the scopes of people in the API by e-mail address: `read`, `enqueue`, `admin`."""
    streams: int = Field(default=100, ge=1, le=10_000)
    """How many readers the service `web` lets follow jobs at once; each takes a thread."""
    wake_topic: str | None = Field(default=None, pattern=r"^projects/[^/]+/topics/[^/]+$")
    """The Pub/Sub topic for wake-ups, as `projects/PROJECT/topics/TOPIC`; without one nobody is woken, and the sweep
    finds the jobs."""
    wake_queue: str | None = Field(default=None, pattern=r"^projects/[^/]+/locations/[^/]+/queues/[^/]+$")
    """The Cloud Tasks queue for wake-ups at an exact time, as `projects/PROJECT/locations/LOCATION/queues/QUEUE`;
    without one the sweep finds delayed jobs, up to a minute late. It needs `TORPOR_WAKE_URL`."""
    wake_url: str | None = Field(default=None, pattern=r"^https?://[^/?#\s]+$")
    """Whom tasks call: the worker's address, which is also what their tokens are made out to."""
    wake_account: str | None = Field(default=None, pattern=r"^[^@\s]+@[^@\s]+$")
    """The service account that tasks call the worker as; without one they send no token, which only a worker on
    loopback takes."""
    wake_exact_seconds: Seconds = 600.0
    """Up to how long delays are ended by a task; for longer ones the sweep that comes each minute is exact enough."""
    wake_subscription: str | None = Field(default=None, pattern=r"^projects/[^/]+/subscriptions/[^/]+$")
    """The Pub/Sub subscription from which `torpor worker` and `torpor serve` pull wake-ups, as
    `projects/PROJECT/subscriptions/SUBSCRIPTION`: one for all workers, without a push endpoint."""
    wake_delayed: bool = False
    """Whether the topic is told of delayed jobs at once, with their time, for workers that pull. Where there is a queue
    of Cloud Tasks, that is told of them instead."""
    poll_seconds: float = Field(default=60.0, ge=1, le=3600, allow_inf_nan=False)
    """How often an idle worker looks for jobs that hears of all that becomes claimable: from
    `TORPOR_WAKE_SUBSCRIPTION`, or from PostgreSQL. Others look as often as is right for their store."""

    @field_validator("task_packages", "middleware", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @property
    def keep_jobs(self) -> timedelta:
        """How long ended jobs are kept."""
        return timedelta(days=self.job.retention_days)

    @property
    def keep_runs(self) -> timedelta:
        """How long run summaries are kept."""
        return timedelta(days=self.job.run_retention_days)


settings = Settings()

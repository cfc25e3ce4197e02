"""The engine: durable jobs, leased with fencing, retried, watched over and kept as history.

from app.jobs import JobContext, job

@job("resize", timeout_seconds=60)
async def resize(ctx: JobContext, width: int) -> dict[str, int]:
    await ctx.report_progress(1, 1, "done")
    return {"width": width}
"""

from app.jobs.attempt import Attempt
from app.jobs.batch_plan import MAX_JOBS
from app.jobs.batches import BatchInfo, BatchStatus, JobBatch
from app.jobs.bells import Bell, InProcessWaker
from app.jobs.blocking import JobManager, LoopThread
from app.jobs.clock import Chance, Clock, SystemClock
from app.jobs.codec import Codec, TextCodec
from app.jobs.context import (
    BlockingJobContext,
    JobContext,
    clear_current_job_context,
    get_current_job_context,
    set_current_job_context,
)
from app.jobs.decorator import JobFunction, job
from app.jobs.definition import JobDefinition, JobOptions
from app.jobs.depths import QueueDepth, queue_depths
from app.jobs.discovery import Discovered, DiscoveryFailure, discover
from app.jobs.errors import (
    AttemptTimeout,
    BadInput,
    BatchNotFound,
    Cancel,
    ContinueLater,
    DependencyCycle,
    DuplicateJobType,
    EventTimeout,
    IdempotencyConflict,
    IllegalTransition,
    JobNotFound,
    LeaseLost,
    LockTaken,
    ManagerClosed,
    NoEngine,
    NoHandler,
    NoProgress,
    OnceTaken,
    PayloadInvalid,
    PermanentError,
    RetryLater,
    ReviewNeeded,
    RevisionChanged,
    RunningLoop,
    ScheduleNotFound,
    StepNameTwice,
    StepsChanged,
    TooLarge,
    TorporError,
    UnknownJobType,
    WaitTimeout,
)
from app.jobs.event_stream import event_number
from app.jobs.executor import ExecutionContext, JobExecutor, JobHandler
from app.jobs.functions import (
    cleanup_expired_locks,
    cleanup_idempotency_records,
    complete_job,
    create_job,
    fail_job,
    get_daily_summary,
    get_run_history,
    lease_job,
    poll_job,
    recover_stuck_jobs,
    release_job,
    retry_job,
)
from app.jobs.inbox import SentEvent
from app.jobs.listing import JobFilter, JobPage
from app.jobs.lock_verbs import Lock
from app.jobs.manager import AsyncJobManager
from app.jobs.middleware import LoggingMiddleware, Middleware
from app.jobs.models import (
    AttemptLog,
    Job,
    JobError,
    JobPriority,
    JobProgress,
    JobQueue,
    JobResult,
    JobStatus,
    LogEntry,
    Outcome,
    RunSummary,
)
from app.jobs.openagents import OpenAgentsApp
from app.jobs.options import EngineOptions
from app.jobs.pauses import Paused
from app.jobs.portions import Portions
from app.jobs.progress import ProgressBroker
from app.jobs.records import DataLimits
from app.jobs.registry import JobRegistry, JobType, Registry
from app.jobs.repair import Repair, RepairableError, Repairer, execute_with_repair_loop
from app.jobs.request import JobRequest
from app.jobs.results import JobResults
from app.jobs.reviews import ReviewRequest
from app.jobs.routes import Served
from app.jobs.run_history import DailySummary, RunFilter, RunPage
from app.jobs.runtime import Runtime
from app.jobs.schedule_sync import SyncReport
from app.jobs.scheduler import JobScheduler
from app.jobs.schedules import Schedule, ScheduleDefinition, SkippedSlots
from app.jobs.steps import Step, StepKind
from app.jobs.streams import SavedResult, Subscription
from app.jobs.task import BaseTask, RunnerResult
from app.jobs.ticker import TickReport
from app.jobs.traces import TRACE_FIELDS, continue_trace, trace_of
from app.jobs.wait_verbs import ReviewDecision
from app.jobs.waking import HINTS_AT_ONCE, Hint, NoWaker, SplitWaker, Waker
from app.jobs.watchdog import Watchdog, WatchdogReport
from app.jobs.worker import Worker, WorkReport
from app.stores.base import StoreError, StoreUnavailable

__all__ = [
    "HINTS_AT_ONCE",
    "MAX_JOBS",
    "TRACE_FIELDS",
    "AsyncJobManager",
    "Attempt",
    "AttemptLog",
    "AttemptTimeout",
    "BadInput",
    "BaseTask",
    "BatchInfo",
    "BatchNotFound",
    "BatchStatus",
    "Bell",
    "BlockingJobContext",
    "Cancel",
    "Chance",
    "Clock",
    "Codec",
    "ContinueLater",
    "DailySummary",
    "DataLimits",
    "DependencyCycle",
    "Discovered",
    "DiscoveryFailure",
    "DuplicateJobType",
    "EngineOptions",
    "EventTimeout",
    "ExecutionContext",
    "Hint",
    "IdempotencyConflict",
    "IllegalTransition",
    "InProcessWaker",
    "Job",
    "JobBatch",
    "JobContext",
    "JobDefinition",
    "JobError",
    "JobExecutor",
    "JobFilter",
    "JobFunction",
    "JobHandler",
    "JobManager",
    "JobNotFound",
    "JobOptions",
    "JobPage",
    "JobPriority",
    "JobProgress",
    "JobQueue",
    "JobRegistry",
    "JobRequest",
    "JobResult",
    "JobResults",
    "JobScheduler",
    "JobStatus",
    "JobType",
    "LeaseLost",
    "Lock",
    "LockTaken",
    "LogEntry",
    "LoggingMiddleware",
    "LoopThread",
    "ManagerClosed",
    "Middleware",
    "NoEngine",
    "NoHandler",
    "NoProgress",
    "NoWaker",
    "OnceTaken",
    "OpenAgentsApp",
    "Outcome",
    "Paused",
    "PayloadInvalid",
    "PermanentError",
    "Portions",
    "ProgressBroker",
    "QueueDepth",
    "Registry",
    "Repair",
    "RepairableError",
    "Repairer",
    "RetryLater",
    "ReviewDecision",
    "ReviewNeeded",
    "ReviewRequest",
    "RevisionChanged",
    "RunFilter",
    "RunPage",
    "RunSummary",
    "RunnerResult",
    "RunningLoop",
    "Runtime",
    "SavedResult",
    "Schedule",
    "ScheduleDefinition",
    "ScheduleNotFound",
    "SentEvent",
    "Served",
    "SkippedSlots",
    "SplitWaker",
    "Step",
    "StepKind",
    "StepNameTwice",
    "StepsChanged",
    "StoreError",
    "StoreUnavailable",
    "Subscription",
    "SyncReport",
    "SystemClock",
    "TextCodec",
    "TickReport",
    "TooLarge",
    "TorporError",
    "UnknownJobType",
    "WaitTimeout",
    "Waker",
    "Watchdog",
    "WatchdogReport",
    "WorkReport",
    "Worker",
    "cleanup_expired_locks",
    "cleanup_idempotency_records",
    "clear_current_job_context",
    "complete_job",
    "continue_trace",
    "create_job",
    "discover",
    "event_number",
    "execute_with_repair_loop",
    "fail_job",
    "get_current_job_context",
    "get_daily_summary",
    "get_run_history",
    "job",
    "lease_job",
    "poll_job",
    "queue_depths",
    "recover_stuck_jobs",
    "release_job",
    "retry_job",
    "set_current_job_context",
    "trace_of",
]

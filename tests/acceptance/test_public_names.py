"""The names that users import, and the verbs of both managers and of both contexts."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import pytest

import app.stores
from app.jobs import (
    AsyncJobManager,
    AttemptLog,
    BlockingJobContext,
    JobContext,
    JobManager,
    JobPriority,
    JobQueue,
    JobRegistry,
    JobStatus,
    JobType,
    Registry,
    RunningLoop,
    RunSummary,
    UnknownJobType,
    job,
)


def words(text: str) -> list[str]:
    return text.split()


NAMES = {
    "app.jobs": words("""
        job BaseTask RunnerResult JobContext JobManager AsyncJobManager JobRegistry JobType
        Job JobStatus JobQueue JobPriority JobProgress JobResult JobResults RunSummary AttemptLog
        RetryLater Cancel PermanentError LeaseLost NoHandler NoEngine
        BadInput PayloadInvalid UnknownJobType DuplicateJobType IdempotencyConflict IllegalTransition JobNotFound
        RunningLoop WaitTimeout TooLarge TorporError
        get_current_job_context set_current_job_context clear_current_job_context
        ExecutionContext JobExecutor ProgressBroker OpenAgentsApp JobScheduler Subscription SavedResult LogEntry
        execute_with_repair_loop Repairer Repair RepairableError
        create_job poll_job lease_job complete_job fail_job retry_job
        get_run_history get_daily_summary recover_stuck_jobs
        discover Worker Watchdog
        EventTimeout StepNameTwice StepsChanged OnceTaken NoProgress SentEvent
        ReviewDecision ReviewRequest Step StepKind
    """),
    "app.stores": ["MemoryJobStore", "FileJobStore", "DatabaseJobStore", "FirestoreJobStore"],
    "app.settings": ["settings"],
    "app.bootstrap": ["use_engine"],
}

VERBS = words("""
    create_job submit start_job pause_job resume_job cancel_job cancel stop_job retry_job delete_job review
    get_job get list_jobs list wait get_job_status get_job_results get_logs subscribe_progress
    subscribe_logs unsubscribe_logs subscribe_results
    cleanup_old_jobs resume_interrupted_jobs get_status uptime is_running get_system_health get_job_metrics
    send_event list_events list_reviews get_steps
    get_run_history get_daily_summary register_handler close create_job_batch get_batch_jobs get_batch list_batches
    cancel_batch add_job_dependency remove_job_dependency get_dependencies get_dependent_jobs
""")

CONTEXT = words("""
    job_id job_type attempt worker_id mode payload settings checkpoint remaining is_cancelled cancel
    report_progress log save_result save_checkpoint dependencies dependency_results
    step once lock sleep wait_for_event request_review
""")

OPTIONS: dict[str, Any] = {
    "name": "A job",
    "description": "Does it",
    "queue": "maintenance",
    "priority": JobPriority.HIGH,
    "interval_seconds": 60,
    "timezone": "Europe/Berlin",
    "misfire_grace_seconds": 30,
    "catch_up": "last",
    "catch_up_limit": 5,
    "overlap": True,
    "enabled": True,
    "max_retries": 1,
    "retry_delay_seconds": 5,
    "retry_backoff": "fixed",
    "timeout_seconds": 30,
    "max_duration": "1h",
    "max_concurrent": 2,
    "batch_size": 10,
    "dependencies": ["another"],
    "preserve_order": True,
    "idempotent": False,
    "payload_model": None,
    "pool": "gpu",
    "requires": ["net"],
    "requires_wallet": True,
}


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("module", NAMES)
def test_names_are_imported_from_where_users_look(module: str) -> None:
    found = import_module(module)
    assert [name for name in NAMES[module] if not hasattr(found, name)] == []
    listed = getattr(found, "__all__", None)
    assert listed is None or set(NAMES[module]) <= set(listed)


def test_a_store_of_ones_own_follows_the_protocol_under_seed_001s_name() -> None:
    assert app.stores.JobStore is app.stores.base.Store


def test_every_listed_name_is_there() -> None:
    for module in ("app.jobs", "app.stores"):
        found = import_module(module)
        assert [name for name in found.__all__ if not hasattr(found, name)] == []


# --- managers ---


def test_both_managers_offer_the_same_verbs() -> None:
    assert set(VERBS) <= public(JobManager)
    assert public(AsyncJobManager) - {"open"} == public(JobManager), "a blocking manager opens itself"


@pytest.mark.parametrize("verb", sorted(public(JobManager)))
def test_a_verb_has_one_signature_and_blocks_only_where_it_says_so(verb: str) -> None:
    ours, theirs = (inspect.getattr_static(kind, verb) for kind in (JobManager, AsyncJobManager))
    if isinstance(theirs, property):
        assert isinstance(ours, property)
        return
    assert inspect.signature(ours).parameters.keys() == inspect.signature(theirs).parameters.keys()
    for name, parameter in inspect.signature(theirs).parameters.items():
        ours_too = inspect.signature(ours).parameters[name]
        assert (ours_too.kind, ours_too.default) == (parameter.kind, parameter.default)
    assert not inspect.iscoroutinefunction(ours)
    assert not inspect.isasyncgenfunction(ours)
    assert ours.__doc__


async def test_the_blocking_manager_refuses_to_block_a_running_loop() -> None:
    with pytest.raises(RunningLoop, match="use AsyncJobManager"):
        JobManager()


# --- contexts ---


@pytest.mark.parametrize("name", sorted(public(JobContext)))
def test_both_contexts_offer_the_same(name: str) -> None:
    ours, theirs = inspect.getattr_static(BlockingJobContext, name), inspect.getattr_static(JobContext, name)
    if isinstance(theirs, property):
        assert isinstance(ours, property)
        return
    assert inspect.signature(ours).parameters.keys() == inspect.signature(theirs).parameters.keys()
    assert not inspect.iscoroutinefunction(ours)


def test_the_context_has_what_handlers_are_promised() -> None:
    given_at_start = {"worker_id"}
    assert set(CONTEXT) - given_at_start <= public(JobContext) & public(BlockingJobContext)


# --- what a type is declared with, and its words ---


def test_every_option_of_a_job_type_is_taken() -> None:
    registry = Registry()

    @job("declared", registry=registry, **OPTIONS)
    async def declared(ctx: JobContext) -> None:
        return None

    options = registry.get("declared").options.model_dump()
    assert options["requires"] == {"net", "wallet"}
    assert options["max_duration"] == 3600
    same = set(OPTIONS) - {"requires", "requires_wallet", "max_duration", "dependencies"}
    assert {name: options[name] for name in same} == {name: OPTIONS[name] for name in same}
    instead = {name: value for name, value in OPTIONS.items() if name != "interval_seconds"}

    @job("by_cron", registry=registry, **instead, cron="0 * * * *")
    async def by_cron(ctx: JobContext) -> None: ...

    assert registry.get("by_cron").options.cron == "0 * * * *"


def test_words_of_the_states_queues_and_priorities() -> None:
    assert {str(status) for status in JobStatus} == {
        "pending",
        "queued",
        "running",
        "paused",
        "completed",
        "failed",
        "cancelled",
        "needs_review",
    }
    assert {status for status in JobStatus if status.is_terminal} == {"completed", "failed", "cancelled"}
    assert [str(queue) for queue in JobQueue] == ["priority", "maintenance"]
    assert JobPriority.LOW < JobPriority.NORMAL < JobPriority.HIGH < JobPriority.CRITICAL
    assert JobPriority["MEDIUM"] is JobPriority.NORMAL
    assert AttemptLog is RunSummary


def test_job_types_are_dynamic_and_an_unknown_one_lists_those_there_are() -> None:
    first_five = ["BACKTEST", "OPTIMIZATION", "SIGNAL_GENERATION", "DATA_REFRESH", "CUSTOM"]
    assert [getattr(JobType, name) for name in first_five] == [name.lower() for name in first_five]
    assert set(map(str.lower, first_five)) <= set(JobType.get_all_job_types())
    with pytest.raises(UnknownJobType, match=r"backtest.*custom"):
        JobType("nobody_registered_this")
    assert isinstance(JobRegistry.list_jobs(), dict)

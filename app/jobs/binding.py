"""Which engine the module functions and `handler.submit` talk to: the one bound in this context."""

from __future__ import annotations

from contextvars import ContextVar
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from app.jobs.context import BlockingJobContext, get_current_job_context
from app.jobs.errors import NoEngine
from app.stores.base import Store

if TYPE_CHECKING:
    from app.jobs.manager import AsyncJobManager
    from app.jobs.runtime import Runtime

DEFAULT_GROUP = "torpor.bootstrap"
"""The entry point group in which the distribution says how an engine is made from settings."""

_bound: ContextVar[AsyncJobManager | None] = ContextVar("torpor_engine", default=None)


def bind(manager: AsyncJobManager | None) -> AsyncJobManager | None:
    """Make this the engine of the current context, or none. Returns the one that was."""
    before = _bound.get()
    _bound.set(manager)
    return before


def current_manager() -> AsyncJobManager:
    """The manager of the running job's engine, or else the bound one.

    Raises:
        NoEngine: there is neither.
    """
    context = get_current_job_context()
    if context is not None:
        return (context.inner if isinstance(context, BlockingJobContext) else context).manager
    manager = _bound.get()
    if manager is None:
        raise NoEngine
    return manager


def default_runtime(store: Store | None) -> Runtime:
    """An engine made from the settings, by the entry point that the distribution declares for it.

    Args:
        store: where jobs are kept; None leaves it to the settings.

    Raises:
        NoEngine: the distribution is not installed, so nothing says how.
    """
    for entry in entry_points(group=DEFAULT_GROUP, name="default"):
        runtime: Runtime = entry.load()(store)
        return runtime
    raise NoEngine

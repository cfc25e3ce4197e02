"""The job context, where interactive agents look for it. Workers import `app.jobs.context`."""

from app.jobs.context import (
    JobContext,
    clear_current_job_context,
    get_current_job_context,
    set_current_job_context,
)

__all__ = ["JobContext", "clear_current_job_context", "get_current_job_context", "set_current_job_context"]

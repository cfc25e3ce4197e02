"""Whether a catalogue job may write."""

from __future__ import annotations

from app.jobs import JobContext, PermanentError

DRY_RUN = "dry_run"
APPLY = "apply"


class ApplyDisabled(PermanentError):
    """A job in mode `apply` where applying is not enabled: never a silent dry run."""

    code = "APPLY_DISABLED"

    def __init__(self) -> None:
        super().__init__("mode is apply, and CATALOG_APPLY_ENABLED is not true; set it, or run with mode dry_run")


class UnknownMode(PermanentError):
    """A mode that is neither `dry_run` nor `apply`."""

    code = "UNKNOWN_MODE"

    def __init__(self, mode: str) -> None:
        super().__init__(f"mode is {mode!r}; use {DRY_RUN} or {APPLY}")


def mode_of(ctx: JobContext) -> str:
    """The job's mode; `dry_run` is that of a job without one.

    Raises:
        UnknownMode: it is neither `dry_run` nor `apply`.
    """
    mode = ctx.mode or DRY_RUN
    if mode not in (DRY_RUN, APPLY):
        raise UnknownMode(mode)
    return mode


def may_write(ctx: JobContext) -> bool:
    """Whether the job writes.

    The setting is True, or a tag: then only jobs with that tag may, as in the demo, which must not write for others.

    Raises:
        ApplyDisabled: it should, and applying is not enabled.
        UnknownMode: see `mode_of`.
    """
    if mode_of(ctx) == DRY_RUN:
        return False
    enabled = ctx.application.get("catalog_apply_enabled")
    if enabled is not True and not (isinstance(enabled, str) and enabled in ctx.job.tags):
        raise ApplyDisabled
    return True

"""Which trace a job belongs to, in the words of W3C Trace Context (https://www.w3.org/TR/trace-context/).

It is kept in the job's metadata: so it travels with every record of the job, and whoever finds the job continues its
trace, whether it was woken for it or not. Nothing here knows what makes traces.
"""

from __future__ import annotations

from collections.abc import Mapping

from app.jobs.models import Job, Json

TRACE_FIELDS = ("traceparent", "tracestate")
"""The names of the two headers, under which metadata and wake-ups say the same."""
MOST_CHARACTERS = 512
"""The longest `tracestate` that everybody has to pass on; what is longer is no trace of anybody's."""


def trace_of(metadata: Mapping[str, Json]) -> dict[str, str]:
    """What a job's metadata say of its trace, as HTTP headers would; empty if they say nothing."""
    if TRACE_FIELDS[0] not in metadata:
        return {}
    said = ((name, metadata.get(name)) for name in TRACE_FIELDS)
    return {name: text for name, text in said if isinstance(text, str) and len(text) <= MOST_CHARACTERS}


def continue_trace(job: Job, trace: Mapping[str, str]) -> None:
    """Let a job that is about to be created belong to a trace."""
    # A new mapping: the old one may be that of the request, and another job be made from that too.
    job.metadata = {**job.metadata, **{name: trace[name] for name in TRACE_FIELDS if name in trace}}

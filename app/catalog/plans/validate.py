"""Judging a plan: every rule, in the order in which people understand the findings best."""

from __future__ import annotations

from datetime import UTC, datetime

from app.catalog.plans.finding import Finding
from app.catalog.plans.plan import ChangePlan
from app.catalog.plans.snapshot import Snapshot
from app.catalog.plans.validators import aliases, families, post_state, schema, taxonomy
from app.catalog.plans.validators.case import Rule, case_of

RULES: tuple[Rule, ...] = (
    schema.check_ids,
    schema.check_fields,
    schema.check_paths,
    taxonomy.check_slugs,
    taxonomy.check_values,
    post_state.check_replay,
    schema.check_targets,
    taxonomy.check_names,
    aliases.check_slugs_are_free,
    aliases.check_aliases,
    aliases.check_left_aliases,
    families.check_variants,
    families.check_qualifiers,
    families.check_closed_families,
    families.check_merges,
    post_state.check_own,
)

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
"""For plans that have no time yet: no rule looks at it."""


def validate(plan: ChangePlan, snapshot: Snapshot, at: datetime | None = None) -> tuple[Finding, ...]:
    """What is wrong with a plan; nothing if it may be applied.

    Pure and deterministic. Of several errors about the same field of an operation only the first is told, because the
    others mostly follow from it.

    Args:
        plan: any.
        snapshot: has at least what `touched(plan)` names; what it has not counts as not there.
        at: the time of the change, by default the plan's own.
    """
    case = case_of(plan, snapshot, at or plan.made_at or _ANY_TIME)
    findings: list[Finding] = []
    for rule in RULES:
        for finding in rule(case):
            names_a_field = finding.operation and finding.field and finding.code != "DOUBLE_OPERATION_ID"
            if not names_a_field or not _follows(finding, findings):
                findings.append(finding)
    return tuple(findings)


def _follows(finding: Finding, earlier: list[Finding]) -> bool:
    """Whether an earlier error about the same field explains this one.

    A value that does not fit is told by the model of the record, whose fields have other names than the plan's: any
    error about the operation may explain it.
    """
    return any(
        each.is_error
        and each.operation == finding.operation
        and (each.field == finding.field or finding.code == "BAD_VALUE")
        for each in earlier
    )

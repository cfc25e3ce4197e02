"""What a job would like to change: operations, plans of them, what is wrong with a plan and how it is mended.

All of it is pure. A planner reads a `Snapshot` and answers with a `ChangePlan`; see `app.catalog.tasks.planning`.
"""

from app.catalog.plans.building import (
    create_exercise,
    delete_alias,
    deprecate_exercise,
    deprecate_family,
    merge_exercise,
    no_change,
    patch_exercises,
    reassign_family,
    rename_exercise,
    update_registry,
    upsert_alias,
)
from app.catalog.plans.finding import Finding, Severity
from app.catalog.plans.fix import BadFix, Fix, FixAction, apply_fixes
from app.catalog.plans.operation import (
    MAX_TARGETS,
    Operation,
    OperationKind,
    Risk,
    Target,
    TargetKind,
    alias_target,
    exercise_target,
    family_target,
)
from app.catalog.plans.paths import CONTENT_PATHS, is_writable, missing_paths, refused_paths
from app.catalog.plans.plan import ChangePlan, PostCheck, make_plan
from app.catalog.plans.snapshot import Changes, Item, Snapshot, Touches, touched, touched_by

__all__ = [
    "CONTENT_PATHS",
    "MAX_TARGETS",
    "BadFix",
    "ChangePlan",
    "Changes",
    "Finding",
    "Fix",
    "FixAction",
    "Item",
    "Operation",
    "OperationKind",
    "PostCheck",
    "Risk",
    "Severity",
    "Snapshot",
    "Target",
    "TargetKind",
    "Touches",
    "alias_target",
    "apply_fixes",
    "create_exercise",
    "delete_alias",
    "deprecate_exercise",
    "deprecate_family",
    "exercise_target",
    "family_target",
    "is_writable",
    "make_plan",
    "merge_exercise",
    "missing_paths",
    "no_change",
    "patch_exercises",
    "reassign_family",
    "refused_paths",
    "rename_exercise",
    "touched",
    "touched_by",
    "update_registry",
    "upsert_alias",
]

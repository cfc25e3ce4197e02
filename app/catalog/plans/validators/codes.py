"""Every code that a finding can have, and what it means. One line each; docs/catalog.md shows the same."""

from __future__ import annotations

from collections.abc import Mapping

# fmt: off
CODES: Mapping[str, str] = {
    # the plan and its operations
    "DOUBLE_OPERATION_ID": "two operations have one id",
    "DOUBLE_OPERATION": "two operations are the same to the last letter, so that the second would count as applied",
    "MISSING_TARGET": "the operation names no record, or too few of the kind that it needs",
    "UNNAMED_TARGET": "the operation changes a record that it does not name",
    "TOO_MANY_TARGETS": "the operation names more records than one commit takes",
    "UNKNOWN_TARGET": "a record that it names is not there",
    "TARGET_EXISTS": "what it creates is there already",
    "MISSING_FIELD": "a path that the kind needs is missing",
    "BAD_VALUE": "a value does not fit its field",
    "RISK_TOO_LOW": "the risk is said to be lower than the kind's least",
    "NOTHING_CHANGES": "the operation leaves everything as it is",
    "PATH_NOT_WRITABLE": "the kind may not write the path",
    # names and values
    "BAD_SLUG": "a slug is not spelled like one",
    "SLUG_NOT_OF_NAME": "the slug is not that of the name",
    "WRONG_QUALIFIER": "the name closes with other equipment than the exercise's own",
    "QUALIFIER_NOT_EQUIPMENT": "the name closes with parentheses that hold no equipment",
    "NOT_CANONICAL": "a value is not one of the field's canonical ones",
    # look-ups in the whole catalogue
    "SLUG_TAKEN": "another exercise has the slug",
    "ALIAS_TAKEN": "the slug is an alias of something else, which still stands",
    "ALIAS_COLLISION": "the alias is the slug of an exercise or family that is in use",
    "ALIAS_BOTH_TARGETS": "the alias would lead to an exercise and a family",
    "ALIAS_NO_TARGET": "the alias would lead nowhere",
    "ALIAS_TARGET_MISSING": "the alias would lead to what is not there, or was merged",
    # families and merges
    "DUPLICATE_EQUIPMENT_VARIANT": "two exercises of one family would have the same equipment and modifiers",
    "MERGE_CONFLICT": "a family that exercises are moved to has such a variant already",
    "MISSING_QUALIFIER": "a family would have several kinds of equipment, and a name in it does not carry its own",
    "FAMILY_NOT_EMPTY": "a family is closed that has active exercises",
    "FAMILY_CLOSED": "exercises would be in a family that is closed",
    "NOT_ACTIVE": "an exercise that is merged, or merged into, is not active",
    "BAD_STATUS": "the status is none that an exercise can be given here",
    "CONTRASTING_NAMES": "two exercises to be merged are opposite movements",
    "DIFFERENT_EQUIPMENT": "two exercises to be merged are done with different equipment",
    # the state afterwards
    "ORPHANED_ALIAS": "an alias that the plan leaves as it is would lead to a family that it empties",
    "POST_CHECK_FAILED": "what the plan itself says must be true afterwards would not be",
    # found while applying
    "BAD_PLAN": "a plan that a person gave is none",
    "STALE_TARGET": "a record holds something else by now than where the plan was made",
    "CONTENDED": "a record changed under every try to write it",
    "OPERATION_TOO_LARGE": "the operation does not fit one commit",
    "READ_BACK_MISMATCH": "what was read back is not what was written",
}
"""By code, what it means."""
# fmt: on

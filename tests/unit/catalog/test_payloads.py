"""What a job type needs and lacks is refused by a code of its own."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from app.catalog import payloads

WHOLE: dict[type[BaseModel], dict[str, Any]] = {
    payloads.MaintenanceScan: {},
    payloads.DuplicateDetectionScan: {},
    payloads.AliasInvariantScan: {},
    payloads.FamilyAudit: {"family_slug": "row"},
    payloads.FamilyNormalize: {"family_slug": "row"},
    payloads.FamilyMerge: {"source_family": "rows", "target_family": "row"},
    payloads.FamilySplit: {"family_slug": "row", "into": {"cable": "cable-pull"}},
    payloads.FamilyRenameSlug: {"family_slug": "row", "new_slug": "rowing"},
    payloads.ExerciseAdd: {"name": "Pendlay Row"},
    payloads.TargetedFix: {"exercise_id": "row", "action": "archive"},
    payloads.MergeCandidate: {"source_id": "rows", "target_id": "row"},
    payloads.AliasRepair: {"aliases": ["row"]},
    payloads.SchemaCleanup: {"exercise_ids": ["row"]},
    payloads.EnrichField: {},
    payloads.EnrichShard: {"exercise_ids": ["row"]},
}
"""One payload of each of the fifteen types that is as short as it may be."""


@pytest.mark.parametrize("model", WHOLE, ids=lambda model: model.__name__)
def test_what_is_needed_is_enough(model: type[BaseModel]) -> None:
    assert model.model_validate(WHOLE[model])


@pytest.mark.parametrize("model", WHOLE, ids=lambda model: model.__name__)
def test_a_payload_comes_back_from_json_as_it_was(model: type[BaseModel]) -> None:
    payload = model.model_validate(WHOLE[model])

    assert model.model_validate_json(payload.model_dump_json()) == payload


@pytest.mark.parametrize("model", WHOLE, ids=lambda model: model.__name__)
def test_a_field_that_nobody_knows_is_refused(model: type[BaseModel]) -> None:
    with pytest.raises(ValidationError, match="familly"):
        model.model_validate({**WHOLE[model], "familly": "row"})


@pytest.mark.parametrize(
    ("model", "payload", "code"),
    [
        (payloads.FamilyAudit, {}, "MISSING_FAMILY_SLUG: give family_slug"),
        (payloads.FamilyNormalize, {"family_slug": ""}, "MISSING_FAMILY_SLUG: give family_slug"),
        (payloads.FamilyMerge, {}, "MISSING_MERGE_CONFIG: give source_family and target_family"),
        (payloads.FamilyMerge, {"source_family": "row"}, "MISSING_MERGE_CONFIG: give target_family"),
        (payloads.FamilySplit, {"family_slug": "row"}, "MISSING_SPLIT_CONFIG: give into"),
        (payloads.FamilySplit, {"family_slug": "row", "into": {}}, "MISSING_SPLIT_CONFIG: give into"),
        (payloads.FamilyRenameSlug, {"family_slug": "row"}, "MISSING_RENAME_CONFIG: give new_slug"),
        (payloads.ExerciseAdd, {"equipment": ["cable"]}, "MISSING_NAME: give name"),
        (payloads.TargetedFix, {"action": "archive"}, "MISSING_EXERCISE_ID: give exercise_id"),
        (payloads.TargetedFix, {"exercise_id": "row"}, "MISSING_FIX_ACTION: give action"),
        (payloads.TargetedFix, {"exercise_id": "row", "action": "rename"}, "MISSING_FIX_CONFIG: rename needs name"),
        (payloads.TargetedFix, {"exercise_id": "row", "action": "patch"}, "MISSING_FIX_CONFIG: patch needs patch"),
        (payloads.MergeCandidate, {"target_id": "row"}, "MISSING_MERGE_PAIR: give source_id"),
        (payloads.AliasRepair, {"aliases": []}, "MISSING_ALIASES: give aliases"),
        (payloads.SchemaCleanup, {}, "MISSING_EXERCISE_IDS: give exercise_ids"),
        (payloads.EnrichField, {"fields": []}, "MISSING_FIELDS: name at least one field to enrich"),
        (payloads.EnrichShard, {}, "MISSING_EXERCISE_IDS: give exercise_ids"),
    ],
)
def test_what_is_missing_has_a_code(model: type[BaseModel], payload: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError, match=code):
        model.model_validate(payload)


@pytest.mark.parametrize(
    ("model", "payload", "says"),
    [
        (payloads.FamilyMerge, {"source_family": "row", "target_family": "row"}, "into itself"),
        (payloads.MergeCandidate, {"source_id": "row", "target_id": "row"}, "into itself"),
        (payloads.FamilyRenameSlug, {"family_slug": "row", "new_slug": "row"}, "is its slug already"),
        (payloads.FamilySplit, {"family_slug": "row", "into": {"cable": "row"}}, "is the family that is split"),
        (payloads.FamilySplit, {"family_slug": "row", "into": {"rope": "pull"}}, "'rope' is no canonical equipment"),
        (payloads.FamilyNormalize, {"family_slug": "Bench Press"}, "write 'bench-press'"),
        (payloads.ExerciseAdd, {"name": "?!"}, "at least one letter or digit"),
        (payloads.ExerciseAdd, {"name": "Row", "equipment": ["cables"]}, "'cables' is no canonical equipment"),
        (payloads.TargetedFix, {"exercise_id": "row", "action": "burn"}, "archive"),
        (payloads.TargetedFix, {"exercise_id": "row", "action": "archive", "name": "Row"}, "archive takes no name"),
        (
            payloads.TargetedFix,
            {"exercise_id": "row", "action": "rename", "name": "Row", "equipment": ["cable"]},
            "rename takes no equipment",
        ),
        (
            payloads.TargetedFix,
            {"exercise_id": "row", "action": "patch", "patch": {"slug": "rows"}},
            "PATH_NOT_WRITABLE: no patch writes 'slug'; take some of attributes.<name>",
        ),
        (payloads.EnrichField, {"exercise_ids": ["row"], "families": ["row"]}, "select by one of them"),
    ],
)
def test_what_is_wrong_is_named(model: type[BaseModel], payload: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        model.model_validate(payload)


def test_what_is_named_twice_counts_once() -> None:
    assert payloads.AliasRepair.model_validate({"aliases": ["row", "curl", "row"]}).aliases == ("row", "curl")

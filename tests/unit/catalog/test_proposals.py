"""What proposed jobs are known by, and in which order they go."""

import random

import pytest

from app.catalog.reviewer.proposals import ProposedJob, in_order, state_of, waits_for

ENRICH = ProposedJob("catalog_enrich_field", {"exercise_ids": ["a"]}, "", ("row", "curl"))
FIX = ProposedJob("targeted_fix", {"exercise_id": "b"}, "", ("row",))
MERGE = ProposedJob("merge_candidate", {"source_id": "c", "target_id": "a"}, "", ("curl",))
DOUBT = ProposedJob("merge_candidate", {"source_id": "d", "target_id": "a", "needs_review": True}, "", ("row",))
ROW = ProposedJob("family_normalize", {"family_slug": "row"}, "", ("row",))
CURL = ProposedJob("family_normalize", {"family_slug": "curl"}, "", ("curl",))
DIP = ProposedJob("family_normalize", {"family_slug": "dip"}, "", ("dip",))
AUDIT = ProposedJob("family_audit", {"family_slug": "row"}, "", ("row",))
ALL = [ENRICH, FIX, MERGE, DOUBT, ROW, CURL, DIP, AUDIT]


def test_the_order_does_not_depend_on_who_proposed_first() -> None:
    for seed in range(10):
        steps = [proposal.type for proposal in in_order(random.Random(seed).sample(ALL, len(ALL)))]

        assert steps == [proposal.type for proposal in in_order(ALL)]


def test_the_same_is_proposed_once() -> None:
    again = ProposedJob(ROW.type, dict(ROW.payload), "seen by another scan", ("row",))

    assert in_order([ROW, again, ROW]) == [ROW]


def test_each_waits_for_what_changes_its_family_before() -> None:
    waits = dict(zip([proposal.key("") for proposal in ALL], waits_for(ALL), strict=True))

    def parents(proposal: ProposedJob) -> list[ProposedJob]:
        return [ALL[place] for place in waits[proposal.key("")]]

    assert parents(ENRICH) == []
    assert parents(FIX) == [ENRICH]
    assert parents(MERGE) == [ENRICH]
    assert parents(DOUBT) == [FIX]
    assert parents(ROW) == [FIX], "nothing waits for a person"
    assert parents(CURL) == [MERGE]
    assert parents(DIP) == []
    assert parents(AUDIT) == [ROW]


def test_jobs_of_one_step_do_not_wait_for_each_other() -> None:
    fixes = [ProposedJob("targeted_fix", {"exercise_id": name}, "", ("row",)) for name in "abc"]

    assert waits_for([ENRICH, *fixes, ROW]) == [(), (0,), (0,), (0,), (1, 2, 3)]


@pytest.mark.parametrize(
    "other",
    [
        ProposedJob("family_audit", {"family_slug": "row"}, "", ("row",)),
        ProposedJob("family_normalize", {"family_slug": "rows"}, "", ("row",)),
        ProposedJob("family_normalize", {"family_slug": "row"}, "", ("row",), state_of(["Sled Row"])),
    ],
)
def test_another_type_payload_or_state_is_another_proposal(other: ProposedJob) -> None:
    assert other.key("apply") != ROW.key("apply")


def test_a_dry_run_does_not_stand_in_the_way_of_applying() -> None:
    assert ROW.key("dry_run") != ROW.key("apply")
    assert ROW.key("apply") == ProposedJob(ROW.type, {"family_slug": "row"}, "other words", ()).key("apply")


def test_a_pair_is_known_again_in_either_direction_and_with_other_evidence() -> None:
    first = ProposedJob("merge_candidate", {"source_id": "a", "target_id": "b"}, "", identity=("a", "b"))
    other = ProposedJob("merge_candidate", {"source_id": "b", "target_id": "a", "evidence": 1}, "", identity=("a", "b"))

    assert first.key("apply") == other.key("apply")
    assert in_order([first, other]) == [first]

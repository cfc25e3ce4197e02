"""What a shared transaction does when something comes between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from sqlalchemy.dialects import sqlite

from app.stores.base import (
    ClaimRequest,
    Insert,
    OutcomeUnknown,
    PreconditionFailed,
    RecordTooLarge,
    StoreError,
    StoreUnavailable,
    Unit,
    Update,
)
from app.stores.sql.claim import Claimer, ClaimOutcome
from app.stores.sql.drivers import Driver, Link, Trouble
from app.stores.sql.lookups import Lookups
from app.stores.sql.statements import Statements
from app.stores.sql.tables import Naming, build_tables
from app.stores.sql.transaction import ClaimTask, Transactor, UnitTask
from app.stores.sql.units import Planner
from tests.unit.stores.sql.fake_database import FakeDatabase, FakeDriver, FakeError
from tests.unit.stores.sql.times import NOON

STATEMENTS = Statements(build_tables(Naming(), "sqlite"), sqlite.dialect())
REQUEST = ClaimRequest(("priority",), ("any",), 1, NOON)
BROKEN = ValueError("the engine's own mistake")


class FakeClaimer:
    """Answers claims with what a test says."""

    def __init__(self, *answers: ClaimOutcome | BaseException) -> None:
        self.answers = list(answers)
        self.seen: list[dict[tuple[str, str], int]] = []

    def claim(self, link: Any, *_: object) -> ClaimOutcome:
        self.seen.append(dict(link._working))
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Desk:
    """A transactor on a fake database that holds job `old` at version 5."""

    def __init__(self, *claims: ClaimOutcome | BaseException, locks_rows: bool = True) -> None:
        self.database = FakeDatabase()
        self.database.rows["torpor_jobs", "old"] = 5
        self.planner = Planner(STATEMENTS)
        self.claimer = FakeClaimer(*claims)
        self.transactor = Transactor(
            cast("Driver", FakeDriver(locks_rows=locks_rows)),
            lambda: cast("Link", self.database.connect()),
            Lookups(STATEMENTS, Naming()),
            cast("Claimer", self.claimer),
            ("NOTIFY", [()]),
        )

    def plan(self, **steps: Sequence[Trouble | BaseException | None]) -> None:
        """Errors to raise at each coming `begin`, `run`, `commit`, …, or None for a time that goes well."""
        for step, errors in steps.items():
            self.database.plan[step] = [FakeError(e) if isinstance(e, Trouble) else e for e in errors]

    def run(self, *units: Unit, claims: int = 0) -> list[object]:
        """The outcomes of these units, then of so many claims; None where a unit was applied."""
        tasks = [UnitTask(self.planner.plan(unit)) for unit in units]
        asked = [ClaimTask(REQUEST, lambda record: None, lambda record: None) for _ in range(claims)]
        self.transactor.run(tasks, asked)
        return [*(task.outcome for task in tasks), *(claim.outcome for claim in asked)]

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.database.rows}


def insert(name: str, **fields: Any) -> Unit:
    return [Insert("jobs", name, fields)]


def test_units_that_fit_share_one_transaction() -> None:
    desk = Desk()
    assert desk.run(insert("a"), insert("b"), [Update("jobs", "old", {}, "5"), Insert("runs", "r", {})]) == [None] * 3
    assert desk.names == {"old", "a", "b", "r"}
    assert desk.database.rows["torpor_jobs", "old"] == 6
    assert desk.database.commits == 1


def test_only_the_units_that_do_not_fit_are_refused() -> None:
    desk = Desk()
    outcomes = desk.run(
        insert("a"),
        [Insert("runs", "r", {}), Update("jobs", "old", {}, "4")],
        insert("old"),
        [Update("jobs", "old", {}, "5")],
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), PreconditionFailed, PreconditionFailed, type(None)]
    assert "its version is 5, not 4" in str(outcomes[1])
    assert desk.names == {"old", "a"}
    assert desk.database.commits == 1


@pytest.mark.parametrize("trouble", [Trouble.RETRY, Trouble.CONFLICT])
def test_what_gets_in_the_way_for_a_moment_is_tried_again(trouble: Trouble) -> None:
    desk = Desk()
    desk.plan(run=[trouble, None, trouble], commit=[trouble])
    assert desk.run(insert("a"), insert("b")) == [None, None]
    assert desk.names == {"old", "a", "b"}


def test_trying_again_has_an_end() -> None:
    desk = Desk()
    desk.plan(begin=[Trouble.RETRY] * 100)
    (outcome,) = desk.run(insert("a"))
    assert isinstance(outcome, StoreUnavailable)
    assert "others" in str(outcome) or "other transactions" in str(outcome)
    assert len(desk.database.plan["begin"]) > 80
    assert desk.names == {"old"}


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [(Trouble.LOCKED, StoreUnavailable), (Trouble.TOO_LARGE, RecordTooLarge), (Trouble.OTHER, StoreError)],
)
def test_one_that_is_held_up_does_not_hold_up_the_others(trouble: Trouble, expected: type[StoreError]) -> None:
    desk = Desk()
    # The shared transaction fails, then each of the three is tried alone, and the second fails again.
    desk.plan(run=[trouble, None, None, trouble])
    outcomes = desk.run(insert("a"), insert("b"), insert("c"))
    assert [type(outcome) for outcome in outcomes] == [type(None), expected, type(None)]
    assert desk.names == {"old", "a", "c"}


def test_where_one_lock_is_for_everything_nobody_waits_for_it_twice() -> None:
    desk = Desk(locks_rows=False)
    desk.plan(begin=[Trouble.LOCKED])
    outcomes = desk.run(insert("a"), insert("b"), claims=1)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 3
    assert desk.names == {"old"}


def test_a_server_that_cannot_work_is_not_asked_again_for_each() -> None:
    desk = Desk()
    desk.plan(begin=[Trouble.UNAVAILABLE])
    assert [type(outcome) for outcome in desk.run(insert("a"), insert("b"))] == [StoreUnavailable] * 2


def test_an_idle_connection_that_was_closed_is_replaced_once() -> None:
    desk = Desk()
    desk.run(insert("a"))
    desk.plan(begin=[Trouble.LOST])
    assert desk.run(insert("b")) == [None]
    assert [link.state for link in desk.database.links] == ["discarded", "idle"]


@pytest.mark.parametrize("step", ["begin", "run", "connect"])
def test_a_new_connection_that_is_lost_before_the_commit_applied_nothing(step: str) -> None:
    desk = Desk()
    desk.plan(**{step: [Trouble.LOST]})
    outcomes = desk.run(insert("a"), insert("b"))
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 2
    assert not desk.database.plan[step], "the second is not tried alone: it could not fare better"
    assert desk.run(insert("c")) == [None]
    assert desk.names == {"old", "c"}


def test_a_lost_answer_to_the_commit_leaves_the_outcome_unknown() -> None:
    desk = Desk(ClaimOutcome([], [], [], full_page=False, looked_at=0))
    desk.plan(answer=[Trouble.LOST])
    outcomes = desk.run(insert("a"), claims=1)
    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown] * 2
    assert "a" in desk.names, "as it happens it was applied; the caller has to read back"
    assert desk.database.links[0].state == "discarded"


def test_a_refused_commit_is_no_unknown_outcome() -> None:
    desk = Desk()
    desk.plan(commit=[Trouble.LOCKED])
    (outcome,) = desk.run(insert("a"))
    assert isinstance(outcome, StoreUnavailable)
    assert desk.names == {"old"}


def test_a_connection_that_cannot_undo_is_thrown_away() -> None:
    desk = Desk()
    desk.plan(run=[Trouble.OTHER], rollback=[Trouble.OTHER])
    (outcome,) = desk.run(insert("a"))
    assert isinstance(outcome, StoreError)
    assert desk.database.links[0].state == "discarded"
    assert desk.run(insert("b")) == [None]


def test_a_mistake_in_the_program_leaves_no_transaction_open() -> None:
    desk = Desk()
    desk.plan(run=[BROKEN])
    with pytest.raises(ValueError, match="own mistake"):
        desk.run(insert("a"))
    assert desk.database.links[0].state == "discarded"
    assert desk.run(insert("b")) == [None]


def test_a_mistake_in_a_decision_is_its_callers_alone() -> None:
    desk = Desk(BROKEN, ClaimOutcome([], [], [], full_page=False, looked_at=3))
    applied, first, second = desk.run(insert("a"), claims=2)
    assert applied is None
    assert first is BROKEN
    assert isinstance(second, ClaimOutcome)
    assert desk.names == {"old", "a"}


def test_a_claim_does_not_see_what_the_one_before_it_took() -> None:
    planner = Planner(STATEMENTS)
    taking = planner.plan([Update("jobs", "old", {"ready_at": None}, "5")]).writes
    desk = Desk(
        ClaimOutcome(taking, [], [], full_page=False, looked_at=1),
        ClaimOutcome([], [], [], full_page=False, looked_at=0),
    )
    desk.run(claims=2)
    assert [seen["torpor_jobs", "old"] for seen in desk.claimer.seen] == [5, 6]
    assert desk.database.commits == 1


@pytest.mark.parametrize(
    ("units", "notices"),
    [
        ([insert("a", ready_at=NOON), insert("b", wake_at=NOON)], 1),
        ([insert("a")], 0),
        ([insert("old", ready_at=NOON), insert("b")], 0),
    ],
)
def test_others_are_told_once_of_what_became_claimable(units: list[Unit], notices: int) -> None:
    desk = Desk()
    desk.run(*units)
    assert desk.database.notices == notices


def test_closing_gives_the_connection_back() -> None:
    desk = Desk()
    desk.run(insert("a"))
    desk.transactor.close()
    desk.transactor.close()
    assert desk.database.links[0].state == "closed"

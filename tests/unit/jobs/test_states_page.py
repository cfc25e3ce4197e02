"""docs/states.md says what the transition table does."""

from __future__ import annotations

from app.jobs.models import JobStatus
from app.jobs.transitions import TRANSITIONS
from docs.draw_states import ARGUMENTS, CASES, PAGE, diagram, page, targets


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m docs.draw_states"


def test_every_pair_of_the_table_is_on_the_page() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| ")]
    for status, kind in TRANSITIONS:
        assert any(line.startswith(f"| {status.name} | {kind.verb} | ") for line in rows), (status, kind)
    assert set(ARGUMENTS) <= {kind for _, kind in TRANSITIONS}


def test_every_circumstance_makes_a_difference_somewhere() -> None:
    used = {words for pair in TRANSITIONS for found in targets(*pair).values() for words in found}
    assert used == set(CASES)


def test_the_diagram_shows_every_status_and_both_ends() -> None:
    drawn = "\n".join(diagram())
    assert all(status.name in drawn for status in JobStatus)
    assert drawn.count("--> [*]") == 3

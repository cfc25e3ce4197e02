"""Tables on screens of any width."""

from __future__ import annotations

import pytest

from app.cli.tables import Column, fitting, printable, table

UUID = "4518b3a7-01e0-435f-991c-e6e5125eb81f"
COLUMNS = (Column("id"), Column("type"), Column("took", 2), Column("queue", 3), Column("message", 1, text=True))
ROW = (UUID, "catalog_enrich_field_shard", "12 ms", "maintenance", "163 of 163 exercises enriched")


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (1000, ["id", "type", "took", "queue", "message"]),
        (106, ["id", "type", "took", "queue", "message"]),  # 36 + 26 + 5 + 11 + 20 and four gaps
        (105, ["id", "type", "took", "message"]),
        (92, ["id", "type", "message"]),
        (80, ["id", "type"]),
        (64, ["id", "type"]),
        (63, None),
        (1, None),
    ],
)
def test_the_least_important_columns_leave_first(width: int, shown: list[str] | None) -> None:
    kept = fitting(COLUMNS, [ROW], width)

    assert (None if kept is None else [COLUMNS[number].title for number in kept]) == shown


def test_columns_without_anything_take_no_room() -> None:
    assert fitting(COLUMNS, [("a", "", "", "b", ""), ("c", "", "", "", "")], 80) == [0, 3]


def test_the_width_is_that_of_the_characters_on_the_screen() -> None:
    rows = [("深蹲深蹲", "x")]

    assert fitting((Column("a"), Column("b", 1)), rows, 11) == [0, 1]
    assert fitting((Column("a"), Column("b", 1)), rows, 10) == [0]


@pytest.mark.parametrize("width", [80, 100, 120, 150])
def test_ids_stay_in_one_piece(width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))

    table("Jobs", COLUMNS, [ROW, ROW])

    lines = capsys.readouterr().out.splitlines()
    assert sum(UUID in line and "catalog_enrich_field_shard" in line for line in lines) == 2
    assert all(len(line) <= width for line in lines)
    hidden = fitting(COLUMNS, [ROW], width) != [0, 1, 2, 3, 4]
    assert any("no room for: " in line for line in lines) is hidden


def test_a_very_narrow_screen_gets_lines_that_nobody_breaks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")

    table("Jobs", COLUMNS, [ROW])

    assert capsys.readouterr().out.splitlines()[:3] == ["Jobs", f"id: {UUID}", "type: catalog_enrich_field_shard"]


def test_what_is_no_screen_is_wide(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)

    table("Jobs", COLUMNS, [ROW])

    assert any(all(cell in line for cell in ROW) for line in capsys.readouterr().out.splitlines())


def test_nothing_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    table("Jobs", COLUMNS, [])

    assert capsys.readouterr().out == "Jobs: none\n"


def test_cells_are_no_markup(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    table("[b]Jobs[/b]", ("id",), [("[red]:smile:[/red] [not closed",)])

    out = capsys.readouterr().out
    assert "[b]Jobs[/b]" in out
    assert "[red]:smile:[/red] [not closed" in out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode 深", "plain ünïcode 深"),
        ("two\nlines", "two\nlines"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("tab\tand\rreturn", "tab\\tand\\rreturn"),
        ("lone \ud800", "lone \\ud800"),
        ("turned \u202e round", "turned \\u202e round"),
    ],
)
def test_a_terminal_is_never_told_what_to_do(text: str, shown: str) -> None:
    assert printable(text) == shown
